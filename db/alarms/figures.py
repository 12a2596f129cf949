"""How good the alarms of a site are: the figures of ISA-18.2 and EEMUA 191, from the log, with their targets.

What is counted is an alarm that is *raised*: it went up, and is not suppressed. The database does the work
(`db.alarms.figures_sql`); this makes sense of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.alarms.event import PRIORITIES, iso, nanoseconds
from db.alarms.figures_sql import Reader
from db.database import Database
from db.errors import BadInput

SECOND = 1_000_000_000
BUCKET = 600
"""Seconds in which alarms are counted together."""
FLOOD_BEGINS, FLOOD_ENDS = 10, 5
"""Alarms in ten minutes: more is a flood, and it lasts until there are fewer than the second."""
RATE, RATE_LIMIT = 1.0, 2.0
"""Alarms in ten minutes for one operator: very likely acceptable, and the most that can be managed."""
STALE_LIMIT, FLOOD_LIMIT, TOP_TARGET, TOP_LIMIT = 5, 0.01, 0.01, 0.05
PRIORITY_TARGETS = {"low": 0.80, "medium": 0.15, "high": 0.05}
PRIORITY_MARGIN = 0.10
"""A share may be that far from its target."""
SHOWN = 100
"""Entries of a list; its count counts all."""
BARS = 500
"""Bars of `series` at most."""


@dataclass(frozen=True, slots=True)
class Counted:
    """An alarm and how often."""

    path: str
    pv: str
    area: str
    count: int


@dataclass(frozen=True, slots=True)
class Stale:
    """An alarm that stood for more than a day without a break."""

    path: str
    pv: str
    begin_ns: int
    end_ns: int | None
    """None: it stands at the end of the range."""


@dataclass(frozen=True, slots=True)
class Flood:
    """A time of too many alarms."""

    begin_ns: int
    end_ns: int
    alarms: int
    peak: int
    """In ten minutes."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """How long raised alarms waited until somebody acknowledged them; seconds."""

    count: int
    mean: float
    median: float
    p90: float
    longest: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a time range."""

    since_ns: int
    until_ns: int
    area: str
    """All below; "" is everything."""
    operators: int
    """Operators among whom alarms are shared: targets are for each."""
    buckets: list[int]
    """Alarms in each ten minutes from the beginning; the last ones may be fewer."""
    top: list[Counted]
    """The ten that came most often."""
    chattering: list[Counted]
    """Alarms that came at least three times within a minute, and how often they did; worst first, at most `SHOWN`."""
    chattering_alarms: int
    fleeting: list[Counted]
    """Alarms that were gone within a minute without chattering, and how often."""
    fleeting_alarms: int
    stale: list[Stale]
    """The longest first, at most `SHOWN`."""
    stale_alarms: int
    priorities: dict[str, int]
    """Alarms by priority: low, medium, high."""
    acknowledged: Acknowledged
    areas: list[tuple[str, int]]
    """(area, alarms directly in it), most first, at most `SHOWN`."""
    acts: dict[str, int]
    """What was done, by kind: ack, shelve, disable, config, …"""
    people: list[tuple[str, dict[str, int]]]
    """Who did it, most first."""

    @property
    def alarms(self) -> int:
        """All that were raised."""
        return sum(self.buckets)

    @property
    def hours(self) -> float:
        """Of the range."""
        return (self.until_ns - self.since_ns) / SECOND / 3600

    @property
    def floods(self) -> list[Flood]:
        """Times of too many alarms."""
        found: list[Flood] = []
        begin: int | None = None
        for place, count in enumerate([*self.buckets, -1]):
            if begin is None:
                if count > FLOOD_BEGINS * self.operators:
                    begin = place
            elif count < FLOOD_ENDS * self.operators:
                counts = self.buckets[begin:place]
                found.append(Flood(self._time(begin), self._time(place), sum(counts), max(counts)))
                begin = None
        return found

    def _time(self, bucket: int) -> int:
        return min(self.until_ns, self.since_ns + bucket * BUCKET * SECOND)

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it; figures that have a target stand beside it, with whether they reach it (`ok`)."""
        alarms, floods = self.alarms, self.floods
        seconds = (self.until_ns - self.since_ns) / SECOND
        mean = alarms / seconds * BUCKET / self.operators
        flooded = sum(flood.end_ns - flood.begin_ns for flood in floods) / SECOND
        top = sum(one.count for one in self.top)
        peak = max(self.buckets, default=0)
        return {
            "since": iso(self.since_ns),
            "until": iso(self.until_ns),
            "hours": self.hours,
            "area": self.area,
            "operators": self.operators,
            "alarms": alarms,
            "per_hour": _at_most(mean * 6, RATE * 6, RATE_LIMIT * 6),
            "per_day": _at_most(mean * 144, RATE * 144, RATE_LIMIT * 144),
            "per_10_min": _at_most(mean, RATE, RATE_LIMIT),
            "max_10_min": _at_most(peak / self.operators, float(FLOOD_BEGINS)),
            "share_above_1": {"value": self._above(1)},
            "share_above_2": {"value": self._above(2)},
            "share_above_10": _at_most(self._above(FLOOD_BEGINS), FLOOD_LIMIT),
            "top_share": _at_most(_share(top, alarms), TOP_TARGET, TOP_LIMIT),
            "top": [_counted(one) | {"share": _share(one.count, alarms)} for one in self.top],
            "chattering": _at_most(self.chattering_alarms, 0) | {"alarms": [_counted(one) for one in self.chattering]},
            "fleeting": _at_most(self.fleeting_alarms, 0) | {"alarms": [_counted(one) for one in self.fleeting]},
            "stale": {
                "value": self.stale_alarms,
                "target": STALE_LIMIT,
                "ok": self.stale_alarms < STALE_LIMIT,
                "alarms": [self._stale(one) for one in self.stale],
            },
            "flood": {
                "count": len(floods),
                "seconds": flooded,
                "share": _at_most(flooded / seconds, FLOOD_LIMIT),
                "alarms": sum(flood.alarms for flood in floods),
                "peak": max((flood.peak for flood in floods), default=0),
                "floods": [
                    {
                        "begin": iso(flood.begin_ns),
                        "end": iso(flood.end_ns),
                        "seconds": (flood.end_ns - flood.begin_ns) / SECOND,
                        "alarms": flood.alarms,
                        "peak": flood.peak,
                    }
                    for flood in floods[:SHOWN]
                ],
            },
            "priorities": {name: self._priority(name) for name in PRIORITIES[1:]},
            "acknowledged": {
                "count": self.acknowledged.count,
                "mean": self.acknowledged.mean,
                "median": self.acknowledged.median,
                "p90": self.acknowledged.p90,
                "longest": self.acknowledged.longest,
            },
            "areas": [{"area": area, "count": n, "share": _share(n, alarms)} for area, n in self.areas],
            "acts": self.acts,
            "people": [{"person": person, **acts} for person, acts in self.people],
            "series": self._series(),
        }

    def _above(self, count: int) -> float:
        return _share(sum(1 for n in self.buckets if n > count * self.operators), len(self.buckets))

    def _priority(self, name: str) -> dict[str, Any]:
        count, all_ = self.priorities[name], sum(self.priorities.values())
        share, target = _share(count, all_), PRIORITY_TARGETS[name]
        return {
            "value": share,
            "target": target,
            "ok": not all_ or abs(share - target) <= PRIORITY_MARGIN,
            "count": count,
        }

    def _stale(self, one: Stale) -> dict[str, Any]:
        return {
            "path": one.path,
            "pv": one.pv,
            "begin": iso(one.begin_ns),
            "end": iso(one.end_ns) if one.end_ns is not None else None,
            "hours": ((one.end_ns or self.until_ns) - one.begin_ns) / SECOND / 3600,
        }

    def _series(self) -> dict[str, Any]:
        """Alarms over time for a plot: of ten minutes, or of as many times that as keep it below `BARS`."""
        width = -(-len(self.buckets) // BARS) or 1
        counts = [sum(self.buckets[at : at + width]) for at in range(0, len(self.buckets), width)]
        return {"begin": iso(self.since_ns), "seconds": width * BUCKET, "counts": counts}


def figures(
    database: Database, since: datetime, until: datetime, *, area: str | None = None, operators: int = 1
) -> Figures:
    """The figures of the time from `since` to (not including) `until`, of an area with all below it, or of everything.

    It reads one state of the log, whoever writes meanwhile. BadInput for a range that can't be; DbError.
    """
    try:
        begin, end = nanoseconds(since), nanoseconds(until)
    except ValueError as error:
        raise BadInput(str(error)) from None
    if begin >= end:
        raise BadInput(f"the range {since} to {until} is empty")
    if operators < 1:
        raise BadInput(f"operators {operators}: should be 1 or more")
    if (end - begin) // (BUCKET * SECOND) > 1_000_000:
        raise BadInput(f"the range {since} to {until} is longer than 19 years")
    with database.read() as connection:
        reader = Reader(connection, begin, end, area)
        buckets = [0] * -(-(end - begin) // (BUCKET * SECOND))
        for place, count in reader.buckets(BUCKET * SECOND):
            buckets[place] = count
        chattering, fleeting = reader.short()
        stale, stale_alarms = reader.stale(SHOWN)
        priorities = dict(reader.priorities())
        acts, people = _acts(reader.acts())
        return Figures(
            since_ns=begin,
            until_ns=end,
            area=area or "",
            operators=operators,
            buckets=buckets,
            top=[Counted(*row) for row in reader.top(10)],
            chattering=[Counted(*row) for row in reader.named(chattering[:SHOWN])],
            chattering_alarms=len(chattering),
            fleeting=[Counted(*row) for row in reader.named(fleeting[:SHOWN])],
            fleeting_alarms=len(fleeting),
            stale=[Stale(*row) for row in stale],
            stale_alarms=stale_alarms,
            priorities={name: priorities.get(number, 0) for number, name in enumerate(PRIORITIES) if name},
            acknowledged=_acknowledged(reader.waits()),
            areas=reader.areas(SHOWN),
            acts=acts,
            people=people,
        )


def _acknowledged(waits: Sequence[int]) -> Acknowledged:
    if not waits:
        return Acknowledged(0, 0.0, 0.0, 0.0, 0.0)
    found = sorted(waits)

    def rank(share: float) -> float:
        """The nearest rank: the least wait that so many of all are not longer than."""
        return found[max(0, -int(-share * len(found) // 1) - 1)] / SECOND

    return Acknowledged(len(found), sum(found) / len(found) / SECOND, rank(0.5), rank(0.9), found[-1] / SECOND)


def _acts(rows: Sequence[tuple[str, str, int]]) -> tuple[dict[str, int], list[tuple[str, dict[str, int]]]]:
    kinds: dict[str, int] = {}
    people: dict[str, dict[str, int]] = {}
    for kind, person, count in sorted(rows):
        kinds[kind] = kinds.get(kind, 0) + count
        if person:
            people.setdefault(person, {})[kind] = count
    return kinds, sorted(people.items(), key=lambda one: (-sum(one[1].values()), one[0]))[:SHOWN]


def _counted(one: Counted) -> dict[str, Any]:
    return {"path": one.path, "pv": one.pv, "count": one.count}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _at_most(value: float, target: float, limit: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"value": value, "target": target, "ok": value <= target}
    return found if limit is None else found | {"limit": limit, "manageable": value <= limit}
