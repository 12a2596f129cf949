"""What compaction does next: which segments become one, which go up a tier, and which are over their time.

minutes: out of logs, and merges of those while their day lasts. days: of a day that is over. months: of a month that is
over. Live segments are merged with their neighbours only, so that a PV's samples go on from one to the next; imported
ones, which may overlap anything, with other imported ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archiver.store.manifest import DAYS, MINUTES, MONTHS, Segment
from archiver.store.names import month_of
from archiver.store.segment import EVENTS_KIND

FANOUT = 16
"""So many segments out of logs are merged while their day lasts."""

MAX_ROWS = 32_000_000
MAX_BYTES = 1 << 30
"""Merged segments get no larger than this."""

IMBALANCE = 4
"""A month's segments are merged once more when the largest has at most so many times the rows of the others."""

SILENCE = 86400.0
"""Seconds after the archive's newest sample for which retention trusts this machine's clock."""

Key = Callable[[Segment], object]
"""The period of a segment that may be merged, None for one that may not."""


@dataclass(frozen=True)
class Step:
    """Segments that become one of `tier`, or go there as they are (`rewrite` false)."""

    segments: tuple[Segment, ...]
    tier: str
    rewrite: bool = True


def choose(segments: Sequence[Segment], today: int, skip: Collection[str] = ()) -> Step | None:
    """What to merge or lift next, None for nothing.

    `today`: days since 1970 UTC. `skip`: names of segments that stay as they are for now.
    """
    families: dict[tuple[str, bool], list[Segment]] = {}
    for segment in segments:
        families.setdefault((segment.kind, segment.imported), []).append(segment)
    for (_, imported), mine in families.items():
        for step in _steps(mine, today, skip, imported):
            return step
    return None


def _steps(segments: list[Segment], today: int, skip: Collection[str], imported: bool) -> Iterator[Step]:
    this_month = month_of(today)

    def fresh(segment: Segment) -> object:
        return segment.day if segment.level == 0 and segment.day >= today else None

    def past_day(segment: Segment) -> object:
        return segment.day if segment.tier == MINUTES and segment.day < today else None

    def past_month(segment: Segment) -> object:
        return month_of(segment.day) if segment.tier == DAYS and month_of(segment.day) < this_month else None

    def same_month(segment: Segment) -> object:
        return month_of(segment.day) if segment.tier == MONTHS else None

    for run, full in _runs(segments, fresh, skip, imported, FANOUT):
        if full and len(run) > 1:
            yield Step(tuple(run), MINUTES)
    for key, tier in ((past_day, DAYS), (past_month, MONTHS)):
        for run, _ in _runs(segments, key, skip, imported):
            # what is alone needs no writing, unless it came right out of logs
            yield Step(tuple(run), tier, rewrite=len(run) > 1 or run[0].level < 2)
    for run, _ in _runs(segments, same_month, skip, imported):
        rows = [segment.rows for segment in run]
        if len(run) > 1 and max(rows) <= IMBALANCE * (sum(rows) - max(rows)):
            yield Step(tuple(run), MONTHS)


def _runs(
    segments: list[Segment], key: Key, skip: Collection[str], imported: bool, longest: int = 1 << 30
) -> Iterator[tuple[list[Segment], bool]]:
    """Neighbours of one period that fit into one segment, and whether nothing more would fit."""
    if imported:
        segments = sorted(segments, key=lambda segment: (segment.day, segment.rows))
    run: list[Segment] = []
    rows = size = 0
    period: object = None
    for segment in segments:
        mine = None if segment.name in skip else key(segment)
        if run:
            goes_on = mine is not None and mine == period
            fits = rows + segment.rows <= MAX_ROWS and size + segment.bytes <= MAX_BYTES and len(run) < longest
            if not (goes_on and fits):
                yield run, goes_on or len(run) == longest
                run, rows, size = [], 0, 0
        if mine is not None:
            run.append(segment)
            rows, size, period = rows + segment.rows, size + segment.bytes, mine
    if run:
        yield run, len(run) == longest


def expired(
    segments: Sequence[Segment], now: float, retention_days: float | None, by_tier: Mapping[str, float | None]
) -> list[Segment]:
    """Segments whose newest sample is older at `now` (s since 1970) than the archive's or their tier's retention.

    With them goes the last known value of a PV that has been silent for longer. A clock of this machine that is years
    ahead deletes nothing: time goes on only as long as samples come, and a day longer.
    """
    newest = max((segment.newest for segment in segments if segment.kind != EVENTS_KIND), default=0)
    now = min(now, newest / 1e9 + SILENCE)
    result = []
    for segment in segments:
        days = [d for d in (retention_days, by_tier.get(segment.tier)) if d is not None]
        if days and segment.newest < int((now - min(days) * 86400) * 1e9):
            result.append(segment)
    return result
