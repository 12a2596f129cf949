from __future__ import annotations

import json
from typing import Any

import pytest

from db.chips.connectivity import (
    ChipEntry,
    Connectivity,
    elink_warnings,
    parse_connectivity,
    render_connectivity,
    shared_rx,
)
from db.errors import BadInput

# as they are in the field: blanks before colons, booleans and numbers, no path
TEXT = b"""{
    "chipType" : "RD53B",
    "chips" : [
        {
            "config" : "configs/fe1.json",
            "path" : "relToCon",
            "tx" : 2,
            "rx" : 0,
            "enable" : 1,
            "locked" : false
        },
        { "config" : "configs/fe2.json", "tx" : 2, "rx" : 4, "enable" : 0, "locked" : 1 },
        { "config" : "configs/fe3.json", "tx" : 66, "rx" : 84 }
    ]
}
"""


def entry(number: int, **changes: Any) -> dict[str, Any]:
    return {"config": f"fe{number}.json", "tx": 0, "rx": 4 * number, "enable": 1, "locked": 0} | changes


def written(*entries: Any, chip: Any = "RD53B") -> bytes:
    return json.dumps({"chipType": chip, "chips": list(entries)}).encode()


def problems(data: bytes, **options: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse_connectivity(data, "con.json", **options)
    return [problem.removeprefix("con.json: ") for problem in caught.value.problems]


def test_reading() -> None:
    found = parse_connectivity(TEXT, "con.json")
    assert found.chip_type == "RD53B"
    assert found.chips == [
        ChipEntry("configs/fe1.json", 2, 0, True, False, "relToCon"),
        ChipEntry("configs/fe2.json", 2, 4, False, True),
        ChipEntry("configs/fe3.json", 66, 84, True, False),
    ]
    assert [chip.name for chip in found.chips] == ["fe1", "fe2", "fe3"]
    assert found.warnings == []


def test_a_tx_may_be_shared_and_an_rx_by_chips_that_are_off() -> None:
    parse_connectivity(written(entry(1, tx=2, rx=4), entry(2, tx=2, rx=4, enable=0)), "con.json")


MISTAKES: dict[str, tuple[bytes, list[str]]] = {
    "no object": (b"[]", ["is a list of 0, not an object with chipType and chips"]),
    "no chip type": (b'{"chips": []}', ["chipType: is missing"]),
    "an unknown chip type": (
        written(entry(1), chip="RD53C"),
        ['chipType: "RD53C" is no chip type; is RD53B meant?'],
    ),
    "a chip type that is a number": (
        written(entry(1), chip=5),
        ["chipType: 5 is no chip type; known are RD53A, RD53B, ITKPIXV2, FEI4B, Star"],
    ),
    "an rx twice": (
        written(entry(1), entry(2, rx=4)),
        ["chips[1].rx: 4 is used by chips[0], too"],
    ),
    "a file twice": (
        written(entry(1), entry(2, config="fe1.json")),
        ['chips[1].config: "fe1.json" is the file of chips[0], too'],
    ),
    "no file": (written({"tx": 0, "rx": 0}), ["chips[0].config: is missing"]),
    "an empty file name": (written(entry(1, config=" ")), ['chips[0].config: is " ", not the name of a file']),
    "a file name with a zero byte": (
        written(entry(1, config="a\0b")),
        ['chips[0].config: is "a\\x00b", not the name of a file'],
    ),
    "a file that is a number": (written(entry(1, config=5)), ["chips[0].config: is 5, not the name of a file"]),
    "no rx": (written({"config": "a", "tx": 0}), ["chips[0].rx: is missing"]),
    "an rx that is a text": (written(entry(1, rx="4")), ['chips[0].rx: is "4", not an integer']),
    "an rx that is a boolean": (written(entry(1, rx=True)), ["chips[0].rx: is true, not an integer"]),
    "a negative tx": (written(entry(1, tx=-2)), ["chips[0].tx: -2 is not between 0 and 4294967295"]),
    "enable 2": (written(entry(1, enable=2)), ["chips[0].enable: is 2, neither 0 nor 1"]),
    "enable null": (written(entry(1, enable=None)), ["chips[0].enable: is null, neither 0 nor 1"]),
    "locked 1.0": (written(entry(1, locked=1.0)), ["chips[0].locked: is 1.0, neither 0 nor 1"]),
    "an unknown path": (
        written(entry(1, path="here")),
        ['chips[0].path: "here" is none of relToExec, relToCon, abs, relToYarrPath, db'],
    ),
    "a key misspelt": (
        written({"config": "a", "tx": 0, "Rx": 0}),
        ["chips[0].Rx: there is no such key; is rx meant?"],
    ),
    "an entry that is a text": (written("a.json"), ['chips[0]: is "a.json", not an object']),
    "chips that are an object": (b'{"chipType": "RD53B", "chips": {}}', ["chips: is an object, not a list"]),
    "a key twice": (b'{"chipType": "RD53B", "chips": [], "chips": []}', ["chips: the key occurs twice in one object"]),
    "no JSON": (TEXT[:-5], [f"line 14, column 4: is cut off: the JSON does not end (after {len(TEXT) - 5} bytes)"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake(case: str) -> None:
    data, expected = MISTAKES[case]
    assert problems(data) == expected


def test_all_mistakes_at_once() -> None:
    data = written(entry(1, tx="x"), entry(2, rx=-1), entry(3), entry(4, rx=12), chip="X")
    assert [problem.split(":")[0] for problem in problems(data)] == [
        "chipType",
        "chips[0].tx",
        "chips[1].rx",
        "chips[3].rx",
    ]


def test_an_absent_chip_file() -> None:
    there = {"fe1.json"}
    assert problems(written(entry(1), entry(2)), exists=lambda chip: chip.config in there) == [
        'chips[1].config: there is no file "fe2.json"'
    ]
    parse_connectivity(written(entry(1)), "con.json", exists=lambda chip: chip.config in there)


def test_elinks_that_felix_has_not_are_warned_of() -> None:
    data = written(entry(1, tx=3, rx=64), entry(2, tx=16, rx=24), entry(3, tx=64 + 14, rx=128 + 20))
    found = parse_connectivity(data, "con.json")
    assert found.warnings == [
        "con.json: chips[0] (fe1): tx 3: FELIX has no downlink 3 (even, 0 to 14)",
        "con.json: chips[1] (fe2): tx 16: FELIX has no downlink 16 (even, 0 to 14);"
        " rx 24: FELIX has no uplink 24 (0, 4, 8, 12, 16, 20)",
    ]
    assert [chip.tx for chip in found.chips] == [3, 16, 78]
    assert parse_connectivity(data, "con.json", felix=False).warnings == []


def test_tx_and_rx_that_look_swapped_are_never_swapped() -> None:
    # the labels of a quad module without merging, the wrong way round
    data = written(*(entry(n, rx=2, tx=tx, enable=int(n == 1)) for n, tx in enumerate((4, 0, 12, 16))))
    found = parse_connectivity(data, "con.json")
    assert [(chip.tx, chip.rx) for chip in found.chips] == [(4, 2), (0, 2), (12, 2), (16, 2)]
    assert all(warning.endswith("are they swapped?") for warning in found.warnings)
    assert len(found.warnings) == 4
    enabled = data.replace(b'"enable": 0', b'"enable": 1')
    assert problems(enabled)[0] == ("chips[1].rx: 2 is used by chips[0], too (their tx differ: are tx and rx swapped?)")


def test_an_rx_in_two_files_of_one_controller() -> None:
    one = parse_connectivity(written(entry(1), entry(2)), "a.json")
    two = parse_connectivity(written(entry(3), entry(4, rx=8), entry(5, rx=4, enable=0)), "b.json")
    assert shared_rx([("a.json", one), ("b.json", two)]) == [
        "b.json: chips[1].rx: 8 is used by chips[1] of a.json, too"
    ]
    assert shared_rx([("a.json", one)]) == []


@pytest.mark.parametrize("chip", ["FEI4B", "ITKPIXV2", "Star", "Star_vH0A1"])
def test_other_chip_types(chip: str) -> None:
    assert parse_connectivity(written(entry(1), chip=chip), "con.json").chip_type == chip


def test_unknown_keys_are_kept() -> None:
    chips = b'"chips": [{"config": "a", "tx": 0, "rx": 0, "geomId": 7}]'
    data = b'{"module": {"serialNumber": "20UPGM"}, "chipType": "RD53A", ' + chips + b"}"
    found = parse_connectivity(data, "con.json")
    assert found.extra == {"module": {"serialNumber": "20UPGM"}}
    assert found.chips[0].extra == {"geomId": 7}
    assert found.warnings == [
        "con.json: module: not known, kept as it is",
        "con.json: chips[0].geomId: not known, kept as it is",
    ]
    assert render_connectivity(found, data) == data
    assert json.loads(render_connectivity(found)) == json.loads(data) | {
        "chips": [{"config": "a", "tx": 0, "rx": 0, "enable": 1, "locked": 0, "geomId": 7}]
    }


def test_the_bytes_come_back() -> None:
    assert render_connectivity(parse_connectivity(TEXT, "con.json"), TEXT) == TEXT


def test_what_is_changed_is_changed_in_place() -> None:
    found = parse_connectivity(TEXT, "con.json")
    found.chips[0].locked = True
    found.chips[0].tx = 14
    found.chips[1].enable = True
    found.chips[1].config = "configs/fe9.json"
    expected = (
        TEXT.replace(b'"locked" : false', b'"locked" : true')
        .replace(b'"tx" : 2,\n', b'"tx" : 14,\n')
        .replace(b'"enable" : 0', b'"enable" : 1')
        .replace(b"fe2", b"fe9")
    )
    assert render_connectivity(found, TEXT) == expected


@pytest.mark.parametrize("change", ["a chip more", "a key more", "no path", "another extra"])
def test_what_does_not_fit_in_place_is_written_anew(change: str) -> None:
    found = parse_connectivity(TEXT, "con.json")
    match change:
        case "a chip more":
            found.chips.append(ChipEntry("fe4.json", 2, 8))
        case "a key more":
            found.chips[2].enable = False
        case "no path":
            found.chips[0].path = ""
        case _:
            found.chips[0].extra["note"] = "x"
    again = render_connectivity(found, TEXT)
    assert parse_connectivity(again, "con.json").chips == found.chips
    assert again.startswith(b'{\n    "chipType": "RD53B",\n    "chips": [{\n            "config": "configs/fe1.json",')


def test_an_original_that_is_none_is_no_hindrance() -> None:
    found = Connectivity("RD53A", [ChipEntry("a.json", 0, 0)])
    assert parse_connectivity(render_connectivity(found, b"{"), "x").chips == found.chips
    assert elink_warnings(found, "x") == []
