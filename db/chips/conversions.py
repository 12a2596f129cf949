"""Numbers of a chip in units of physics, by the Parameter block of its file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ELECTRON = 1.602e-19
"""C, with the digits that the field's software uses."""
BOLTZMANN = 1.38064852e-23
"""J/K"""
KELVIN = 273.15
SENSOR_RATIO = 15.0
"""Of the two bias currents of a transistor as a thermometer."""


def dac_to_electrons(parameters: Mapping[str, Any], dac: float) -> float:
    """Charge (e) that a VCAL difference of `dac` injects: its slope and InjCap, no offset. KeyError."""
    slope = float(parameters["VcalPar"][1]) * 1e-3
    return slope * dac * float(parameters["InjCap"]) * 1e-15 / ELECTRON


def electrons_to_dac(parameters: Mapping[str, Any], electrons: float) -> int:
    """The VCAL difference that injects the charge best. ZeroDivisionError when slope or InjCap are zero."""
    return round(electrons / dac_to_electrons(parameters, 1.0))


def vcal_volts(parameters: Mapping[str, Any], dac: float) -> float:
    """Voltage (V) of a VCAL setting."""
    offset, slope = parameters["VcalPar"][:2]
    return (float(offset) + float(slope) * dac) * 1e-3


def adc_volts(parameters: Mapping[str, Any], counts: float) -> float:
    """Voltage (V) that the chip's ADC reads as `counts`."""
    offset, slope = parameters["ADCcalPar"][:2]
    return (float(offset) + float(slope) * counts) * 1e-3


def adc_amperes(parameters: Mapping[str, Any], counts: float) -> float:
    """Current (A) through the monitor's resistor that the chip's ADC reads as `counts`."""
    return adc_volts(parameters, counts) / float(parameters["ADCcalPar"][2])


def ntc_celsius(parameters: Mapping[str, Any], ohms: float) -> float:
    """Temperature (°C) of an NTC of that resistance, by Steinhart and Hart. ValueError when `ohms` is not positive."""
    if not ohms > 0:
        raise ValueError(f"an NTC has no resistance of {ohms} Ω")
    a, b, c = (float(value) for value in parameters["NtcCalPar"])
    log = math.log(ohms)
    return 1 / (a + b * log + c * log**3) - KELVIN


def sensor_celsius(parameters: Mapping[str, Any], volts: float, sensor: str = "ACB") -> float:
    """Temperature (°C) by the voltage difference (V) of a transistor sensor: ACB, ASLDO or DSLDO. KeyError."""
    ideality = float(parameters[f"Nf{sensor}"])
    return volts * ELECTRON / (ideality * BOLTZMANN * math.log(SENSOR_RATIO)) - KELVIN
