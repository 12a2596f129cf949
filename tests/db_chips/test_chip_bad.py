"""Chip files that are refused: every mistake is named, with the file and the place in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from chip_samples import chip_bytes, tree, written

from db.chips.chipfile import chip_payloads, parse_chip
from db.chips.problems import MOST, nearest
from db.chips.registers import chip_type
from db.errors import BadInput


def problems(data: bytes, **options: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse_chip(data, "x.json", **options)
    with pytest.raises(BadInput) as again:
        chip_payloads(data, "x.json", **options)
    assert again.value.problems == caught.value.problems
    assert all(problem.startswith("x.json: ") for problem in caught.value.problems)
    return [problem.removeprefix("x.json: ") for problem in caught.value.problems]


Change = Callable[[dict[str, Any]], object]

CONFIG: dict[str, tuple[Change, str]] = {
    "an unknown register": (
        lambda c: c["GlobalConfig"].update(Nonsense=1),
        "RD53B.GlobalConfig.Nonsense: there is no such register",
    ),
    "one like another": (
        lambda c: c["GlobalConfig"].update(DiffTh1X=1),
        "RD53B.GlobalConfig.DiffTh1X: there is no such register; is DiffTh1R meant?",
    ),
    "a missing register": (
        lambda c: c["GlobalConfig"].pop("Latency"),
        "RD53B.GlobalConfig: 1 register missing: Latency",
    ),
    "too large": (
        lambda c: c["GlobalConfig"].update(Latency=512),
        "RD53B.GlobalConfig.Latency: 512 is not between 0 and 511 (9 bits)",
    ),
    "negative": (
        lambda c: c["GlobalConfig"].update(VrefIn=-1),
        "RD53B.GlobalConfig.VrefIn: -1 is not between 0 and 1 (1 bit)",
    ),
    "a boolean": (
        lambda c: c["GlobalConfig"].update(VrefIn=True),
        "RD53B.GlobalConfig.VrefIn: is true, not an integer",
    ),
    "a float": (
        lambda c: c["GlobalConfig"].update(Latency=60.0),
        "RD53B.GlobalConfig.Latency: is 60.0, not an integer",
    ),
    "a text": (lambda c: c["GlobalConfig"].update(Latency="60"), 'RD53B.GlobalConfig.Latency: is "60", not an integer'),
    "null": (lambda c: c["GlobalConfig"].update(Latency=None), "RD53B.GlobalConfig.Latency: is null, not an integer"),
    "a list": (
        lambda c: c["GlobalConfig"].update(Latency=[1]),
        "RD53B.GlobalConfig.Latency: is a list of 1, not an integer",
    ),
    "huge": (
        lambda c: c["GlobalConfig"].update(Latency=2**63),
        "RD53B.GlobalConfig.Latency: 9223372036854775808 is not between 0 and 511 (9 bits)",
    ),
    "larger than integers are": (
        lambda c: c["GlobalConfig"].update(Latency=2**70),
        "RD53B.GlobalConfig.Latency: is 1.1805916207174113e+21, not an integer",
    ),
    "no registers": (lambda c: c.pop("GlobalConfig"), "RD53B: 1 key missing: GlobalConfig"),
    "registers in a list": (lambda c: c.update(GlobalConfig=[]), "RD53B.GlobalConfig: is a list of 0, not an object"),
    "a key of its own": (lambda c: c.update(Extra=1), "RD53B.Extra: there is no such key"),
    "a block misspelt": (
        lambda c: c.update(Parameters=c.pop("Parameter")),
        "RD53B.Parameters: there is no such key; Parameter was probably meant, which is missing",
    ),
    "an unknown parameter": (
        lambda c: c["Parameter"].update(MOScalPar=1.26),
        "RD53B.Parameter.MOScalPar: there is no such parameter; is VcalPar meant?",
    ),
    "a missing parameter": (lambda c: c["Parameter"].pop("Name"), "RD53B.Parameter: 1 parameter missing: Name"),
    "a name that is none": (lambda c: c["Parameter"].update(Name=5), "RD53B.Parameter.Name: is 5, not a text"),
    "a name with a line break": (
        lambda c: c["Parameter"].update(Name="a\nb"),
        'RD53B.Parameter.Name: "a\\nb" is not a name of at most 100 printable characters',
    ),
    "a chip id that is too large": (
        lambda c: c["Parameter"].update(ChipId=16),
        "RD53B.Parameter.ChipId: 16 is not between 0 and 15",
    ),
    "a chip id that is a float": (
        lambda c: c["Parameter"].update(ChipId=1.0),
        "RD53B.Parameter.ChipId: is 1.0, not an integer",
    ),
    "a capacitance that is a text": (
        lambda c: c["Parameter"].update(InjCap="7.5"),
        'RD53B.Parameter.InjCap: is "7.5", not a number',
    ),
    "a switch that is a number": (
        lambda c: c["Parameter"].update(EnforceNameIdCheck=1),
        "RD53B.Parameter.EnforceNameIdCheck: is 1, neither true nor false",
    ),
    "too few numbers": (
        lambda c: c["Parameter"].update(VcalPar=[1.0]),
        "RD53B.Parameter.VcalPar: is a list of 1, not a list of 2 numbers",
    ),
    "a number that is a text": (
        lambda c: c["Parameter"].update(VcalPar=[1.0, "2"]),
        'RD53B.Parameter.VcalPar: [1] is "2", not a number',
    ),
    "parameters that are null": (lambda c: c.update(Parameter=None), "RD53B.Parameter: is null, not an object"),
}


@pytest.mark.parametrize("case", CONFIG)
def test_a_mistake_outside_of_the_pixels(case: str) -> None:
    change, expected = CONFIG[case]
    value = tree("RD53B")
    change(value["RD53B"])
    assert problems(written(value)) == [expected]


def line(c: dict[str, Any], number: int) -> dict[str, Any]:
    return c["PixelConfig"][number]


def put(c: dict[str, Any], number: int, field: str, at: int, value: object) -> None:
    line(c, number)[field][at] = value


PIXELS: dict[str, tuple[Change, str]] = {
    "too few columns": (lambda c: c["PixelConfig"].pop(), "RD53A.PixelConfig: has 399 columns; RD53A has 400"),
    "too many columns": (
        lambda c: c["PixelConfig"].append(dict(line(c, 0), Col=400)),
        "RD53A.PixelConfig: has 401 columns; RD53A has 400",
    ),
    "too few rows": (lambda c: line(c, 12)["TDAC"].pop(), "RD53A.PixelConfig[12].TDAC: has 191 rows; RD53A has 192"),
    "too many rows": (
        lambda c: line(c, 12)["Enable"].append(1),
        "RD53A.PixelConfig[12].Enable: has 193 rows; RD53A has 192",
    ),
    "an empty list": (
        lambda c: line(c, 12).update(Enable=[]),
        "RD53A.PixelConfig[12].Enable: has 0 rows; RD53A has 192",
    ),
    "no list": (lambda c: line(c, 12).update(Enable=1), "RD53A.PixelConfig[12].Enable: is 1, not a list of 192"),
    "enable 2": (lambda c: put(c, 399, "Enable", 7, 2), "RD53A.PixelConfig[399].Enable[7]: is 2, neither 0 nor 1"),
    "enable true": (
        lambda c: put(c, 399, "Enable", 7, True),
        "RD53A.PixelConfig[399].Enable[7]: is true, not an integer",
    ),
    "hitbus -1": (lambda c: put(c, 0, "Hitbus", 0, -1), "RD53A.PixelConfig[0].Hitbus[0]: is -1, neither 0 nor 1"),
    "injen 1.0": (lambda c: put(c, 0, "InjEn", 0, 1.0), "RD53A.PixelConfig[0].InjEn[0]: is 1.0, not an integer"),
    "tdac null": (lambda c: put(c, 0, "TDAC", 0, None), "RD53A.PixelConfig[0].TDAC[0]: is null, not an integer"),
    "tdac text": (lambda c: put(c, 0, "TDAC", 0, "3"), 'RD53A.PixelConfig[0].TDAC[0]: is "3", not an integer'),
    "tdac of a LIN column": (
        lambda c: put(c, 263, "TDAC", 5, -1),
        "RD53A.PixelConfig[263].TDAC[5]: -1 is not between 0 and 15",
    ),
    "tdac of a DIFF column": (
        lambda c: put(c, 264, "TDAC", 5, -16),
        "RD53A.PixelConfig[264].TDAC[5]: -16 is not between -15 and 15",
    ),
    "tdac 16": (
        lambda c: put(c, 399, "TDAC", 191, 16),
        "RD53A.PixelConfig[399].TDAC[191]: 16 is not between -15 and 15",
    ),
    "tdac huge": (
        lambda c: put(c, 300, "TDAC", 0, 2**62),
        "RD53A.PixelConfig[300].TDAC[0]: 4611686018427387904 is not between -15 and 15",
    ),
    "several in a list": (
        lambda c: line(c, 300).update(TDAC=[99] * 192),
        "RD53A.PixelConfig[300].TDAC[0]: 99 is not between -15 and 15 (and 191 more of this list)",
    ),
    "a column out of its turn": (
        lambda c: line(c, 399).update(Col=500),
        "RD53A.PixelConfig[399].Col: 500 is not between 0 and 399",
    ),
    "a column that is a text": (
        lambda c: line(c, 5).update(Col="5"),
        'RD53A.PixelConfig[5].Col: is "5", not an integer',
    ),
    "a column twice": (lambda c: line(c, 5).update(Col=4), "RD53A.PixelConfig[5].Col: 4 occurs twice"),
    "a field missing": (lambda c: line(c, 5).pop("TDAC"), "RD53A.PixelConfig[5]: TDAC is missing"),
    "a field misspelt": (
        lambda c: line(c, 5).update(TDAc=line(c, 5).pop("TDAC")),
        "RD53A.PixelConfig[5].TDAc: there is no such key; is TDAC meant?",
    ),
    "a field too many": (lambda c: line(c, 5).update(Gain=1), "RD53A.PixelConfig[5].Gain: there is no such key"),
    "a column that is a list": (
        lambda c: c["PixelConfig"].__setitem__(5, []),
        "RD53A.PixelConfig[5]: is a list of 0, not an object",
    ),
    "no pixels": (lambda c: c.pop("PixelConfig"), "RD53A: PixelConfig is missing"),
    "pixels that are an object": (
        lambda c: c.update(PixelConfig={}),
        "RD53A.PixelConfig: is an object, not a list of 400",
    ),
}


@pytest.mark.parametrize("case", PIXELS)
def test_a_mistake_in_the_pixels(case: str) -> None:
    change, expected = PIXELS[case]
    value = tree("RD53A")
    change(value["RD53A"])
    assert problems(written(value)) == [expected]


def test_columns_out_of_order() -> None:
    value = tree("RD53A")
    columns = value["RD53A"]["PixelConfig"]
    columns[3], columns[4] = columns[4], columns[3]
    assert problems(written(value)) == [
        "RD53A.PixelConfig[3].Col: is 4, 3 is its turn",
        "RD53A.PixelConfig[4].Col: is 3, 4 is its turn",
    ]


def test_sync_columns_keep_whatever_files_say() -> None:
    # their pixels have no TDAC, but the files of the field have a 7 there
    value = tree("RD53A")
    value["RD53A"]["PixelConfig"][0]["TDAC"] = [7] * 192
    assert parse_chip(written(value), "x.json").map.tdac[0, 0] == 7


def test_mistakes_of_fe_i4() -> None:
    value = tree("FE-I4B")
    block = value["FE-I4B"]
    block["GlobalConfig"] = {"Whatever": [1, "registers are free"]}
    parse_chip(written(value), "x.json")
    block["PixelConfig"][0]["FDAC"][1] = 16
    block["PixelConfig"][1]["TDAC"][79] = -1
    block["PixelConfig"][2]["Row"] = 0
    block["PixelConfig"][3]["LCap"] = [0] * 336
    block["name"] = 5
    assert problems(written(value)) == [
        "FE-I4B.name: is 5, not a text",
        "FE-I4B.PixelConfig[0].FDAC[1]: 16 is not between 0 and 15",
        "FE-I4B.PixelConfig[1].TDAC[79]: -1 is not between 0 and 31",
        "FE-I4B.PixelConfig[2].Row: 0 is not between 1 and 336",
        "FE-I4B.PixelConfig[3].LCap: has 336 columns; FE-I4B has 80",
    ]


def test_what_scanning_made_of_names() -> None:
    value = tree("RD53B")
    registers, parameters = value["RD53B"]["GlobalConfig"], value["RD53B"]["Parameter"]
    for wrong, right in (("CmlBiasO", "CmlBias0"), ("CmlBiasI", "CmlBias1"), ("DataMergeOutMox2", "DataMergeOutMux2")):
        registers[wrong] = registers.pop(right)
    registers["DiffPreampML"] = 500
    parameters["NfdSLDO"] = parameters.pop("NfDSLDO")
    found = problems(written(value))
    assert found == [
        "RD53B.GlobalConfig.CmlBiasO: there is no such register; CmlBias0 was probably meant, which is missing",
        "RD53B.GlobalConfig.CmlBiasI: there is no such register; CmlBias1 was probably meant, which is missing",
        "RD53B.GlobalConfig.DataMergeOutMox2: there is no such register; DataMergeOutMux2 was probably meant,"
        " which is missing",
        "RD53B.GlobalConfig.DiffPreampML: there is no such register; is DiffPreampM meant?",
        "RD53B.Parameter.NfdSLDO: there is no such parameter; NfDSLDO was probably meant, which is missing",
    ]


@pytest.mark.parametrize("word", ["CmlBiasO", "cmlbias0", "CMLBIAS0", "CmlBiasO0"])
def test_nearest_name(word: str) -> None:
    assert nearest(word, chip_type("RD53B").registers) == "CmlBias0"


def test_all_at_once_but_not_endlessly() -> None:
    value = tree("RD53B")
    for column in value["RD53B"]["PixelConfig"]:
        column["TDAC"][0] = 99
    value["RD53B"]["GlobalConfig"]["Latency"] = -1
    value["RD53B"]["Parameter"]["ChipId"] = "x"
    found = problems(written(value))
    assert len(found) == MOST + 1
    assert found[0].startswith("RD53B.GlobalConfig.Latency")
    assert found[1].startswith("RD53B.Parameter.ChipId")
    assert found[-1] == "and 383 more"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark; save it as plain UTF-8"),
        (b'{"a": "\xff"}', "is not JSON: byte 7 is not UTF-8 (invalid start byte)"),
        (b"{}", "is empty; wanted is one of the keys RD53A, RD53B, ITKPIXV2, FE-I4B"),
        (b"[1]", "is a list of 1, not an object with one of the keys RD53A, RD53B, ITKPIXV2, FE-I4B"),
        (b"5", "is 5, not an object with one of the keys RD53A, RD53B, ITKPIXV2, FE-I4B"),
        (b'{"RD53C": {}}', "RD53C: there is no such chip type; is RD53"),
        (b'{"chips": []}', "chips: there is no such chip type; known are RD53A, RD53B, ITKPIXV2, FE-I4B"),
        (b'{"RD53B": 5}', "RD53B: is 5, not an object"),
        (b'{"RD53A": {}, "RD53B": {}}', "is of several chips at once: RD53A, RD53B"),
        (b"\x00\x01\x02", "line 1, column 1: is not JSON"),
        (b"\x89PNG\r\n\x1a\n", "is not JSON: byte 0 is not UTF-8 (invalid start byte)"),
        (b"[" * 100_000, "is nested deeper than 60 levels"),
        (b'{"RD53B":' * 5000 + b"1" + b"}" * 5000, "is nested deeper than 60 levels"),
        (b'{"RD53B":' * 200 + b"1" + b"}" * 200, "is nested deeper than 60 levels"),
    ],
)
def test_no_chip_file_at_all(data: bytes, expected: str) -> None:
    found = problems(data)
    assert found[0].startswith(expected), found


def test_json_that_is_none() -> None:
    text = chip_bytes("RD53A", "yarr")
    assert problems(text[:-2])[0].endswith(f"is cut off: the JSON does not end (after {len(text) - 2:,} bytes)")
    assert problems(text[:500_000])[0].endswith("is cut off: the JSON does not end (after 500,000 bytes)")
    for constant in (b"NaN", b"Infinity", b"-Infinity"):
        found = problems(text.replace(b'"InjCap": 8', b'"InjCap": ' + constant + b", ", 1))
        assert f"{constant.decode().lstrip('-')} is not a value in JSON" in found[0], found
    assert "is not JSON" in problems(text + b"x")[0]
    assert "is not JSON" in problems(text.replace(b'"ChipId"', b"'ChipId'"))[0]
    assert "is not JSON" in problems(text.replace(b'"Col": 0,', b'"Col": 00,', 1))[0]
    # white space of Python, but not of JSON
    assert "is not JSON" in problems(text.replace(b'"Col": ', b'"Col":\x0c'))[0]
    assert "is not JSON" in problems(text.replace(b"            }]", b"         \x0b  }]"))[0]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (b'"LinVth":', b'"LinVth":1,"LinVth":', "LinVth"),
        (b'"Name":', b'"Name":"x","Name":', "Name"),
        (b'"Parameter":', b'"Parameter":{},"Parameter":', "Parameter"),
        (b'{"Col":5,', b'{"Col":5,"Col":5,', "Col"),
        (b'"PixelConfig":', b'"PixelConfig":[],"PixelConfig":', "PixelConfig"),
        (b'{"RD53A":', b'{"RD53A":{},"RD53A":', "RD53A"),
    ],
)
def test_a_key_twice(old: bytes, new: bytes, key: str) -> None:
    data = chip_bytes("RD53A").replace(old, new, 1)
    assert problems(data) == [f"{key}: the key occurs twice in one object"]


def test_pixels_twice() -> None:
    data = chip_bytes("RD53A")
    assert problems(data[:-2] + b',"PixelConfig":[]}}') == ["PixelConfig: the key occurs twice in one object"]


def test_a_key_twice_behind_escapes() -> None:
    # two escaped quotation marks in a name must not make up for the two of a key that is lost
    data = chip_bytes("RD53A").replace(b'"0x15427"', b'"\\u0022\\u0022"').replace(b'{"Col":5,', b'{"Col":5,"Col":5,')
    assert problems(data) == ["Col: the key occurs twice in one object"]


def test_the_file_of_another_chip() -> None:
    assert problems(chip_bytes("RD53A"), expected="RD53B") == ["is of an RD53A, not of an RD53B"]
    assert parse_chip(chip_bytes("FE-I4B"), "x.json", expected="FEI4B").chip_type == "FE-I4B"
    renamed = chip_bytes("RD53A").replace(b'{"RD53A":', b'{"RD53B":', 1)
    found = problems(renamed)
    assert found[0] == (
        "RD53B.GlobalConfig: 147 unknown registers: AdcRead, AdcRefTrim, AdcTrim, AiPixCol, AiPixRow, …; RD53A has them"
    )
    assert found[1].startswith("RD53B.GlobalConfig: 192 registers missing: ")
    assert found[-1].startswith("and ")


def test_other_files_of_yarr_are_no_chip_files() -> None:
    assert "ctrlCfg: there is no such chip type" in problems(b'{"ctrlCfg": {"type": "emu"}}')[0]
    assert problems(b'{"chipType": "RD53B", "chips": []}')[0].startswith("chipType: there is no such chip type")


def test_names_of_files_give_terminals_no_orders() -> None:
    found = problems(b'{"\\u001b[2J\\n' + b"x" * 1000 + b'": 1}')
    assert found[0].startswith("\\x1b[2J\\nxxx")
    assert len(found[0]) < 300
    assert found[0].isprintable()


@pytest.mark.parametrize("count", [10, 20_000])
def test_many_mistakes_take_no_longer(count: int) -> None:
    value = tree("FE-I4B")
    lines = value["FE-I4B"]["PixelConfig"]
    lines[0] |= {f"Enable{number}": 1 for number in range(count)}
    assert len(problems(written(value))) <= MOST + 1
