"""PixelConfig as text: found in a file, turned into arrays and back, without Python touching single pixels.

All writers that we know repeat one pattern for every line of pixels: some text, the line's number, some text, a list,
some text, a list … So the pattern is taken from the first line (`Layout`), and every further byte is compared with it.
What fits is exactly what the layout gives back; whatever does not is left to a JSON parser (`db.chips.pixelchecks`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.chips.pixels import Map, pack, unpack
from db.chips.registers import ChipType


def _pattern(text: bytes) -> re.Pattern[bytes]:
    """A pattern in which each blank is the white space that JSON allows (Python's \\s allows more)."""
    return re.compile(text.replace(b" ", rb"[ \t\n\r]*"))


_SPACE = b" \t\n\r"
_KEY = _pattern(rb' "([A-Za-z]+)" : ')
_HEAD = _pattern(rb"\[ \{")
_COMMA = _pattern(rb" ,")
_NEXT = _pattern(rb" \} , \{")
_END = _pattern(rb" \} \]")
_OPEN = _pattern(rb"\[ ")
_SHUT = _pattern(rb" \]")
_SEP = _pattern(rb" , ")
_GLUE = _pattern(rb' , "PixelConfig" : ')

_BAD = -128
_CLASS = bytes(b" -0123456789".find(byte) if byte in b"-0123456789" else 0 for byte in range(256))
"""Of a byte: 1 minus, 2 to 11 the digits, 0 anything else. For bytes.translate, which is fastest."""
_NUMBER = np.full(4096, _BAD, np.int16)
"""The number that up to three bytes of these classes are, or _BAD. Neither 007 nor -0: they would not come back."""
_WIDTH = np.zeros(4096, np.uint8)
"""How many bytes it takes."""
_TEXT = np.zeros((256, 3), np.uint8)
"""The text of a number, by its unsigned byte, filled with zero bytes on the left."""
for _value in range(-99, 100):
    _text = str(_value).encode()
    _code = 0
    for _byte in _text:
        _code = _code << 4 | _CLASS[_byte]
    _NUMBER[_code] = _value
    _WIDTH[_code] = len(_text)
    _TEXT[_value & 0xFF, 3 - len(_text) :] = list(_text)

_END_OF_LINE = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """How PixelConfig is written. All are texts of JSON punctuation, white space and keys."""

    glue: bytes
    """From the value before it to the opening bracket."""
    head: bytes
    """From the opening bracket to the first value of the first line."""
    joins: tuple[bytes, ...]
    """Before each further value of a line."""
    keys: tuple[str, ...]
    """Of a line, in the order of the text: the one that numbers the lines, and the fields."""
    next: bytes
    """Between the last value of a line and the first of the next."""
    end: bytes
    """After the last value of all, up to the closing bracket."""
    open: bytes
    sep: bytes
    shut: bytes
    """Begin of a list, between two numbers, end."""

    def meta(self) -> dict[str, Any]:
        """For the meta of a payload."""
        texts = (self.glue, self.head, self.next, self.end, self.open, self.sep, self.shut)
        return {
            "keys": list(self.keys),
            "joins": [join.decode() for join in self.joins],
            "texts": [text.decode() for text in texts],
        }

    @classmethod
    def of(cls, kind: ChipType, meta: Mapping[str, Any]) -> Layout:
        """The layout of such a meta. ValueError when it is not one for a chip of that type."""
        try:
            glue, head, following, end, opening, sep, shut = (text.encode() for text in meta["texts"])
            joins = tuple(join.encode() for join in meta["joins"])
            layout = cls(glue, head, joins, tuple(meta["keys"]), following, end, opening, sep, shut)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"no layout: {error!r}") from None
        if not layout.fits(kind):
            raise ValueError(f"not a layout of {kind.name}'s PixelConfig")
        return layout

    def fits(self, kind: ChipType) -> bool:
        """Whether what is written with it is JSON that says what the pixels are."""
        if sorted(self.keys) != sorted((kind.line, *kind.fields)) or len(self.joins) != len(kind.fields):
            return False
        names = [b'"' + key.encode() + rb'" : ' for key in self.keys]
        joins = (_pattern(rb" , " + name).fullmatch(join) for name, join in zip(names[1:], self.joins, strict=True))
        return bool(
            _GLUE.fullmatch(self.glue)
            and _pattern(rb"\[ \{ " + names[0]).fullmatch(self.head)
            and all(joins)
            and _pattern(rb" \} , \{ " + names[0]).fullmatch(self.next)
            and _END.fullmatch(self.end)
            and _OPEN.fullmatch(self.open)
            and _SEP.fullmatch(self.sep)
            and _SHUT.fullmatch(self.shut)
        )

    def befores(self, following: bool) -> list[bytes]:
        """The text before each value of a line; `following`: that is not the first."""
        return [self.next if following else self.head, *self.joins]


