"""Connectivity files of YARR: which chip file belongs to which tx and rx.

With FELIX, tx and rx are numbers of e-links, 64 times the link plus the e-link in it. They are checked against what
exists there, and what is odd becomes a warning. Nothing is ever swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from db.chips import jsontext
from db.chips.problems import Problems, bad, nearest, shown
from db.chips.registers import connectivity_types

PATHS = ("relToExec", "relToCon", "abs", "relToYarrPath", "db")
"""What a `config` is relative to; the first is meant when nothing is said."""
CHIP_TYPES = (*connectivity_types(), "Star")
"""The last is a strip chip, of which we know no chip file; its versions are named Star_…"""
DOWNLINKS = range(0, 15, 2)
"""E-links of a link to chips."""
UPLINKS = range(0, 21, 4)
"""E-links of a link from chips."""
LINK = 64
"""E-link numbers per link."""
_MOST = 2**32 - 1
_LOOKED_AT = 50
"""For so many unknown keys the name that was meant is looked for."""
_KEYS = ("config", "path", "tx", "rx", "enable", "locked")


@dataclass(slots=True)
class ChipEntry:
    """A chip of a connectivity file."""

    config: str
    """The chip file."""
    tx: int
    rx: int
    enable: bool = True
    locked: bool = False
    """The chip file is not written back after a scan."""
    path: str = ""
    """What `config` is relative to, one of PATHS; empty when nothing is said, which is the first of them."""
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    """Keys that we do not know."""

    @property
    def name(self) -> str:
        """The chip file's name without folder and ending."""
        return PurePath(self.config.replace("\\", "/")).stem or self.config


@dataclass(slots=True)
class Connectivity:
    """A connectivity file."""

    chip_type: str
    chips: list[ChipEntry]
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    """Keys that we do not know."""
    warnings: list[str] = field(default_factory=list[str])
    """Not wrong, but people should know. Each begins with the file."""


def parse_connectivity(
    data: bytes, file: str, *, exists: Callable[[ChipEntry], bool] | None = None, felix: bool = True
) -> Connectivity:
    """What is in a connectivity file. BadInput with all that is wrong.

    `exists` says whether the chip file of an entry is there. `felix`: tx and rx are e-links of FELIX.
    """
    value = jsontext.load(data, file)
    problems = Problems(file)
    warnings: list[str] = []
    if not isinstance(value, dict):
        raise bad(file, "", f"is {shown(value)}, not an object with chipType and chips")
    extra = _unknown("", value, ("chipType", "chips"), ("chipType", "chips"), problems, warnings)
    chip = value.get("chipType")
    if "chipType" in value and not (isinstance(chip, str) and (chip in CHIP_TYPES or chip.startswith("Star_"))):
        meant = nearest(chip, CHIP_TYPES) if isinstance(chip, str) else ""
        hint = f"is {meant} meant?" if meant else f"known are {', '.join(CHIP_TYPES)}"
        problems.add("chipType", f"{shown(chip)} is no chip type; {hint}")
    entries = value.get("chips", [])
    chips: list[tuple[int, ChipEntry]] = []
    if not isinstance(entries, list):
        problems.add("chips", f"is {shown(entries)}, not a list")
        entries = []
    for number, entry in enumerate(entries):
        one = _entry(f"chips[{number}]", entry, problems, warnings)
        if one is not None:
            chips.append((number, one))
    _twice(chips, problems, felix)
    if exists is not None:
        for number, one in chips:
            if not exists(one):
                problems.add(f"chips[{number}].config", f"there is no file {shown(one.config)}")
    problems.stop()
    found = Connectivity(str(chip), [one for _, one in chips], extra, [f"{file}: {text}" for text in warnings])
    if felix:
        found.warnings += elink_warnings(found, file)
    return found


def elink_warnings(connectivity: Connectivity, file: str) -> list[str]:
    """A sentence for each chip whose tx or rx is no e-link of FELIX. Nothing is swapped."""
    found: list[str] = []
    for number, chip in enumerate(connectivity.chips):
        tx, rx = chip.tx % LINK, chip.rx % LINK
        wrong = []
        if tx not in DOWNLINKS:
            wrong.append(f"tx {chip.tx}: FELIX has no downlink {tx} (even, 0 to 14)")
        if rx not in UPLINKS:
            wrong.append(f"rx {chip.rx}: FELIX has no uplink {rx} (0, 4, 8, 12, 16, 20)")
        if wrong and rx in DOWNLINKS and tx in UPLINKS:
            wrong.append("the other way round they would be: are they swapped?")
        if wrong:
            found.append(f"{file}: chips[{number}] ({chip.name}): {'; '.join(wrong)}")
    return found


def shared_rx(files: Iterable[tuple[str, Connectivity]]) -> list[str]:
    """Problems of several connectivity files of one controller: an rx that enabled chips of two of them use."""
    users: dict[int, str] = {}
    found: list[str] = []
    for file, connectivity in files:
        own: dict[int, str] = {}
        for number, chip in enumerate(connectivity.chips):
            if not chip.enable:
                continue
            if chip.rx in users:
                found.append(f"{file}: chips[{number}].rx: {chip.rx} is used by {users[chip.rx]}, too")
            own.setdefault(chip.rx, f"chips[{number}] of {file}")
        users = own | users
    return found


