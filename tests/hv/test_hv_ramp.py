"""Channels of different ways arrive together, as well as steps of 1 V/s allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iocs.hv.ramp import Way, arrival_rates

DEMO = [1880.0, 2000.0, 1970.0, 1900.0, 1950.0, 1550.0, 1265.0]


def _arrivals(distances: list[float], base: float, decimals: int = 0) -> tuple[list[float], list[float]]:
    rates = arrival_rates([Way(distance, base, 1.0, decimals) for distance in distances])
    return rates, [distance / rate for distance, rate in zip(distances, rates, strict=True)]


def test_the_demo_ramps_at_100_volts_per_second():
    rates, arrivals = _arrivals(DEMO, 100.0)
    assert rates == [94, 100, 98, 95, 98, 78, 63]
    assert max(arrivals) - min(arrivals) < 0.25
    assert max(arrivals) < 25


@pytest.mark.parametrize(("base", "part"), [(100.0, 0.02), (50.0, 0.02), (30.0, 0.025), (10.0, 0.07)])
def test_slow_ramps_spread_little(base, part):
    rates, arrivals = _arrivals(DEMO, base)
    assert max(arrivals) - min(arrivals) < part * max(arrivals)
    assert max(rates) <= base


def test_decimals_of_the_device_are_used():
    _, arrivals = _arrivals(DEMO, 10.0, decimals=1)
    assert max(arrivals) - min(arrivals) < 0.015 * max(arrivals)


def test_nothing_to_do():
    assert arrival_rates([]) == []
    assert arrival_rates([Way(0.0, 100.0)]) == [100.0]


@given(
    st.lists(st.floats(0, 8000), min_size=1, max_size=24),
    st.integers(1, 500),
    st.integers(0, 1),
)
def test_rates_are_always_what_the_device_takes(distances, base, decimals):
    rates = arrival_rates([Way(distance, float(base), 1.0, decimals) for distance in distances])
    assert len(rates) == len(distances)
    for rate in rates:
        assert 1.0 <= rate <= base
        assert rate == round(rate, decimals)