def usual(kind: ChipType) -> Layout:
    """As YARR writes it: indented by 4, each list in one line. FE-I4B's: each number in a line."""
    keys = tuple(sorted((kind.line, *kind.fields)))
    names = [b'"' + key.encode() + b'": ' for key in keys]
    line = b"\n" + b" " * 16
    one_by_one = kind.planes == 2
    gap = line + b" " * 4 if one_by_one else b""
    return Layout(
        glue=b',\n        "PixelConfig": ',
        head=(b"[\n            {" if one_by_one else b"[{") + line + names[0],
        joins=tuple(b"," + line + name for name in names[1:]),
        keys=keys,
        next=b"\n            }," + (b"\n            {" if one_by_one else b" {") + line + names[0],
        end=b"\n            }" + (b"\n        ]" if one_by_one else b"]"),
        open=b"[" + gap,
        sep=b"," + (gap or b" "),
        shut=(line if one_by_one else b"") + b"]",
    )


def tight(kind: ChipType) -> Layout:
    """Without white space."""
    keys = tuple(sorted((kind.line, *kind.fields)))
    names = [b'"' + key.encode() + b'":' for key in keys]
    joins = tuple(b"," + name for name in names[1:])
    return Layout(b',"PixelConfig":', b"[{" + names[0], joins, keys, b"},{" + names[0], b"}]", b"[", b",", b"]")


def read(kind: ChipType, data: bytes, start: int, glue: bytes) -> tuple[Map, Layout, int] | None:
    """The pixels of the text that begins at `start`, its layout and its end.

    None when it is not regular, or its values are not in range: then a JSON parser must say what it is.
    """
    layout = _first_line(kind, data, start, glue)
    if layout is None:
        return None
    texts: dict[str, list[bytes]] = {field: [] for field in kind.fields}
    shut, width = layout.shut, len(layout.shut)
    # what precedes each value, its length, and where the list goes; None: the number of the line
    first, others = (
        [
            (text + layout.open, len(text) + len(layout.open), texts[key]) if key in texts else (text, len(text), None)
            for key, text in zip(layout.keys, layout.befores(following), strict=True)
        ]
        for following in (False, True)
    )
    at = start
    for number in range(kind.lines):
        for text, length, lists in others if number else first:
            if not data.startswith(text, at):
                return None
            at += length
            if lists is None:
                digits = str(kind.first + number).encode()
                if not data.startswith(digits, at):
                    return None
                at += len(digits)
                continue
            end = data.find(b"]", at) + 1 - width
            if end < at or not data.startswith(shut, end):
                return None
            lists.append(data[at:end])
            at = end + width
    ending = _END.match(data, at)
    if ending is None:
        return None
    layout = dataclasses.replace(layout, end=ending.group())
    if not layout.fits(kind):
        return None
    arrays: dict[str, NDArray[np.int16] | NDArray[np.uint8]] = {}
    for field, lists in texts.items():
        limit = {"FDAC": 15, "TDAC": -1}.get(field, 1)
        array = _bits(kind, lists, layout.sep) if limit == 1 else _numbers(kind, lists, layout.sep)
        if array is None or (limit == 15 and (array.min() < 0 or array.max() > 15)):
            return None
        arrays[field] = array.T if kind.by_rows else array
    least, most = kind.tdac_range()
    tdac = arrays["TDAC"]
    if np.any(tdac < least[:, None]) or np.any(tdac > most[:, None]):
        return None
    return np.ascontiguousarray(pack(kind, arrays)), layout, ending.end()


def _first_line(kind: ChipType, data: bytes, start: int, glue: bytes) -> Layout | None:
    """The layout that the first line, and the text up to the second, show; its end is not yet known."""
    opening = _HEAD.match(data, start)
    if opening is None:
        return None
    keys: list[str] = []
    befores: list[bytes] = []
    inside: set[tuple[bytes, bytes, bytes]] = set()
    at, key = start, _KEY.match(data, opening.end())
    for _ in (kind.line, *kind.fields):
        if key is None:
            return None
        keys.append(key.group(1).decode())
        befores.append(data[at : key.end()])
        at = key.end()
        if keys[-1] == kind.line:
            at += len(str(kind.first))
        else:
            found = _list(data, at)
            if found is None:
                return None
            at = found[1]
            inside.add(found[0])
        comma = _COMMA.match(data, at)
        key = comma and _KEY.match(data, comma.end())
    following = _NEXT.match(data, at)
    key = following and _KEY.match(data, following.end())
    if key is None or len(inside) != 1:
        return None
    return Layout(glue, befores[0], tuple(befores[1:]), tuple(keys), data[at : key.end()], b"", *inside.pop())


