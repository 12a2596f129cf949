"""The value of a PV as text, as an operator reads it in an alarm: state labels, digits and units."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from owlshift.ca import Dbr, Metadata

MAX_TEXT = 200
"""Characters of the longest value text."""
_SHOWN = 8
"""Elements of an array that are shown."""
_MAX_DIGITS = 15
_PLAIN_BELOW = 1e15
"""From here on, numbers have an exponent."""


def value_text(value: Any, dbr: Dbr, metadata: Metadata) -> str:
    """One value of a `Batch` (a scalar or an array of `dbr`) as text of at most `MAX_TEXT` characters.

    An enum is its label, or its number where there is none; a char array is text; a number has the digits that the PV
    declares, and its units.
    """
    if isinstance(value, np.ndarray):
        text = _char_text(value) if dbr is Dbr.CHAR else _array_text(value, dbr, metadata)
    else:
        text = _scalar_text(value, dbr, metadata)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def number_of(value: Any, dbr: Dbr) -> float | None:
    """One value of a `Batch` as a number for an expression: of an array the first, of an enum its index.

    None for text that is no number, for an empty array and for NaN.
    """
    if isinstance(value, np.ndarray):
        if dbr is Dbr.CHAR:
            return _parsed(_char_text(value))
        if not value.size:
            return None
        value = value.flat[0]
    if dbr is Dbr.STRING:
        return _parsed(_decoded(bytes(value)))
    number = float(value)
    return None if math.isnan(number) else number


def _parsed(text: str) -> float | None:
    if len(text) > 100 or "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _scalar_text(value: Any, dbr: Dbr, metadata: Metadata) -> str:
    if dbr is Dbr.STRING:
        return _decoded(bytes(value))
    if dbr is Dbr.ENUM:
        index = int(value)
        label = metadata.states[index] if index < len(metadata.states) else ""
        return _printable(label) or str(index)
    return _with_units(_number_text(value, metadata.precision), metadata)


def _array_text(values: Any, dbr: Dbr, metadata: Metadata) -> str:
    shown = [_element_text(value, dbr, metadata) for value in values.flat[:_SHOWN]]
    more = f", … ({values.size} values)" if values.size > _SHOWN else ""
    text = f"[{', '.join(shown)}{more}]"
    return text if dbr in (Dbr.STRING, Dbr.ENUM) else _with_units(text, metadata)


def _element_text(value: Any, dbr: Dbr, metadata: Metadata) -> str:
    if dbr in (Dbr.STRING, Dbr.ENUM):
        return _scalar_text(value, dbr, metadata)
    return _number_text(value, metadata.precision)


def _number_text(value: Any, precision: int | None) -> str:
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, int):
        return str(number)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if precision is None or not 0 <= precision <= _MAX_DIGITS or abs(number) >= _PLAIN_BELOW:
        return f"{number:.7g}"
    if precision == 0 and number != int(number):
        # a PREC that nobody set must not round a value to its limit
        return f"{number:.7g}"
    return f"{number:.{precision}f}"


def _with_units(text: str, metadata: Metadata) -> str:
    units = _printable(metadata.units)
    return f"{text} {units}" if units else text


def _char_text(values: Any) -> str:
    return _decoded(values.astype(np.uint8, copy=False).tobytes())


def _decoded(raw: bytes) -> str:
    """Text up to the first NUL: UTF-8 where it is, Latin-1 otherwise."""
    raw = raw.partition(b"\0")[0]
    try:
        return _printable(raw.decode())
    except UnicodeDecodeError:
        return _printable(raw.decode("latin-1"))


def _printable(text: str) -> str:
    """`text` with a blank in the place of line ends and of what a terminal might take for a command."""
    if text.isprintable():
        return text.strip()
    return "".join(one if one.isprintable() else " " for one in text).strip()
