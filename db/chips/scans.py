"""Scan configurations of YARR, checked as far as mistakes are certain; the text is kept as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from db.chips import jsontext
from db.chips.problems import Problems, bad, nearest, shown
from db.chips.registers import ChipType, chip_type

_PREFIXES = {"Rd53a": "RD53A", "Rd53b": "RD53B", "Itkpixv2": "ITKPIXV2", "Fei4": "FE-I4B"}


@dataclass(slots=True)
class Scan:
    """A scan configuration."""

    name: str
    chip_type: str
    """That its loops are made for; empty when none says so."""
    prescan: dict[str, Any]
    """Registers that are written before."""
    loops: list[tuple[str, dict[str, Any]]]
    """Action and configuration, the outermost first."""
    histogrammers: list[str]
    analyses: list[str]
    """Algorithms that run: of those in the file as many as its n_count says."""
    warnings: list[str] = field(default_factory=list[str])


def parse_scan(data: bytes, file: str) -> Scan:
    """What is in a scan configuration. BadInput with all that is wrong."""
    value = jsontext.load(data, file)
    problems = Problems(file)
    warnings: list[str] = []
    scan = value.get("scan") if isinstance(value, dict) else None
    if not isinstance(scan, dict):
        raise bad(file, "scan", "there is no such object, so it is no scan configuration")
    name = scan.get("name", "")
    if not isinstance(name, str) or not name.isprintable():
        problems.add("scan.name", f"is {shown(name)}, not a text")
    loops = _loops(scan.get("loops"), problems)
    kind = _kind([action for action, _ in loops], problems)
    prescan = scan.get("prescan", {})
    _prescan(prescan, kind, problems)
    algorithms: dict[str, list[str]] = {}
    for part in ("histogrammer", "analysis"):
        algorithms[part] = _algorithms(f"scan.{part}", scan.get(part, {}), problems, warnings)
    problems.stop()
    return Scan(
        str(name),
        kind.name if kind else "",
        prescan,
        loops,
        algorithms["histogrammer"],
        algorithms["analysis"],
        [f"{file}: {text}" for text in warnings],
    )


def _loops(value: Any, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(value, list) or not value:
        problems.add("scan.loops", f"is {shown(value)}, not a list of loops" if value is not None else "is missing")
        return []
    found: list[tuple[str, dict[str, Any]]] = []
    for number, loop in enumerate(value):
        inside = f"scan.loops[{number}]"
        if not isinstance(loop, dict):
            problems.add(inside, f"is {shown(loop)}, not an object")
            continue
        action, config = loop.get("loopAction"), loop.get("config", {})
        if not isinstance(action, str) or not action:
            problems.add(
                f"{inside}.loopAction", f"is {shown(action)}, not a text" if "loopAction" in loop else "is missing"
            )
        if not isinstance(config, dict):
            problems.add(f"{inside}.config", f"is {shown(config)}, not an object")
            config = {}
        _range(inside, config, problems)
        found.append((str(action), config))
    return found


def _range(inside: str, config: dict[str, Any], problems: Problems) -> None:
    for key in ("min", "max", "step", "nSteps"):
        if key in config and type(config[key]) not in (int, float):
            problems.add(f"{inside}.config.{key}", f"is {shown(config[key])}, not a number")
            return
    if config.get("step", 1) == 0:
        problems.add(f"{inside}.config.step", "is 0: the loop does not end")
    if "min" in config and "max" in config and config["min"] > config["max"]:
        problems.add(f"{inside}.config", f"min {shown(config['min'])} is above max {shown(config['max'])}")


def _kind(actions: list[str], problems: Problems) -> ChipType | None:
    """The chip type that the names of the loops begin with."""
    found = {chip for action in actions for prefix, chip in _PREFIXES.items() if action.startswith(prefix)}
    if len(found) > 1:
        problems.add("scan.loops", f"are for several chip types: {', '.join(sorted(found))}")
    return chip_type(found.pop()) if len(found) == 1 else None


def _prescan(value: Any, kind: ChipType | None, problems: Problems) -> None:
    if not isinstance(value, dict):
        problems.add("scan.prescan", f"is {shown(value)}, not an object")
        return
    if kind is None or not kind.registers:
        return
    for name, number in value.items():
        inside = f"scan.prescan.{name}"
        register = kind.registers.get(name) or kind.virtual.get(name)
        if register is None:
            meant = nearest(name, [*kind.registers, *kind.virtual])
            hint = f"; is {meant} meant?" if meant else ""
            problems.add(inside, f"{kind.name} has no such register{hint}")
        elif type(number) is not int:
            problems.add(inside, f"is {shown(number)}, not an integer")
        elif not 0 <= number <= register.most:
            problems.add(inside, f"{shown(number)} is not between 0 and {register.most}")


def _algorithms(inside: str, value: Any, problems: Problems, warnings: list[str]) -> list[str]:
    """Those that run: n_count of the entries "0", "1", …, or all of a list."""
    if isinstance(value, list):
        value = {str(number): entry for number, entry in enumerate(value)} | {"n_count": len(value)}
    if not isinstance(value, dict):
        problems.add(inside, f"is {shown(value)}, not an object")
        return []
    entries = {key: entry for key, entry in value.items() if key.isdecimal()}
    count = value.get("n_count", 0)
    if type(count) is not int or count < 0:
        problems.add(f"{inside}.n_count", f"is {shown(count)}, not a number of entries")
        return []
    names: list[str] = []
    for number in range(count):
        entry = entries.get(str(number))
        if entry is None:
            problems.add(f"{inside}.{number}", f"is missing; n_count is {count}")
            break
        name = entry.get("algorithm") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            problems.add(f"{inside}.{number}.algorithm", f"is {shown(name)}, not a text")
        names.append(str(name))
    idle = [key for key in entries if int(key) >= count]
    if idle:
        warnings.append(
            f"{inside}: n_count is {count}, so {', '.join(idle)} {'is' if len(idle) == 1 else 'are'} not run"
        )
    return names
