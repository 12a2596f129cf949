"""Made-up chip configurations that look like real ones, for tests, demo and benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np

from db.chips.chipfile import ChipConfig
from db.chips.pixels import pack
from db.chips.registers import ChipType, chip_type

MASKED = 0.002
"""Share of the pixels that are not read out."""


def make_chip(chip: str, name: str, seed: int, tuned: bool = True, chip_id: int | None = None) -> ChipConfig:
    """A configuration of a chip of that type; equal for equal arguments.

    `tuned`: TDACs normal around -2 with a sigma of 4, some pixels masked, trims and calibration of a chip that was
    measured; otherwise the defaults. KeyError when there is no such chip type.
    """
    kind = chip_type(chip)
    random = np.random.default_rng([seed, *name.encode()])
    registers = {key: register.shipped for key, register in kind.registers.items()}
    registers |= {key: 0 for key, virtual in kind.virtual.items() if virtual.in_file}
    parameters = {key: parameter.default for key, parameter in kind.parameters.items()}
    number = chip_id if chip_id is not None else int(random.integers(0, 16))
    if "ChipId" in parameters:
        parameters |= {"ChipId": number, "Name": name}
    else:
        parameters["chipId"] = number
    if tuned:
        _measure(registers, parameters, random)
    config: dict[str, Any] = {
        "GlobalConfig": dict(sorted(registers.items())),
        "Parameter": dict(sorted(parameters.items())),
    }
    if not kind.registers:
        config["name"] = name
    return ChipConfig(kind.name, name, number, config, _pixels(kind, random, tuned))


def _measure(registers: dict[str, int], parameters: dict[str, Any], random: np.random.Generator) -> None:
    """What differs from chip to chip."""
    for key, low, high in (
        ("SldoTrimA", 4, 13),
        ("SldoTrimD", 4, 13),
        ("DiffTh1L", 180, 320),
        ("DiffTh1R", 180, 320),
        ("DiffTh1M", 180, 320),
        ("DiffVth1", 200, 320),
        ("LinVth", 380, 420),
    ):
        if key in registers:
            registers[key] = int(random.integers(low, high))
    for key, mean, sigma in (
        ("InjCap", None, 0.1),
        ("NfACB", 1.264, 0.015),
        ("NfASLDO", 1.264, 0.015),
        ("NfDSLDO", 1.264, 0.015),
        ("KSenseInA", 21000.0, 300.0),
        ("KSenseInD", 21000.0, 300.0),
    ):
        if key in parameters:
            parameters[key] = round(float(random.normal(parameters[key] if mean is None else mean, sigma)), 4)


def _pixels(kind: ChipType, random: np.random.Generator, tuned: bool) -> Any:
    shape = (kind.cols, kind.rows)
    fields = {field: np.zeros(shape, np.int16) for field in kind.fields}
    fields["Hitbus"][:] = 1
    fields["Enable"][:] = 1
    if tuned:
        least, most = kind.tdac_range()
        middle = np.where(least < 0, -2.0, (most + 1) / 2)[:, None]
        tdac = random.standard_normal(shape, np.float32) * 4 + middle
        fields["TDAC"] = np.clip(np.rint(tdac), least[:, None], most[:, None]).astype(np.int16)
        masked = random.random(shape, np.float32) < MASKED
        fields["Enable"][masked] = 0
        fields["Hitbus"][masked] = 0
    if "FDAC" in fields:
        fields["FDAC"][:] = 7
        fields["LCap"][:] = fields["SCap"][:] = 1
    return pack(kind, fields)
