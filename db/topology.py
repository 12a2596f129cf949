"""The hardware: devices, and the cables, pipes and fibres between them in several views, each valid for a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.orm import aliased

from db.audit import record
from db.checks import meta_problem, text_problem, word_problem
from db.database import Database
from db.digests import canonical
from db.errors import BadInput, Exists, NotFound
from db.heads import again, now
from db.ids import new_id
from db.models import Device, DeviceLink
from db.nodes import VIEW, parse_meta
from db.trees import alike
from db.users import require
from db.who import Who

PATHS = 1000
"""`paths` gives no more than that."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """An asset."""

    id: str
    kind: str
    name: str
    serial: str
    address: str
    """How it is reached, for example tcp://host:1470."""
    location: str
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A cable, pipe or fibre; parent and child by name."""

    id: str
    view: str
    parent: str
    parent_port: str
    child: str
    child_port: str
    cable: str
    since: datetime
    until: datetime | None
    """Excluded; None: until further notice."""


class Topology:
    """Devices and links of one database."""

    def __init__(self, database: Database, who: Who) -> None:
        self.database = database
        self.who = who

    # devices

    def devices(self, kind: str | None = None, pattern: str = "*", text: str = "") -> list[DeviceInfo]:
        """The assets by name: of a kind, whose name fits a pattern, with a text in it, serial, address or location."""
        statement = select(Device).order_by(Device.name)
        if kind is not None:
            statement = statement.where(Device.kind == kind)
        word = text.casefold()
        with self.database.read() as connection:
            found = [_device(row) for row in connection.execute(statement)]
        return [
            d
            for d in found
            if fnmatchcase(d.name, pattern)
            and (not word or any(word in t.casefold() for t in (d.name, d.serial, d.address, d.location)))
        ]

    def device(self, name: str) -> DeviceInfo:
        """NotFound says what is alike."""
        with self.database.read() as connection:
            return _find(connection, name)

    def add(
        self,
        kind: str,
        name: str,
        serial: str = "",
        address: str = "",
        location: str = "",
        meta: Mapping[str, Any] | None = None,
    ) -> DeviceInfo:
        """A new device. Exists, BadInput."""
        said: dict[str, Any] = {"kind": kind, "name": name, "serial": serial, "address": address, "location": location}
        said["meta"] = dict(meta or {})
        _check(name, said)

        def change(connection: Connection) -> DeviceInfo:
            if connection.execute(select(Device.id).where(Device.name == name)).first():
                raise Exists(f"there is a device {name!r} already")
            connection.execute(insert(Device).values({**said, "id": new_id(), "meta": canonical(said["meta"])}))
            record(connection, self.who, "device.add", name, **said)
            return _find(connection, name)

        return self._change(change)

    def set(self, name: str, /, **changes: Any) -> DeviceInfo:
        """Change kind, name, serial, address, location or meta (which replaces the old). NotFound, Exists, BadInput."""
        if unknown := changes.keys() - {"kind", "name", "serial", "address", "location", "meta"}:
            raise BadInput(f"{name}: a device has no {', '.join(sorted(unknown))}")
        _check(name, changes)

        def change(connection: Connection) -> DeviceInfo:
            before = _find(connection, name)
            new = changes.get("name", name)
            if new != name and connection.execute(select(Device.id).where(Device.name == new)).first():
                raise Exists(f"there is a device {new!r} already")
            values = {**changes, "meta": canonical(changes.get("meta", before.meta))}
            connection.execute(update(Device).where(Device.id == before.id).values(values))
            was = {key: getattr(before, key) for key in changes}
            record(connection, self.who, "device.set", name, before=was, after=changes)
            return _find(connection, new)

        return self._change(change)

    def remove(self, name: str) -> None:
        """A device that was never linked, or whose links were removed. NotFound, BadInput."""

        def change(connection: Connection) -> None:
            before = _find(connection, name)
            if links := _links(connection, [before.id]):
                raise BadInput(f"{name}: it has {len(links)} links, for example to {_other(links[0], name)}")
            connection.execute(delete(Device).where(Device.id == before.id))
            record(connection, self.who, "device.remove", name, kind=before.kind, serial=before.serial)

        self._change(change)

    # links

    def link(
        self,
        parent: str,
        child: str,
        view: str = VIEW,
        parent_port: str = "",
        child_port: str = "",
        cable: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> LinkInfo:
        """Connect two devices, from a time (now) until another (excluded). NotFound.

        BadInput: a port that is occupied, two devices that are connected so already, a cycle within the view.
        """
        since = since or now()
        _check_interval(f"{parent} - {child}", since, until)
        said = {"parent_port": parent_port, "child_port": child_port, "cable": cable}
        found = [text_problem(key, text) for key, text in said.items()] + [word_problem("view", view)]
        if problems := [f"{parent} - {child}: {problem}" for problem in found if problem]:
            raise BadInput(problems)

        def change(connection: Connection) -> LinkInfo:
            above, below = _find(connection, parent), _find(connection, child)
            _refuse_link(connection, above, below, view, parent_port, child_port, since, until)
            id_ = new_id()
            connection.execute(
                insert(DeviceLink).values(
                    id=id_, view=view, parent_id=above.id, child_id=below.id, valid_from=since, valid_to=until, **said
                )
            )
            detail = {"view": view, "child": child, "since": since.isoformat(), "until": until and until.isoformat()}
            record(connection, self.who, "link.add", parent, **detail, **said)
            return next(info for info in _links(connection, [above.id]) if info.id == id_)

        return self._change(change)

    def unlink(self, parent: str, child: str, view: str = VIEW, until: datetime | None = None) -> None:
        """The link, or links, of two devices that hold at a time (now) end then. What was, stays known. NotFound."""
        until = until or now()
        _check_interval(f"{parent} - {child}", until, None)

        def change(connection: Connection) -> None:
            above, below = _find(connection, parent), _find(connection, child)
            done = connection.execute(
                update(DeviceLink)
                .where(
                    DeviceLink.parent_id == above.id,
                    DeviceLink.child_id == below.id,
                    DeviceLink.view == view,
                    DeviceLink.valid_from < until,
                    or_(DeviceLink.valid_to.is_(None), DeviceLink.valid_to > until),
                )
                .values(valid_to=until)
            )
            if not done.rowcount:
                raise NotFound(f"{parent} and {child} are not linked in view {view} at {until:%Y-%m-%d %H:%M:%S}")
            record(connection, self.who, "link.end", parent, view=view, child=child, until=until.isoformat())

        self._change(change)

    def drop_link(self, id_: str) -> None:
        """Forget a link that never was. NotFound."""

        def change(connection: Connection) -> None:
            row = connection.execute(_select_links().where(DeviceLink.id == id_)).first()
            if row is None:
                raise NotFound(f"there is no link {id_}")
            connection.execute(delete(DeviceLink).where(DeviceLink.id == id_))
            record(connection, self.who, "link.drop", row.parent, view=row.view, child=row.child)

        self._change(change)

    def links(
        self, device: str | None = None, view: str | None = None, at: datetime | None = None, *, ever: bool = False
    ) -> list[LinkInfo]:
        """The links (of a device, in a view) that hold at a time (now), or (`ever`) that there ever were."""
        with self.database.read() as connection:
            ids = None if device is None else [_find(connection, device).id]
            return _links(connection, ids, view, None if ever else at or now())

    def neighbours(self, device: str, view: str | None = None, at: datetime | None = None) -> list[str]:
        """Names of the devices that are linked to one at a time (now)."""
        return sorted({_other(link, device) for link in self.links(device, view, at)})

    def path(self, device: str, view: str = VIEW, at: datetime | None = None) -> list[LinkInfo]:
        """The links from the top of a view down to a device; the first of `paths`, empty when it is a top itself."""
        return self.paths(device, view, at)[0]

    def paths(self, device: str, view: str = VIEW, at: datetime | None = None) -> list[list[LinkInfo]]:
        """All ways from a top of a view down to a device at a time (now), links from above; shortest first."""
        with self.database.read() as connection:
            _find(connection, device)
            above: dict[str, list[LinkInfo]] = {}
            for link in _links(connection, None, view, at or now()):
                above.setdefault(link.child, []).append(link)
        found: list[list[LinkInfo]] = []
        waiting: list[list[LinkInfo]] = [[]]
        while waiting and len(found) < PATHS:
            way = waiting.pop(0)
            names = {link.child for link in way}
            links = [k for k in above.get(way[0].parent if way else device, ()) if k.parent not in names]
            if not links:
                found.append(way)
            waiting += [[link, *way] for link in links]
        return found

    def below(self, device: str, view: str = VIEW, at: datetime | None = None) -> list[LinkInfo]:
        """All links below a device at a time (now), each parent's before those of its children."""
        with self.database.read() as connection:
            _find(connection, device)
            under: dict[str, list[LinkInfo]] = {}
            for link in _links(connection, None, view, at or now()):
                under.setdefault(link.parent, []).append(link)
        found: list[LinkInfo] = []
        seen = {device}
        waiting = [device]
        while waiting:
            for link in under.get(waiting.pop(0), ()):
                found.append(link)
                if link.child not in seen:
                    seen.add(link.child)
                    waiting.append(link.child)
        return found

    def _change(self, function: Any) -> Any:
        def store() -> Any:
            with self.database.write() as connection:
                require(connection, self.who, "operator")
                return function(connection)

        return again(store)


