"""The demo's runkey: one FELIX, one optoboard, four RD53B front-ends, a controller and a digital scan.

A first system test of a quad module without data merging. Rx and Tx are those of FELIX, as in files of YARR: it sends
on e-link 2 to all four and receives from each on a link of its own, 4, 0, 12 and 16. (The screens of the first system
test had the two labels the other way round.)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from db.chips.chipfile import chip_payloads, render_chip
from db.chips.connectivity import ChipEntry, Connectivity, render_connectivity
from db.chips.make import make_chip
from db.errors import Exists
from db.nodes import NewChild, NewObject, NewPayload

if TYPE_CHECKING:
    from db.runkeys import RunkeyInfo, Runkeys

NAME = "mmsetup sr1"
TX = 2
RX = (4, 0, 12, 16)
CHIP = "RD53B"
_CONNECTIVITY, _CONTROLLER, _SCAN = "connectivity.json", "controller.json", "scans/std_digitalscan.json"


def controller() -> dict[str, Any]:
    """The readout: a FELIX reached over the network of this computer."""
    return {
        "ctrlCfg": {
            "type": "Netio",
            "cfg": {
                "NetIO": {
                    "host": "127.0.0.1",
                    "txPort": 12350,
                    "rxPort": 12360,
                    "manchester": False,
                    "flip": False,
                    "extend": False,
                    "feType": "rd53b",
                    "bufferSize": 64,
                    "rxWaitTime": 500,
                    "pixFwTrigger": True,
                }
            },
        }
    }


def scan() -> dict[str, Any]:
    """A digital scan: 100 injections into each pixel, 64 mask stages."""
    trigger = {"count": 100, "frequency": 5000, "delay": 58, "time": 0, "noInject": False, "edgeMode": True}
    loops = (
        ("Rd53bParMaskLoop", {"min": 0, "max": 64, "step": 1}),
        ("Rd53bCoreColLoop", {"min": 0, "max": 50, "step": 1, "nSteps": 5}),
        ("Rd53bTriggerLoop", trigger),
        ("StdDataLoop", {}),
    )
    return {
        "scan": {
            "name": "DigitalScan",
            "prescan": {"InjVcalMed": 200, "InjVcalHigh": 2000, "InjDigEn": 1, "Latency": 60},
            "loops": [{"loopAction": action, "config": config} for action, config in loops],
            "histogrammer": _numbered("OccupancyMap", "TotMap", "Tot2Map", "TagDist", "TagMap"),
            "analysis": _numbered("OccupancyAnalysis", "TagAnalysis", "TotAnalysis"),
        }
    }


def _numbered(*algorithms: str) -> dict[str, Any]:
    entries: dict[str, Any] = {str(n): {"algorithm": name, "config": {}} for n, name in enumerate(algorithms)}
    return entries | {"n_count": len(algorithms)}


def chip_files() -> list[bytes]:
    """The chip files of the four front-ends."""
    return [render_chip(make_chip(CHIP, _chip_name(n), seed=n, chip_id=12 + n)) for n in range(len(RX))]


def _chip_name(number: int) -> str:
    return f"Quad1_Chip{number + 1}"


def _config(number: int) -> str:
    return f"configs/{_chip_name(number)}.json"


def yarr_files() -> dict[str, bytes]:
    """The setup as YARR has it: name of a file, relative to the folder -> its bytes."""
    chips = [ChipEntry(_config(n), tx=TX, rx=rx, path="relToCon") for n, rx in enumerate(RX)]
    files = {_config(n): data for n, data in enumerate(chip_files())}
    files[_CONNECTIVITY] = render_connectivity(Connectivity(CHIP, chips))
    files[_CONTROLLER] = _json(controller())
    files[_SCAN] = _json(scan())
    return files


def demo_runkey() -> NewObject:
    """The setup as a tree."""
    board = NewObject("optoboard", "OB1", meta={"connectivity": _CONNECTIVITY, "chipType": CHIP})
    for n, (rx, data) in enumerate(zip(RX, chip_files(), strict=True)):
        chip = NewObject("frontend", f"FE{n + 1}", _chip_name(n), payloads=chip_payloads(data, _config(n)))
        edge = {"rx": rx, "tx": TX, "enable": 1, "locked": 0, "config": _config(n), "path": "relToCon"}
        board.children.append(NewChild(chip, pos=n, meta=edge))
    readout = NewPayload("controller", _json(controller()), "controller_config", "json", _CONTROLLER)
    felix = NewObject("felix", "FELIX1", payloads=[readout], children=[NewChild(board)])
    digital = NewPayload("config", _json(scan()), "scan_config", "json", _SCAN)
    scans = NewObject("scan", "std_digitalscan", payloads=[digital])
    return NewObject("runkey", "", children=[NewChild(felix), NewChild(scans, pos=1)])


def make_demo(runkeys: Runkeys, name: str = NAME) -> RunkeyInfo:
    """Store it, unless there is a runkey of that name already."""
    if not runkeys.exists(name):
        try:
            return runkeys.create(name, demo_runkey(), "The setup of a quad module: 1 FELIX, 1 optoboard, 4 front-ends")
        except Exists:
            pass  # somebody else just made it
    return runkeys.info(name)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=4) + "\n").encode()
