"""Pixel maps of front ends: what a byte says of a pixel, and how two maps differ. Imports no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LAYERS = ("TDAC", "Enable", "InjEn", "Hitbus")
TDAC_MOST = 15


def layer(pixels: np.ndarray, name: str) -> np.ndarray:
    """One of LAYERS of a map (uint8, shape (cols, rows)) as int8 of the same shape: 0 or 1; TDAC is -15 to 15.

    Bit 0 is Enable, 1 InjEn, 2 Hitbus, 3 to 6 the size of TDAC, 7 its sign.
    """
    if name == "TDAC":
        size = ((pixels >> 3) & 15).astype(np.int8)
        return np.where(pixels & 0x80, -size, size).astype(np.int8)
    return ((pixels >> LAYERS[1:].index(name)) & 1).astype(np.int8)


def read_pixels(data: bytes, meta: dict[str, Any]) -> np.ndarray:
    """The map of a payload, uint8 of shape (cols, rows); ValueError when `meta` does not fit the bytes."""
    try:
        cols, rows = int(meta["cols"]), int(meta["rows"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("the payload does not say how many columns and rows it has") from None
    if cols <= 0 or rows <= 0 or cols * rows != len(data):
        raise ValueError(f"{len(data)} bytes are no map of {cols} columns and {rows} rows")
    return np.frombuffer(data, np.uint8).reshape(cols, rows)


def summary(pixels: np.ndarray, name: str) -> str:
    """What a layer says as a whole, in one line."""
    values = layer(pixels, name)
    if name == "TDAC":
        return f"TDAC mean {values.mean():+.2f}, rms {values.std():.2f}, {values.min()} to {values.max()}"
    count = int(values.sum())
    return f"{name}: {count:,} of {values.size:,} pixels ({100 * count / values.size:.2f} %)"


@dataclass(frozen=True)
class MapDifference:
    """How many pixels differ in each layer; `shift`: mean and rms of TDAC after minus before, where it differs."""

    counts: dict[str, int]
    pixels: int
    shift: tuple[float, float]

    @property
    def text(self) -> str:
        """In one line."""
        if not self.pixels:
            return "no pixel differs"
        parts = [f"{name} {count:,}" for name, count in self.counts.items() if count]
        mean, rms = self.shift
        moved = f", TDAC by {mean:+.2f} ± {rms:.2f}" if self.counts["TDAC"] else ""
        pixels = "1 pixel differs" if self.pixels == 1 else f"{self.pixels:,} pixels differ"
        return f"{pixels}: {', '.join(parts)}{moved}"


def difference(before: np.ndarray, after: np.ndarray) -> MapDifference:
    """Of two maps of one shape; ValueError when they have different ones."""
    if before.shape != after.shape:
        raise ValueError(f"maps of {before.shape} and {after.shape} pixels can't be compared")
    counts = {name: int((layer(before, name) != layer(after, name)).sum()) for name in LAYERS}
    shift = layer(after, "TDAC").astype(float) - layer(before, "TDAC")
    moved = shift[shift != 0]
    mean_rms = (float(moved.mean()), float(moved.std())) if moved.size else (0.0, 0.0)
    return MapDifference(counts, int((before != after).sum()), mean_rms)
