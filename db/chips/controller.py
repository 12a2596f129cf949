"""Controller files of YARR: how the readout is reached. Only what every kind has in common is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from db.chips import jsontext
from db.chips.problems import Problems, bad, nearest, shown

TYPES = ("spec", "emu", "emu_Rd53a", "emu_Rd53b", "Netio", "FelixClient", "bdaq", "Itsdaq", "rce", "ku040")
"""Those that we know; every emulator's begins with emu."""
FELIX = ("Netio", "FelixClient")
_PORTS = ("txPort", "rxPort", "port")


@dataclass(slots=True)
class Controller:
    """A controller file."""

    type: str
    config: dict[str, Any]
    warnings: list[str] = field(default_factory=list[str])

    @property
    def felix(self) -> bool:
        """Whether tx and rx are e-links of FELIX."""
        return self.type in FELIX


def parse_controller(data: bytes, file: str) -> Controller:
    """What is in a controller file, which is kept as it is. BadInput with all that is wrong."""
    value = jsontext.load(data, file)
    problems = Problems(file)
    warnings: list[str] = []
    block = value.get("ctrlCfg") if isinstance(value, dict) else None
    if not isinstance(block, dict):
        meant = nearest("ctrlCfg", [key for key in value if key != "ctrlCfg"]) if isinstance(value, dict) else ""
        hint = f"; is {meant} meant to be it?" if meant else ""
        raise bad(file, "ctrlCfg", f"there is no such object, so it is no controller file{hint}")
    kind, config = block.get("type"), block.get("cfg", {})
    if not isinstance(kind, str) or not kind:
        problems.add("ctrlCfg.type", f"is {shown(kind)}, not one of {', '.join(TYPES)}")
    elif kind not in TYPES and not kind.startswith("emu"):
        meant = nearest(kind, TYPES)
        if meant:
            problems.add("ctrlCfg.type", f"{shown(kind)} is no controller; is {meant} meant?")
        else:
            warnings.append(f"{file}: ctrlCfg.type: {shown(kind)} is not known, kept as it is")
    if not isinstance(config, dict):
        problems.add("ctrlCfg.cfg", f"is {shown(config)}, not an object")
    else:
        _ports("ctrlCfg.cfg", config, problems)
        section = {"Netio": "NetIO", "FelixClient": "FelixClient"}.get(str(kind))
        if section and not isinstance(config.get(section), dict):
            problems.add(f"ctrlCfg.cfg.{section}", "there is no such object")
    problems.stop()
    return Controller(str(kind), config, warnings)


def _ports(inside: str, block: dict[str, Any], problems: Problems) -> None:
    for key, value in block.items():
        if isinstance(value, dict):
            _ports(f"{inside}.{key}", value, problems)
        elif key in _PORTS and not (type(value) is int and 0 < value < 65536):
            problems.add(f"{inside}.{key}", f"{shown(value)} is no port, 1 to 65535")
