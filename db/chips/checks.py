"""What may be in a chip file besides its pixels: GlobalConfig and Parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from db.chips.problems import Problems, nearest, several, shown
from db.chips.registers import CHIP_TYPES, ChipType, Parameter, chip_type

PIXELS = "PixelConfig"
BLOCKS = ("GlobalConfig", "Parameter", PIXELS)
MANY = 10
"""More unknown keys than this are told together."""
LONGEST_NAME = 100
"""Characters of a chip's name, which is part of file names."""


def check_config(kind: ChipType, config: Any, problems: Problems, *, complete: bool = True) -> None:
    """Note what is wrong with the object of a chip without its PixelConfig.

    `complete`: registers and parameters must not be missing.
    """
    if not isinstance(config, dict):
        problems.add(kind.name, f"is {shown(config)}, not an object")
        return
    own = ("name",) if not kind.registers else ()
    # what else files of a chip have whose registers we do not know, we do not know either
    known = [*BLOCKS, *own] if kind.registers else [*BLOCKS, *config]
    _keys(kind.name, config, known, [b for b in BLOCKS[:2] if complete or b == "Parameter"], "key", problems)
    if "GlobalConfig" in config:
        _registers(kind, config["GlobalConfig"], problems, complete)
    if "Parameter" in config:
        _parameters(kind, config["Parameter"], problems, complete)
    if own:
        _text(f"{kind.name}.name", config.get("name", ""), problems)


def _registers(kind: ChipType, block: Any, problems: Problems, complete: bool) -> None:
    inside = f"{kind.name}.GlobalConfig"
    if not isinstance(block, dict):
        problems.add(inside, f"is {shown(block)}, not an object")
        return
    if not kind.registers:
        return
    known = kind.registers
    if block.keys() != known.keys():
        optional = [name for name, virtual in kind.virtual.items() if virtual.in_file]
        _keys(inside, block, [*known, *optional], known if complete else (), "register", problems)
    for name, value in block.items():
        register = known.get(name) or kind.virtual.get(name)
        if register is None:
            continue
        # not isinstance: true and false are ints of Python
        if type(value) is not int:
            problems.add(f"{inside}.{name}", f"is {shown(value)}, not an integer")
        elif not 0 <= value <= register.most:
            bits = f"{register.bits} bit{'s' * (register.bits > 1)}"
            problems.add(f"{inside}.{name}", f"{shown(value)} is not between 0 and {register.most} ({bits})")


def _parameters(kind: ChipType, block: Any, problems: Problems, complete: bool) -> None:
    inside = f"{kind.name}.Parameter"
    if not isinstance(block, dict):
        problems.add(inside, f"is {shown(block)}, not an object")
        return
    known = kind.parameters
    if kind.registers and block.keys() != known.keys():
        _keys(inside, block, known, known if complete else ("Name",), "parameter", problems)
    for name, value in block.items():
        if name in known:
            wrong = _wrong(known[name], value)
            if wrong:
                problems.add(f"{inside}.{name}", wrong)
    if "Name" in known and "Name" in block:
        _text(f"{inside}.Name", block["Name"], problems)


def _wrong(parameter: Parameter, value: Any) -> str:
    number = type(value) in (int, float)
    match parameter.kind:
        case "int" if type(value) is not int:
            return f"is {shown(value)}, not an integer"
        case "int" if not parameter.least <= value <= parameter.most:
            return f"{shown(value)} is not between {parameter.least} and {parameter.most}"
        case "number" if not number:
            return f"is {shown(value)}, not a number"
        case "bool" if type(value) is not bool:
            return f"is {shown(value)}, neither true nor false"
        case "numbers":
            size = len(parameter.default)
            if not isinstance(value, list) or len(value) != size:
                return f"is {shown(value)}, not a list of {size} numbers"
            for i, item in enumerate(value):
                if type(item) not in (int, float):
                    return f"[{i}] is {shown(item)}, not a number"
    return ""


def _text(inside: str, value: Any, problems: Problems) -> None:
    if not isinstance(value, str):
        problems.add(inside, f"is {shown(value)}, not a text")
    elif len(value) > LONGEST_NAME or not value.isprintable():
        problems.add(inside, f"{shown(value)} is not a name of at most {LONGEST_NAME} printable characters")


def _keys(
    inside: str, found: Iterable[str], known: Iterable[str], needed: Iterable[str], what: str, problems: Problems
) -> None:
    """Note keys that are unknown, with the name that was probably meant, and those that are missing."""
    found, known = list(found), list(known)
    missing = [name for name in needed if name not in found]
    if missing == [PIXELS]:
        missing = []
    unknown = [name for name in found if name not in known]
    if len(unknown) > MANY:
        others = [other for other in CHIP_TYPES if sum(name in chip_type(other).registers for name in unknown) > MANY]
        hint = f"; {' and '.join(others)} {'has' if len(others) == 1 else 'have'} them" if others else ""
        problems.add(inside, f"{len(unknown)} unknown {what}s: {several(unknown)}{hint}")
        unknown = []
    for name in unknown:
        meant = nearest(name, known, missing)
        if meant in missing:
            missing.remove(meant)
            problems.add(f"{inside}.{name}", f"there is no such {what}; {meant} was probably meant, which is missing")
        elif meant:
            problems.add(f"{inside}.{name}", f"there is no such {what}; is {meant} meant?")
        else:
            problems.add(f"{inside}.{name}", f"there is no such {what}")
    if missing:
        many = what if len(missing) == 1 else f"{what}s"
        problems.add(inside, f"{len(missing)} {many} missing: {several(missing)}")
