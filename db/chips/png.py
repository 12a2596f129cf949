"""PNG files of indexed pictures, and a font of 5 by 7 pixels for the words in them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
Image = NDArray[np.uint8]
"""[height, width] of indices into a palette."""

HEIGHT = 7
"""Of the font, pixels."""
_ADVANCE = 6
_FONT = {
    "0": "0E 11 13 15 19 11 0E", "1": "04 0C 04 04 04 04 0E", "2": "0E 11 01 02 04 08 1F", "3": "1F 02 04 02 01 11 0E",
    "4": "02 06 0A 12 1F 02 02", "5": "1F 10 1E 01 01 11 0E", "6": "06 08 10 1E 11 11 0E", "7": "1F 01 02 04 08 08 08",
    "8": "0E 11 11 0E 11 11 0E", "9": "0E 11 11 0F 01 02 0C", "-": "00 00 00 1F 00 00 00", "+": "00 04 04 1F 04 04 00",
    ".": "00 00 00 00 00 0C 0C", ",": "00 00 00 00 0C 04 08", ":": "00 0C 0C 00 0C 0C 00", "/": "00 01 02 04 08 10 00",
    "%": "18 19 02 04 08 13 03", "(": "02 04 08 08 08 04 02", ")": "08 04 02 02 02 04 08", "_": "00 00 00 00 00 00 1F",
    "A": "0E 11 11 11 1F 11 11", "B": "1E 11 11 1E 11 11 1E", "C": "0E 11 10 10 10 11 0E", "D": "1C 12 11 11 11 12 1C",
    "E": "1F 10 10 1E 10 10 1F", "F": "1F 10 10 1E 10 10 10", "G": "0E 11 10 17 11 11 0F", "H": "11 11 11 1F 11 11 11",
    "I": "0E 04 04 04 04 04 0E", "J": "07 02 02 02 02 12 0C", "K": "11 12 14 18 14 12 11", "L": "10 10 10 10 10 10 1F",
    "M": "11 1B 15 15 11 11 11", "N": "11 11 19 15 13 11 11", "O": "0E 11 11 11 11 11 0E", "P": "1E 11 11 1E 10 10 10",
    "Q": "0E 11 11 11 15 12 0D", "R": "1E 11 11 1E 14 12 11", "S": "0F 10 10 0E 01 01 1E", "T": "1F 04 04 04 04 04 04",
    "U": "11 11 11 11 11 11 0E", "V": "11 11 11 11 11 0A 04", "W": "11 11 11 15 15 15 0A", "X": "11 11 0A 04 0A 11 11",
    "Y": "11 11 11 0A 04 04 04", "Z": "1F 01 02 04 08 10 1F", "a": "00 00 0E 01 0F 11 0F", "b": "10 10 16 19 11 11 1E",
    "c": "00 00 0E 10 10 11 0E", "d": "01 01 0D 13 11 11 0F", "e": "00 00 0E 11 1F 10 0E", "f": "06 09 08 1C 08 08 08",
    "g": "00 0F 11 11 0F 01 0E", "h": "10 10 16 19 11 11 11", "i": "04 00 0C 04 04 04 0E", "j": "02 00 06 02 02 12 0C",
    "k": "10 10 12 14 18 14 12", "l": "0C 04 04 04 04 04 0E", "m": "00 00 1A 15 15 11 11", "n": "00 00 16 19 11 11 11",
    "o": "00 00 0E 11 11 11 0E", "p": "00 00 1E 11 1E 10 10", "q": "00 00 0D 13 0F 01 01", "r": "00 00 16 19 10 10 10",
    "s": "00 00 0E 10 0E 01 1E", "t": "08 08 1C 08 08 09 06", "u": "00 00 11 11 11 13 0D", "v": "00 00 11 11 11 0A 04",
    "w": "00 00 11 11 15 15 0A", "x": "00 00 11 0A 04 0A 11", "y": "00 00 11 11 0F 01 0E", "z": "00 00 1F 02 04 08 1F",
    "?": "0E 11 01 02 04 00 04", "=": "00 00 1F 00 1F 00 00", "#": "0A 0A 1F 0A 1F 0A 0A",
}  # fmt: skip
_GLYPHS = {
    char: np.array([[int(row, 16) >> (4 - x) & 1 for x in range(5)] for row in rows.split()], bool)
    for char, rows in _FONT.items()
}


def png(image: Image, palette: Sequence[Color]) -> bytes:
    """A PNG file of an indexed picture. ValueError when an index is not in the palette."""
    if image.size == 0 or len(palette) > 256 or int(image.max()) >= len(palette):
        raise ValueError("an empty picture, or one with colours that the palette has not")
    height, width = image.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = image
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colors = bytes(value for color in palette for value in color)
    parts = ((b"IHDR", header), (b"PLTE", colors), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def width(text: str, size: int = 1) -> int:
    """Pixels that a text takes."""
    return len(text) * _ADVANCE * size


def write(image: Image, x: int, y: int, text: str, color: int, size: int = 1) -> None:
    """Write a text into a picture, its upper left corner at x, y; what is outside is cut off.

    Characters that the font does not have become question marks.
    """
    for char in text:
        if char != " ":
            glyph = np.kron(_GLYPHS.get(char, _GLYPHS["?"]), np.ones((size, size), bool))
            for dy, dx in np.argwhere(glyph):
                if 0 <= y + dy < image.shape[0] and 0 <= x + dx < image.shape[1]:
                    image[y + dy, x + dx] = color
        x += _ADVANCE * size
