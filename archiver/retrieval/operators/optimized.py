"""As many points as a plot has room for: the samples themselves when they are few, else statistics of intervals.

The appliance's interval is the window's length divided by the number of points, in whole seconds. From ten minutes on,
or where there are millions of samples, ours is rounded up to whole minutes, so that the archive's tables of minutes and
hours answer, and no sample is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial

from archiver.retrieval.operators.bins import Bins, bins, summary_spans
from archiver.retrieval.operators.points import Grid
from archiver.retrieval.operators.process import Process, number_of_points
from archiver.retrieval.operators.source import NS, Given, Source, after_start
from archiver.retrieval.operators.statistics import STATS, STATS_LAST, Statistic, answer, summary
from archiver.retrieval.query import Operator
from archiver.store import Samples

DEFAULT_POINTS = 1000

ROUNDED_FROM = 600
"""Seconds from which an interval is rounded up to whole minutes."""

MANY = 5_000_000
"""Samples from which an interval of a minute or more is rounded up, too."""

_NAMES = {
    "optimized": (STATS, True),
    "optimizedSample": (STATS, False),
    "optimLastSample": (STATS_LAST, True),
}


def find(operator: Operator) -> Process | None:
    """The process of one of these operators, or None."""
    if operator.name not in _NAMES:
        return None
    statistic, fill = _NAMES[operator.name]
    points = number_of_points(operator, DEFAULT_POINTS)
    return Process(partial(_optimized, points=points, statistic=statistic, fill=fill), array=True)


def _optimized(source: Source, points: int, statistic: Statistic, fill: bool) -> Iterator[Samples]:
    interval = max(1, _seconds(source, statistic) // points)
    if interval >= 60:
        minutes = -(-(source.end - source.start) // (points * 60 * NS)) * 60
        known = _from_tables(source, minutes, statistic)
        number = sum(int(b.count.sum()) for b in known)
        if number > points and (interval >= ROUNDED_FROM or number > MANY):
            yield from answer(iter(known), source, statistic, minutes, fill)
            return
    few, rest = at_most(source.samples(), points)
    if rest is None:
        yield from after_start(few, source.start)
    else:
        begun = Given(itertools.chain(few, rest), source.start, source.end, source.gaps())
        # a sample before the start that is in the start's bin: `optimized` gives it a bin of its own
        grid = Grid.of_their_own(interval, source.start) if statistic is STATS_LAST else None
        yield from summary(begun, statistic, interval, fill, grid)


def _seconds(source: Source, statistic: Statistic) -> int:
    """The window's length, as the appliance has it: from whole second to whole second, but for `optimLastSample`."""
    unit = NS if statistic is STATS else NS // 1000
    return (source.end // unit - source.start // unit) * unit // NS


def _from_tables(source: Source, interval: int, statistic: Statistic) -> list[Bins]:
    """The bins, if the archive's tables have most of them, else none."""
    grid = Grid.seconds(interval, source.start)
    return list(bins(source, grid, statistic.wanted)) if summary_spans(source, grid) else []


def at_most(batches: Iterable[Samples], number: int) -> tuple[list[Samples], Iterator[Samples] | None]:
    """The first batches, and those after them if all together are more samples than `number`."""
    held: list[Samples] = []
    size = 0
    source = iter(batches)
    for batch in source:
        held.append(batch)
        size += len(batch)
        if size > number:
            return held, source
    return held, None
