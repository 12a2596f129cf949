"""What IOCs declare as alarms: their `IOC:Catalogue` as items of the alarm tree.

/DEMO/HV/L07/DEMO:HV:L07:IMon    for the PV DEMO:HV:L07:IMon of the IOC DEMO:HV: at the site DEMO
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import orjson

from iocs.alarm.tree.items import Extras, Item, LeafConfig, Link, Priority
from iocs.alarm.tree.paths import join_path, make_path
from iocs.alarm.watch.channels import channel_of

PV = "IOC:Catalogue"
MAX_BYTES = 64 << 20
"""Of a catalogue; that of 50,000 PVs has about 20 MiB."""
MAX_PVS = 250_000
MAX_TEXT = 4_000
"""Characters of a description or of guidance; more is cut."""
_MARKS = ((b"{", 5 * MAX_PVS), (b"[", 8 * MAX_PVS), (b",", 40 * MAX_PVS))
"""What JSON is made of, and how much of it: counted before anything is parsed."""
_MAX_DELAY = 86_400.0
_PRIORITIES = frozenset(get_args(Priority))


class BadCatalogue(ValueError):  # noqa: N818 (what it is called in messages)
    """A catalogue that is not used, and why."""


def parse_catalogue(raw: bytes, prefix: str, root: str) -> dict[str, Item]:
    """The alarms of the IOC with this prefix (`DEMO:HV:`), by PV; `root` is the name of the alarm tree.

    BadCatalogue when it is none, is larger than any that is known, or names an alarm that cannot be one: it is then
    refused as a whole, since half of an IOC's alarms are worse than those of yesterday.
    """
    raw = raw.partition(b"\0")[0]
    if not raw.strip():
        raise BadCatalogue("it is empty")
    if len(raw) > MAX_BYTES:
        raise BadCatalogue(f"it has {len(raw):,} bytes, {MAX_BYTES:,} are taken")
    for mark, most in _MARKS:
        if raw.count(mark) > most:
            raise BadCatalogue(f"it has over {most:,} times {mark.decode()!r}: more than {MAX_PVS:,} PVs are not taken")
    try:
        document = orjson.loads(raw)
    except ValueError as error:
        raise BadCatalogue(f"it is no JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("pvs"), list):
        raise BadCatalogue("it has no list of PVs")
    entries = document["pvs"]
    if len(entries) > MAX_PVS:
        raise BadCatalogue(f"it has {len(entries):,} PVs, {MAX_PVS:,} are taken")
    objects = document.get("objects")
    places = _Places(prefix, root, objects if isinstance(objects, dict) else {})
    found: dict[str, Item] = {}
    for number, entry in enumerate(entries):
        if isinstance(entry, dict) and not entry.get("alarm_info"):
            continue
        try:
            item = _item(entry, places)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            name = entry.get("name") if isinstance(entry, dict) else entry
            reason = f"{type(error).__name__}: {error}"
            raise BadCatalogue(f"entry {number} ({str(name)[:80]!r}) cannot be read: {reason}") from None
        pv = entry["name"]
        if pv in found:
            raise BadCatalogue(f"{pv} is in it twice")
        found[pv] = item
    return found


def system_of(prefix: str) -> str:
    """The area of an IOC: HV of DEMO:HV:."""
    return prefix.rstrip(":").rpartition(":")[2]


class _Places:
    """Where the PVs of one IOC are in the tree: system / object, by the longest object prefix that a PV begins with."""

    def __init__(self, prefix: str, root: str, objects: Iterable[Any]) -> None:
        self.prefix = prefix
        self.system = join_path([root, system_of(prefix)])
        self.objects = {name for name in objects if isinstance(name, str)}

    def path(self, pv: str) -> str:
        """The path of the alarm of `pv`; an object inside of another is an area inside of the other's."""
        path = self.system
        if pv.startswith(self.prefix):
            for word in filter(None, self._object(pv).split(":")):
                path = make_path(path, word)
        return make_path(path, pv)

    def _object(self, pv: str) -> str:
        start = len(self.prefix)
        for end in range(len(pv) - 1, start, -1):
            if pv[:end] in self.objects:
                return pv[start:end]
        # a catalogue that names no objects, or not this one
        return "" if self.prefix in self.objects else pv[start:].rpartition(":")[0]


def _item(entry: Any, places: _Places) -> Item:
    pv, info = entry["name"], entry["alarm_info"]
    if not isinstance(pv, str) or not isinstance(info, Mapping):
        raise TypeError("a name, and what is said of the alarm, are needed")
    if channel_of(pv) != pv:
        raise ValueError("the name of a PV has no protocol")
    guidance = _text(info.get("guidance", ""))
    priority = info.get("priority", "medium")
    if priority not in _PRIORITIES:
        raise ValueError(f"priority {priority!r}")
    latching = info.get("latching", True)
    if not isinstance(latching, bool):
        raise TypeError(f"latching {latching!r}")
    delay = info.get("delay", 0.0)
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= _MAX_DELAY:
        raise ValueError(f"delay {delay!r}")
    config = LeafConfig(
        description=_text(entry.get("doc", "")),
        latching=latching,
        delay=math.ceil(delay),
        guidance=(Link("Guidance", guidance),) if guidance else (),
    )
    masked_by = _text(info.get("masked_by", ""))
    extras = Extras(
        priority=priority,
        screen=_text(info.get("display", "")),
        masked_by=places.path(masked_by) if masked_by and masked_by != pv else "",
    )
    return Item(places.path(pv), config, extras)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"