def _refuse_link(
    connection: Connection,
    above: DeviceInfo,
    below: DeviceInfo,
    view: str,
    parent_port: str,
    child_port: str,
    since: datetime,
    until: datetime | None,
) -> None:
    where = f"{above.name} - {below.name}"
    if above.id == below.id:
        raise BadInput(f"{where}: a device is not linked to itself")
    overlapping = [
        link
        for link in _links(connection, None, view)
        if (until is None or link.since < until) and (link.until is None or link.until > since)
    ]
    for link in overlapping:
        if parent_port and (link.parent, link.parent_port) == (above.name, parent_port):
            raise BadInput(f"{where}: port {parent_port} of {above.name} is occupied: {link.child}")
        if child_port and (link.child, link.child_port) == (below.name, child_port):
            raise BadInput(f"{where}: port {child_port} of {below.name} is occupied: {link.parent}")
        same = (link.parent, link.child) == (above.name, below.name)
        if same and (link.parent_port, link.child_port) == (parent_port, child_port):
            raise BadInput(f"{where}: they are linked so already, since {link.since:%Y-%m-%d %H:%M:%S}")
    under: dict[str, set[str]] = {}
    for link in overlapping:
        under.setdefault(link.parent, set()).add(link.child)
    seen: set[str] = set()
    waiting = [below.name]
    while waiting:
        here = waiting.pop()
        if here == above.name:
            raise BadInput(f"{where}: {above.name} is below {below.name} in view {view}: a cycle")
        if here not in seen:
            seen.add(here)
            waiting += under.get(here, ())


