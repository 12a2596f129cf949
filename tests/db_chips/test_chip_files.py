"""Chip files: what is read, and that the very bytes come back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from chip_samples import PIXEL_CHIPS, chip, chip_bytes, field_array, tree, written

from db.chips import chipfile
from db.chips.chipfile import check_chip, chip_file, chip_payloads, parse_chip, read_config, render_chip, set_values
from db.chips.jsontext import indented
from db.chips.pixels import decode, encode, unpack
from db.chips.registers import chip_type
from db.errors import BadInput
from db.nodes import NewPayload


def payloads(made: list[NewPayload]) -> dict[str, tuple[bytes, Any]]:
    """As they come from the database: meta through JSON."""
    return {one.role: (one.content, json.loads(json.dumps(dict(one.meta)))) for one in made}


@pytest.mark.parametrize("layout", ["yarr", "tight"])
@pytest.mark.parametrize("name", PIXEL_CHIPS)
def test_what_is_read_is_what_json_says(name: str, layout: str) -> None:
    data = chip_bytes(name, layout)
    value = json.loads(data)
    found = parse_chip(data, "x.json", expected=name)
    assert (found.chip_type, found.name, found.chip_id) == (name, "0x15427", chip(name).chip_id)
    pixels = value[name].pop("PixelConfig")
    assert found.config == value[name]
    value[name]["PixelConfig"] = pixels
    for field in chip_type(name).fields:
        assert np.array_equal(unpack(chip_type(name), found.pixels, field), field_array(value, name, field)), field


@pytest.mark.parametrize("layout", ["yarr", "tight"])
@pytest.mark.parametrize("name", PIXEL_CHIPS)
def test_the_bytes_come_back_without_the_file_being_kept(name: str, layout: str) -> None:
    data = chip_bytes(name, layout)
    made = chip_payloads(data, "x.json")
    assert [(one.role, one.type, one.format) for one in made] == [
        ("config", "config", "json"),
        ("pixels", "pixels", "pixels"),
    ]
    assert len(made[0].content) < 10_000
    assert len(made[1].content) == chip_type(name).size
    assert {key: made[1].meta[key] for key in ("chip", "cols", "rows")} == {
        "chip": name,
        "cols": chip_type(name).cols,
        "rows": chip_type(name).rows,
    }
    assert chip_file(payloads(made), "x.json") == data


def test_sizes_are_those_of_the_field() -> None:
    assert 1_900_000 < len(chip_bytes("RD53B", "yarr")) < 2_100_000
    assert 1_250_000 < len(chip_bytes("RD53B", "tight")) < 1_400_000
    assert 3_800_000 < len(chip_bytes("FE-I4B", "yarr")) < 3_900_000


def indented_1(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


LAYOUTS: dict[str, Any] = {
    "python": lambda value: json.dumps(value).encode(),
    "python, indented by 4": lambda value: json.dumps(value, indent=4).encode(),
    "python, indented by 1": indented_1,
    "python, tabs": lambda value: json.dumps(value, indent="\t").encode(),
    "with a newline at the end": lambda value: json.dumps(value).encode() + b"\n",
    "Windows": lambda value: json.dumps(value, indent=2).encode().replace(b"\n", b"\r\n"),
    "space before colons": lambda value: json.dumps(value, separators=(" , ", " : ")).encode(),
    # what the default file of RD53A looks like: line breaks around each list
    "lists on lines of their own": lambda value: (
        json.dumps(value, separators=(",", ": ")).replace("[", "\n[").replace("]", "]\n").encode()
    ),
    "white space all round": lambda value: b" \n" + json.dumps(value, indent=3).encode() + b"\n\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_layouts_come_back(layout: str) -> None:
    value = tree("RD53A")
    value_bytes = LAYOUTS[layout](value)
    assert json.loads(value_bytes) == value
    made = chip_payloads(value_bytes, "x.json")
    assert [one.role for one in made] == ["config", "pixels"]
    assert chip_file(payloads(made)) == value_bytes


def test_float_texts_and_order_of_keys_stay() -> None:
    text = chip_bytes("RD53B", "yarr")
    text = text.replace(b'"InjCap": ', b'"InjCap":   ').replace(b"7.0595e-08", b"7.059500006789676E-8")
    made = chip_payloads(text, "x.json")
    assert [one.role for one in made] == ["config", "pixels"]
    assert b"7.059500006789676E-8" in made[0].content
    assert chip_file(payloads(made)) == text


@pytest.mark.parametrize("place", [0, 1])
def test_pixels_may_stand_anywhere(place: int) -> None:
    value = tree("RD53B")
    order = ["GlobalConfig", "Parameter"]
    order.insert(place, "PixelConfig")
    data = written({"RD53B": {key: value["RD53B"][key] for key in order}})
    made = chip_payloads(data, "x.json")
    assert chip_file(payloads(made)) == data
    # behind another key it needs no copy of the file
    assert len(made) == (3 if place == 0 else 2)


def irregular(name: str = "RD53B") -> bytes:
    """One white space where the others have none."""
    return chip_bytes(name).replace(b'{"Col":7,', b'{"Col": 7,')


def test_an_irregular_file_is_kept_as_it_is() -> None:
    data = irregular()
    made = chip_payloads(data, "x.json")
    assert [one.role for one in made] == ["config", "pixels", "source"]
    assert made[2].content == data
    assert made[2].format == "raw"
    assert made[1].content == encode(parse_chip(chip_bytes("RD53B"), "x.json").pixels)
    assert chip_file(payloads(made)) == data


@pytest.mark.parametrize("role", ["config", "pixels"])
def test_the_kept_file_does_not_count_after_an_edit(role: str) -> None:
    stored = payloads(chip_payloads(irregular(), "x.json"))
    if role == "config":
        content = set_values(stored["config"][0], {"GlobalConfig.DiffTh1L": 321})
    else:
        array = decode(stored["pixels"][0], "RD53B").copy()
        array[3, 4] = 0
        content = encode(array)
    stored[role] = (content, stored[role][1])
    again = parse_chip(chip_file(stored), "x.json")
    if role == "config":
        assert again.config["GlobalConfig"]["DiffTh1L"] == 321
    else:
        assert again.pixels[3, 4] == 0


@pytest.mark.parametrize("layout", ["yarr", "tight"])
def test_an_edited_register_changes_that_text_only(layout: str) -> None:
    data = chip_bytes("RD53B", layout)
    stored = payloads(chip_payloads(data, "x.json"))
    old = chip("RD53B").config["GlobalConfig"]["DiffTh1L"]
    stored["config"] = (set_values(stored["config"][0], {"GlobalConfig.DiffTh1L": 7}), stored["config"][1])
    between = b'"DiffTh1L": ' if layout == "yarr" else b'"DiffTh1L":'
    assert chip_file(stored) == data.replace(between + str(old).encode(), between + b"7")


def test_an_edited_map_keeps_the_layout() -> None:
    data = chip_bytes("RD53A", "yarr")
    stored = payloads(chip_payloads(data, "x.json"))
    array = np.roll(decode(stored["pixels"][0], "RD53A"), 3, axis=1)
    stored["pixels"] = (encode(array), stored["pixels"][1])
    again = chip_file(stored)
    assert np.array_equal(parse_chip(again, "x.json").pixels, array)
    assert again.count(b"\n") == data.count(b"\n")


def test_a_config_written_anew_by_other_tools_still_takes_the_pixels() -> None:
    stored = payloads(chip_payloads(chip_bytes("RD53B", "yarr"), "x.json"))
    value = json.loads(stored["config"][0])
    stored["config"] = (json.dumps(value, indent=2).encode(), {})
    assert json.loads(chip_file(stored)) == json.loads(chip_bytes("RD53B"))


def test_reading_and_setting_values() -> None:
    content = chip_payloads(chip_bytes("RD53B", "yarr"), "x.json")[0].content
    name, block = read_config(content)
    assert (name, block["GlobalConfig"]["Latency"]) == ("RD53B", 500)
    changed = set_values(content, {"GlobalConfig.Latency": 60, "Parameter.VcalPar[1]": 0.21, "Parameter.Name": "Tür"})
    block = read_config(changed)[1]
    assert block["GlobalConfig"]["Latency"] == 60
    assert block["Parameter"]["VcalPar"][1] == 0.21
    assert block["Parameter"]["Name"] == "Tür"
    assert changed.count(b"\n") == content.count(b"\n")
    assert set_values(content, {"GlobalConfig.Latency": 500}) == content
    for bad in ({"GlobalConfig.Latency": 512}, {"GlobalConfig.Latenzy": 1}, {"Parameter.VcalPar[7]": 1.0}, {"": 1}):
        with pytest.raises(BadInput):
            set_values(content, bad)


@pytest.mark.parametrize("missing", ["config", "pixels"])
def test_no_chip_without_both_payloads(missing: str) -> None:
    stored = payloads(chip_payloads(chip_bytes("RD53A"), "x.json"))
    del stored[missing]
    with pytest.raises(BadInput, match=f"FE1: has no payload {missing}"):
        chip_file(stored, "FE1")


def damage(stored: dict[str, tuple[bytes, Any]], role: str, content: bytes | None = None, **meta: Any) -> None:
    old, about = stored[role]
    stored[role] = (old if content is None else content, about | meta)


@pytest.mark.parametrize(
    ("role", "change", "reason"),
    [
        ("pixels", {"content": b"abc"}, "3 bytes"),
        ("pixels", {"chip": "RD53C"}, "no chip that is known"),
        ("pixels", {"layout": {}}, "no layout"),
        ("pixels", {"layout": {"keys": [], "joins": [], "texts": ["x"] * 7}}, "not a layout"),
        ("pixels", {"layout": {"keys": 5, "joins": 5, "texts": 5}}, "no layout"),
        ("config", {"content": b"[]"}, "is a list of 0, not an object"),
        ("config", {"content": b'{"RD53A": 5}'}, "RD53A: is 5, not an object"),
        ("config", {"content": b'{"RD53A": {}}'}, "1 key missing: Parameter"),
        ("config", {"content": b"{"}, "is cut off"),
        ("config", {"content": b"\xff"}, "is not JSON"),
        ("config", {"content": b'{"RD53A": {"PixelConfig": []}}'}, "belongs into the payload pixels"),
    ],
)
def test_payloads_that_make_no_file(role: str, change: dict[str, Any], reason: str) -> None:
    stored = payloads(chip_payloads(chip_bytes("RD53A"), "x.json"))
    damage(stored, role, **change)
    with pytest.raises(BadInput, match=reason):
        chip_file(stored, "FE1")


def test_a_layout_can_smuggle_nothing_in() -> None:
    stored = payloads(chip_payloads(chip_bytes("RD53A"), "x.json"))
    layout = stored["pixels"][1]["layout"]
    for at in range(7):
        texts = list(layout["texts"])
        texts[at] += '"Evil": 1,'
        damage(stored, "pixels", layout=layout | {"texts": texts})
        with pytest.raises(BadInput, match="not a layout"):
            chip_file(stored)
    damage(stored, "pixels", layout=layout | {"joins": [*layout["joins"][:3], ',"Evil":1,"TDAC":']})
    with pytest.raises(BadInput, match="not a layout"):
        chip_file(stored)


def test_checking_edited_payloads() -> None:
    made = {one.role: one for one in chip_payloads(chip_bytes("RD53A"), "x.json")}
    for role, one in made.items():
        check_chip(role, one.content, one.meta, "FE1")
    check_chip("log", b"anything", {}, "FE1")
    array = decode(made["pixels"].content, "RD53A").copy()
    array[200, 0] = 0x88
    with pytest.raises(BadInput, match=r"FE1: pixels: \[200, 0\]: TDAC -1"):
        check_chip("pixels", encode(array), made["pixels"].meta, "FE1")
    with pytest.raises(BadInput, match="FE1: pixels: 1 bytes"):
        check_chip("pixels", b"x", made["pixels"].meta, "FE1")
    with pytest.raises(BadInput, match="no chip that is known"):
        check_chip("pixels", b"x", {}, "FE1")
    config = made["config"].content.replace(b'"LinVth":', b'"LinVht":')
    with pytest.raises(BadInput, match="LinVht: there is no such register; LinVth was probably meant"):
        check_chip("config", config, {"chip": "RD53A"}, "FE1")
    with pytest.raises(BadInput, match="is of an RD53A, not of an RD53B"):
        check_chip("config", made["config"].content, {"chip": "RD53B"}, "FE1")
    with pytest.raises(BadInput, match="belongs into"):
        check_chip("config", chip_bytes("RD53A"), {"chip": "RD53A"}, "FE1")


def test_missing_registers_can_be_allowed() -> None:
    value = tree("RD53B")
    value["RD53B"]["GlobalConfig"] = {"Latency": 60}
    value["RD53B"]["Parameter"] = {"Name": "a"}
    data = written(value)
    with pytest.raises(BadInput, match="215 registers missing"):
        parse_chip(data, "x.json")
    found = parse_chip(data, "x.json", complete=False)
    assert (found.name, found.chip_id, found.config["GlobalConfig"]) == ("a", 0, {"Latency": 60})


def test_escapes_in_names_do_no_harm() -> None:
    value = tree("RD53B")
    for name in ('a"PixelConfig": [', "PixelConfig", "\\", "Tür ☂", "[{]}"):
        value["RD53B"]["Parameter"]["Name"] = name
        for data in (written(value), json.dumps(value, ensure_ascii=False).encode()):
            assert parse_chip(data, "x.json").name == name
            assert chip_file(payloads(chip_payloads(data, "x.json"))) == data


def test_an_unusual_spelling_of_the_key_is_read() -> None:
    data = chip_bytes("RD53B").replace(b'"PixelConfig"', b'"Pixel\\u0043onfig"')
    made = chip_payloads(data, "x.json")
    assert [one.role for one in made] == ["config", "pixels", "source"]
    assert chip_file(payloads(made)) == data


@pytest.mark.parametrize("name", PIXEL_CHIPS)
def test_both_readers_say_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = parse_chip(chip_bytes(name), "x.json")
    monkeypatch.setattr(chipfile, "_regular", lambda data, file: None)
    slow = parse_chip(chip_bytes(name), "x.json")
    assert np.array_equal(fast.pixels, slow.pixels)
    assert fast.config == slow.config
    assert slow.layout is None


def test_rendering_is_what_yarr_writes() -> None:
    text = render_chip(chip("RD53B")).decode()
    lines = text.splitlines()
    assert lines[:3] == ["{", '    "RD53B": {', '        "GlobalConfig": {']
    assert '        "PixelConfig": [{' in lines
    assert '                "Col": 0,' in lines
    assert "            }, {" in lines
    assert lines[-3:] == ["            }]", "    }", "}"]
    assert indented({"a": [1.0, 2], "b": {}, "c": [{"d": "é"}]}) == (
        '{\n    "a": [1.0, 2],\n    "b": {},\n    "c": [{\n            "d": "é"\n        }]\n}'
    )


def test_a_file_of_fe_i4_as_its_software_writes_it() -> None:
    value = tree("FE-I4B")
    block = value["FE-I4B"] | {"rxChannel": 0, "txChannel": 0}
    # keys in alphabetical order: the number of the row stands in the middle
    data = json.dumps({"FE-I4B": block}, indent=4, sort_keys=True).encode()
    assert b'"Row": 1' in data
    made = chip_payloads(data, "x.json")
    assert [one.role for one in made] == ["config", "pixels"]
    assert chip_file(payloads(made)) == data
    assert render_chip(parse_chip(data, "x.json")) == data


def test_what_is_no_chip_file_is_not_written() -> None:
    stored = payloads(chip_payloads(chip_bytes("RD53A"), "x.json"))
    array = decode(stored["pixels"][0], "RD53A").copy()
    array[200, 0] = 0x88
    wrong = stored | {"pixels": (encode(array), stored["pixels"][1])}
    with pytest.raises(BadInput, match=r"FE1: pixels: \[200, 0\]: TDAC -1 is not between 0 and 15"):
        chip_file(wrong, "FE1")
    wrong = stored | {"config": (stored["config"][0].replace(b'"LinVth":', b'"LinVth":9'), {})}
    with pytest.raises(BadInput, match=r"FE1: RD53A.GlobalConfig.LinVth: 9\d+ is not between 0 and 1023"):
        chip_file(wrong, "FE1")
