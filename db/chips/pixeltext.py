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
    """From the opening bracket to the number of the first line."""
    joins: tuple[bytes, ...]
    """Before the list of each field."""
    fields: tuple[str, ...]
    """In the order of the text."""
    next: bytes
    """Between the last list of a line and the number of the next."""
    end: bytes
    """After the last list of all, up to the closing bracket."""
    open: bytes
    sep: bytes
    shut: bytes
    """Begin of a list, between two numbers, end."""

    def meta(self) -> dict[str, Any]:
        """For the meta of a payload."""
        texts = (self.glue, self.head, self.next, self.end, self.open, self.sep, self.shut)
        return {
            "fields": list(self.fields),
            "joins": [join.decode() for join in self.joins],
            "texts": [text.decode() for text in texts],
        }

    @classmethod
    def of(cls, kind: ChipType, meta: Mapping[str, Any]) -> Layout:
        """The layout of such a meta. ValueError when it is not one for a chip of that type."""
        try:
            glue, head, following, end, opening, sep, shut = (text.encode() for text in meta["texts"])
            joins = tuple(join.encode() for join in meta["joins"])
            layout = cls(glue, head, joins, tuple(meta["fields"]), following, end, opening, sep, shut)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"no layout: {error!r}") from None
        if not layout.fits(kind):
            raise ValueError(f"not a layout of {kind.name}'s PixelConfig")
        return layout

    def fits(self, kind: ChipType) -> bool:
        """Whether what is written with it is JSON that says what the pixels are."""
        line = kind.line.encode()
        if sorted(self.fields) != sorted(kind.fields) or len(self.joins) != len(self.fields):
            return False
        joins = (_pattern(rb' , "' + field.encode() + rb'" : ').fullmatch(join) for field, join in self.pairs())
        first = rb' \{ "' + line + rb'" : '
        return bool(
            _GLUE.fullmatch(self.glue)
            and _pattern(rb"\[" + first).fullmatch(self.head)
            and all(joins)
            and _pattern(rb" \} ," + first).fullmatch(self.next)
            and _END.fullmatch(self.end)
            and _OPEN.fullmatch(self.open)
            and _SEP.fullmatch(self.sep)
            and _SHUT.fullmatch(self.shut)
        )

    def pairs(self) -> list[tuple[str, bytes]]:
        """The fields, and the text before the list of each."""
        return list(zip(self.fields, self.joins, strict=True))


def usual(kind: ChipType) -> Layout:
    """As YARR writes it: indented by 4, each list in one line. FE-I4B's: each number in a line."""
    fields = tuple(sorted(kind.fields))
    if kind.planes == 2:
        gap = b"\n" + b" " * 20
        return Layout(
            glue=b',\n        "PixelConfig": ',
            head=b'[\n            {\n                "Row": ',
            joins=tuple(b',\n                "' + name.encode() + b'": ' for name in fields),
            fields=fields,
            next=b'\n            },\n            {\n                "Row": ',
            end=b"\n            }\n        ]",
            open=b"[" + gap,
            sep=b"," + gap,
            shut=b"\n" + b" " * 16 + b"]",
        )
    return Layout(
        glue=b',\n        "PixelConfig": ',
        head=b'[{\n                "Col": ',
        joins=tuple(b',\n                "' + name.encode() + b'": ' for name in fields),
        fields=fields,
        next=b'\n            }, {\n                "Col": ',
        end=b"\n            }]",
        open=b"[",
        sep=b", ",
        shut=b"]",
    )


def tight(kind: ChipType) -> Layout:
    """Without white space."""
    fields = tuple(sorted(kind.fields))
    line = b'"' + kind.line.encode() + b'":'
    joins = tuple(b',"' + name.encode() + b'":' for name in fields)
    return Layout(b',"PixelConfig":', b"[{" + line, joins, fields, b"},{" + line, b"}]", b"[", b",", b"]")


def read(kind: ChipType, data: bytes, start: int, glue: bytes) -> tuple[Map, Layout, int] | None:
    """The pixels of the text that begins at `start`, its layout and its end.

    None when it is not regular, or its values are not in range: then a JSON parser must say what it is.
    """
    layout = _first_line(kind, data, start, glue)
    if layout is None:
        return None
    texts: dict[str, list[bytes]] = {field: [] for field in layout.fields}
    # (text before a list, its length, where the list goes)
    steps = [(join + layout.open, len(join) + len(layout.open), texts[field]) for field, join in layout.pairs()]
    shut, width = layout.shut, len(layout.shut)
    at, before = start, layout.head
    for number in range(kind.first, kind.first + kind.lines):
        expected = before + str(number).encode()
        if not data.startswith(expected, at):
            return None
        at += len(expected)
        for text, length, lists in steps:
            if not data.startswith(text, at):
                return None
            at += length
            end = data.find(b"]", at) + 1 - width
            if end < at or not data.startswith(shut, end):
                return None
            lists.append(data[at:end])
            at = end + width
        before = layout.next
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
    head = _HEAD.match(data, start)
    key = head and _KEY.match(data, head.end())
    if key is None or key.group(1) != kind.line.encode():
        return None
    number = str(kind.first).encode()
    if not data.startswith(number, key.end()):
        return None
    head_text = data[start : key.end()]
    at = key.end() + len(number)
    fields: list[str] = []
    joins: list[bytes] = []
    inside: set[tuple[bytes, bytes, bytes]] = set()
    for _ in kind.fields:
        comma = _COMMA.match(data, at)
        key = comma and _KEY.match(data, comma.end())
        opening = key and _OPEN.match(data, key.end())
        if comma is None or key is None or opening is None:
            return None
        fields.append(key.group(1).decode())
        joins.append(data[at : key.end()])
        end = data.find(b"]", at)
        numbers = data[opening.end() : end]
        comma_at = numbers.find(b",")
        if end < 0 or comma_at < 0:
            return None
        first, rest = numbers[:comma_at], numbers[comma_at + 1 :]
        sep = first[len(first.rstrip(_SPACE)) :] + b"," + rest[: len(rest) - len(rest.lstrip(_SPACE))]
        shut = numbers[len(numbers.rstrip(_SPACE)) :] + b"]"
        inside.add((opening.group(), sep, shut))
        at = end + 1
    following = _NEXT.match(data, at)
    key = following and _KEY.match(data, following.end())
    if key is None or len(inside) != 1:
        return None
    opening, sep, shut = inside.pop()
    return Layout(glue, head_text, tuple(joins), tuple(fields), data[at : key.end()], b"", opening, sep, shut)


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
    lists: list[list[bytes]] = []
    for field in layout.fields:
        values = unpack(kind, array, field)
        lists.append(_lists(np.ascontiguousarray(values.T if kind.by_rows else values), layout.sep))
    begins = [join + layout.open for join in layout.joins]
    begins[1:] = [layout.shut + text for text in begins[1:]]
    parts: list[bytes] = []
    before = layout.head
    for line, texts in enumerate(zip(*lists, strict=True)):
        parts += (before, str(kind.first + line).encode())
        for begin, text in zip(begins, texts, strict=True):
            parts += (begin, text)
        before = layout.shut + layout.next
    return b"".join((*parts, layout.shut, layout.end))


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