def _list(data: bytes, at: int) -> tuple[tuple[bytes, bytes, bytes], int] | None:
    """How the list at a place is written (begin, between two numbers, end), and where it ends."""
    opening = _OPEN.match(data, at)
    end = data.find(b"]", at)
    if opening is None or end < 0:
        return None
    numbers = data[opening.end() : end]
    first, comma, rest = numbers.partition(b",")
    if not comma:
        return None
    sep = first[len(first.rstrip(_SPACE)) :] + comma + rest[: len(rest) - len(rest.lstrip(_SPACE))]
    shut = numbers[len(numbers.rstrip(_SPACE)) :] + b"]"
    return (opening.group(), sep, shut), end + 1


def _bits(kind: ChipType, lists: list[bytes], sep: bytes) -> NDArray[np.uint8] | None:
    """Lists of zeros and ones as an array [lines, length]."""
    step = 1 + len(sep)
    text = sep.join(lists) + sep
    if len(text) != kind.lines * kind.length * step or {len(part) for part in lists} != {kind.length * step - len(sep)}:
        return None
    table = np.frombuffer(text, np.uint8).reshape(-1, step)
    values = table[:, 0] - np.uint8(ord("0"))
    if values.max() > 1 or any(np.any(table[:, 1 + i] != byte) for i, byte in enumerate(sep)):
        return None
    return values.reshape(kind.lines, kind.length)


def _numbers(kind: ChipType, lists: list[bytes], sep: bytes) -> NDArray[np.int16] | None:
    """Lists of small numbers as an array [lines, length]."""
    text = b",,," + sep.join(lists) + sep
    raw = np.frombuffer(text, np.uint8)
    commas = np.flatnonzero(raw == ord(","))[3:]
    if len(commas) != kind.lines * kind.length:
        return None
    ends = commas - sep.index(b",")
    # every line has its numbers, and between two of them is nothing but a separator
    lengths = np.fromiter(map(len, lists), np.int64, len(lists)) + len(sep)
    if np.any(ends[kind.length - 1 :: kind.length] != np.cumsum(lengths) - len(sep) + 3):
        return None
    if any(byte != ord(",") and np.any(raw[ends + i] != byte) for i, byte in enumerate(sep)):
        return None
    # the last three bytes of each; of those before a byte that is not of a number, nothing counts
    classes = np.frombuffer(text.translate(_CLASS), np.uint8)
    third, second, first = classes[ends - 1], classes[ends - 2], classes[ends - 3]
    first *= second != 0
    code = third | second.astype(np.uint16) << 4 | first.astype(np.uint16) << 8
    values = _NUMBER.take(code)
    # all bytes were part of a number or a separator when together they are as long as the text
    length = int(_WIDTH.take(code).sum(dtype=np.int64)) + len(sep) * len(ends) + 3
    return None if values.min() == _BAD or length != len(text) else values.reshape(kind.lines, kind.length)


def write(kind: ChipType, array: Map, layout: Layout) -> bytes:
    """The text of PixelConfig, from its opening to its closing bracket."""
    columns: list[list[bytes]] = []
    begins: list[bytes] = []
    ends: list[bytes] = []
    for key in layout.keys:
        numbers = key == kind.line
        begins.append(b"" if numbers else layout.open)
        ends.append(b"" if numbers else layout.shut)
        if numbers:
            columns.append([str(number).encode() for number in range(kind.first, kind.first + kind.lines)])
        else:
            values = unpack(kind, array, key)
            columns.append(_lists(np.ascontiguousarray(values.T if kind.by_rows else values), layout.sep))
    # between two values: the end of the one, the text between them, the begin of the other
    texts = [end + join + begin for end, join, begin in zip(ends, layout.joins, begins[1:], strict=False)]
    parts: list[bytes] = []
    before = layout.head + begins[0]
    for line in zip(*columns, strict=True):
        parts += (before, line[0])
        for text, value in zip(texts, line[1:], strict=True):
            parts += (text, value)
        before = ends[-1] + layout.next + begins[0]
    return b"".join((*parts, ends[-1], layout.end))


def _lists(values: NDArray[np.int8], sep: bytes) -> list[bytes]:
    """The lines of an array [lines, length] as texts, without brackets."""
    lines, length = values.shape
    # numbers of one digit need no filling
    width = 1 if values.size and 0 <= values.min() and values.max() <= 9 else 3
    table = np.empty((lines, length, width + len(sep)), np.uint8)
    table[:, :, :width] = _TEXT[values.view(np.uint8), 3 - width :]
    table[:, :, width:] = np.frombuffer(sep, np.uint8)
    if width == 1:
        text, step = table.tobytes(), length * (1 + len(sep))
        return [text[at : at + step - len(sep)] for at in range(0, len(text), step)]
    table[:, -1, width:] = 0
    table[:, -1, -1] = _END_OF_LINE
    return table.tobytes().translate(None, b"\0").split(bytes((_END_OF_LINE,)))[:-1]
