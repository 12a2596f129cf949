"""The chip types: their geometry, registers, parameters and the range of their TDACs.

The facts are data files in `db/chips/data`, one per type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

CHIP_TYPES = ("RD53A", "RD53B", "ITKPIXV2", "FE-I4B")
"""As they are named in chip files: the only key of the outermost object."""


@dataclass(frozen=True, slots=True)
class Register:
    """A field of a chip's global registers: `bits` wide, at bit `offset` of the 16-bit word at `address`."""

    name: str
    address: int
    offset: int
    bits: int
    default: int
    """After the chip library has started."""
    shipped: int
    """In the default chip file that the DAQ software ships."""

    @property
    def most(self) -> int:
        """The largest value."""
        return (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Virtual:
    """A name in scans that writes several registers. In files of some chips it is kept, too (`in_file`)."""

    name: str
    writes: tuple[str, ...]
    bits: int
    in_file: bool

    @property
    def most(self) -> int:
        """The largest value."""
        return (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Parameter:
    """A key of the Parameter block."""

    name: str
    kind: str
    """int, number, numbers, bool or text."""
    default: Any
    least: int = 0
    most: int = 0
    """Of an int."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """Columns with one kind of amplifier: from `first` to `last`, both included, with TDACs from `least` to `most`."""

    name: str
    first: int
    last: int
    least: int
    most: int


@dataclass(frozen=True)
class ChipType:
    """All that is known about a type of chip."""

    name: str
    connectivity: tuple[str, ...]
    """Its names in connectivity files."""
    cols: int
    rows: int
    line: str
    """Key that numbers the objects of PixelConfig: Col, or Row where a line is a row."""
    first: int
    """Number of the first line."""
    fields: tuple[str, ...]
    """The other keys of these objects, each with a list of one value per pixel."""
    flavours: tuple[Flavour, ...]
    parameters: Mapping[str, Parameter]
    virtual: Mapping[str, Virtual]
    registers: Mapping[str, Register]
    """By name, in the order of their addresses. Empty: not known, any are taken."""

    @property
    def by_rows(self) -> bool:
        """True when PixelConfig has one object per row, not per column."""
        return self.line == "Row"

    @property
    def lines(self) -> int:
        """Number of objects in PixelConfig."""
        return self.rows if self.by_rows else self.cols

    @property
    def length(self) -> int:
        """Number of pixels of a line."""
        return self.cols if self.by_rows else self.rows

    @property
    def planes(self) -> int:
        """Bytes that a pixel takes."""
        return 2 if "FDAC" in self.fields else 1

    @property
    def size(self) -> int:
        """Bytes of a pixel map."""
        return self.planes * self.cols * self.rows

    def tdac_range(self) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """The smallest and the largest TDAC of each column, int16 [cols]."""
        least = np.zeros(self.cols, np.int16)
        most = np.zeros(self.cols, np.int16)
        for flavour in self.flavours:
            least[flavour.first : flavour.last + 1] = flavour.least
            most[flavour.first : flavour.last + 1] = flavour.most
        return least, most

    def flavour(self, col: int) -> Flavour:
        """What column `col` is made of. ValueError when there is no such column."""
        for flavour in self.flavours:
            if flavour.first <= col <= flavour.last:
                return flavour
        raise ValueError(f"{self.name} has no column {col}")


@cache
def chip_type(name: str) -> ChipType:
    """A chip type by its name in chip files or in connectivity files. KeyError."""
    for known in CHIP_TYPES:
        kind = _read(known)
        if name == known or name in kind.connectivity:
            return kind
    raise KeyError(name)


def connectivity_types() -> tuple[str, ...]:
    """The names that connectivity files give to the types of which we know the chip files."""
    return tuple(name for known in CHIP_TYPES for name in _read(known).connectivity)


@cache
def _read(name: str) -> ChipType:
    data: dict[str, Any] = orjson.loads(files("db.chips").joinpath("data", f"{name.lower()}.json").read_bytes())
    line, first = data["line"]
    return ChipType(
        name=data["chip"],
        connectivity=tuple(data["connectivity"]),
        cols=data["cols"],
        rows=data["rows"],
        line=line,
        first=first,
        fields=tuple(data["fields"]),
        flavours=tuple(Flavour(*row) for row in data["flavours"]),
        parameters={key: Parameter(key, *row) for key, row in data["parameters"].items()},
        virtual={key: Virtual(key, tuple(row[0]), row[1], row[2]) for key, row in data["virtual"].items()},
        registers={row[0]: Register(*row) for row in data["registers"]},
    )
