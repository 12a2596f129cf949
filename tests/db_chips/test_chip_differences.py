from __future__ import annotations

import numpy as np
import pytest
from chip_samples import chip

from db.chips.chipfile import changed
from db.chips.differences import ENABLE, HITBUS, INJEN, OTHER, TDAC, json_diff, pixel_diff


def test_equal_maps() -> None:
    found = pixel_diff(chip("RD53B").pixels, chip("RD53B").pixels.copy())
    assert not found
    assert (found.pixels, found.tdac_mean, found.tdac_rms) == (0, 0, 0)
    assert not found.map.any()
    assert found.as_text() == "no pixel differs"


def test_counts_and_shift() -> None:
    before = chip("RD53B").pixels
    tdac = np.zeros((400, 384))
    enable = np.ones((400, 384))
    start = changed(chip("RD53B"), tdac=tdac, enable=enable)
    tdac[:40] = 3
    tdac[0, 0] = -15
    enable[100, :10] = 0
    after = changed(chip("RD53B"), tdac=tdac, enable=enable)
    after[399, 383] ^= 2
    after[399, 382] ^= 4
    found = pixel_diff(start, after)
    assert (found.enable, found.masked, found.unmasked) == (10, 10, 0)
    assert (found.injen, found.hitbus, found.tdac, found.other) == (1, 1, 40 * 384, 0)
    assert found.pixels == 40 * 384 + 12
    shift = (3 * (40 * 384 - 1) - 15) / 153600
    assert found.tdac_mean == pytest.approx(shift)
    assert found.tdac_rms == pytest.approx(np.sqrt((9 * (40 * 384 - 1) + 225) / 153600))
    assert found.map[0, 0] == TDAC
    assert found.map[100, 0] == ENABLE
    assert found.map[399, 383] == INJEN
    assert found.map[399, 382] == HITBUS
    back = pixel_diff(after, start)
    assert (back.masked, back.unmasked) == (0, 10)
    assert np.array_equal(back.map, found.map)
    assert found.as_text() == (
        "15,372 pixels differ; 10 masked, 0 unmasked; InjEn 1; Hitbus 1; TDAC 15,360 (shift +0.300, rms 0.949)"
    )
    assert found.as_dict()["tdac"] == 15360
    assert pixel_diff(before, start).map.shape == (400, 384)


def test_fe_i4_has_more_to_differ() -> None:
    before = chip("FE-I4B").pixels
    after = before.copy()
    after[1, 3, 4] ^= 4
    after[0, 5, 6] ^= 0x80  # TDAC by 16
    found = pixel_diff(before, after)
    assert (found.other, found.tdac, found.pixels) == (1, 1, 2)
    assert found.map[3, 4] == OTHER
    assert abs(found.tdac_mean) == pytest.approx(16 / (80 * 336))


def test_maps_of_different_sizes() -> None:
    with pytest.raises(ValueError, match="can't be compared"):
        pixel_diff(chip("RD53A").pixels, chip("RD53B").pixels)


def test_json() -> None:
    a = {"G": {"x": 1, "y": 2, "gone": 0}, "P": {"list": [1, 2, 3], "deep": [{"k": 1}]}, "same": [1, {"a": None}]}
    b = {"same": [1, {"a": None}], "P": {"deep": [{"k": 2}], "list": [1, 5]}, "G": {"y": 2, "x": True, "new": None}}
    assert json_diff(a, b) == [
        ("G.x", 1, True),
        ("G.gone", 0, None),
        ("G.new", None, None),
        ("P.list[1]", 2, 5),
        ("P.list[2]", 3, None),
        ("P.deep[0].k", 1, 2),
    ]
    assert json_diff(a, a) == []
    assert json_diff(1, 1.0) == [("", 1, 1.0)]
    assert json_diff([1], {"0": 1}) == [("", [1], {"0": 1})]
