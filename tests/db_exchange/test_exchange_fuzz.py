"""Whatever is in the files: an import says what is wrong, or is right; it never falls over."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import orjson
from exchange_trees import CHIP_FILES, digest, write_files
from hypothesis import given, settings
from hypothesis import strategies as st

from db import demo
from db.checks import tree_problems
from db.errors import BadInput
from db.exchange.documents import read_object
from db.exchange.files import Problems
from db.exchange.folder import read_folder
from db.exchange.yarr import read_yarr_folder

_KEYS = "type name serial meta payloads children role format file chip directory same view pos export version".split()
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "a", "daq", "FE1", "x/y", "\x00", "ä" * 300]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=15,
)


@given(_VALUES)
def test_any_document_is_an_object_or_problems(document: Any) -> None:
    problems = Problems()
    places: dict[str, type] = {"directory": str, "same": str}
    found = read_object(document, "object.json", "", problems, payload_place="file", child_places=places)
    assert (found is None) == bool(problems)


_OBJECT: dict[str, Any] = {
    "type": "thing",
    "name": "T",
    "serial": "S",
    "meta": {"a": 1},
    "payloads": [{"role": "log", "file": "log.txt", "type": "log", "format": "text", "name": "n", "meta": {}}],
    "children": [{"directory": "sub", "view": "daq", "pos": 0, "meta": {}}],
}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_changed_object_is_right_or_refused(data: st.DataObject) -> None:
    """One place of a good object.json, anything in it."""
    document = json.loads(json.dumps(_OBJECT))
    holder: Any = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            continue
        match data.draw(st.sampled_from(["value", "gone", "further"])):
            case "value":
                holder[key] = data.draw(_VALUES)
            case "gone":
                del holder[key]
            case _ if isinstance(holder, dict):
                holder[data.draw(st.text(max_size=5))] = data.draw(_VALUES)
        break
    top = {"format": "owlshift folder", "version": 1, "type": "runkey", "name": "", "children": [{"directory": "T"}]}
    sub = {"type": "thing", "name": "sub"}
    try:
        text = json.dumps(document).encode()
    except UnicodeEncodeError:
        return
    files = {
        "object.json": orjson.dumps(top),
        "T/object.json": text,
        "T/log.txt": b"ok",
        "T/sub/object.json": orjson.dumps(sub),
    }
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), files)
        try:
            incoming = read_folder(Path(folder))
        except BadInput as error:
            assert error.problems and all(problem.startswith(folder) for problem in error.problems)
        else:
            assert tree_problems(incoming.root, "/") == [] and digest(incoming.root)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_spoilt_files_of_yarr(data: st.DataObject) -> None:
    """Bytes of connectivity, controller or scan are changed: refused, or a runkey that can be stored."""
    chips = [
        {"config": f"c{n}.json", "path": "relToCon", "tx": 0, "rx": 4 * n, "enable": 1, "locked": 0} for n in (0, 1)
    ]
    files = {
        "connectivity.json": json.dumps({"chipType": "RD53A", "chips": chips}).encode(),
        "controller.json": json.dumps(demo.controller()).encode(),
        "scans/digital.json": json.dumps(demo.scan() | {}).encode(),
        **{name: CHIP_FILES[name] for name in ("c0.json", "c1.json")},
    }
    name = data.draw(st.sampled_from(["connectivity.json", "controller.json", "scans/digital.json", "c1.json"]))
    text = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                text[at] = data.draw(st.integers(0, 255))
            case "cut":
                del text[at : at + data.draw(st.integers(1, 30))]
            case _:
                text[at:at] = data.draw(st.sampled_from([b"0", b'"', b",", b"-", b"{", b'"a":1,', b"\xff", b"null"]))
        if not text:
            break
    files[name] = bytes(text)
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), files)
        try:
            incoming = read_yarr_folder(Path(folder))
        except BadInput as error:
            assert error.problems and all(folder in problem for problem in error.problems)
        else:
            assert tree_problems(incoming.root, "/") == [] and digest(incoming.root)
