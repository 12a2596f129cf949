"""Times as people write them: `now`, `-10m`, `2h ago`, `yesterday`, `14:30`, ISO 8601; without a zone, local."""

from __future__ import annotations

import datetime
import re
from typing import Any

from archiver.retrieval.query import read_iso

NS = 1_000_000_000
_UNITS = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), NS // 1000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), NS),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * NS),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600 * NS),
    **dict.fromkeys(("d", "day", "days"), 86400 * NS),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400 * NS),
}
_PIECE = r"(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]+)\s*"
_SPAN = re.compile(rf"([+-]?)\s*((?:{_PIECE})+)")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.\d+)?)?")
_EDGE_NS = (1 << 63) - NS
EXAMPLES = "now, -10m, '2h ago', yesterday, 14:30, 2026-11-20T08:00:00Z"


def parse_moment(text: str, now_ns: int) -> int:
    """Unix nanoseconds of what a person wrote; ValueError with a sentence otherwise."""
    words = text.strip().lower()
    found = _relative(words, now_ns)
    if found is None:
        try:
            found = _absolute(text.strip(), now_ns)
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is no time; write for example {EXAMPLES}") from None
    return max(-_EDGE_NS, min(_EDGE_NS, found))


def moment_ns(moment: Any, now_ns: int) -> int:
    """Unix nanoseconds of a time as a program has it; ValueError with a sentence otherwise.

    A `datetime` (local without a zone, as Python has it), `pandas.Timestamp`, `numpy.datetime64` (UTC), a `timedelta`
    from now, unix seconds as a number, or text as `parse_moment` takes it.
    """
    if isinstance(moment, str):
        return parse_moment(moment, now_ns)
    if isinstance(moment, datetime.timedelta):
        return now_ns + _timedelta_ns(moment)
    if isinstance(moment, datetime.datetime):
        utc = moment.astimezone(datetime.UTC)
        whole = _timedelta_ns(utc - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
        return whole + getattr(moment, "nanosecond", 0)  # pandas' own
    if hasattr(moment, "dtype") and getattr(moment.dtype, "kind", "") == "M":
        return int(moment.astype("datetime64[ns]").astype("int64"))
    if isinstance(moment, (int, float)) or hasattr(moment, "__float__"):
        seconds = moment if isinstance(moment, int) else float(moment)
        if abs(seconds) < _EDGE_NS // NS:  # false for NaN too
            return seconds * NS if isinstance(seconds, int) else round(seconds * 1e6) * 1000
    raise ValueError(f"{moment!r} is no time; give a datetime, unix seconds, or a text such as {EXAMPLES}")


def _timedelta_ns(span: datetime.timedelta) -> int:
    return (span.days * 86400 + span.seconds) * NS + span.microseconds * 1000


def _relative(words: str, now_ns: int) -> int | None:
    if words == "now":
        return now_ns
    if words in ("today", "yesterday"):
        today = datetime.datetime.fromtimestamp(now_ns // NS).replace(hour=0, minute=0, second=0)
        return int((today - datetime.timedelta(days=words == "yesterday")).timestamp()) * NS
    ago = words.endswith("ago")
    match = _SPAN.fullmatch(words.removesuffix("ago").rstrip())
    if match is None or bool(match[1]) == ago:
        return None  # `10m` alone could be either way, `-10m ago` is both
    span = 0
    for number, unit in re.findall(_PIECE, match[2]):
        if unit not in _UNITS:
            return None
        span += round(float(number) * _UNITS[unit])
    return now_ns + (span if match[1] == "+" else -span)


def _absolute(text: str, now_ns: int) -> int:
    if match := _CLOCK.fullmatch(text):
        day = datetime.datetime.fromtimestamp(now_ns // NS)
        text = f"{day:%Y-%m-%d}T{match[1].zfill(2)}:{text.split(':', 1)[1]}"
    time_ns, has_zone = read_iso(text)
    if has_zone:
        return time_ns
    seconds, nanos = divmod(time_ns, NS)
    local = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return int(local.timestamp()) * NS + nanos


def local_text(time_ns: int, utc: bool = False) -> str:
    """A time for people: local, or UTC, to the microsecond."""
    seconds, nanos = divmod(time_ns, NS)
    zone = datetime.UTC if utc else None
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=seconds)
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}.{nanos // 1000:06d}"


def iso_text(time_ns: int) -> str:
    """A time for machines: ISO 8601, UTC, all nine digits."""
    seconds, nanos = divmod(time_ns, NS)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
