"""A channel map with a mistake is refused, and the message says which line of it."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from iocs.hv.config import HvConfig

GOOD: dict[str, Any] = {
    "boards": [{"name": "B0", "address": 0}, {"name": "B1", "address": 1}],
    "channels": [
        {"alias": "L01", "board": "B0", "ch": 0, "layer": 1, "vdef": 1880.0},
        {"alias": "L02", "board": "B1", "ch": 3, "layer": 2, "vdef": 2000.0, "idef": 20.0},
    ],
    "init": {"iset": 40.0},
    "alarms": {"imon_high": 30.0},
}


def _with(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    target: Any = config
    for key in parents:
        target = target[int(key)] if key.isdecimal() else target.setdefault(key, {})
    target[int(last) if last.isdecimal() else last] = value
    return config


def test_a_good_map():
    config = HvConfig.model_validate(GOOD)
    assert [config.idef_of(channel) for channel in config.channels] == [40.0, 20.0]
    assert [c.alias for c in config.channels_of(config.boards[1])] == ["L02"]


def test_the_demo_has_the_production_map():
    demo = tomllib.loads((Path(__file__).parents[2] / "sites" / "demo.toml").read_text())
    (entry,) = [entry for entry in demo["ioc"] if entry["kind"] == "hv"]
    config = HvConfig.model_validate(entry["config"])
    assert len(config.channels) == 24
    assert sum(channel.vdef for channel in config.channels) == 40365.0
    assert [c.alias for c in config.channels if c.vdef == 0] == ["F", "R1", "R2"]
    assert max(channel.vdef for channel in config.channels) / config.ramp_up < 25.0


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("channels.1.alias", "L01", "alias L01 is given twice"),
        ("channels.1.alias", "B1", "B1 names a board and a channel"),
        ("channels.1.alias", "L 2", "cannot be part of a PV name"),
        ("channels.1.alias", "L2:", "cannot be part of a PV name"),
        ("channels.1.alias", "IOC", "prefix of the IOC's own PVs"),
        ("channels.1.board", "B7", "channels.1.board: no board 'B7'; boards are B0, B1"),
        ("channels.1.ch", 4, "channels.1.ch: board B1 has channels 0..3, not 4"),
        ("channels.1.colour", "red", "colour"),
        ("channels.1.vdef", -1.0, "greater than or equal to 0"),
        ("channels.1.vdef", float("nan"), "finite"),
        ("channels.1.vset_max", 1500.0, "L02: vdef 2000 V is above vset_max 1500 V"),
        ("channels.1.vmon_high", 5000.0, None),
        (
            "channels.1",
            {**GOOD["channels"][1], "imon_high": 9, "imon_hihi": 8},
            "L02: imon_high 9 is above imon_hihi 8",
        ),
        ("boards.1.name", "B0", "board name B0 is given twice"),
        ("boards.1.address", 0, "boards.1.address: address 0 is given twice (B0, B1)"),
        ("boards.1.address", 32, "less than or equal to 31"),
        ("boards", [], "at least 1 item"),
        ("channels", [], "at least 1 item"),
        ("init.trip", 2000.0, "less than or equal to 1000"),
        ("init.pdwn", "DROP", "'RAMP' or 'KILL'"),
        ("line.period", 0.0, "greater than or equal to 0.05"),
        ("alarms.imon_hihi", 10.0, "imon_high 30 is above imon_hihi 10"),
        ("ramp_up", 0.5, "greater than or equal to 1"),
        ("rampup", 5, "rampup"),
    ],
)
def test_a_mistake_is_named(path, value, says):
    config = _with(path, value)
    if says is None:
        HvConfig.model_validate(config)
        return
    with pytest.raises(ValidationError) as caught:
        HvConfig.model_validate(config)
    assert says in str(caught.value)


def test_all_mistakes_of_the_map_come_at_once():
    config = _with("channels.1.alias", "L01")
    config["channels"].append({"alias": "L03", "board": "B0", "ch": 0, "layer": 3})
    config["channels"].append({"alias": "L04", "board": "B9", "ch": 0, "layer": 3})
    with pytest.raises(ValidationError) as caught:
        HvConfig.model_validate(config)
    text = str(caught.value)
    assert "alias L01 is given twice" in text
    assert "B0 channel 0 is given to more than one alias (L01, L03)" in text
    assert "no board 'B9'" in text
