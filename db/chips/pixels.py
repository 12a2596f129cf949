"""Pixel maps: one byte per pixel.

Bit 0 Enable, bit 1 InjEn, bit 2 Hitbus, bits 3 to 6 the magnitude of the TDAC, bit 7 its sign. An array of them is
uint8 [cols, rows]; its bytes in C order are the content of a payload of format "pixels".

FE-I4B has TDACs from 0 to 31 without a sign, so there bits 3 to 7 are the TDAC; and it has more to set in a pixel than
fits: its arrays are uint8 [2, cols, rows], the second byte being bit 0 LCap, bit 1 SCap, bits 2 to 5 FDAC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.chips.registers import ChipType, chip_type

FORMAT = "pixels"
"""Format of payloads that are pixel maps."""

Map = NDArray[np.uint8]

_VALUES = np.arange(-15, 16)
_TDAC_OF = np.array([-(b >> 3 & 15) if b & 0x80 else b >> 3 for b in range(256)], np.int8)
"""TDAC of a byte."""
_BITS_OF = np.zeros(256, np.uint8)
"""Bits 3 to 7 of a TDAC, by the TDAC as an unsigned byte."""
_BITS_OF[_VALUES.astype(np.int8).view(np.uint8)] = (np.abs(_VALUES) << 3) | np.where(_VALUES < 0, 0x80, 0)


@dataclass(slots=True)
class PixelMap:
    """The fields of a pixel map, each an array [cols, rows] of its own. `array` is shared, not copied."""

    array: Map
    chip: str = ""
    """The chip type, for information."""

    @property
    def enable(self) -> NDArray[np.bool_]:
        """Pixels that are read out."""
        return (self._first & 1).astype(bool)

    @property
    def injen(self) -> NDArray[np.bool_]:
        """Pixels that are injected into. None of FE-I4B."""
        return (self._first & 2).astype(bool)

    @property
    def hitbus(self) -> NDArray[np.bool_]:
        """Pixels that take part in the hit-or."""
        return (self._first & 4).astype(bool)

    @property
    def tdac(self) -> NDArray[np.int8]:
        """Threshold trims, int8."""
        if self.array.ndim == 3:
            return (self._first >> 3).astype(np.int8)
        return _TDAC_OF[self._first]

    @property
    def masked(self) -> int:
        """Number of pixels that are not read out."""
        return int(self._first.size - np.count_nonzero(self._first & 1))

    @property
    def _first(self) -> Map:
        return self.array[0] if self.array.ndim == 3 else self.array


def pack(kind: ChipType, fields: Mapping[str, NDArray[np.integer]]) -> Map:
    """A pixel map of arrays [cols, rows] by name (Enable, TDAC, …), whose values are in range."""
    first: Map = fields["Enable"].astype(np.uint8)
    first |= fields["Hitbus"].astype(np.uint8) << 2
    if "InjEn" in fields:
        first |= fields["InjEn"].astype(np.uint8) << 1
    if kind.planes == 1:
        first |= _BITS_OF[fields["TDAC"].astype(np.int8).view(np.uint8)]
        return first
    first |= fields["TDAC"].astype(np.uint8) << 3
    second: Map = fields["LCap"].astype(np.uint8)
    second |= fields["SCap"].astype(np.uint8) << 1
    second |= fields["FDAC"].astype(np.uint8) << 2
    return np.stack((first, second))


def unpack(kind: ChipType, array: Map, field: str) -> NDArray[np.int8]:
    """A field of a pixel map by name: int8 [cols, rows]."""
    if field in ("LCap", "SCap", "FDAC"):
        second = array[1]
        return ((second >> 2) if field == "FDAC" else (second >> (field == "SCap")) & 1).astype(np.int8)
    pixels = PixelMap(array, kind.name)
    if field == "TDAC":
        return pixels.tdac
    return {"Enable": pixels.enable, "InjEn": pixels.injen, "Hitbus": pixels.hitbus}[field].view(np.int8)


def decode(content: bytes, chip: str) -> Map:
    """The array of a payload's content; read-only. ValueError when it is not of the chip's size. KeyError."""
    kind = chip_type(chip)
    if len(content) != kind.size:
        raise ValueError(f"{len(content):,} bytes; a pixel map of {kind.name} has {kind.size:,}")
    array = np.frombuffer(content, np.uint8)
    return array.reshape((kind.cols, kind.rows) if kind.planes == 1 else (kind.planes, kind.cols, kind.rows))


def encode(array: Map) -> bytes:
    """The content of a payload."""
    return array.tobytes()


def faults(kind: ChipType, array: Map) -> list[str]:
    """What is wrong with a pixel map, in words; nothing when all is well."""
    shape = (kind.cols, kind.rows) if kind.planes == 1 else (kind.planes, kind.cols, kind.rows)
    if array.shape != shape or array.dtype != np.uint8:
        return [f"an array {list(array.shape)} of {array.dtype}; {kind.name} has {list(shape)} of uint8"]
    found: list[str] = []
    if kind.planes == 2:
        if np.any(array[0] & 2):
            found.append("bit 1 is set; FE-I4B has no InjEn")
        if np.any(array[1] & 0xC0):
            found.append("bits 6 and 7 of the second byte are set; FE-I4B has none")
        return found
    minus = array == (array & 7 | 0x80)
    if np.any(minus):
        col, row = (int(n) for n in np.argwhere(minus)[0])
        found.append(f"[{col}, {row}]: TDAC is minus zero ({np.count_nonzero(minus):,} such pixels)")
    tdac = _TDAC_OF[array]
    least, most = kind.tdac_range()
    out = (tdac < least[:, None]) | (tdac > most[:, None])
    if np.any(out):
        col, row = (int(n) for n in np.argwhere(out)[0])
        flavour = kind.flavour(col)
        found.append(
            f"[{col}, {row}]: TDAC {tdac[col, row]} is not between {flavour.least} and {flavour.most}"
            f" ({np.count_nonzero(out):,} such pixels)"
        )
    return found
