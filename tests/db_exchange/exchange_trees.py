"""Trees for the tests: made up, generated, and what a database says of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from hypothesis import strategies as st
from sqlalchemy import func, select

from db.chips.chipfile import ChipConfig, chip_payloads, render_chip
from db.chips.make import make_chip
from db.chips.registers import chip_type
from db.exchange.incoming import digests
from db.models import Base
from db.nodes import NewChild, NewObject, NewPayload
from db.runkeys import Runkeys

HOSTILE = (
    "...",
    ".hidden",
    "CON",
    "nul.txt",
    "FE1",
    "fe1",
    "Fe1",
    "object.json",
    "OBJECT.JSON",
    "a\\b",
    "C:",
    "~",
    "a~2",
    "%41",
    "-rf",
    "Schicht µ 4 °C",
    "e\u0301",
    "\u00e9",
    "日本",
    "🦉",
    "x" * 200,
    "X" * 200,
    "ü" * 200,
    "a.",
    "a;b|c&d'e\"f*?<>$`",
)
"""Names that objects may have and file systems do not like."""


def chip(number: int, kind: str = "RD53B", layout: str = "yarr") -> bytes:
    """A chip file. Those of the quick kind have all pixels alike."""
    return render_chip(make_chip(kind, f"Chip{number}", seed=number), layout)


CHIP_FILES = {f"c{n}.json": chip(n, "RD53A", "tight") for n in range(4)}
"""Small chip files, quick to read."""


def quick_chip(number: int) -> list[NewPayload]:
    """The payloads of a chip, made without its file."""
    made = chip_payloads(_flat(), "chip.json")
    content = bytearray(made[1].content)
    content[number % len(content)] ^= 1
    return [made[0], NewPayload("pixels", bytes(content), made[1].type, made[1].format, "", made[1].meta)]


def _flat() -> bytes:
    if not _FLAT:
        some = make_chip("RD53B", "Flat", seed=0, tuned=False)
        _FLAT.append(render_chip(some, "tight"))
    return _FLAT[0]


_FLAT: list[bytes] = []


def detector(boards: int = 2, chips: int = 2) -> NewObject:
    """A FELIX with optoboards and front-ends, and a subsystem with setpoints and text."""
    felix = NewObject("felix", "FELIX1", "F-007", {"card": 0})
    number = 0
    for b in range(boards):
        board = NewObject("optoboard", f"OB{b + 1}")
        for c in range(chips):
            front = NewObject("frontend", f"FE{c + 1}", f"S{number}", payloads=quick_chip(number))
            edge = {"rx": 4 * c + 64 * b, "tx": 2 * c + 64 * b, "enable": 1, "locked": 0}
            board.children.append(NewChild(front, pos=c, meta=edge))
            number += 1
        felix.children.append(NewChild(board, pos=b))
    hv = NewObject("subsystem", "HV", payloads=[setpoints({"DEMO:HV:L07:VSet": 30.0, "DEMO:HV:L08:VSet": 40.5})])
    hv.payloads.append(NewPayload("log", b"Zeile 1\nZeile 2\n", "log", "text", "notes.txt"))
    return NewObject("runkey", "", children=[NewChild(felix), NewChild(hv, pos=1)])


def setpoints(values: dict[str, Any]) -> NewPayload:
    """A payload of setpoints in volts."""
    items = [{"pv": pv, "type": "double", "value": value, "units": "V"} for pv, value in sorted(values.items())]
    return NewPayload("setpoints", orjson.dumps({"version": 1, "items": items}), "setpoints")


def two_views() -> NewObject:
    """An object that is in the usual view and in that of the power, where it is met first."""
    front = NewObject("frontend", "FE1", payloads=quick_chip(1))
    supply = NewObject("power", "PSU", children=[NewChild(front, view="power", meta={"channel": 3})])
    board = NewObject("optoboard", "OB1", children=[NewChild(front, meta={"rx": 4, "tx": 2})])
    return NewObject("runkey", "", children=[NewChild(supply, "power", 0), NewChild(board, "daq", 1)])


def state(runkeys: Runkeys) -> dict[str, int]:
    """Rows of every table: what must be the same after a refused import."""
    with runkeys.database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }


def digest(root: NewObject) -> str:
    """As the database will have it."""
    return digests(root)[id(root)].hex()


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        os.path.relpath(os.path.join(above, name), folder): Path(above, name).read_bytes()
        for above, _, names in os.walk(folder)
        for name in names
    }


def write_files(folder: Path, content: dict[str, bytes]) -> Path:
    """Make a folder of files."""
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tuned(config: ChipConfig, shift: int, cols: int) -> ChipConfig:
    """Another TDAC in the first columns."""
    from db.chips.chipfile import changed

    kind = chip_type(config.chip_type)
    tdac = config.map.tdac.astype(np.int16)
    least, most = kind.tdac_range()
    tdac[:cols] = np.clip(tdac[:cols] + shift, least[:cols, None], most[:cols, None])
    return ChipConfig(config.chip_type, config.name, config.chip_id, config.config, changed(config, tdac=tdac))


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12)
_NAMES = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(
        st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/"), min_size=1, max_size=12
    ),
).filter(lambda name: name not in (".", "..") and name.isprintable())
_WORDS = st.sampled_from(["config", "pixels", "mask", "log", "result-1", "A.b_c", "OBJECT.JSON", "con"])
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_META = st.dictionaries(_TEXT, _JSON, max_size=3)
_CONTENT = st.one_of(
    st.tuples(st.just("raw"), st.binary(max_size=50)),
    st.tuples(st.just("pixels"), st.binary(max_size=50)),
    st.tuples(st.just("text"), _TEXT.map(str.encode)),
    st.tuples(st.just("json"), _JSON.map(orjson.dumps)),
)


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> NewObject:
    """A runkey with anything that may be in one."""
    root = draw(_objects(depth))
    root.name = ""
    root.type = "runkey"
    return root


@st.composite
def _objects(draw: st.DrawFn, depth: int) -> NewObject:
    made = NewObject(draw(_WORDS), draw(_NAMES), draw(_TEXT), draw(_META))
    for role in draw(st.lists(_WORDS, max_size=3, unique=True)):
        form, content = draw(_CONTENT)
        made.payloads.append(NewPayload(role, content, draw(_WORDS), form, draw(_TEXT), draw(_META)))
    if depth:
        names: set[tuple[str, str]] = set()
        for child in draw(st.lists(_objects(depth - 1), max_size=3)):
            view = draw(st.sampled_from(["daq", "power"]))
            if (view, child.name) not in names:
                names.add((view, child.name))
                made.children.append(NewChild(child, view, draw(st.integers(-(2**31), 2**31 - 1)), draw(_META)))
    return made
