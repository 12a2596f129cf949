"""Chip files for the tests, made once; and an independent, slow reader to compare with."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import Any

import numpy as np

from db.chips.chipfile import ChipConfig, render_chip
from db.chips.make import make_chip
from db.chips.registers import ChipType, Flavour, chip_type

PIXEL_CHIPS = ("RD53A", "RD53B", "ITKPIXV2", "FE-I4B")


@cache
def chip(name: str = "RD53A", seed: int = 1) -> ChipConfig:
    return make_chip(name, "0x15427", seed)


@cache
def chip_bytes(name: str = "RD53A", layout: str = "tight", seed: int = 1) -> bytes:
    return render_chip(chip(name, seed), layout)


def tree(name: str = "RD53A") -> dict[str, Any]:
    """The JSON of a chip file, the test's own to change."""
    return json.loads(chip_bytes(name))


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


def twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def no_constant(text: str) -> Any:
    raise ValueError(text)


def strict_json(data: bytes) -> Any:
    """ValueError for what we do not take either."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise ValueError("byte order mark")
    return json.loads(data.decode("utf-8"), object_pairs_hook=twice, parse_constant=no_constant)


def field_array(value: dict[str, Any], name: str, field: str) -> np.ndarray:
    """A field of PixelConfig as an array [cols, rows], by Python's own JSON."""
    kind = chip_type(name)
    array = np.array([line[field] for line in value[name]["PixelConfig"]])
    return array.T if kind.by_rows else array


def little(cols: int = 5, rows: int = 4, of: str = "RD53A") -> ChipType:
    """A chip type with few pixels: columns 0 and 1 TDACs from 0 to 15, the others -15 to 15."""
    flavours = (Flavour("LIN", 0, 1, 0, 15), Flavour("DIFF", 2, cols - 1, -15, 15))
    if of == "FE-I4B":
        flavours = (Flavour("FE-I4", 0, cols - 1, 0, 31),)
    return dataclasses.replace(chip_type(of), cols=cols, rows=rows, flavours=flavours)


def little_lines(kind: ChipType, seed: int = 0) -> list[dict[str, Any]]:
    """A PixelConfig of it."""
    random = np.random.default_rng(seed)
    least, _ = kind.tdac_range()
    lines = []
    for col in range(kind.cols):
        line: dict[str, Any] = {kind.line: col + kind.first}
        for field in kind.fields:
            low, high = (int(least[col]), 16) if field == "TDAC" else (0, 2)
            line[field] = [int(v) for v in random.integers(low, high, kind.rows)]
        lines.append(line)
    return lines
