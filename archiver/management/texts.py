"""How the appliance writes things: times for people and for machines, numbers, words for yes and no."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Sequence

import numpy as np

NEVER = "Never"
NS = 1_000_000_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK = [f"{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]
_SECONDS = [f"{second:02} " for second in range(60)]


def human_time(time_ns: int) -> str:
    """`Nov/20/2026 08:00:00 UTC` in this machine's zone; `Never` for 0 and before."""
    return human_times(np.array([time_ns], np.int64))[0]


def human_times(times_ns: np.ndarray) -> list[str]:
    """`human_time` of many at once: the calendar is asked once for each hour that occurs."""
    seconds = times_ns.astype(np.int64) // NS
    hours, place = np.unique(seconds // 3600, return_inverse=True)
    offsets, zones = np.zeros(len(hours), np.int64), []
    for number, hour in enumerate(hours.tolist()):
        offset, zone = _zone(hour * 3600)
        offsets[number] = offset
        zones.append(zone)
    local = seconds + offsets[place]
    days, day_place = np.unique(local // 86400, return_inverse=True)
    heads = [_day(day) for day in days.tolist()]
    second = local % 86400
    return [
        f"{heads[d]}{_CLOCK[m]}{_SECONDS[s]}{zones[z]}" if known else NEVER
        for d, m, s, z, known in zip(
            day_place.tolist(),
            (second // 60).tolist(),
            (second % 60).tolist(),
            place.tolist(),
            (times_ns > 0).tolist(),
            strict=True,
        )
    ]


def _zone(second: int) -> tuple[int, str]:
    if second < 0:
        return 0, "UTC"
    local = time.localtime(second)
    return local.tm_gmtoff or 0, local.tm_zone or "UTC"


def _day(day: int) -> str:
    date = datetime.date.fromordinal(max(day, 0) + 719163)
    return f"{_MONTHS[date.month - 1]}/{date.day:02}/{date.year} "


def iso_time(time_ns: int) -> str:
    """`2026-11-20T08:00:00.000Z`, for machines."""
    seconds, rest = divmod(int(time_ns), NS)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03}Z"


def number(value: float) -> str:
    """A number as Java writes a double: `1.0`, `0.0167`, `NaN`, `Infinity`."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def numbers(values: np.ndarray, digits: int) -> list[str]:
    """Many numbers, rounded to so many digits behind the point."""
    return [repr(value) for value in np.round(values.astype(np.float64), digits).tolist()]


def grouped(value: float) -> str:
    """`1,234.57`: at most two digits behind the point, none when they are zeros."""
    if not math.isfinite(value):
        return "0"
    text = f"{value:,.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def word(value: object) -> str:
    """`true` or `false`."""
    return "true" if value else "false"


def duration(seconds: float) -> str:
    """`1 day 2:03:04`, for people."""
    days, rest = divmod(max(0, int(seconds)), 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} day{'s' if days != 1 else ''} {clock}" if days else clock


def listing(names: Sequence[str], most: int = 10) -> str:
    """Names for a sentence: the first ones, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
