"""Who set this value, when and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from db.chips.pixels import decode, unpack
from db.chips.registers import chip_type
from db.errors import BadInput, NotFound
from db.exchange.outgoing import address, node_at

if TYPE_CHECKING:
    from db.heads import RevisionInfo
    from db.nodes import Node, PayloadInfo
    from db.runkeys import Runkeys

OBJECT = ("edge", "meta", "serial")
"""Kinds of keys that are of the object itself and not of a payload."""


@dataclass(frozen=True, slots=True)
class Absent:
    """The value of what is not there."""


ABSENT = Absent()


def blame_value(runkeys: Runkeys, name: str, path: str, key: str) -> RevisionInfo:
    """The revision that last changed one value of the object at `path` of the runkey `name`.

    `key`: `config:GlobalConfig.DiffTh1L` (any place in a JSON payload, lists by index), `setpoints:DEMO:HV:L07:VSet`,
    `pixels:12,300` (column, row) or `pixels:12,300.TDAC`, `edge:rx`, `meta:vendor`, `serial:`, or a role alone for the
    whole payload. BadInput for a key that means nothing, NotFound for a value that is not there.
    """
    kind, colon, inner = key.partition(":")
    node = node_at(runkeys.tree(name, view=None), path)
    if kind in OBJECT and (colon or kind == "serial"):
        return _blame_object(runkeys, name, node, kind, inner)
    info = node.payloads.get(kind)
    if info is None:
        raise NotFound(f"{node.path} has no payload {kind!r}; it has {', '.join(node.payloads) or 'none'}")
    if not inner:
        return runkeys.blame(name, address(node), kind)
    value = reader(info, inner)
    if value(runkeys.payload_by_hash(info.sha256)) is ABSENT:
        raise NotFound(f"{node.path} {kind}: has no {inner!r}")
    return runkeys.blame(name, address(node), kind, value)


def reader(info: PayloadInfo, inner: str) -> Callable[[bytes], Any]:
    """What reads one value of a payload like `info` from its content; it gives ABSENT when there is none. BadInput."""
    if info.format == "pixels":
        return _pixel_reader(str(info.meta.get("chip", "")), inner)
    if info.format != "json":
        raise BadInput(f"{info.role}: {info.format}; only a payload of JSON or pixels has single values")
    if info.type == "setpoints":
        return lambda content: _setpoint(_load(content), inner)
    return lambda content: _inside(_load(content), inner)


def _load(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return ABSENT


def _setpoint(document: Any, pv: str) -> Any:
    items = document.get("items") if isinstance(document, dict) else None
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("pv") == pv:
            return _exact(item.get("value"))
    return ABSENT


def _inside(document: Any, place: str) -> Any:
    """The value at a place like GlobalConfig.DiffTh1L or loops[0].config; the chip's name before it may lack."""
    place = re.sub(r"\[(\d+)\]", r".\1", place).lstrip(".")
    found = _follow(document, place)
    if found is ABSENT and isinstance(document, dict) and len(document) == 1:
        found = _follow(next(iter(document.values())), place)
    return found if found is ABSENT else _exact(found)


def _follow(value: Any, place: str) -> Any:
    """Keys may have dots in them: the longest one that is there counts."""
    if not place:
        return value
    if isinstance(value, list):
        index, _, rest = place.partition(".")
        return _follow(value[int(index)], rest) if _is_number(index) and int(index) < len(value) else ABSENT
    if isinstance(value, dict):
        parts = place.split(".")
        for n in range(len(parts), 0, -1):
            key = ".".join(parts[:n])
            if key in value:
                return _follow(value[key], ".".join(parts[n:]))
    return ABSENT


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _exact(value: Any) -> bytes:
    """Comparable as JSON is: 1, 1.0 and true are three values."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _pixel_reader(chip: str, inner: str) -> Callable[[bytes], Any]:
    try:
        kind = chip_type(chip)
    except KeyError:
        raise BadInput(f"pixels: {chip!r} is no chip type") from None
    place, _, field = inner.partition(".")
    numbers = place.split(",")
    if len(numbers) != 2 or not all(_is_number(n.strip()) for n in numbers):
        raise BadInput(f"pixels: {inner!r} is no pixel; write COLUMN,ROW as in pixels:12,300")
    col, row = (int(n) for n in numbers)
    if col >= kind.cols or row >= kind.rows:
        raise BadInput(
            f"pixels: there is no pixel {col},{row}; {kind.name} has {kind.cols} columns and {kind.rows} rows"
        )
    if field and field not in kind.fields:
        raise BadInput(f"pixels: a pixel has no {field!r}; it has {', '.join(kind.fields)}")
    fields = (field,) if field else kind.fields

    def read(content: bytes) -> Any:
        try:
            array = decode(content, kind.name)
        except ValueError:
            return ABSENT
        return tuple(int(unpack(kind, array, name)[col, row]) for name in fields)

    return read


def _blame_object(runkeys: Runkeys, name: str, node: Node, kind: str, inner: str) -> RevisionInfo:
    def value(at: Node) -> Any:
        if kind == "serial":
            return at.serial
        said = at.edge if kind == "edge" else at.meta
        return _exact(said[inner]) if inner in said else ABSENT

    if value(node) is ABSENT:
        said = node.edge if kind == "edge" else node.meta
        raise NotFound(f"{node.path} has no {kind} {inner!r}; it has {', '.join(said) or 'none'}")
    return runkeys.blame_node(name, address(node), value)
