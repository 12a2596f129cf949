"""Bundles: one JSON file, refused whole when anything in it does not fit."""

from __future__ import annotations

import base64
import copy
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from exchange_trees import detector, digest, state, trees, two_views
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT

from db import demo
from db.errors import BadInput
from db.exchange import bundle, export_runkey, import_runkey
from db.exchange.bundle import parse_bundle, read_bundle, write_bundle
from db.nodes import NewObject, NewPayload
from db.store import Store


def test_demo_there_and_back(store: Store, tmp_path: Path) -> None:
    made = demo.make_demo(store.staging)
    file = tmp_path / "sr1.json"
    report = write_bundle(store, demo.NAME, file)
    assert (report.objects, report.payloads) == (8, 10)
    document = orjson.loads(file.read_bytes())
    assert document["export"] | {"seal": ""} == {"runkey": demo.NAME, "path": "/", "digest": made.digest, "seal": ""}
    # every content once, with its hash and size
    for name, entry in document["blobs"].items():
        content = base64.b64decode(entry["data"])
        content = zstandard.decompress(content) if entry["codec"] else content
        assert len(content) == entry["size"] and len(name) == 64
    assert digest(read_bundle(file).root) == made.digest
    before = state(store.staging)
    info, _ = import_runkey(store.staging, file, "copy")
    assert info.digest == made.digest
    after = state(store.staging)
    assert all(after[table] == before[table] for table in ("object", "payload", "blob", "connection"))
    write_bundle(store, "copy", tmp_path / "again.json")
    write_bundle(store, demo.NAME, tmp_path / "third.json")
    assert (tmp_path / "third.json").read_bytes() == file.read_bytes()
    assert (tmp_path / "again.json").read_bytes().partition(b"objects")[2] == file.read_bytes().partition(b"objects")[2]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(trees())
def test_any_tree_there_and_back(store: Store, root: NewObject) -> None:
    name = f"t{digest(root)[:30]}"
    if store.staging.exists(name):
        return
    made = store.staging.create(name, root)
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(store, name, Path(folder, "out"))
        assert digest(read_bundle(Path(folder, "out")).root) == made.digest


def test_an_object_in_two_views_stays_one(store: Store, tmp_path: Path) -> None:
    made = store.staging.create("views", two_views())
    write_bundle(store, "views", tmp_path / "out.json")
    assert len(orjson.loads((tmp_path / "out.json").read_bytes())["objects"]) == 4
    root = read_bundle(tmp_path / "out.json").root
    assert digest(root) == made.digest
    store.staging.delete("views")
    assert import_runkey(store.staging, tmp_path / "out.json", "again")[0].digest == made.digest


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    """A small bundle as a document."""
    from db.who import Who

    with tempfile.TemporaryDirectory() as folder:
        with Store.open(f"sqlite:///{folder}/s", f"sqlite:///{folder}/b", Who("anna", "daq1")) as store:
            root = NewObject("runkey", "", children=detector().children[1:])
            root.payloads.append(NewPayload("log", b"all is well\n" * 50, "log", "text"))
            store.staging.create("a", root)
            write_bundle(store, "a", Path(folder, "out.json"))
            return orjson.loads(Path(folder, "out.json").read_bytes())


def _blob(document: dict[str, Any]) -> dict[str, Any]:
    """That of the root's log, which is compressed."""
    return document["blobs"][document["objects"][-1]["payloads"][0]["sha256"]]


def _swap(document: dict[str, Any]) -> None:
    one, two = list(document["blobs"])[:2]
    blobs = document["blobs"]
    blobs[one], blobs[two] = blobs[two], blobs[one]


def _sealed(document: dict[str, Any], **export: Any) -> None:
    document["export"].update(export)
    document["export"]["seal"] = bundle._seal(document["export"])


def _bomb(document: dict[str, Any]) -> None:
    packed = zstandard.compress(bytes(200 * 2**20))
    _blob(document).update(data=base64.b64encode(packed).decode(), size=600)


