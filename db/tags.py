"""Tags on objects and payloads, groups of tags, and tags that mean one thing for a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from db.audit import record
from db.checks import text_problem
from db.errors import BadInput, NotFound
from db.heads import exists, now
from db.history import node_at
from db.ids import is_id, new_id
from db.models import Object, Payload, Tag, TagGroup, TagObject, TagPayload, Validity
from db.nodes import VIEW, Node, PayloadInfo, split_path
from db.trees import alike
from db.who import Who

TYPES = ("LABEL", "GROUP", "REFERENCE", "RUNKEY", "VALIDITY")


@dataclass(frozen=True, slots=True)
class Target:
    """What a tag is on: an object, a payload or (in a GROUP) another tag; one of the ids is set."""

    object: str | None = None
    payload: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class TagInfo:
    """A tag and what it is on."""

    id: str
    type: str
    name: str
    comment: str
    author: str
    created: datetime
    objects: tuple[str, ...] = ()
    """Ids."""
    payloads: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    """`TYPE:name` of the tags in a GROUP."""


@dataclass(frozen=True, slots=True)
class ValidityInfo:
    """What a VALIDITY tag means from when to when."""

    id: str
    tag: str
    object: str | None
    payload: str | None
    since: datetime
    until: datetime | None
    """Excluded; None: until further notice."""
    author: str
    created: datetime


def resolve(connection: Connection, target: Any, root: Callable[[Connection, str], str]) -> Target:
    """What a target is.

    A `Target`, `Node`, `PayloadInfo`, `TagInfo`, or a text: `tag:TYPE:NAME` (a tag), `RUNKEY` (its root),
    `RUNKEY:/PATH` (an object), `RUNKEY:/PATH@ROLE` (a payload), or the id of an object or payload. NotFound.
    """
    if isinstance(target, Target):
        return target
    if isinstance(target, Node):
        return Target(object=target.id)
    if isinstance(target, PayloadInfo):
        return Target(payload=target.id)
    if isinstance(target, TagInfo):
        return Target(tag=target.id)
    if not isinstance(target, str):
        raise BadInput(f"{target!r} can't have a tag")
    if target.startswith("tag:"):
        return Target(tag=find(connection, target[4:]).id)
    if is_id(target) and not exists(connection, target):
        if connection.execute(select(Object.id).where(Object.id == target)).first():
            return Target(object=target)
        if connection.execute(select(Payload.id).where(Payload.id == target)).first():
            return Target(payload=target)
    name, colon, path = target.partition(":/")
    if not colon:
        return Target(object=root(connection, target))
    names = split_path(path)
    last, _, role = names[-1].rpartition("@") if names else ("", "", "")
    root_id = root(connection, name)
    try:
        return Target(object=node_at(connection, root_id, names).id)
    except NotFound:
        if not role:
            raise
    node = node_at(connection, root_id, [*names[:-1], *([last] if last else [])], VIEW)
    info = node.payloads.get(role)
    if info is None:
        raise NotFound(f"{node.path} of {name} has no payload {role!r}{alike(role, node.payloads)}")
    return Target(payload=info.id)


def find(connection: Connection, word: str) -> Tag:
    """The tag `TYPE:NAME`, or `NAME` when only one tag is called so. NotFound, BadInput (several)."""
    type_, colon, name = word.partition(":")
    if colon and type_ in TYPES:
        return _get(connection, type_, name)
    rows = connection.execute(select(Tag.type).where(Tag.name == word)).scalars().all()
    if len(rows) > 1:
        raise BadInput(f"{word}: there are tags of several types: {', '.join(f'{t}:{word}' for t in sorted(rows))}")
    if not rows:
        raise _no_tag(connection, word)
    return _get(connection, rows[0], word)


def tag(
    connection: Connection, who: Who, type: str, name: str, targets: Sequence[Target], comment: str | None
) -> TagInfo:
    """Make a tag, or put it on more; the comment of one that exists changes when another is given.

    LABEL and REFERENCE: on objects and payloads. GROUP: on tags. VALIDITY: see `set_validity`. RUNKEY tags are made
    with runkeys. BadInput for a cycle of groups.
    """
    _check(type, name)
    if type == "RUNKEY":
        raise BadInput(f"{name}: RUNKEY tags are made with runkeys")
    for target in targets:
        if (target.tag is not None) != (type == "GROUP"):
            raise BadInput(f"{type}:{name}: a GROUP is of tags (tag:TYPE:NAME), other tags are on objects and payloads")
    row = connection.execute(select(Tag).where(Tag.type == type, Tag.name == name)).first()
    if row is None:
        id_ = new_id()
        connection.execute(
            insert(Tag).values(id=id_, type=type, name=name, comment=comment or "", author=who.user, created=now())
        )
    else:
        id_ = row.id
        if comment is not None:
            connection.execute(update(Tag).where(Tag.id == id_).values(comment=comment))
    for target in targets:
        _link(connection, id_, target)
    record(connection, who, "tag.set", f"{type}:{name}", on=[_text(t) for t in targets], comment=comment)
    return tags(connection, Target(tag=id_), None, itself=True)[0]


def untag(connection: Connection, who: Who, type: str, name: str, targets: Sequence[Target] | None) -> None:
    """Take a tag from targets, or (None) away altogether, with its validities. NotFound."""
    row = _get(connection, type, name)
    if type == "RUNKEY":
        raise BadInput(f"{name}: RUNKEY tags go with their runkeys")
    if targets is None:
        connection.execute(delete(Tag).where(Tag.id == row.id))
    for target in targets or ():
        table, column, value = _where(target)
        parent = table.parent_id if table is TagGroup else table.tag_id
        if not connection.execute(delete(table).where(parent == row.id, column == value)).rowcount:
            raise NotFound(f"{type}:{name} is not on {_text(target)}")
    on = None if targets is None else [_text(t) for t in targets]
    record(connection, who, "tag.unset", f"{type}:{name}", on=on)


def tags(connection: Connection, target: Target | None, type: str | None, *, itself: bool = False) -> list[TagInfo]:
    """The tags of a type (or of all) on a target, with the groups that hold them; all without a target."""
    ids: set[str] | None = None
    if target is not None and itself and target.tag is not None:
        ids = {target.tag}
    elif target is not None:
        table, column, value = _where(target)
        parent = table.parent_id if table is TagGroup else table.tag_id
        ids = set(connection.execute(select(parent).where(column == value)).scalars())
        if target.object is not None or target.payload is not None:
            known = Validity.object_id == target.object if target.object else Validity.payload_id == target.payload
            ids |= set(connection.execute(select(Validity.tag_id).where(known)).scalars())
        ids = _with_groups(connection, ids)
    statement = select(Tag).order_by(Tag.type, Tag.name)
    if type is not None:
        statement = statement.where(Tag.type == type)
    if ids is not None:
        statement = statement.where(Tag.id.in_(ids))
    rows = connection.execute(statement).all()
    return _infos(connection, rows)


def _infos(connection: Connection, rows: Sequence[Any]) -> list[TagInfo]:
    wanted = [row.id for row in rows]
    objects: dict[str, list[str]] = {}
    payloads: dict[str, list[str]] = {}
    members: dict[str, list[str]] = {}
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        on = ((TagObject, TagObject.object_id, objects), (TagPayload, TagPayload.payload_id, payloads))
        for table, column, found in on:
            statement = select(table.tag_id, column).where(table.tag_id.in_(some)).order_by(column)
            for id_, what in connection.execute(statement):
                found.setdefault(id_, []).append(what)
        for id_, type_, name in connection.execute(
            select(TagGroup.parent_id, Tag.type, Tag.name)
            .join(Tag, Tag.id == TagGroup.child_id)
            .where(TagGroup.parent_id.in_(some))
            .order_by(Tag.type, Tag.name)
        ):
            members.setdefault(id_, []).append(f"{type_}:{name}")
    return [
        TagInfo(
            row.id,
            row.type,
            row.name,
            row.comment,
            row.author,
            row.created,
            tuple(objects.get(row.id, ())),
            tuple(payloads.get(row.id, ())),
            tuple(members.get(row.id, ())),
        )
        for row in rows
    ]


def set_validity(
    connection: Connection, who: Who, name: str, target: Target, since: datetime, until: datetime | None
) -> ValidityInfo:
    """What a VALIDITY tag (made when there is none) means from when to when. BadInput for an empty interval."""
    _check("VALIDITY", name)
    if target.tag is not None:
        raise BadInput(f"VALIDITY:{name}: objects and payloads are valid, tags are not")
    for time in (since, until):
        if time is not None and time.tzinfo is None:
            raise BadInput(f"VALIDITY:{name}: {time} has no time zone")
    if until is not None and until <= since:
        raise BadInput(f"VALIDITY:{name}: it ends ({until}) before it begins ({since})")
    tag_id = connection.execute(select(Tag.id).where(Tag.type == "VALIDITY", Tag.name == name)).scalar()
    if tag_id is None:
        tag_id = new_id()
        connection.execute(
            insert(Tag).values(id=tag_id, type="VALIDITY", name=name, comment="", author=who.user, created=now())
        )
    id_ = new_id()
    connection.execute(
        insert(Validity).values(
            id=id_,
            tag_id=tag_id,
            object_id=target.object,
            payload_id=target.payload,
            valid_from=since,
            valid_to=until,
            author=who.user,
            created=now(),
        )
    )
    record(
        connection,
        who,
        "validity.set",
        f"VALIDITY:{name}",
        on=_text(target),
        since=since.isoformat(),
        until=until and until.isoformat(),
    )
    return _validity(connection.execute(_validities(name).where(Validity.id == id_)).one())


def valid(connection: Connection, name: str, at: datetime | None = None) -> ValidityInfo:
    """What a VALIDITY tag means at a time (now). NotFound when it means nothing then."""
    _get(connection, "VALIDITY", name)
    at = at or now()
    if at.tzinfo is None:
        raise BadInput(f"VALIDITY:{name}: {at} has no time zone")
    row = connection.execute(
        _validities(name)
        .where(Validity.valid_from <= at, or_(Validity.valid_to.is_(None), Validity.valid_to > at))
        .order_by(Validity.created.desc(), Validity.id.desc())
        .limit(1)
    ).first()
    if row is None:
        raise NotFound(f"VALIDITY:{name} means nothing at {at.isoformat(sep=' ', timespec='seconds')}")
    return _validity(row)


def validities(connection: Connection, name: str) -> list[ValidityInfo]:
    """All intervals, by their beginning."""
    _get(connection, "VALIDITY", name)
    return [_validity(row) for row in connection.execute(_validities(name).order_by(Validity.valid_from, Validity.id))]


def _validities(name: str) -> Any:
    return (
        select(Validity, Tag.name.label("tag"))
        .join(Tag, Tag.id == Validity.tag_id)
        .where(Tag.type == "VALIDITY", Tag.name == name)
    )


def _validity(row: Any) -> ValidityInfo:
    return ValidityInfo(
        row.id, row.tag, row.object_id, row.payload_id, row.valid_from, row.valid_to, row.author, row.created
    )


def _check(type_: str, name: str) -> None:
    if type_ not in TYPES:
        raise BadInput(f"tag {name!r}: the type {type_!r} is none of {', '.join(TYPES)}")
    if not name or name != name.strip():
        raise BadInput(f"tag {name!r}: the name is empty, or begins or ends with a space")
    if problem := text_problem("name", name):
        raise BadInput(f"tag {name!r}: {problem}")


def _get(connection: Connection, type_: str, name: str) -> Any:
    row = connection.execute(select(Tag).where(Tag.type == type_, Tag.name == name)).first()
    if row is None:
        raise _no_tag(connection, name, type_)
    return row


def _no_tag(connection: Connection, name: str, type_: str = "") -> NotFound:
    names = select(Tag.name) if not type_ else select(Tag.name).where(Tag.type == type_)
    near = alike(name, set(connection.execute(names).scalars()))
    return NotFound(f"there is no tag {f'{type_}:' if type_ else ''}{name}{near}")


def _where(target: Target) -> tuple[Any, Any, str]:
    """(table, its column, id) of a target."""
    if target.object is not None:
        return TagObject, TagObject.object_id, target.object
    if target.payload is not None:
        return TagPayload, TagPayload.payload_id, target.payload
    if target.tag is not None:
        return TagGroup, TagGroup.child_id, target.tag
    raise BadInput("a target without an id")


def _text(target: Target) -> str:
    kind = "object" if target.object else "payload" if target.payload else "tag"
    return f"{kind} {target.object or target.payload or target.tag}"


def _link(connection: Connection, tag_id: str, target: Target) -> None:
    table, column, value = _where(target)
    parent = TagGroup.parent_id if table is TagGroup else table.tag_id
    if table is TagGroup and tag_id in _members(connection, value):
        raise BadInput("a group can't hold itself: a cycle")
    if table is not TagGroup:
        kind = Object if table is TagObject else Payload
        if connection.execute(select(kind.id).where(kind.id == value)).first() is None:
            raise NotFound(f"there is no {_text(target)}")
    if connection.execute(select(column).where(parent == tag_id, column == value)).first() is None:
        connection.execute(insert(table).values({parent.key: tag_id, column.key: value}))


def _members(connection: Connection, tag_id: str) -> set[str]:
    """A tag and all in it."""
    return _closure(connection, {tag_id}, TagGroup.parent_id, TagGroup.child_id)


def _with_groups(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Tags and the groups that hold them."""
    return _closure(connection, set(ids), TagGroup.child_id, TagGroup.parent_id)


def _closure(connection: Connection, ids: set[str], known: Any, wanted: Any) -> set[str]:
    new = set(ids)
    while new:
        new = set(connection.execute(select(wanted).where(known.in_(new))).scalars()) - ids
        ids |= new
    return ids
