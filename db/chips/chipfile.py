"""Chip files of YARR: from bytes to payloads and back, byte for byte.

A file becomes two payloads. `config` is the file without its PixelConfig, as it was written: indentation, order of the
keys and the texts of the numbers stay. `pixels` is the binary pixel map (`db.chips.pixels`); its meta says how
PixelConfig was written (`layout`) and after which key of `config` it stood (`after`). Where both together do not give
back the very bytes, the file itself is kept as a third payload, `source`, which names the hashes of the two others: it
counts only as long as they are what it was made from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from db.chips import jsontext, pixelchecks, pixels, pixeltext
from db.chips.checks import PIXELS, check_config
from db.chips.jsontext import Value
from db.chips.pixels import Map
from db.chips.problems import Problems, bad, nearest, shown
from db.chips.registers import CHIP_TYPES, ChipType, chip_type
from db.errors import BadInput
from db.nodes import NewPayload

_MARK = b'"PixelConfig"'
_SPACE = b" \t\n\r"
_LARGEST = 2**20
"""Bytes of a file without its PixelConfig; those of the field have 8 kB."""


@dataclass(slots=True)
class ChipConfig:
    """What is in a chip file."""

    chip_type: str
    """RD53A, RD53B, ITKPIXV2 or FE-I4B."""
    name: str
    chip_id: int
    config: dict[str, Any]
    """The blocks besides PixelConfig: GlobalConfig and Parameter."""
    pixels: Map
    """uint8 [cols, rows]; FE-I4B [2, cols, rows]. See `db.chips.pixels`. Perhaps read-only."""
    layout: pixeltext.Layout | None = field(default=None, repr=False)
    """How PixelConfig was written, when it was regular."""

    @property
    def map(self) -> pixels.PixelMap:
        """The fields of the pixels."""
        return pixels.PixelMap(self.pixels, self.chip_type)


@dataclass(slots=True)
class _Parts:
    """A file taken apart."""

    kind: ChipType
    config: dict[str, Any]
    rest: bytes
    """The file without PixelConfig."""
    pixels: Map
    layout: pixeltext.Layout | None
    after: str
    """The key that PixelConfig followed."""


def parse_chip(data: bytes, file: str, *, expected: str = "", complete: bool = True) -> ChipConfig:
    """What is in a chip file.

    `expected`: the chip type that a connectivity file says (its names and those of chip files are taken). `complete`:
    False lets registers and parameters be missing, as YARR does. BadInput with all that is wrong.
    """
    parts = _take_apart(data, file, expected, complete)
    block = parts.config.get("Parameter", {})
    name = parts.config.get("name", "") if not parts.kind.registers else block.get("Name", "")
    chip_id = block.get("ChipId", block.get("chipId", 0))
    return ChipConfig(parts.kind.name, name, chip_id, parts.config, parts.pixels, parts.layout)


def render_chip(chip: ChipConfig, layout: str = "yarr") -> bytes:
    """A chip file. `layout`: "yarr" (indented by 4, 1.9 MB for an RD53B) or "tight" (no white space, 1.25 MB)."""
    kind = chip_type(chip.chip_type)
    whole = {kind.name: chip.config}
    text = jsontext.indented(whole) if layout == "yarr" else jsontext.tight(whole)
    form = pixeltext.usual(kind) if layout == "yarr" else pixeltext.tight(kind)
    after = next((key for key in reversed(chip.config) if key < PIXELS), "")
    return _together(kind, text.encode(), pixeltext.write(kind, chip.pixels, form), form, after, chip.name)


def chip_payloads(data: bytes, file: str, *, expected: str = "", complete: bool = True) -> list[NewPayload]:
    """The payloads of a chip file: roles `config`, `pixels` and, seldom, `source`. BadInput as in `parse_chip`."""
    parts = _take_apart(data, file, expected, complete)
    kind = parts.kind
    meta: dict[str, Any] = {"chip": kind.name, "cols": kind.cols, "rows": kind.rows}
    if parts.layout is not None:
        meta |= {"after": parts.after, "layout": parts.layout.meta()}
    content = pixels.encode(parts.pixels)
    made = [
        NewPayload("config", parts.rest, "config", "json", "", {"chip": kind.name}),
        NewPayload("pixels", content, "pixels", pixels.FORMAT, "", meta),
    ]
    if parts.layout is None:
        hashes = {"config": sha256(parts.rest).hexdigest(), "pixels": sha256(content).hexdigest()}
        made.append(NewPayload("source", data, "source", "raw", "", {"chip": kind.name, "of": hashes}))
    return made


def chip_file(payloads: Mapping[str, tuple[bytes, Mapping[str, Any]]], name: str = "") -> bytes:
    """The chip file of payloads, by role content and meta; `name` is for errors. BadInput.

    The very bytes that `chip_payloads` was given, unless config or pixels were changed since. Then both are checked:
    what is not a chip file is not written.
    """
    try:
        config, _ = payloads["config"]
        content, meta = payloads["pixels"]
    except KeyError as error:
        raise bad(name, "", f"has no payload {error.args[0]}, so it is no chip") from None
    if "source" in payloads:
        source, source_meta = payloads["source"]
        if source_meta.get("of") == {"config": sha256(config).hexdigest(), "pixels": sha256(content).hexdigest()}:
            return source
    try:
        kind = chip_type(str(meta.get("chip")))
    except KeyError:
        raise bad(name, "pixels", f"of no chip that is known: {shown(meta.get('chip'))}") from None
    try:
        array = pixels.decode(content, kind.name)
        layout = pixeltext.Layout.of(kind, meta["layout"]) if "layout" in meta else pixeltext.usual(kind)
    except ValueError as error:
        raise bad(name, "pixels", str(error)) from None
    check_chip("config", config, {"chip": kind.name}, name, complete=False)
    check_chip("pixels", content, meta, name)
    return _together(kind, config, pixeltext.write(kind, array, layout), layout, str(meta.get("after", "")), name)


def check_chip(role: str, content: bytes, meta: Mapping[str, Any], name: str, *, complete: bool = True) -> None:
    """BadInput when content is not what role `config` or `pixels` of a chip may have (after an edit, for example)."""
    if role == "pixels":
        try:
            kind = chip_type(str(meta.get("chip")))
            wrong = pixels.faults(kind, pixels.decode(content, kind.name))
        except KeyError:
            wrong = [f"of no chip that is known: {shown(meta.get('chip'))}"]
        except ValueError as error:
            wrong = [str(error)]
        problems = Problems(name)
        for reason in wrong:
            problems.add(role, reason)
        problems.stop()
    elif role == "config":
        problems = Problems(name)
        value = jsontext.load(content, name)
        kind = _kind(value, problems, str(meta.get("chip", "")))
        if kind is not None:
            check_config(kind, value[kind.name], problems, complete=complete)
            if PIXELS in value[kind.name]:
                problems.add(f"{kind.name}.{PIXELS}", "belongs into the payload pixels")
        problems.stop()


def _take_apart(data: bytes, file: str, expected: str, complete: bool) -> _Parts:
    """BadInput with all that is wrong."""
    found = _regular(data, file)
    if found is None:
        found = _irregular(data, file, expected, complete)
    problems = Problems(file)
    _expect(found.kind, expected, problems)
    check_config(found.kind, found.config, problems, complete=complete)
    problems.stop()
    return found


def _regular(data: bytes, file: str) -> _Parts | None:
    """The way of nearly all files: PixelConfig is cut out, only what is left goes through a JSON parser.

    None when the file is not regular in any way: then `_irregular` says why, or reads it nevertheless.
    """
    mark = data.find(_MARK)
    if mark < 0:
        return None
    start = data.find(b"[", mark)
    before = data[:mark].rstrip(_SPACE)
    kind = _named(data)
    if start < 0 or kind is None or not before.endswith(b","):
        return None
    cut = len(before[:-1].rstrip(_SPACE))
    found = pixeltext.read(kind, data, start, data[cut:start])
    if found is None:
        return None
    array, layout, end = found
    rest = data[:cut] + data[end:]
    # What was cut out is a comma, a key and a value. It was a member of the chip's object exactly when the rest is
    # JSON in which a member of that object ends where it was cut.
    if len(rest) > _LARGEST:
        return None
    try:
        value = jsontext.load(rest, file)
        whole = jsontext.scan(rest.decode())
    except (ValueError, BadInput):
        return None
    if not isinstance(value, dict) or list(value) != [kind.name] or not isinstance(value[kind.name], dict):
        return None
    members = whole.members[kind.name].members
    cut = len(rest[:cut].decode())
    after = next((str(key) for key, place in members.items() if place.end == cut), "")
    if not after or PIXELS in members:
        return None
    return _Parts(kind, value[kind.name], rest, array, layout, after)


def _named(data: bytes) -> ChipType | None:
    """The chip type that the first key of a file names."""
    first = data[:200].partition(b'"')[2].partition(b'"')[0].decode(errors="replace")
    return chip_type(first) if first in CHIP_TYPES else None


def _irregular(data: bytes, file: str, expected: str, complete: bool) -> _Parts:
    """The way of the others: all of it through a JSON parser."""
    value = jsontext.parse(data, file)
    array, quotes = _lines_taken_out(value)
    jsontext.check(value, data, file, quotes)
    problems = Problems(file)
    kind = _kind(value, problems, expected)
    if kind is None:
        problems.stop()
        raise bad(file, "", "is no chip file")
    block = value[kind.name]
    pixel_problems = Problems(file)
    if PIXELS not in block:
        pixel_problems.add(kind.name, f"{PIXELS} is missing")
    else:
        lines = block.pop(PIXELS)
        array = array if array is not None else pixelchecks.read(kind, lines, pixel_problems)
    check_config(kind, block, problems, complete=complete)
    problems.take(pixel_problems)
    problems.stop()
    if array is None:
        raise bad(file, "", "is no chip file")
    rest = jsontext.indented({kind.name: block}).encode()
    return _Parts(kind, block, rest, array, None, "")


def _lines_taken_out(value: Any) -> tuple[Map | None, int]:
    """The pixel map of a parsed file, whose lines are then taken out of it, and how many quotation marks they had.

    What is known to be regular need not be gone through again. None when it is not.
    """
    name = next(iter(value), None) if isinstance(value, dict) else None
    if name not in CHIP_TYPES or not isinstance(value[name], dict) or not isinstance(value[name].get(PIXELS), list):
        return None, 0
    kind = chip_type(name)
    array = pixelchecks.read_quickly(kind, value[name][PIXELS])
    if array is None:
        return None, 0
    value[name][PIXELS] = []
    return array, 2 * kind.lines * (1 + len(kind.fields))


def _kind(value: Any, problems: Problems, expected: str) -> ChipType | None:
    """The chip type that a file says it is of."""
    if not isinstance(value, dict):
        problems.add("", f"is {shown(value)}, not an object with one of the keys {', '.join(CHIP_TYPES)}")
        return None
    found = [key for key in value if key in CHIP_TYPES]
    for key in value:
        if key not in CHIP_TYPES:
            meant = nearest(key, CHIP_TYPES)
            what = f"is {meant} meant?" if meant else f"known are {', '.join(CHIP_TYPES)}"
            problems.add(shown(key).strip('"'), f"there is no such chip type; {what}")
    if not value:
        problems.add("", f"is empty; wanted is one of the keys {', '.join(CHIP_TYPES)}")
    if len(found) > 1:
        problems.add("", f"is of several chips at once: {', '.join(found)}")
    if not found:
        return None
    kind = chip_type(found[0])
    _expect(kind, expected, problems)
    if not isinstance(value[kind.name], dict):
        problems.add(kind.name, f"is {shown(value[kind.name])}, not an object")
        return None
    return kind


def _expect(kind: ChipType, expected: str, problems: Problems) -> None:
    if expected and expected != kind.name and expected not in kind.connectivity:
        problems.add("", f"is of an {kind.name}, not of an {expected}")


def _together(kind: ChipType, config: bytes, text: bytes, layout: pixeltext.Layout, after: str, name: str) -> bytes:
    """Config with PixelConfig in its place. BadInput when config is not the object of such a chip."""
    try:
        whole = jsontext.scan(config.decode())
    except ValueError as error:
        raise bad(name, "config", f"is not JSON: {error}") from None
    block: Value | None = whole.members.get(kind.name)
    if block is None or config[block.start : block.start + 1] != b"{":
        raise bad(name, "config", f"has no object {kind.name}, which its pixels are of")
    members = block.members
    if PIXELS in members:
        raise bad(name, "config", f"has a {PIXELS}, which belongs into the payload pixels")
    if not members:
        raise bad(name, "config", f"{kind.name} is empty")
    last = next(reversed(members.values()))
    at = len(config.decode()[: members.get(after, last).end].encode())
    return b"".join((config[:at], layout.glue, text, config[at:]))


def changed(chip: ChipConfig, tdac: Any = None, enable: Any = None) -> Map:
    """A copy of a chip's pixel map with other TDACs or masks, arrays [cols, rows]. ValueError."""
    kind = chip_type(chip.chip_type)
    fields = {name: pixels.unpack(kind, chip.pixels, name).astype(np.int16) for name in kind.fields}
    for name, new in (("TDAC", tdac), ("Enable", enable)):
        if new is not None:
            array = np.asarray(new)
            if array.shape != fields[name].shape:
                raise ValueError(f"{name} is {list(array.shape)}, the chip {list(fields[name].shape)}")
            fields[name] = array.astype(np.int16)
    return pixels.pack(kind, fields)


def read_config(content: bytes, name: str = "") -> tuple[str, dict[str, Any]]:
    """The chip type and the blocks (GlobalConfig, Parameter) of a payload `config`. BadInput."""
    value = jsontext.load(content, name)
    problems = Problems(name)
    kind = _kind(value, problems, "")
    problems.stop()
    if kind is None:
        raise bad(name, "", "is of no chip")
    return kind.name, value[kind.name]


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def set_values(content: bytes, changes: Mapping[str, Any], name: str = "") -> bytes:
    """A payload `config` with some values changed and all else as it was written, checked.

    `changes`: by path in the chip's object, such as GlobalConfig.DiffTh1L or Parameter.VcalPar[1]. BadInput.
    """
    kind, _ = read_config(content, name)
    paths: dict[tuple[jsontext.Key, ...], Any] = {}
    for path, value in changes.items():
        steps = [word or int(number) for word, number in _STEP.findall(path)]
        if not steps:
            raise bad(name, path, "is no path of a value")
        paths[(kind, *steps)] = value
    changed = jsontext.replace(content, paths, name)
    check_chip("config", changed, {"chip": kind}, name, complete=False)
    return changed
