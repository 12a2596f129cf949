"""Pictures, read again by a decoder that shares nothing with the writer."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from chip_samples import PIXEL_CHIPS, chip

from db.chips import png
from db.chips.chipfile import changed
from db.chips.differences import pixel_diff
from db.chips.picture import changes_picture, coarse, difference_picture, picture

BLACK, SAME = (0, 0, 0), (235, 235, 235)


def colors(data: bytes) -> np.ndarray:
    """A PNG as [height, width, 3]."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, palette, pixels, size = 8, b"", b"", (0, 0)
    kinds = []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + content)
        kinds.append(kind)
        if kind == b"IHDR":
            size = struct.unpack(">II", content[:8])
            assert content[8:] == b"\x08\x03\x00\x00\x00"
        elif kind == b"PLTE":
            palette = content
        elif kind == b"IDAT":
            pixels += zlib.decompress(content)
        at += length + 12
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height = size
    rows = np.frombuffer(pixels, np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return np.frombuffer(palette, np.uint8).reshape(-1, 3)[rows[:, 1:]]


def test_column_0_is_left_and_row_0_below() -> None:
    tdac = np.zeros((400, 384))
    tdac[0, 0], tdac[399, 0], tdac[399, 383] = 15, -15, 15
    enable = np.ones((400, 384))
    enable[0, 383] = 0
    array = changed(chip("RD53B"), tdac, enable)
    shown = colors(picture(array, scale=1, legend=False))
    assert shown.shape == (384, 400, 3)
    assert tuple(shown[0, 0]) == BLACK
    red, blue = shown[383, 0], shown[383, 399]
    assert red[0] > 150 > red[2]
    assert blue[2] > 150 > blue[0]
    assert tuple(shown[0, 399]) == tuple(red)
    assert min(shown[200, 200]) > 200
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 4


def test_every_tdac_has_a_colour_of_its_own() -> None:
    tdac = np.repeat(np.arange(400) % 31 - 15, 384).reshape(400, 384)
    array = changed(chip("RD53B"), tdac, np.ones((400, 384)))
    shown = colors(picture(array, scale=1, legend=False))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 31


@pytest.mark.parametrize("field", ["tdac", "enable", "injen", "hitbus"])
@pytest.mark.parametrize("name", PIXEL_CHIPS)
def test_pictures_with_legends(name: str, field: str) -> None:
    shown = colors(picture(chip(name).pixels, field, title=f"Ü {name}"))
    height, width, _ = shown.shape
    assert 250 < width < 1100
    assert 300 < height < 1000
    # nothing is written over the edge
    assert np.all(shown[:, -1] == 255)
    assert np.all(shown[-1] == 255)


def test_an_unknown_field() -> None:
    with pytest.raises(ValueError, match="gain is none of tdac, enable, injen, hitbus"):
        picture(chip().pixels, "gain")
    with pytest.raises(ValueError, match="gain is none of"):
        coarse(chip().pixels, field="gain")


def test_differences() -> None:
    one = chip("RD53B")
    tdac, enable = one.map.tdac.copy(), np.ones((400, 384))
    start = changed(one, np.zeros((400, 384)), enable)
    tdac = np.zeros((400, 384))
    tdac[10, 0], tdac[11, 0] = 1, -1
    enable[12, 0] = 0
    after = changed(one, tdac, enable)
    after[13, 0] ^= 4
    shown = colors(difference_picture(start, after, scale=1, legend=False))[-1]
    assert tuple(shown[9]) == SAME
    assert shown[10][0] > shown[10][2] + 20
    assert shown[11][2] > shown[11][0] + 20
    assert tuple(shown[12]) == BLACK
    assert tuple(shown[13]) == (230, 159, 0)
    back = colors(difference_picture(after, start, scale=1, legend=False))[-1]
    assert back[12][1] > 120 > back[12][0]
    kinds = colors(changes_picture(pixel_diff(start, after).map, scale=1, legend=False))[-1]
    assert tuple(kinds[9]) == SAME
    assert tuple(kinds[12]) == BLACK
    assert tuple(kinds[10]) == tuple(kinds[11]) != SAME
    assert tuple(kinds[13]) == (0, 114, 178)
    for data in (difference_picture(start, after), changes_picture(pixel_diff(start, after).map)):
        assert colors(data).shape[0] > 700
    with pytest.raises(ValueError, match="can't be compared"):
        difference_picture(start, chip("RD53A").pixels)


def test_the_largest_difference_and_none() -> None:
    one = chip("FE-I4B")
    low, high = changed(one, np.zeros((80, 336))), changed(one, np.full((80, 336), 31))
    assert len(np.unique(colors(difference_picture(low, high, legend=False)).reshape(-1, 3), axis=0)) == 1
    assert tuple(colors(difference_picture(low, low, legend=False))[0, 0]) == SAME


def test_pictures_that_can_not_be() -> None:
    with pytest.raises(ValueError, match="palette"):
        png.png(np.full((2, 2), 3, np.uint8), [(0, 0, 0)])
    with pytest.raises(ValueError, match="empty"):
        png.png(np.zeros((0, 2), np.uint8), [(0, 0, 0)])


def test_words_outside_of_a_picture_are_cut_off() -> None:
    image = np.zeros((5, 8), np.uint8)
    png.write(image, -3, -3, "Ω0?", 1)
    assert image.any()


def test_terminals() -> None:
    tdac = np.zeros((400, 384))
    tdac[:200, :192] = -10
    enable = np.ones((400, 384))
    enable[399, 383] = 0
    array = changed(chip("RD53B"), tdac, enable)
    lines = coarse(array, 10, 4)
    assert [len(line) for line in lines[:-1]] == [10] * 4
    assert lines[0] == lines[1] == "█" * 10
    assert lines[2] == lines[3] == "▁" * 5 + "█" * 5
    assert lines[-1] == "mean TDAC of a cell: ▁ -10.00 … █ +0.00"
    masks = coarse(array, 10, 4, "enable")
    assert masks[0] == " " * 9 + "░"
    assert "".join(masks[1:4]).strip() == ""
    assert masks[-1].startswith("1 of 153,600 pixels masked")
    changes = coarse(pixel_diff(array, changed(chip("RD53B"), tdac * 0, enable)).map, 10, 4, "changes")
    assert changes[:4] == [" " * 10, " " * 10, "█████     ", "█████     "]


@pytest.mark.parametrize("name", PIXEL_CHIPS)
@pytest.mark.parametrize("size", [(0, 0), (1, 1), (7, 3), (10_000, 10_000)])
def test_terminals_of_any_size(name: str, size: tuple[int, int]) -> None:
    lines = coarse(chip(name).pixels, *size)
    assert len({len(line) for line in lines[:-1]}) == 1
    nothing = changed(chip(name), enable=np.zeros(chip(name).map.tdac.shape))
    assert coarse(nothing, *size)[-1] == "all masked"
    assert "masked" in coarse(nothing, *size, "enable")[-1]
