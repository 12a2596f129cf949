"""One value of an object: what a key of the command line means, how it is read, checked and changed.

`DiffTh1L`, `GlobalConfig.DiffTh1L` and `config:GlobalConfig.DiffTh1L` are a register; `DEMO:HV:L07:VSet` and
`setpoints:DEMO:HV:L07:VSet` a setpoint; `pixels:12,300` a pixel and `pixels:12,300.TDAC` a field of it; `edge:rx` (or
`rx`) belongs to the connection; `meta:vendor` and `serial` to the object; `ROLE:A.B` is a place in a payload of JSON.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from db.errors import BadInput, NotFound

if TYPE_CHECKING:
    from db.cli.names import Target
    from db.nodes import Node

EDGE = ("rx", "tx", "enable", "locked")
PIXEL = {"Enable": (0, 1), "InjEn": (0, 1), "Hitbus": (0, 1), "TDAC": (-15, 15)}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_WORDS = {"on": 1, "off": 0, "yes": 1, "no": 0, "true": 1, "false": 0}


@dataclass(frozen=True)
class Key:
    """A value of an object; str() is as `db.blame` knows it."""

    kind: str
    """A role, or edge, meta, serial."""
    inner: str = ""
    field: str = ""
    """Of a pixel."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.inner}" if self.inner or self.kind == "serial" else self.kind

    @property
    def shown(self) -> str:
        """As people call it."""
        short = self.inner.rpartition(".")[2] if self.kind == "config" else self.inner
        if self.kind in ("config", "setpoints") and short:
            return short
        return f"{self}{'.' + self.field if self.field else ''}".rstrip(":")

    def read(self, target: Target, node: Node) -> Any:
        """The value; NotFound."""
        if self.kind == "serial":
            return node.serial
        if self.kind in ("edge", "meta"):
            found = node.edge if self.kind == "edge" else node.meta
            if self.inner not in found:
                raise NotFound(f"{node.path} has no {self}; it has {', '.join(found) or 'none'}")
            return found[self.inner]
        info = node.payloads[self.kind]
        if not self.inner:
            return f"sha256 {info.sha256}"
        content = target.runkeys.payload_by_hash(info.sha256)
        if info.format == "pixels":
            return _pixel(content, info.meta, self, f"{node.path} {self.kind}")
        document = _load(content, f"{node.path} {self.kind}")
        if self.kind == "setpoints":
            return _item(document, self.inner, node.path)["value"]
        return _at(document, _steps(document, self.inner, f"{node.path} {self.kind}"))


def key_of(target: Target, node: Node, word: str) -> Key:
    """What a word means for an object; NotFound with what is alike."""
    head, colon, rest = word.partition(":")
    if word == "serial" or head == "serial":
        return Key("serial")
    if colon and head in ("edge", "meta"):
        return Key(head, rest)
    if colon and head in node.payloads:
        if node.payloads[head].format == "pixels":
            place, _, part = rest.partition(".")
            return Key(head, place, part)
        if head != "setpoints":
            return _in_payload(target, node, head, rest)
        return Key(head, rest)
    if word in node.payloads:
        return Key(word)
    if word in EDGE and node.parent is not None:
        return Key("edge", word)
    if "setpoints" in node.payloads:
        document = _load(_content(target, node, "setpoints"), node.path)
        _item(document, word, node.path)
        return Key("setpoints", word)
    if "config" in node.payloads:
        return _in_payload(target, node, "config", word)
    have = ", ".join([*node.payloads, *(f"edge:{key}" for key in node.edge), *(f"meta:{key}" for key in node.meta)])
    raise NotFound(f"{node.path} has no {word!r}; it has {have or 'nothing'}")


def _in_payload(target: Target, node: Node, role: str, word: str) -> Key:
    """A place in a JSON payload; a register's or parameter's name alone will do."""
    document = _load(_content(target, node, role), f"{node.path} {role}")
    inside = _inside(document)
    first = word.partition("[")[0]
    if "." not in word and isinstance(inside, dict):
        for block in ("GlobalConfig", "Parameter"):
            if first in _dict(inside.get(block)):
                return Key(role, f"{block}.{word}")
    try:
        _steps(document, word, f"{node.path} {role}")
    except NotFound:
        names = [n for block in ("GlobalConfig", "Parameter") for n in _dict(_dict(inside).get(block))]
        raise _unknown(f"{node.path} {role}", word, names or list(_dict(inside))) from None
    return Key(role, word)


