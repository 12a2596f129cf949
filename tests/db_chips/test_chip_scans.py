from __future__ import annotations

import json
from typing import Any

import pytest

from db.chips.controller import parse_controller
from db.chips.scans import parse_scan
from db.errors import BadInput

SCAN: dict[str, Any] = {
    "scan": {
        "analysis": {
            "0": {"algorithm": "ScurveFitter"},
            "1": {"algorithm": "ParameterAnalysis"},
            "2": {"algorithm": "OccupancyAnalysis"},
            "n_count": 2,
        },
        "histogrammer": {"0": {"algorithm": "OccupancyMap", "config": {}}, "n_count": 1},
        "loops": [
            {"config": {"max": 64, "min": 0, "step": 1}, "loopAction": "Rd53bParMaskLoop"},
            {"config": {"max": 300, "min": 0, "step": 5, "parameter": "InjVcalDiff"}, "loopAction": "StdParameterLoop"},
            {"config": {"max": 50, "min": 0, "step": 1, "nSteps": 5}, "loopAction": "Rd53bCoreColLoop"},
            {"config": {"count": 50, "frequency": 8000}, "loopAction": "Rd53b2TriggerLoop"},
            {"loopAction": "StdDataLoop"},
        ],
        "name": "ThresholdScan",
        "prescan": {"InjDigEn": 0, "InjVcalMed": 200, "InjVcalDiff": 0, "DiffTh1": 400, "Latency": 56},
    }
}


def scan(**changes: Any) -> bytes:
    return json.dumps({"scan": SCAN["scan"] | changes}).encode()


def scan_problems(data: bytes) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse_scan(data, "s.json")
    return [problem.removeprefix("s.json: ") for problem in caught.value.problems]


def test_a_scan() -> None:
    found = parse_scan(scan(), "s.json")
    assert (found.name, found.chip_type) == ("ThresholdScan", "RD53B")
    assert [action for action, _ in found.loops][:2] == ["Rd53bParMaskLoop", "StdParameterLoop"]
    assert found.analyses == ["ScurveFitter", "ParameterAnalysis"]
    assert found.histogrammers == ["OccupancyMap"]
    assert found.warnings == ["s.json: scan.analysis: n_count is 2, so 2 is not run"]


SCANS: dict[str, tuple[bytes, list[str]]] = {
    "no scan": (b"{}", ["scan: there is no such object, so it is no scan configuration"]),
    "empty": (b"", ["is empty"]),
    "no loops": (scan(loops=None), ["scan.loops: is missing"]),
    "empty loops": (scan(loops=[]), ["scan.loops: is a list of 0, not a list of loops"]),
    "a loop without action": (scan(loops=[{}]), ["scan.loops[0].loopAction: is missing"]),
    "a loop that is a text": (scan(loops=["x"]), ['scan.loops[0]: is "x", not an object']),
    "an endless loop": (
        scan(loops=[{"loopAction": "X", "config": {"step": 0}}]),
        ["scan.loops[0].config.step: is 0: the loop does not end"],
    ),
    "a loop backwards": (
        scan(loops=[{"loopAction": "X", "config": {"min": 5, "max": 1}}]),
        ["scan.loops[0].config: min 5 is above max 1"],
    ),
    "a loop from a text": (
        scan(loops=[{"loopAction": "X", "config": {"min": "0"}}]),
        ['scan.loops[0].config.min: is "0", not a number'],
    ),
    "loops of two chips": (
        scan(loops=[{"loopAction": "Rd53aMaskLoop"}, {"loopAction": "Rd53bMaskLoop"}], prescan={}),
        ["scan.loops: are for several chip types: RD53A, RD53B"],
    ),
    "an unknown register": (
        scan(prescan={"InjVcalMid": 1}),
        ["scan.prescan.InjVcalMid: RD53B has no such register; is InjVcalMed meant?"],
    ),
    "a register out of range": (scan(prescan={"Latency": 512}), ["scan.prescan.Latency: 512 is not between 0 and 511"]),
    "a register that is a text": (scan(prescan={"Latency": "1"}), ['scan.prescan.Latency: is "1", not an integer']),
    "a count too high": (
        scan(analysis={"0": {"algorithm": "X"}, "n_count": 2}),
        ["scan.analysis.1: is missing; n_count is 2"],
    ),
    "a count that is a text": (
        scan(analysis={"n_count": "2"}),
        ['scan.analysis.n_count: is "2", not a number of entries'],
    ),
    "an analysis without algorithm": (
        scan(analysis={"0": {}, "n_count": 1}),
        ["scan.analysis.0.algorithm: is null, not a text"],
    ),
    "a name that is none": (scan(name=5), ["scan.name: is 5, not a text"]),
}


@pytest.mark.parametrize("case", SCANS)
def test_a_mistake_in_a_scan(case: str) -> None:
    data, expected = SCANS[case]
    assert scan_problems(data) == expected


def test_histogrammers_may_be_a_list() -> None:
    found = parse_scan(scan(histogrammer=[{"algorithm": "OccupancyMap"}, {"algorithm": "TotMap"}]), "s.json")
    assert found.histogrammers == ["OccupancyMap", "TotMap"]


def test_scans_of_other_detectors_are_taken() -> None:
    found = parse_scan(scan(loops=[{"loopAction": "StarMaskLoop"}], prescan={"Anything": "x"}), "s.json")
    assert found.chip_type == ""


def controller(kind: Any, **config: Any) -> bytes:
    return json.dumps({"ctrlCfg": {"type": kind, "cfg": config}}).encode()


def controller_problems(data: bytes) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse_controller(data, "c.json")
    return [problem.removeprefix("c.json: ") for problem in caught.value.problems]


def test_controllers() -> None:
    netio = parse_controller(
        controller("Netio", NetIO={"host": "127.0.0.1", "txPort": 12340, "rxPort": 12350}), "c.json"
    )
    assert netio.felix
    assert netio.config["NetIO"]["rxPort"] == 12350
    assert parse_controller(controller("FelixClient", FelixClient={"busDir": "./bus"}, ToFLX={}), "c.json").felix
    assert not parse_controller(controller("spec", specNum=0), "c.json").felix
    assert not parse_controller(controller("emu_Itkpixv2"), "c.json").warnings
    assert parse_controller(controller("YetAnother"), "c.json").warnings == [
        'c.json: ctrlCfg.type: "YetAnother" is not known, kept as it is'
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", "ctrlCfg: there is no such object, so it is no controller file"),
        (
            b'{"ctrlcfg": {}}',
            "ctrlCfg: there is no such object, so it is no controller file; is ctrlcfg meant to be it?",
        ),
        (controller(5), "ctrlCfg.type: is 5, not one of spec, emu, "),
        (
            controller("FelixCient", FelixClient={}),
            'ctrlCfg.type: "FelixCient" is no controller; is FelixClient meant?',
        ),
        (controller("Netio"), "ctrlCfg.cfg.NetIO: there is no such object"),
        (controller("Netio", NetIO={"txPort": 123400}), "ctrlCfg.cfg.NetIO.txPort: 123400 is no port, 1 to 65535"),
        (controller("Netio", NetIO={"txPort": "12340"}), 'ctrlCfg.cfg.NetIO.txPort: "12340" is no port, 1 to 65535'),
        (b'{"ctrlCfg": {"type": "emu", "cfg": []}}', "ctrlCfg.cfg: is a list of 0, not an object"),
    ],
)
def test_a_mistake_in_a_controller(data: bytes, expected: str) -> None:
    assert controller_problems(data)[0].startswith(expected)
