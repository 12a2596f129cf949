"""What differs between two pixel maps, and between two JSON values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from db.chips.jsontext import same
from db.chips.pixels import Map, PixelMap

ENABLE, INJEN, HITBUS, TDAC, OTHER = 1, 2, 4, 8, 16
"""Bits of `PixelDiff.map`. OTHER: LCap, SCap or FDAC of FE-I4B."""


@dataclass(frozen=True, slots=True)
class PixelDiff:
    """Numbers of pixels that differ, by field, and the map of them."""

    pixels: int
    """In any field."""
    enable: int
    injen: int
    hitbus: int
    tdac: int
    other: int
    """In LCap, SCap or FDAC."""
    masked: int
    """Enabled before, not after."""
    unmasked: int
    tdac_mean: float
    """Mean of TDAC after minus before, over all pixels."""
    tdac_rms: float
    """Root mean square of it, over all pixels."""
    map: Map
    """uint8 [cols, rows]: which fields differ, as the bits ENABLE, INJEN, HITBUS, TDAC, OTHER."""

    def __bool__(self) -> bool:
        return self.pixels > 0

    def as_text(self) -> str:
        """One line for people."""
        if not self.pixels:
            return "no pixel differs"
        parts = [f"{self.pixels:,} pixels differ"]
        if self.enable:
            parts.append(f"{self.masked:,} masked, {self.unmasked:,} unmasked")
        parts += [f"{name} {n:,}" for name, n in (("InjEn", self.injen), ("Hitbus", self.hitbus)) if n]
        if self.tdac:
            parts.append(f"TDAC {self.tdac:,} (shift {self.tdac_mean:+.3f}, rms {self.tdac_rms:.3f})")
        if self.other:
            parts.append(f"LCap, SCap or FDAC {self.other:,}")
        return "; ".join(parts)

    def as_dict(self) -> dict[str, int | float]:
        """For JSON, without the map."""
        names = ("pixels", "enable", "injen", "hitbus", "tdac", "other", "masked", "unmasked", "tdac_mean", "tdac_rms")
        return {name: getattr(self, name) for name in names}


def pixel_diff(a: Map, b: Map) -> PixelDiff:
    """From the map `a` to the map `b` of chips of one type. ValueError when their sizes differ."""
    if a.shape != b.shape:
        raise ValueError(f"maps of {list(a.shape)} and {list(b.shape)} pixels can't be compared")
    before, after = PixelMap(a), PixelMap(b)
    first, second = (a[0], b[0]) if a.ndim == 3 else (a, b)
    bits = (first ^ second) & np.uint8(7)
    shift = after.tdac.astype(np.int16) - before.tdac
    bits |= (shift != 0).astype(np.uint8) * np.uint8(TDAC)
    if a.ndim == 3:
        bits |= (a[1] != b[1]).astype(np.uint8) * np.uint8(OTHER)
    counts = [int(np.count_nonzero(bits & bit)) for bit in (ENABLE, INJEN, HITBUS, TDAC, OTHER)]
    masked = int(np.count_nonzero((first & 1) > (second & 1)))
    wide = shift.astype(np.int64)
    return PixelDiff(
        pixels=int(np.count_nonzero(bits)),
        enable=counts[0],
        injen=counts[1],
        hitbus=counts[2],
        tdac=counts[3],
        other=counts[4],
        masked=masked,
        unmasked=counts[0] - masked,
        tdac_mean=float(wide.mean()),
        tdac_rms=float(np.sqrt((wide * wide).mean())),
        map=bits,
    )


def json_diff(a: Any, b: Any) -> list[tuple[str, Any, Any]]:
    """The values that differ: (path, in `a`, in `b`), with None where one side has none (or null).

    Paths are like `GlobalConfig.DiffTh1L` and `Parameter.VcalPar[1]`; the path of the whole value is empty. 1, 1.0 and
    true differ. Order of keys does not count; of lists it does.
    """
    return list(_differences("", a, b))


def _differences(path: str, a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            inside = f"{path}.{key}" if path else str(key)
            if key not in a:
                yield inside, None, b[key]
            elif key not in b:
                yield inside, a[key], None
            else:
                yield from _differences(inside, a[key], b[key])
    elif isinstance(a, list) and isinstance(b, list):
        for i in range(max(len(a), len(b))):
            inside = f"{path}[{i}]"
            if i >= len(a):
                yield inside, None, b[i]
            elif i >= len(b):
                yield inside, a[i], None
            else:
                yield from _differences(inside, a[i], b[i])
    elif not same(a, b):
        yield path, a, b
