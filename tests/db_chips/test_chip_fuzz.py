"""Whatever is in a file: a right answer or BadInput, nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from chip_samples import chip_bytes, field_array, little, little_lines, strict_json
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from db.chips import pixelchecks, pixels, pixeltext
from db.chips.chipfile import chip_file, chip_payloads, parse_chip, read_config, set_values
from db.chips.connectivity import parse_connectivity, render_connectivity
from db.chips.controller import parse_controller
from db.chips.differences import json_diff
from db.chips.jsontext import load, replace, same, scan
from db.chips.problems import Problems
from db.chips.registers import chip_type
from db.chips.scans import parse_scan
from db.errors import BadInput

relaxed = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
)
rather = settings(relaxed, max_examples=60)

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
KEYS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        "RD53A RD53B FE-I4B GlobalConfig Parameter PixelConfig Col Enable TDAC chipType chips config tx rx enable"
        " locked path ctrlCfg type cfg scan loops loopAction prescan analysis histogrammer n_count 0 1 name".split()
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)

PARSERS: dict[str, Callable[[bytes], object]] = {
    "chip": lambda data: parse_chip(data, "f"),
    "payloads": lambda data: chip_payloads(data, "f", complete=False),
    "connectivity": lambda data: parse_connectivity(data, "f"),
    "controller": lambda data: parse_controller(data, "f"),
    "scan": lambda data: parse_scan(data, "f"),
    "config": lambda data: read_config(data, "f"),
    "load": lambda data: load(data, "f"),
}


@pytest.mark.parametrize("parser", PARSERS)
@relaxed
@given(st.binary(max_size=200))
def test_any_bytes(parser: str, data: bytes) -> None:
    try:
        PARSERS[parser](data)
    except BadInput as error:
        assert all(problem.startswith("f: ") for problem in error.problems)


@pytest.mark.parametrize("parser", PARSERS)
@relaxed
@given(JSON)
def test_any_json(parser: str, value: Any) -> None:
    try:
        PARSERS[parser](json.dumps(value).encode())
    except BadInput as error:
        assert all(problem.startswith("f: ") for problem in error.problems)


@relaxed
@given(JSON, st.booleans(), st.sampled_from([None, 0, 1, "\t"]))
def test_json_is_read_as_python_does(value: Any, ascii_only: bool, indent: Any) -> None:
    try:
        data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    except UnicodeEncodeError:
        assume(False)  # half a surrogate pair is no text
        return
    try:
        found = load(data, "f")
    except BadInput:
        # nothing but half a surrogate pair, or what no double holds, is refused
        assert b"\\ud" in data
        return
    expected = strict_json(data)
    big = re.search(rb"\d{19}", data)
    assert big or same(found, expected)
    place = scan(data.decode())
    assert same(json.loads(data.decode()[place.start : place.end]), expected)


@relaxed
@given(JSON, st.data())
def test_one_value_replaced(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, indent=2).encode()
    assume(b"\\ud" not in text and not re.search(rb"\d{19}", text))
    path: list[Any] = []
    at = value
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else list(range(len(at)))))
        path.append(key)
        at = at[key]
        if data.draw(st.booleans()):
            break
    changed = replace(text, {tuple(path): "new"})
    differences = json_diff(load(text, ""), load(changed, ""))
    assert all(after == "new" or after is None for _, _, after in differences)
    again = load(changed, "")
    for key in path:
        again = again[key]
    assert again == "new"
    assert replace(changed, {tuple(path): "new"}) == changed


MUTATIONS = st.one_of(
    st.tuples(st.just("byte"), st.floats(0, 1), st.integers(0, 255)),
    st.tuples(st.just("char"), st.floats(0, 1), st.sampled_from(b' \n,:{}[]"-0159.e\\')),
    st.tuples(st.just("insert"), st.floats(0, 1), st.sampled_from(b' \n\x0b,:{}[]"-019')),
    st.tuples(st.just("cut"), st.floats(0, 1), st.integers(1, 3000)),
    st.tuples(st.just("double"), st.floats(0, 1), st.integers(1, 3000)),
    st.tuples(st.just("end"), st.floats(0, 1), st.just(0)),
)


def mutated(data: bytes, mutation: tuple[str, float, int]) -> bytes:
    kind, where, what = mutation
    at = int(where * len(data))
    match kind:
        case "byte" | "char":
            return data[:at] + bytes((what,)) + data[at + 1 :]
        case "insert":
            return data[:at] + bytes((what,)) + data[at:]
        case "cut":
            return data[:at] + data[at + what :]
        case "double":
            return data[: at + what] + data[at:]
    return data[:at]


@pytest.mark.parametrize(("name", "layout"), [("RD53A", "yarr"), ("RD53A", "tight"), ("FE-I4B", "tight")])
@rather
@given(st.lists(MUTATIONS, min_size=1, max_size=2))
def test_mutations_of_a_file(name: str, layout: str, mutations: list[tuple[str, float, int]]) -> None:
    data = chip_bytes(name, layout)
    for mutation in mutations:
        data = mutated(data, mutation)
    try:
        found = parse_chip(data, "f")
    except BadInput as error:
        assert all(problem.startswith("f: ") for problem in error.problems)
        return
    value = strict_json(data)
    for field in chip_type(name).fields:
        assert np.array_equal(pixels.unpack(chip_type(name), found.pixels, field), field_array(value, name, field))
    del value[name]["PixelConfig"]
    assert same(found.config, value[name])
    assert chip_file({one.role: (one.content, one.meta) for one in chip_payloads(data, "f")}) == data


@pytest.mark.parametrize("of", ["RD53A", "FE-I4B"])
@settings(relaxed, max_examples=300)
@given(
    st.integers(0, 5),
    st.lists(MUTATIONS, max_size=2),
    st.sampled_from([None, 0, 1, "\t"]),
    st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",\r\n", ":")]),
    st.permutations(range(5)),
)
def test_the_fast_reader_reads_right_or_not_at_all(
    of: str, seed: int, mutations: list[Any], indent: Any, separators: tuple[str, str], order: list[int]
) -> None:
    kind = little(of=of) if of == "RD53A" else little(4, 4, of)
    lines = little_lines(kind, seed)
    keys = [*lines[0]]
    lines = [{keys[i]: one[keys[i]] for i in (*order, *range(5, len(keys)))} for one in lines]
    text = json.dumps(lines, indent=indent, separators=separators).encode()
    for mutation in mutations:
        text = mutated(text, mutation)
    found = pixeltext.read(kind, text, 0, b',"PixelConfig":')
    if found is None:
        return
    array, layout, end = found
    value = json.loads(text[:end])
    assert pixeltext.write(kind, array, layout) == text[:end]
    for field in kind.fields:
        rows = np.array([line[field] for line in value])
        assert np.array_equal(pixels.unpack(kind, array, field), rows.T if kind.by_rows else rows), field
    assert [line[kind.line] for line in value] == list(range(kind.first, kind.first + kind.lines))
    assert pixeltext.Layout.of(kind, json.loads(json.dumps(layout.meta()))) == layout
    if not mutations:
        assert end == len(text)


@settings(relaxed, max_examples=200)
@given(st.integers(0, 3), st.data())
def test_the_careful_reader_finds_every_mistake(seed: int, data: st.DataObject) -> None:
    kind = little()
    lines: Any = little_lines(kind, seed)
    correct = pixelchecks.read(kind, json.loads(json.dumps(lines)), Problems("f"))
    place = data.draw(st.sampled_from(["all", "line", "key", "list", "value"]))
    new = data.draw(JSON)
    number = data.draw(st.integers(0, kind.cols - 1))
    field = data.draw(st.sampled_from(kind.fields))
    row = data.draw(st.integers(0, kind.rows - 1))
    match place:
        case "all":
            lines = new
        case "line":
            lines[number] = new
        case "key":
            lines[number][data.draw(KEYS)] = new
        case "list":
            lines[number][field] = new
        case "value":
            lines[number][field][row] = new
    problems = Problems("f")
    found = pixelchecks.read(kind, lines, problems)
    assert (found is None) == bool(problems)
    if found is not None:
        assert correct is not None
        for name in kind.fields:
            rows = [line[name] for line in lines]
            assert same(pixels.unpack(kind, found, name).tolist(), rows)


@relaxed
@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=8).filter(str.isprintable), st.integers(0, 9), st.booleans(), st.booleans()
        ),
        max_size=6,
        unique_by=lambda one: one[0],
    ),
    st.sampled_from([None, 2, 4]),
    st.data(),
)
def test_connectivity_comes_back(entries: list[Any], indent: Any, data: st.DataObject) -> None:
    chips = [
        {"config": f"a{name}.json", "tx": tx, "rx": 4 * number, "enable": enable, "locked": int(locked)}
        for number, (name, tx, enable, locked) in enumerate(entries)
    ]
    text = json.dumps({"chipType": "RD53B", "chips": chips}, indent=indent).encode()
    found = parse_connectivity(text, "f")
    assert render_connectivity(found, text) == text
    if found.chips:
        one = found.chips[data.draw(st.integers(0, len(chips) - 1))]
        one.locked = not one.locked
        one.tx += 2
    again = parse_connectivity(render_connectivity(found, text), "f")
    assert (again.chip_type, again.chips) == (found.chip_type, found.chips)
    assert parse_connectivity(render_connectivity(found), "f").chips == found.chips


@relaxed
@given(
    st.sampled_from(["GlobalConfig.Latency", "Parameter.Name", "Parameter.VcalPar[0]", "Parameter", "x", "", "[1]"]),
    JSON,
)
def test_setting_values(path: str, value: Any) -> None:
    content = chip_payloads(chip_bytes("RD53B", "yarr"), "f")[0].content
    try:
        changed = set_values(content, {path: value})
    except BadInput:
        return
    assert [after for _, _, after in json_diff(read_config(content)[1], read_config(changed)[1])] in ([value], [])