def render_connectivity(connectivity: Connectivity, original: bytes = b"") -> bytes:
    """A connectivity file.

    With the `original` text, only what differs from it is written anew: byte for byte the same when nothing does. Where
    chips were added or taken away, all is written as YARR writes JSON.
    """
    chips = connectivity.chips
    if original:
        old = parse_connectivity_quietly(original)
        if old is not None and len(old.chips) == len(chips) and old.extra == connectivity.extra:
            changes = _changes(old, connectivity, jsontext.parse(original, ""))
            if changes is not None:
                return jsontext.replace(original, changes)
    whole = {"chipType": connectivity.chip_type, **connectivity.extra, "chips": [_object(chip) for chip in chips]}
    return (jsontext.indented(whole) + "\n").encode()


def parse_connectivity_quietly(data: bytes) -> Connectivity | None:
    """None instead of BadInput."""
    try:
        return parse_connectivity(data, "", felix=False)
    except jsontext.BadInput:
        return None


def _changes(old: Connectivity, new: Connectivity, value: Any) -> dict[tuple[jsontext.Key, ...], Any] | None:
    """What must be replaced in the text; None when that is not enough."""
    changes: dict[tuple[jsontext.Key, ...], Any] = {}
    if old.chip_type != new.chip_type:
        changes[("chipType",)] = new.chip_type
    for number, (before, after) in enumerate(zip(old.chips, new.chips, strict=True)):
        if before.extra != after.extra:
            return None
        written = value["chips"][number]
        for key in _KEYS:
            wanted = getattr(after, key)
            if getattr(before, key) == wanted:
                continue
            if key not in written or (key == "path" and not wanted):
                return None
            # 0 and 1 stay numbers, true and false stay booleans
            changes["chips", number, key] = type(written[key])(wanted) if isinstance(wanted, bool) else wanted
    return changes


def _object(chip: ChipEntry) -> dict[str, Any]:
    found: dict[str, Any] = {"config": chip.config}
    if chip.path:
        found["path"] = chip.path
    found |= {"tx": chip.tx, "rx": chip.rx, "enable": int(chip.enable), "locked": int(chip.locked)}
    return found | chip.extra


def _entry(inside: str, entry: Any, problems: Problems, warnings: list[str]) -> ChipEntry | None:
    if not isinstance(entry, dict):
        problems.add(inside, f"is {shown(entry)}, not an object")
        return None
    before = len(problems.said) + problems.more
    extra = _unknown(f"{inside}.", entry, _KEYS, ("config", "tx", "rx"), problems, warnings)
    config, path = entry.get("config", "-"), entry.get("path", "")
    if not isinstance(config, str) or not config.strip() or not config.isprintable():
        problems.add(f"{inside}.config", f"is {shown(config)}, not the name of a file")
    if "path" in entry and path not in PATHS:
        problems.add(f"{inside}.path", f"{shown(path)} is none of {', '.join(PATHS)}")
    numbers: dict[str, int] = {}
    for key in ("tx", "rx"):
        value = numbers[key] = entry.get(key, 0)
        if type(value) is not int:
            problems.add(f"{inside}.{key}", f"is {shown(value)}, not an integer")
        elif not 0 <= value <= _MOST:
            problems.add(f"{inside}.{key}", f"{shown(value)} is not between 0 and {_MOST}")
    for key in ("enable", "locked"):
        if entry.get(key, 0) not in (0, 1) or type(entry.get(key, 0)) not in (int, bool):
            problems.add(f"{inside}.{key}", f"is {shown(entry[key])}, neither 0 nor 1")
    if len(problems.said) + problems.more > before:
        return None
    enable, locked = bool(entry.get("enable", 1)), bool(entry.get("locked", 0))
    return ChipEntry(config, numbers["tx"], numbers["rx"], enable, locked, path, extra)


def _unknown(
    inside: str,
    found: Mapping[str, Any],
    known: Sequence[str],
    needed: Sequence[str],
    problems: Problems,
    warnings: list[str],
) -> dict[str, Any]:
    """Keys that we do not know: a problem when a known one was probably meant, otherwise kept, with a warning."""
    extra: dict[str, Any] = {}
    absent = [key for key in known if key not in found]
    missing = [key for key in needed if key not in found]
    for key, value in found.items():
        if key in known:
            continue
        meant = nearest(key, absent) if len(extra) < _LOOKED_AT else ""
        if meant:
            problems.add(f"{inside}{key}", f"there is no such key; is {meant} meant?")
            missing = [name for name in missing if name != meant]
        else:
            extra[key] = value
            warnings.append(f"{inside}{key}: not known, kept as it is")
    for key in missing:
        problems.add(f"{inside}{key}", "is missing")
    return extra


def _twice(chips: list[tuple[int, ChipEntry]], problems: Problems, felix: bool) -> None:
    """Two enabled chips can't have the same rx or the same file. A tx may be shared."""
    users: dict[int, int] = {}
    files: dict[tuple[str, str], int] = {}
    shared: dict[int, set[int]] = {}
    for _, chip in chips:
        if chip.enable:
            shared.setdefault(chip.rx, set()).add(chip.tx)
    for number, chip in chips:
        if not chip.enable:
            continue
        first = users.setdefault(chip.rx, number)
        if first != number:
            hint = ""
            others = () if problems.full else shared[chip.rx]
            if len(others) > 1 and all(tx % LINK in UPLINKS for tx in others) and chip.rx % LINK in DOWNLINKS and felix:
                hint = " (their tx differ: are tx and rx swapped?)"
            problems.add(f"chips[{number}].rx", f"{chip.rx} is used by chips[{first}], too{hint}")
        place = (chip.path or PATHS[0], chip.config)
        first = files.setdefault(place, number)
        if first != number:
            problems.add(f"chips[{number}].config", f"{shown(chip.config)} is the file of chips[{first}], too")