def _select_links() -> Any:
    parent, child = aliased(Device), aliased(Device)
    return (
        select(DeviceLink, parent.name.label("parent"), child.name.label("child"))
        .join(parent, parent.id == DeviceLink.parent_id)
        .join(child, child.id == DeviceLink.child_id)
    )


def _links(
    connection: Connection, ids: Sequence[str] | None = None, view: str | None = None, at: datetime | None = None
) -> list[LinkInfo]:
    statement = _select_links()
    if ids is not None:
        statement = statement.where(or_(DeviceLink.parent_id.in_(ids), DeviceLink.child_id.in_(ids)))
    if view is not None:
        statement = statement.where(DeviceLink.view == view)
    if at is not None:
        statement = statement.where(
            DeviceLink.valid_from <= at, or_(DeviceLink.valid_to.is_(None), DeviceLink.valid_to > at)
        )
    found = [
        LinkInfo(r.id, r.view, r.parent, r.parent_port, r.child, r.child_port, r.cable, r.valid_from, r.valid_to)
        for r in connection.execute(statement)
    ]
    return sorted(found, key=lambda k: (k.view, k.parent, k.parent_port, k.child, k.child_port, k.since))


def _device(row: Any) -> DeviceInfo:
    return DeviceInfo(row.id, row.kind, row.name, row.serial, row.address, row.location, parse_meta(row.meta))


def _find(connection: Connection, name: str) -> DeviceInfo:
    row = connection.execute(select(Device).where(Device.name == name)).first()
    if row is None:
        names = connection.execute(select(Device.name)).scalars()
        raise NotFound(f"there is no device {name!r}{alike(name, names)}")
    return _device(row)


def _other(link: LinkInfo, device: str) -> str:
    return link.child if link.parent == device else link.parent


def _check(device: str, said: Mapping[str, Any]) -> None:
    problems = [text_problem(key, said[key]) for key in ("name", "serial", "address", "location") if key in said]
    if "kind" in said:
        problems.append(word_problem("kind", said["kind"]))
    if "name" in said and (not said["name"] or said["name"] != said["name"].strip()):
        problems.append("the name is empty, or begins or ends with a space")
    if "meta" in said:
        problems.append(meta_problem("meta", said["meta"]))
    if found := [f"device {device}: {problem}" for problem in problems if problem]:
        raise BadInput(found)


def _check_interval(where: str, since: datetime, until: datetime | None) -> None:
    for time in (since, until):
        if time is not None and time.tzinfo is None:
            raise BadInput(f"{where}: {time} has no time zone")
    if until is not None and until <= since:
        raise BadInput(f"{where}: it ends ({until}) before it begins ({since})")
