"""Gaps made visible in what a plot is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from archiver.retrieval.gaps import Gap
from archiver.retrieval.operators.points import EMPTY, Points, samples_of
from archiver.retrieval.operators.source import NS, Source
from archiver.store import Samples

INVALID = 3
COMM = 9
"""Severity and status of a point that stands for a gap: INVALID, and communication lost."""


def with_gaps(parts: Iterable[Points], source: Source, interval_ns: int) -> Iterator[Samples]:
    """Points as samples of type double, and where a gap begins a NaN with severity INVALID and status COMM.

    It stands at the time of the loss, or at the window's start, and says in `cnxlostepsecs` and `cnxregainedepsecs`
    from when to when nothing was received. Of gaps that begin within one interval only the first is shown.
    """
    marks = _marks(source, interval_ns)
    at = 0
    last_ns: int | None = None
    for part in parts:
        if not len(part):
            continue
        last_ns = int(part.time_ns[-1])
        due = at
        while due < len(marks) and marks[due][0] < last_ns:
            due += 1
        yield _merged(part, marks[at:due])
        at = due
    rest = [(time_ns + (time_ns == last_ns), note) for time_ns, note in marks[at:]]
    if rest:
        yield _merged(EMPTY, rest)


def _marks(source: Source, interval_ns: int) -> list[tuple[int, dict[str, str]]]:
    marks: list[tuple[int, dict[str, str]]] = []
    for gap in source.gaps():
        if gap.lost_ns is None or gap.lost_ns > source.end or (gap.found_ns or source.end) < source.start:
            continue
        time_ns = max(gap.lost_ns, source.start)
        if not marks or time_ns // interval_ns != marks[-1][0] // interval_ns:
            marks.append((time_ns, _note(gap)))
    return marks


def _note(gap: Gap) -> dict[str, str]:
    lost = {"cnxlostepsecs": str((gap.lost_ns or 0) // NS)}
    return lost if gap.found_ns is None else {**lost, "cnxregainedepsecs": str(gap.found_ns // NS)}


def _merged(part: Points, marks: list[tuple[int, dict[str, str]]]) -> Samples:
    samples = samples_of(part)
    if not marks:
        return samples
    # a gap that begins at the very time of a sample begins after it
    marks = [(t + bool(np.isin(t, part.time_ns)), note) for t, note in marks]
    marks = [mark for mark in marks if not np.isin(mark[0], part.time_ns)]
    times = np.array([t for t, _ in marks], np.int64)
    places = np.searchsorted(part.time_ns, times)
    rows = places + np.arange(len(marks))
    return replace(
        samples,
        time_ns=np.insert(part.time_ns, places, times),
        severity=np.insert(part.severity, places, INVALID),
        status=np.insert(part.status, places, COMM),
        values=np.insert(part.values, places, np.nan),
        notes={int(row): note for row, (_, note) in zip(rows, marks, strict=True)} or None,
    )