def new_content(key: Key, node: Node, content: bytes, text: str) -> bytes:
    """The payload's content with the value that `text` means; BadInput when it can't have that."""
    info = node.payloads[key.kind]
    where = f"{node.path} {key.kind}"
    if not key.inner:
        raise BadInput(f"{where}: the whole payload is no single value; use owl runkey edit")
    if info.format == "pixels":
        return _with_pixel(content, info.meta, key, text, where)
    if info.format != "json":
        raise BadInput(f"{where}: {info.format}, not JSON; use owl runkey edit or owl runkey put")
    from db.chips.jsontext import replace

    document = _load(content, where)
    steps: tuple[str | int, ...]
    if key.kind == "setpoints":
        item = _item(document, key.inner, node.path)
        value = setpoint_value(item, text, f"{where}: {key.inner}")
        steps = ("items", document["items"].index(item), "value")
    else:
        steps = _steps(document, key.inner, where)
        value = _like(_at(document, steps), text, f"{where}: {key.inner}")
    return replace(content, {steps: value}, where)


def setpoint_value(item: dict[str, Any], text: str, where: str) -> Any:
    """What `text` means for an item of a payload of setpoints; BadInput."""
    kind = item.get("type")
    try:
        if kind == "double":
            return _double(float(text))
        if kind == "long":
            return int(text, 0)
        if kind in ("doubles", "longs"):
            values = [v for v in text.replace(",", " ").split() if v]
            return [_double(float(v)) if kind == "doubles" else int(v, 0) for v in values]
    except ValueError:
        raise BadInput(f"{where}: {text!r} is no {'number' if kind in ('double', 'doubles') else 'integer'}") from None
    if kind == "enum":
        states = item.get("states") or []
        if states and text not in states:
            raise BadInput(f"{where}: {text!r} is no state of it; it has {', '.join(map(str, states))}")
        return text
    if kind == "string" and len(text.encode()) > 39:
        raise BadInput(f"{where}: longer than the 39 bytes of a Channel Access string")
    return text


def edge_value(key: str, text: str, where: str) -> Any:
    """What `text` means for a connection's property or for meta: a number where it is one; BadInput."""
    if key in EDGE:
        if key in ("enable", "locked"):
            value = _WORDS.get(text.lower(), text)
            if str(value) not in ("0", "1"):
                raise BadInput(f"{where}: {key} is 0 or 1, not {text!r}")
            return int(value)
        try:
            value = int(text, 0)
        except ValueError:
            raise BadInput(f"{where}: {key} is an e-link number, not {text!r}") from None
        if not 0 <= value < 1 << 32:
            raise BadInput(f"{where}: {key} {value} is no e-link number")
        return value
    try:
        return json.loads(text)
    except ValueError:
        return text


def value_text(value: Any) -> str:
    """A value for people."""
    if isinstance(value, dict) and set(value) <= set(PIXEL):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _content(target: Target, node: Node, role: str) -> bytes:
    return target.runkeys.payload_by_hash(node.payloads[role].sha256)


def _load(content: bytes, where: str) -> Any:
    import orjson

    try:
        return orjson.loads(content)
    except ValueError as error:
        raise BadInput(f"{where}: not JSON: {error}") from None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _inside(document: Any) -> Any:
    """What is in the one key of a chip file."""
    if isinstance(document, dict) and len(document) == 1:
        inner = next(iter(document.values()))
        if isinstance(inner, dict) and ("GlobalConfig" in inner or "Parameter" in inner):
            return inner
    return document


def _steps(document: Any, path: str, where: str) -> tuple[str | int, ...]:
    """The keys that lead to `GlobalConfig.DiffTh1L` or `Parameter.VcalPar[1]`, with that of a chip file; NotFound."""
    words = [word or int(number) for word, number in _STEP.findall(path)]
    tops: list[list[str | int]] = [[]]
    if isinstance(document, dict) and _inside(document) is not document:
        tops.append(list(document))
    for top in tops:
        steps = (*top, *words)
        try:
            _at(document, steps)
        except (KeyError, IndexError, TypeError):
            continue
        if words:
            return steps
    raise NotFound(f"{where} has no {path!r}")


