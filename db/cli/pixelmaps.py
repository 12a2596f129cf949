"""Pixel maps for people: counts, a picture, lines of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def map_facts(content: bytes, meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a pixel map holds, as counts."""
    from db.chips.pixels import PixelMap, decode

    chip = str(meta.get("chip", ""))
    pixels = PixelMap(decode(content, chip), chip)
    tdac = pixels.tdac
    return [
        ("chip", f"{chip}, {tdac.shape[0]} columns, {tdac.shape[1]} rows"),
        ("masked", f"{pixels.masked:,} of {tdac.size:,} pixels"),
        ("injection", f"{int(pixels.injen.sum()):,} pixels"),
        ("hitbus", f"{int(pixels.hitbus.sum()):,} pixels"),
        ("TDAC", f"mean {tdac.mean():.2f}, rms {tdac.std():.2f}, {int(tdac.min())} to {int(tdac.max())}"),
    ]


def map_picture(content: bytes, meta: Mapping[str, Any], field: str, title: str) -> bytes:
    """A PNG of one field: tdac (masked pixels are black), enable, injen or hitbus."""
    from db.chips.picture import picture
    from db.chips.pixels import decode

    return picture(decode(content, str(meta.get("chip", ""))), field, title=title)


def map_lines(content: bytes, meta: Mapping[str, Any], field: str) -> list[str]:
    """The same in characters, for a terminal."""
    from db.chips.picture import coarse
    from db.chips.pixels import decode

    return coarse(decode(content, str(meta.get("chip", ""))), field=field)
