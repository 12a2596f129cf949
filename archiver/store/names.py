"""Names of segment files: what a manifest knows of a segment's place in the archive can be read from its name.

    double/days-2026-11-20-0000000101-0000000220-0000012f.parquet
    kind   tier period     first log  last log   serial

The serial is given once in an archive's life, so a name never stands for two contents. Imported samples are of no log:
both numbers are 0. Archives of version 1 named segments by their logs alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from archiver.store.manifest import DAYS, MINUTES, MONTHS

EPOCH = date(1970, 1, 1)

LEVELS = {MINUTES: 1, DAYS: 2, MONTHS: 3}
"""The level of a segment of each tier; one right out of a log has 0."""

_NAME = re.compile(
    r"(?P<kind>[a-z_]+)/(?P<tier>minutes|days|months)-(?P<year>\d{4})-(?P<month>\d\d)(?:-(?P<day>\d\d))?"
    r"-(?P<first>\d{10,})-(?P<last>\d{10,})-(?P<serial>[0-9a-f]{8,})\.parquet"
)
_OLD_NAME = re.compile(r"(?P<kind>[a-z_]+)/(?P<first>\d{10})-(?P<last>\d{10})\.parquet")

INDEX = ".index.npy"
MINUTE_SUMMARY = ".minute.parquet"
HOUR_SUMMARY = ".hour.parquet"
SIDECARS = (INDEX, MINUTE_SUMMARY, HOUR_SUMMARY)
"""Endings of the files beside a segment; its stem stands before them."""


@dataclass(frozen=True)
class Parsed:
    """What a name says. `day`: days since 1970 UTC, of a month its first. It and `serial` are None in version 1."""

    kind: str
    tier: str
    day: int | None
    first_log: int
    last_log: int
    serial: int | None

    @property
    def level(self) -> int:
        """The level that a segment of this name has."""
        if self.tier == MINUTES and self.first_log == self.last_log:
            return 0
        return LEVELS[self.tier]


def date_of(day: int) -> date:
    """The date of a day since 1970 UTC; days outside the calendar are its ends."""
    return EPOCH + timedelta(days=max(-719162, min(day, 2932896)))


def month_of(day: int) -> tuple[int, int]:
    """Year and month of a day since 1970 UTC."""
    found = date_of(day)
    return found.year, found.month


def first_of_month(day: int) -> int:
    """The first day of a day's month, since 1970 UTC."""
    return (date_of(day).replace(day=1) - EPOCH).days


def segment_name(kind: str, tier: str, day: int, logs: tuple[int, int], serial: int) -> str:
    """The name of a segment in its place."""
    found = date_of(day)
    period = f"{found:%Y-%m}" if tier == MONTHS else f"{found:%Y-%m-%d}"
    return f"{kind}/{tier}-{period}-{logs[0]:010d}-{logs[1]:010d}-{serial:08x}.parquet"


def parse_name(name: str) -> Parsed | None:
    """What a segment's name says, None for a name that is none."""
    if found := _NAME.fullmatch(name):
        try:
            day = (date(int(found["year"]), int(found["month"]), int(found["day"] or 1)) - EPOCH).days
        except ValueError:
            return None
        logs = int(found["first"]), int(found["last"])
        return Parsed(found["kind"], found["tier"], day, *logs, int(found["serial"], 16))
    if found := _OLD_NAME.fullmatch(name):
        return Parsed(found["kind"], MINUTES, None, int(found["first"]), int(found["last"]), None)
    return None


def stem_of(name: str) -> str:
    """The stem of any file of a segment: its name up to the first dot after the last `/`."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.split('.', 1)[0]}" if folder else file.split(".", 1)[0]
