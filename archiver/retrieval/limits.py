"""How many samples an answer would hold, found out without reading them, and its refusal when they are too many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archiver.retrieval import operators
from archiver.retrieval.operators import NUMERIC
from archiver.retrieval.operators.choosing import DEFAULT_STEP
from archiver.retrieval.operators.plots import DEFAULT_POINTS
from archiver.retrieval.operators.process import number_of_points
from archiver.retrieval.query import NS, DataRequest, Refused, Target
from archiver.retrieval.resolve import Names
from archiver.retrieval.source import Found, find
from archiver.store import Reader

UNIT_S = 3600
LONG_NS = 8 * UNIT_S * NS
"""Times that are longer are counted by summaries, except for their ends."""
_POINTS = ("optimized", "optimizedSample", "optimLastSample", "minmax", "lttb")
"""Operators that give at most about as many samples as their argument says."""


def check(reader: Reader, names: Names, targets: Sequence[Target], asked: DataRequest, limit: int) -> None:
    """413 when the answer would hold more than `limit` samples."""
    total = 0
    for target in targets:
        try:
            found = find(reader, names, target.name)
        except Refused:
            continue  # it is refused, or made of its template, where the answer is opened
        for start, end in asked.ranges:
            total += _number(reader, found, target, start, end, limit - total)
            if total > limit:
                raise Refused(
                    413,
                    f"This asks for more than {limit} samples, the limit of this archive. Ask for a shorter time, or "
                    f"for fewer samples with an operator, such as optimized_2000({target.name}).",
                )


def _number(reader: Reader, found: Found, target: Target, start: int, end: int, enough: int) -> int:
    """Samples of one PV in one time; any number above `enough` when there are more than that."""
    operator = target.operator
    process = operators.find(operator, found.info.dbr, found.info.is_array) if operator is not None else None
    if process is not None and process.interval is not None:
        return (end - start) // NS // process.interval * (4 if operator and operator.name == "caplotbinning" else 1)
    if found.field is not None:
        return 0  # changes of metadata are few
    if process is not None and operator is not None and operator.name == "ncount":
        return 1
    if process is not None and operator is not None and operator.name in _POINTS:
        most = number_of_points(operator, DEFAULT_POINTS)
        return min(most, count(reader, found, start, end, most))
    if process is not None and operator is not None and operator.name == "nth":
        step = int(operator.arguments[0]) if operator.arguments else DEFAULT_STEP
        return count(reader, found, start, end, enough * step) // step
    return count(reader, found, start, end, enough)


def count(reader: Reader, found: Found, start: int, end: int, enough: int) -> int:
    """Samples of a PV from `start` to `end` (unix ns); counting stops above `enough`."""
    totals = reader.infos([found.name])
    if not totals or totals[0].samples <= enough:
        return totals[0].samples if totals else 0
    start, end = max(start, totals[0].first_ns or start), min(end, totals[0].last_ns or end)
    if end < start:
        return 1  # the newest before the start, at most
    if end - start <= LONG_NS or found.info.dbr not in NUMERIC or found.info.is_array:
        return _read(reader, found, start, end, enough)
    unit = UNIT_S * NS
    low, high = -(-start // unit) * unit, end // unit * unit
    number = _read(reader, found, start, low - 1, enough)
    for summary in reader.summaries(found.name, UNIT_S, low, high):
        if number > enough:
            return number
        number += int(np.sum(summary.count, dtype=np.int64))
    return number + _read(reader, found, high, end, enough - number)


def _read(reader: Reader, found: Found, start: int, end: int, enough: int) -> int:
    number = 0
    if end < start:
        return 0
    for batch in reader.read(found.name, start, end):
        if number > enough:
            break
        number += len(batch)
    return number