def _lone(document: dict[str, Any]) -> None:
    document["objects"].insert(0, dict(document["objects"][0], name="lone", digest="00" * 32))
    document["objects"][-1]["children"][0]["object"] = 1


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a name": (lambda d: d["objects"][0].update(name="LV"), "objects[0].digest: does not fit the object"),
    "an edge": (lambda d: d["objects"][-1]["children"][0].update(pos=7), "objects[1].digest: does not fit"),
    "meta": (lambda d: d["objects"][0].update(meta={"x": 1}), "objects[0].digest: does not fit"),
    "a digest": (lambda d: d["objects"][-1].update(digest="00" * 32), "does not fit the object"),
    "the digest of all": (lambda d: _sealed(d, digest="00" * 32), "export.digest: is not that of the last"),
    "the seal": (lambda d: d["export"].update(runkey="b"), "export.seal: does not fit"),
    "no seal": (lambda d: d["export"].pop("seal"), "export.seal: is missing"),
    "no digest": (lambda d: d["objects"][0].pop("digest"), "objects[0].digest: does not fit"),
    "content": (
        lambda d: _blob(d).update(codec="", data=base64.b64encode(b"x" * 600).decode()),
        "does not fit this hash",
    ),
    "contents swapped": (_swap, "does not fit this hash"),
    "base64": (lambda d: _blob(d).update(data="!!!"), "data: cannot be decoded"),
    "not ASCII": (lambda d: _blob(d).update(data="ü"), "data: cannot be decoded"),
    "codec": (lambda d: _blob(d).update(codec="zip"), "codec: 'zip' is neither"),
    "size": (lambda d: _blob(d).update(size=601), "size: is not that of the compressed data"),
    "size without codec": (lambda d: _blob(d).update(codec="", data="AAAA"), "but there are 3 bytes"),
    "negative size": (lambda d: _blob(d).update(size=-1), "size: -1 is not between"),
    "huge size": (lambda d: _blob(d).update(size=10**15), "is not between 0 and"),
    "a bomb": (_bomb, "size: is not that of the compressed data"),
    "no content": (lambda d: d["blobs"].pop(next(iter(d["blobs"]))), "no (good) content has this hash"),
    "content too many": (lambda d: d["blobs"].update({"00": _blob(d)}), "blobs.00: the content does not fit this hash"),
    "object too many": (_lone, "objects[0]: is below no other"),
    "child of its own": (
        lambda d: d["objects"][0].update(children=[{"object": 0}]),
        "there is no (good) object 0 before",
    ),
    "child before all": (lambda d: d["objects"][0].update(children=[{"object": -1}]), "there is no (good) object -1"),
    "child nowhere": (lambda d: d["objects"][0].update(children=[{}]), "must have one of the keys object"),
    "child twice": (
        lambda d: d["objects"][-1]["children"].append(d["objects"][-1]["children"][0]),
        "two children are called 'HV'",
    ),
    "role twice": (lambda d: d["objects"][0]["payloads"][0].update(role="setpoints"), "'setpoints' is there twice"),
    "unknown key": (lambda d: d["objects"][0].update(colour="red"), "objects[0].colour: is no known key"),
    "wrong type": (lambda d: d["objects"][0].update(meta=[]), "objects[0].meta: is not an object"),
    "a boolean": (lambda d: d["objects"][-1]["children"][0].update(pos=True), "pos: is not a whole number"),
    "no objects": (lambda d: d.update(objects=[]), "objects: there are none"),
    "objects of no object": (lambda d: d["objects"].append(3), "objects[2]: is no object"),
    "format": (lambda d: d.update(format="x"), "format: is not 'owlshift bundle'"),
    "version": (lambda d: d.update(version=2), "version: is 2; this program reads version 1"),
    "nothing": (dict.clear, "format: is not 'owlshift bundle'"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_does_not_fit_is_refused_whole(store: Store, tmp_path: Path, good: dict[str, Any], what: str) -> None:
    document = copy.deepcopy(good)
    spoil, named = SPOILT[what]
    spoil(document)
    (tmp_path / "bad.json").write_bytes(orjson.dumps(document))
    before = state(store.staging)
    with pytest.raises(BadInput) as caught:
        import_runkey(store.staging, tmp_path / "bad.json", "bad", kind="bundle")
    assert any(p.startswith(f"{tmp_path}/bad.json: ") and named in p for p in caught.value.problems), (
        caught.value.problems
    )
    assert state(store.staging) == before


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_spoilt_byte_is_found(good: dict[str, Any], data: st.DataObject) -> None:
    """Whatever happens to a bundle on its way: it is refused, or says the very same (if a blank was lost, say)."""
    text = bytearray(orjson.dumps(good))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                text[at] = data.draw(st.integers(0, 255))
            case "cut":
                del text[at : at + data.draw(st.integers(1, 50))]
            case _:
                text[at:at] = data.draw(st.binary(max_size=4))
        if not text:
            break
    try:
        incoming = parse_bundle(bytes(text))
    except BadInput as error:
        assert error.problems and all(error.problems)
    else:
        assert digest(incoming.root) == good["export"]["digest"]


_KEYS = "type name serial meta payloads children digest role sha256 format object view pos size codec data x".split()
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(objects=_ANY | st.lists(_ANY, max_size=3), blobs=_ANY, export=_ANY)
def test_any_document_is_refused(objects: Any, blobs: Any, export: Any) -> None:
    import json

    document = {"format": bundle.FORMAT, "version": 1, "export": export, "objects": objects, "blobs": blobs}
    with pytest.raises(BadInput):
        parse_bundle(json.dumps(document).encode())


@given(st.binary(max_size=60) | st.just(b"[" * 5000) | st.just(b'{"a":' * 3000))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        parse_bundle(data)


def test_too_large_for_a_bundle(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.make_demo(store.staging)
    monkeypatch.setattr(bundle, "MAX_BUNDLE", 100_000)
    with pytest.raises(BadInput, match="export it as a folder"):
        export_runkey(store, demo.NAME, tmp_path / "to/out.json", "bundle")
    assert list((tmp_path / "to").iterdir()) == []


def test_memory_of_an_import(store: Store, tmp_path: Path) -> None:
    """A few times the content, and no more: 60 front-ends with maps that do not compress."""
    import numpy as np

    root = detector(boards=10, chips=6)
    random = np.random.default_rng(1)
    fronts = [
        item
        for c in root.children
        if isinstance(c.object, NewObject)
        for board in c.object.children
        if isinstance(board.object, NewObject)
        for child in board.object.children
        if isinstance(item := child.object, NewObject)
    ]
    size = 0
    for front in fronts:
        old = front.payloads[1]
        content = random.integers(0, 256, len(old.content), np.uint8).tobytes()
        front.payloads[1] = NewPayload(old.role, content, old.type, old.format, old.name, old.meta)
        size += len(content)
    store.staging.create("a", root)
    write_bundle(store, "a", tmp_path / "a.json")
    script = """
import resource, sys
from pathlib import Path
from db.exchange.bundle import read_bundle
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_bundle(Path(sys.argv[1]))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""
    argv = [sys.executable, "-c", script, str(tmp_path / "a.json")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=100, check=True)
    assert int(done.stdout) < 6 * size, f"{int(done.stdout):,} bytes for {size:,}"
