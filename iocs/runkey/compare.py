"""What differs between a runkey's settings and the live stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from iocs.runkey.catalogues import Catalogue, Item
from iocs.runkey.reading import Live, same
from iocs.runkey.settings import Setting, Value, show_value, to_json

Kind = Literal["value", "disconnected", "read-only", "missing", "new", "type"]
"""value: they differ. disconnected: the PV cannot be read. read-only: they differ, and only the IOC can change it.
missing: no catalogue has the PV. new: a configuration PV that the runkey lacks. type: the PV is of another type now."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One PV that is not as the runkey has it."""

    pv: str
    kind: Kind
    stored: Value | None
    live: Value | None
    tolerance: float = 0.0
    severity: int = 0
    """Alarm severity of the PV or its read-back, 0 to 3."""
    text: str = ""
    """For people."""

    def as_dict(self) -> dict[str, Any]:
        """JSON."""
        return {**asdict(self), "stored": to_json(self.stored), "live": to_json(self.live)}


@dataclass(frozen=True)
class Comparison:
    """A runkey's settings against the stand."""

    items: tuple[Difference, ...] = ()
    """In the order of the PVs' names."""
    checked: int = 0
    """PVs of the runkey that were compared."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Systems whose catalogue could not be had -> why."""

    @property
    def equal(self) -> bool:
        """Nothing differs, and everything could be compared."""
        return not self.items and not self.unread

    def counts(self) -> dict[str, int]:
        """Differences by kind."""
        found: dict[str, int] = {}
        for item in self.items:
            found[item.kind] = found.get(item.kind, 0) + 1
        return found

    def as_text(self, most: int = 1000) -> str:
        """One line for each difference, at most `most`."""
        lines = [item.text for item in self.items[:most]]
        if len(self.items) > most:
            lines.append(f"… and {len(self.items) - most} more")
        lines += [f"{system}: not compared: {why}" for system, why in self.unread.items()]
        return "\n".join(lines) or f"no difference in {self.checked} PVs"

    def as_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "checked": self.checked,
            "counts": self.counts(),
            "unread": dict(self.unread),
            "items": [item.as_dict() for item in self.items],
        }


def compare(
    settings: Iterable[Setting], catalogue: Catalogue, live: Mapping[str, Live], systems: Iterable[str] | None = None
) -> Comparison:
    """The differences. `systems`: those that the runkey is about, for what is "new"; None: all of the catalogue."""
    settings = list(settings)
    wanted = set(catalogue.systems if systems is None else systems)
    found = []
    for setting in settings:
        item = catalogue.items.get(setting.pv)
        difference = _missing(setting, catalogue) if item is None else _difference(setting, item, live.get(setting.pv))
        if difference is not None:
            found.append(difference)
    known = {setting.pv for setting in settings}
    for pv, item in catalogue.items.items():
        if pv not in known and item.system in wanted:
            now = live.get(pv)
            if now is None or now.known is None:
                continue  # nobody could have put it into the runkey
            text = f"{pv}: is {_show(now.known, item)}, the runkey does not have it"
            found.append(Difference(pv, "new", None, now.known, item.tolerance, now.severity, text))
    unread = {system: why for system, why in catalogue.unread.items() if system in wanted}
    return Comparison(tuple(sorted(found, key=lambda one: one.pv)), len(settings), unread)


def _missing(setting: Setting, catalogue: Catalogue) -> Difference:
    stored = show_value(setting.value, setting.units)
    for system, why in catalogue.unread.items():
        if setting.pv.startswith(catalogue.systems[system]):
            text = f"{setting.pv}: shall be {stored}, and cannot be compared: no catalogue of {system}: {why}"
            return Difference(setting.pv, "disconnected", setting.value, None, text=text)
    text = f"{setting.pv}: shall be {stored}, and no subsystem has this PV"
    return Difference(setting.pv, "missing", setting.value, None, text=text)


def type_problem(setting: Setting, item: Item) -> str:
    """Why the setting cannot be a value of the item; empty when it can."""
    if setting.type != item.type and {setting.type, item.type} - {"double", "long"}:
        return f"is {item.type} now, the runkey has {setting.type}"
    if item.type == "long" and isinstance(setting.value, float) and not setting.value.is_integer():
        return f"is a whole number now, the runkey has {setting.value}"
    if item.type == "enum" and item.states and setting.value not in item.states:
        return f"has no state {setting.value!r}"
    if isinstance(setting.value, list) and len(setting.value) > item.count:
        return f"has {item.count} elements, the runkey has {len(setting.value)}"
    if item.type == "text" and len(str(setting.value).encode()) > item.count:
        return f"has room for {item.count} bytes, the runkey has {len(str(setting.value).encode())}"
    return ""


def _difference(setting: Setting, item: Item, now: Live | None) -> Difference | None:
    stored = _show(setting.value, item)

    def differ(kind: Kind, text: str) -> Difference:
        value, severity = (now.value, now.severity) if now is not None else (None, 0)
        return Difference(setting.pv, kind, setting.value, value, item.tolerance, severity, f"{setting.pv}: {text}")

    if problem := type_problem(setting, item):
        return differ("type", problem)
    if now is None or not now.readable:
        return differ("disconnected", f"shall be {stored}, and cannot be read: {now.reason if now else 'not asked'}")
    if not now.vouched or (now.value is None and not item.writable):
        return differ("disconnected", f"shall be {stored}, but {now.reason}")
    if now.value is None:
        return differ("value", f"has no valid value, shall be {stored}")
    if same(item, setting.value, now.value):
        # the device has it although something else was asked for last: writing it again would change the setpoint only
        return None
    text = f"is {_show(now.value, item)}, shall be {stored}"
    if now.asked is not None:
        text += f" (asked for {_show(now.asked, item)})"
    if not item.writable:
        return differ("read-only", f"{text}; it cannot be written")
    return differ("value", text)


def _show(value: Value | None, item: Item) -> str:
    return show_value(value, item.units, item.precision)
