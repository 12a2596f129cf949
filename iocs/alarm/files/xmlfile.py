"""Alarm files of Phoebus, both ways: `alarm_configuration.xsd` beside this file is their schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iocs.alarm.files.xinclude import Includes
from iocs.alarm.files.xmlread import ItemReader
from iocs.alarm.files.xmltree import MAX_BYTES, BadXml, parse
from iocs.alarm.files.xmlwrite import write_xml
from iocs.alarm.tree.items import ConfigError, Item

__all__ = ["SCHEMA", "AlarmFile", "read_xml", "write_xml"]

SCHEMA = Path(__file__).with_name("alarm_configuration.xsd")
"""For editors and other programs. What it cannot say (filters, actions, a PV in two spellings) `read_xml` checks."""

MAX_PROBLEMS = 200
"""So many are told; of the rest, their number."""


@dataclass(frozen=True, slots=True)
class AlarmFile:
    """What an alarm file configures."""

    items: tuple[Item, ...]
    """Areas and alarms in the file's order, each area before what is in it; the root only when it says something."""
    warnings: tuple[str, ...] = ()
    """What is taken, though it may not be meant: `FILE:LINE: PATH: reason`."""


def read_xml(source: bytes | Path, name: str, *, compatible: bool = False) -> AlarmFile:
    """Read the alarm file of the configuration `name`: a path, or the content of a file that includes no others.

    ConfigError when anything is wrong with it, with all that is: `FILE:LINE: PATH: reason`, one a line. `compatible`:
    of a PV that is there twice, the second is left out with a warning.
    """
    reader = ItemReader(compatible)
    if isinstance(source, Path):
        file, shown = source, str(source)
        try:
            with source.open("rb") as opened:
                content = opened.read(MAX_BYTES + 1)
        except OSError as error:
            raise ConfigError([f"{source}: can't be read: {error.strerror or error}"]) from error
    else:
        file, shown, content = None, "alarms.xml", source
    try:
        root = parse(content, shown).root
    except BadXml as error:
        raise ConfigError([f"{shown}:{error.line}: {error.reason}"]) from None
    Includes(file, reader.problems).resolve(root)
    reader.read(root, name)
    if reader.problems:
        raise ConfigError(_some(reader.problems))
    return AlarmFile(tuple(reader.items), tuple(_some(reader.warnings)))


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - MAX_PROBLEMS
    return lines if more <= 0 else [*lines[:MAX_PROBLEMS], f"and {more:,} more"]
