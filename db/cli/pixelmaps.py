"""Pixel maps for people: counts, a picture, lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def map_facts(content: bytes, meta: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What a pixel map holds, as counts."""
    pixels = _map(content, meta)
    tdac = pixels.tdac
    return [
        ("chip", f"{pixels.chip}, {tdac.shape[0]} columns, {tdac.shape[1]} rows"),
        ("masked", f"{pixels.masked:,} of {tdac.size:,} pixels"),
        ("injection", f"{int(pixels.injen.sum()):,} pixels"),
        ("hitbus", f"{int(pixels.hitbus.sum()):,} pixels"),
        ("TDAC", f"mean {tdac.mean():.2f}, rms {tdac.std():.2f}, {int(tdac.min())} to {int(tdac.max())}"),
    ]


def map_picture(content: bytes, meta: Mapping[str, Any]) -> bytes:
    """A PNG of the TDACs; masked pixels stand out."""
    from db.chips.picture import picture

    return picture(_map(content, meta).array)


def map_lines(content: bytes, meta: Mapping[str, Any], width: int = 64, height: int = 24) -> Iterator[str]:
    """The TDACs as a coarse map of shades for a terminal, column 0 at the left, row 0 at the top."""
    import numpy as np

    tdac = _map(content, meta).tdac.astype(float)
    cols, rows = tdac.shape
    edges_c = np.linspace(0, cols, min(width, cols) + 1).astype(int)
    edges_r = np.linspace(0, rows, min(height, rows) + 1).astype(int)
    sums = np.add.reduceat(np.add.reduceat(tdac, edges_c[:-1], axis=0), edges_r[:-1], axis=1)
    means = sums / np.outer(np.diff(edges_c), np.diff(edges_r))
    low, high = float(means.min()), float(means.max())
    shades = " ░▒▓█"
    scale = (len(shades) - 1) / (high - low) if high > low else 0.0
    for row in range(means.shape[1]):
        yield "".join(shades[round((means[col, row] - low) * scale)] for col in range(means.shape[0]))
    yield f"(mean TDAC of each place: from {low:.2f}, blank, to {high:.2f}, full)"


def _map(content: bytes, meta: Mapping[str, Any]) -> Any:
    from db.chips.pixels import PixelMap, decode

    chip = str(meta.get("chip", "RD53B"))
    return PixelMap(decode(content, chip), chip)
