from __future__ import annotations

import math

import pytest
from chip_samples import chip

from db.chips.conversions import (
    adc_amperes,
    adc_volts,
    dac_to_electrons,
    electrons_to_dac,
    ntc_celsius,
    sensor_celsius,
    vcal_volts,
)
from db.chips.registers import chip_type

RD53B = {name: parameter.default for name, parameter in chip_type("RD53B").parameters.items()}
RD53A = {name: parameter.default for name, parameter in chip_type("RD53A").parameters.items()}


def test_charge() -> None:
    assert dac_to_electrons(RD53B, 1) == pytest.approx(9.395, abs=0.002)
    assert dac_to_electrons(RD53A, 1) == pytest.approx(11.0, abs=0.01)
    assert electrons_to_dac(RD53B, 6000) == 639
    assert all(electrons_to_dac(RD53B, dac_to_electrons(RD53B, dac)) == dac for dac in range(0, 4096, 17))
    assert electrons_to_dac(chip("RD53B").config["Parameter"], 1000) > 90


def test_voltages_and_currents() -> None:
    assert vcal_volts(RD53B, 1000) == pytest.approx(0.20116)
    assert adc_volts(RD53B, 0) == pytest.approx(0.00589435)
    assert adc_volts(RD53B, 4095) == pytest.approx(0.7923, abs=1e-4)
    assert adc_amperes(RD53B, 4095) == pytest.approx(0.7923 / 4990, rel=1e-3)


def test_temperatures() -> None:
    # 10 kΩ at room temperature, less when warmer
    assert 15 < ntc_celsius(RD53B, 10_000) < 30
    assert ntc_celsius(RD53B, 5000) > ntc_celsius(RD53B, 10_000)
    with pytest.raises(ValueError, match="no resistance"):
        ntc_celsius(RD53B, 0)
    with pytest.raises(ValueError, match="no resistance"):
        ntc_celsius(RD53B, math.nan)
    volts = 1.264 * 1.38064852e-23 * 300 * math.log(15) / 1.602e-19
    assert sensor_celsius(RD53B, volts) == pytest.approx(26.85)
    assert sensor_celsius(RD53B, volts, "DSLDO") == pytest.approx(26.85)
    with pytest.raises(KeyError):
        sensor_celsius(RD53A, volts)
