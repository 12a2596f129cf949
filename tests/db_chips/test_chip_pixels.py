from __future__ import annotations

import numpy as np
import pytest
from chip_samples import PIXEL_CHIPS, chip

from db.chips.chipfile import changed
from db.chips.pixels import PixelMap, decode, encode, faults, pack, unpack
from db.chips.registers import chip_type


def test_the_byte_of_a_pixel() -> None:
    kind = chip_type("RD53B")
    fields = {field: np.zeros((400, 384), np.int16) for field in kind.fields}
    fields["Enable"][0, 0] = fields["InjEn"][0, 1] = fields["Hitbus"][0, 2] = 1
    fields["TDAC"][0, 3:6] = (15, -1, -15)
    array = pack(kind, fields)
    assert list(array[0, :7]) == [0x01, 0x02, 0x04, 0x78, 0x88, 0xF8, 0x00]
    pixels = PixelMap(array)
    assert list(pixels.tdac[0, 3:6]) == [15, -1, -15]
    assert pixels.enable[0, 0]
    assert pixels.injen[0, 1]
    assert pixels.hitbus[0, 2]
    assert pixels.masked == 153599


@pytest.mark.parametrize("name", PIXEL_CHIPS)
def test_every_field_comes_back(name: str) -> None:
    kind = chip_type(name)
    random = np.random.default_rng(3)
    least, most = kind.tdac_range()
    fields = {field: random.integers(0, 2, (kind.cols, kind.rows)).astype(np.int16) for field in kind.fields}
    fields["TDAC"] = random.integers(least[:, None], most[:, None] + 1, (kind.cols, kind.rows)).astype(np.int16)
    if "FDAC" in fields:
        fields["FDAC"] = random.integers(0, 16, (kind.cols, kind.rows)).astype(np.int16)
    array = pack(kind, fields)
    assert not faults(kind, array)
    content = encode(array)
    assert len(content) == kind.size
    again = decode(content, name)
    for field, values in fields.items():
        assert np.array_equal(unpack(kind, again, field), values), field


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="153,599 bytes; a pixel map of RD53B has 153,600"):
        decode(bytes(153599), "RD53B")


def test_faults_are_told() -> None:
    kind = chip_type("RD53A")
    array = chip("RD53A").pixels.copy()
    array[10, 20] = 0x80
    array[130, 5] = 0x89
    assert faults(kind, array) == [
        "[10, 20]: TDAC is minus zero (1 such pixels)",
        "[130, 5]: TDAC -1 is not between 0 and 15 (1 such pixels)",
    ]
    assert "an array [2, 2] of uint8" in faults(kind, np.zeros((2, 2), np.uint8))[0]
    fe_i4 = chip("FE-I4B").pixels.copy()
    fe_i4[0, 0, 0] |= 2
    fe_i4[1, 0, 0] |= 0x40
    assert len(faults(chip_type("FE-I4B"), fe_i4)) == 2


def test_another_tdac_in_a_copy() -> None:
    one = chip("RD53B")
    tdac = np.full((400, 384), -7)
    assert np.all(PixelMap(changed(one, tdac=tdac)).tdac == -7)
    assert not np.all(one.map.tdac == -7)
    with pytest.raises(ValueError, match="TDAC is"):
        changed(one, tdac=tdac[:5])


def test_made_chips_look_real() -> None:
    one = chip("RD53B")
    tdac = one.map.tdac
    assert abs(tdac.mean() + 2) < 0.05
    assert abs(tdac.std() - 4) < 0.05
    assert 0.001 < one.map.masked / tdac.size < 0.003
    assert np.array_equal(one.pixels, chip.__wrapped__("RD53B").pixels)
    assert not np.array_equal(one.pixels, chip("RD53B", 2).pixels)
    assert not any(faults(chip_type(name), chip(name).pixels) for name in PIXEL_CHIPS)
