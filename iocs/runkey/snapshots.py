"""Snapshots of the stand in the staging area, and the settings of a runkey out of it. Blocks: it runs on a thread.

A snapshot of a stand for which a runkey is selected is that runkey with the stand's settings in it: front-ends,
connectivity and scans stay as they are, and are shared with it. So a runkey is always the whole configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from db.branch import Branch
from db.checks import runkey_name
from db.errors import BadInput, NotFound
from db.nodes import NewChild, NewObject, NewPayload
from iocs.runkey.settings import (
    CONDITIONS,
    SETPOINTS,
    SYSTEM_TYPE,
    Conditions,
    Setting,
    parse_settings,
    render_conditions,
    render_settings,
)

if TYPE_CHECKING:
    from db.heads import RunkeyInfo
    from db.runkeys import Runkeys
    from db.store import Store
    from iocs.runkey.stand import Snapshot

ACTION = "snapshot"
INCOMPLETE = "incomplete"
"""Label of snapshots in which something could not be read."""


@dataclass(frozen=True)
class Selected:
    """A runkey with its settings."""

    info: RunkeyInfo
    settings: tuple[Setting, ...]
    systems: tuple[str, ...]
    """The subsystems that it has settings of."""


def free_name(store: Store, wanted: str, at: datetime) -> str:
    """`wanted`, or without that one by date and time (UTC). Exists and BadInput are told before anything is read."""
    if wanted:
        runkey_name(wanted)
        return wanted
    base = at.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    name, number = base, 1
    while store.staging.exists(name) or store.backend.exists(name):
        number += 1
        name = f"{base}-{number}"
    return name


def taken(store: Store, name: str) -> bool:
    """Whether either database has a runkey of that name."""
    return store.staging.exists(name) or store.backend.exists(name)


def missing_of(snapshot: Snapshot, systems: dict[str, str]) -> dict[str, str]:
    """What could not be read -> why; of a subsystem that says nothing its catalogue."""
    catalogues = {f"{systems[s]}IOC:Catalogue": why for s, why in snapshot.unread.items() if s in systems}
    return {**catalogues, **snapshot.missing}


def _payloads(snapshot: Snapshot, system: str, prefix: str, taken_at: datetime) -> dict[str, bytes]:
    """Role -> content of one subsystem."""
    if (why := snapshot.unread.get(system)) is not None:
        conditions = Conditions(taken_at, missing={f"{prefix}IOC:Catalogue": why})
        return {CONDITIONS: render_conditions(conditions)}
    return {
        SETPOINTS: render_settings(snapshot.settings[system]),
        CONDITIONS: render_conditions(snapshot.conditions[system]),
    }


def store_snapshot(
    store: Store,
    name: str,
    comment: str,
    base: str,
    snapshot: Snapshot,
    systems: dict[str, str],
    ended: Callable[[], bool],
) -> RunkeyInfo:
    """Store `snapshot` as the runkey `name` of the staging area, made from the runkey `base` ("": from nothing).

    `systems`: system -> prefix, of those that have settings. `ended` tells, before anything is written, that nobody
    wants it any more. Exists, BadInput, Forbidden, Unavailable; InterruptedError when it has ended.
    """
    at = datetime.now(UTC)
    parts = {system: _payloads(snapshot, system, prefix, at) for system, prefix in systems.items()}
    incomplete = [INCOMPLETE] if missing_of(snapshot, systems) else []
    if ended():
        raise InterruptedError
    if not base:
        children = [NewChild(_new(system, roles)) for system, roles in parts.items()]
        return store.staging.create(name, NewObject("runkey", "", children=children), comment, ACTION, incomplete)
    if not store.staging.exists(base):
        store.fetch(base)
    with Branch(store.staging, base, name, comment, ACTION, incomplete) as edit:
        there = {node.name for node in store.staging.tree(edit.base.root).root.children if node.type == SYSTEM_TYPE}
        for system in there - set(parts):
            edit.remove(f"/{system}")
        for system, roles in parts.items():
            if system not in there:
                edit.add("/", _new(system, roles))
                continue
            for role, content in roles.items():
                edit.put(f"/{system}", role, content, type=role, format="json")
            if SETPOINTS not in roles and SETPOINTS in store.staging.tree(edit.base.root).node(f"/{system}").payloads:
                edit.drop(f"/{system}", SETPOINTS)
        if ended():
            raise InterruptedError
    return edit.result


def _new(system: str, roles: dict[str, bytes]) -> NewObject:
    payloads = [NewPayload(role, content, role, "json") for role, content in roles.items()]
    return NewObject(SYSTEM_TYPE, system, payloads=payloads)


def load_settings(store: Store, name: str) -> Selected:
    """The settings of a runkey, by its name. NotFound, also when it has none at all; BadInput, Damaged."""
    if not name:
        raise BadInput("no runkey is selected: put a name to Selected")
    runkeys = store.find(name)
    info = runkeys.info(name)
    return Selected(info, *_settings(runkeys, info.root, name))


def settings_at(store: Store, root: str) -> tuple[tuple[Setting, ...], tuple[str, ...]]:
    """The settings below a root object, by its id, and their subsystems; as `load_settings`."""
    try:
        store.staging.root(root)
    except NotFound:
        return _settings(store.backend, root, root)
    return _settings(store.staging, root, root)


def _settings(runkeys: Runkeys, root: str, name: str) -> tuple[tuple[Setting, ...], tuple[str, ...]]:
    settings: list[Setting] = []
    systems: list[str] = []
    for node in runkeys.tree(root).root.children:
        if node.type != SYSTEM_TYPE or SETPOINTS not in node.payloads:
            continue
        content = runkeys.payload_by_hash(node.payloads[SETPOINTS].sha256)
        settings += parse_settings(content, f"{name}: {node.path}: {SETPOINTS}")
        systems.append(node.name)
    if not settings:
        raise NotFound(f"{name} has no settings of the stand: make a Snapshot with it selected")
    return tuple(settings), tuple(systems)