def _at(document: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        document = document[step]
    return document


def _item(document: Any, pv: str, where: str) -> dict[str, Any]:
    items = _dict(document).get("items", [])
    for item in items:
        if item.get("pv") == pv:
            return item
    raise _unknown(where, pv, [item.get("pv", "") for item in items])


def _unknown(where: str, word: str, known: list[str]) -> NotFound:
    import difflib

    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(folded), 3, 0.6)
    score = {name: difflib.SequenceMatcher(None, word.lower(), name).ratio() for name in close}
    near = [folded[name] for name in close if score[name] > max(score.values()) - 0.05]
    return NotFound(f"{where} has no {word!r}{'; did you mean ' + ' or '.join(near) + '?' if near else ''}")


def _double(value: float) -> float | str:
    """NaN and infinities have names in a payload of setpoints."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _like(old: Any, text: str, where: str) -> Any:
    """The value that `text` means where `old` was: of the same type; BadInput."""
    if isinstance(old, str):
        return text
    if isinstance(old, bool) and text.lower() in _WORDS:
        return bool(_WORDS[text.lower()])
    try:
        value = int(text, 0) if isinstance(old, int) and not isinstance(old, bool) else json.loads(text)
    except ValueError:
        value = None
    alike = isinstance(value, bool) == isinstance(old, bool) and (
        isinstance(value, type(old)) or (isinstance(old, float) and isinstance(value, int))
    )
    if old is not None and not alike:
        kinds = {bool: "true or false", int: "an integer", float: "a number", list: "a list", dict: "an object"}
        raise BadInput(f"{where}: it is {json.dumps(old)[:40]}; {text!r} is not {kinds.get(type(old), 'like that')}")
    return value


def _pixel_place(key: Key, meta: Any, where: str) -> tuple[int, int]:
    from db.chips.registers import chip_type

    chip = chip_type(str(meta.get("chip", "RD53B")))
    parts = key.inner.split(",")
    if len(parts) != 2 or not all(p.strip().isdigit() for p in parts):
        raise BadInput(f"{where}: {key.inner!r} is no pixel; write pixels:COLUMN,ROW")
    col, row = (int(p) for p in parts)
    if col >= chip.cols or row >= chip.rows:
        raise BadInput(f"{where}: there is no pixel {col},{row}; {chip.name} has {chip.cols} columns, {chip.rows} rows")
    return col, row


def _pixel(content: bytes, meta: Any, key: Key, where: str) -> Any:
    from db.chips.pixels import decode, unpack
    from db.chips.registers import chip_type

    chip = chip_type(str(meta.get("chip", "RD53B")))
    col, row = _pixel_place(key, meta, where)
    array = decode(content, chip.name)
    values = {field: int(unpack(chip, array, field)[col, row]) for field in chip.fields}
    if not key.field:
        return values
    if key.field not in values:
        raise NotFound(f"a pixel has no {key.field!r}; it has {', '.join(values)}")
    return values[key.field]


def _with_pixel(content: bytes, meta: Any, key: Key, text: str, where: str) -> bytes:
    from db.chips.pixels import decode, encode, faults, pack, unpack
    from db.chips.registers import chip_type

    chip = chip_type(str(meta.get("chip", "RD53B")))
    col, row = _pixel_place(key, meta, where)
    if key.field not in chip.fields:
        raise BadInput(f"{where}: name a field, pixels:{col},{row}.FIELD; it is one of {', '.join(chip.fields)}")
    try:
        value = int(_WORDS.get(text.lower(), text))
    except ValueError:
        raise BadInput(f"{where}: {text!r} is no integer") from None
    low, high = _range(chip, key.field, col)
    if not low <= value <= high:
        raise BadInput(f"{where}: {key.field} {value} is not between {low} and {high}")
    array = decode(content, chip.name)
    fields = {name: unpack(chip, array, name).astype("int16") for name in chip.fields}
    fields[key.field][col, row] = value
    changed = pack(chip, fields)
    if found := faults(chip, changed):
        raise BadInput([f"{where}: {fault}" for fault in found])
    return encode(changed)


def _range(chip: Any, field: str, col: int) -> tuple[int, int]:
    if field == "TDAC":
        low, high = chip.tdac_range()
        return int(low[col]), int(high[col])
    return (0, 15) if field == "FDAC" else (0, 1)
