"""What the subsystems say of their configuration: their `IOC:Catalogue`s, read over Channel Access.

An IOC of somebody else has no catalogue; it is in `unread` with the reason, and so is one that does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from owlshift.ca import CaError, Client

PV = "IOC:Catalogue"
TYPES = ("double", "long", "enum", "string", "text", "doubles", "longs")
NUMERIC = ("double", "long", "doubles", "longs")
DEFAULT_SETTLE = 5.0


@dataclass(frozen=True, slots=True)
class Item:
    """One PV that is configuration, as its subsystem declares it; all names in full."""

    pv: str
    system: str
    """Its subsystem, for example HV."""
    type: str = "double"
    """One of TYPES."""
    writable: bool = True
    """False of a readback, which a runkey keeps and cannot put back."""
    count: int = 1
    """Elements of an array, bytes of a text."""
    units: str = ""
    precision: int | None = None
    states: tuple[str, ...] = ()
    control: tuple[float | None, float | None] | None = None
    """(lowest, highest) value that a put may have; None on an open side."""
    doc: str = ""
    after: tuple[str, ...] = ()
    """PVs that come before it."""
    lower_first: tuple[str, ...] = ()
    """Of `after`, those that come after it when its value goes down."""
    readback: str = ""
    """Where it is verified; empty: at itself."""
    tolerance: float = 0.0
    relative: float = 0.0
    settle: float = DEFAULT_SETTLE
    """Seconds after the completion of a put within which the read-back is there."""
    blocked_by: Mapping[str, str] = field(default_factory=dict)
    """PV -> value with which this one cannot be written."""


@dataclass(frozen=True)
class Catalogue:
    """The configuration PVs of all subsystems."""

    items: Mapping[str, Item] = field(default_factory=dict)
    """By PV, in the order of the catalogues."""
    systems: Mapping[str, str] = field(default_factory=dict)
    """System -> prefix, of all that were asked."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """System -> why its catalogue could not be had."""
    states: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Labels of all enums of the subsystems, by PV: blockers and read-backs are no configuration themselves."""

    def of(self, system: str) -> list[Item]:
        """The items of one subsystem."""
        return [item for item in self.items.values() if item.system == system]


def name_systems(prefixes: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    """System -> prefix; of bare prefixes the system is the last word: HV of DEMO:HV:. ValueError for a double."""
    if isinstance(prefixes, Mapping):
        return dict(prefixes)
    found: dict[str, str] = {}
    for prefix in prefixes:
        system = prefix.rstrip(":").rpartition(":")[2]
        if system in found:
            raise ValueError(f"{prefix} and {found[system]} are both called {system}")
        found[system] = prefix
    return found


async def read_catalogues(
    client: Client, prefixes: Mapping[str, str] | Iterable[str], timeout: float = 5.0
) -> Catalogue:
    """The catalogues of these subsystems (system -> prefix, or prefixes), each within `timeout` seconds."""
    systems = name_systems(prefixes)
    readings = await client.read_many([prefix + PV for prefix in systems.values()], timeout=timeout)
    items: dict[str, Item] = {}
    states: dict[str, tuple[str, ...]] = {}
    unread: dict[str, str] = {}
    for (system, prefix), reading in zip(systems.items(), readings, strict=True):
        if isinstance(reading, CaError):
            unread[system] = str(reading)
            continue
        raw = reading.label
        try:
            # a catalogue may be megabytes
            found, labels = await asyncio.to_thread(parse_catalogue, raw, system)
        except ValueError as error:
            unread[system] = f"{prefix}{PV}: {error}"
            continue
        items.update(found)
        states.update(labels)
    return Catalogue(items, systems, unread, states)


def parse_catalogue(raw: str | bytes, system: str) -> tuple[dict[str, Item], dict[str, tuple[str, ...]]]:
    """The configuration PVs of one catalogue, and the labels of all its enums; ValueError when it is none."""
    if not raw:
        raise ValueError("the catalogue is empty")
    document = orjson.loads(raw)
    if not isinstance(document, dict) or not isinstance(document.get("pvs"), list):
        raise ValueError("this is no catalogue")
    items: dict[str, Item] = {}
    states: dict[str, tuple[str, ...]] = {}
    for entry in document["pvs"]:
        try:
            if entry.get("states"):
                states[entry["name"]] = tuple(map(str, entry["states"]))
            if entry.get("config"):
                item = _item(entry, system)
                items[item.pv] = item
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            name = entry.get("name") if isinstance(entry, dict) else entry
            raise ValueError(f"the entry of {name!r} cannot be read: {type(error).__name__}: {error}") from None
    return items, states


def _item(entry: Mapping[str, Any], system: str) -> Item:
    config = entry["config"] if isinstance(entry["config"], dict) else {}
    kind, count = str(entry["type"]), int(entry.get("count", 1))
    if kind == "char":
        kind = "text"
    elif kind in ("double", "long") and count > 1:
        kind += "s"
    if kind not in TYPES:
        raise ValueError(f"type {kind!r}")
    control = entry.get("control")
    precision = entry.get("precision")
    return Item(
        pv=str(entry["name"]),
        system=system,
        type=kind,
        writable=entry.get("kind") == "setpoint",
        count=count,
        units=str(entry.get("units", "")),
        precision=int(precision) if precision is not None else None,
        states=tuple(map(str, entry.get("states", ()))),
        control=(control[0], control[1]) if control else None,
        doc=str(entry.get("doc", "")),
        after=tuple(config.get("after", ())),
        lower_first=tuple(config.get("lower_first", ())),
        readback=str(config.get("readback", "")),
        tolerance=float(config.get("tolerance", 0.0)),
        relative=float(config.get("relative", 0.0)),
        settle=float(config.get("settle", DEFAULT_SETTLE)),
        blocked_by=dict(config.get("blocked_by", {})),
    )
