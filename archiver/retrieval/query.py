"""What a request asks for, from its query string; what a stranger can get wrong is a `Refused` with a sentence."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

MAX_QUERY = 16384
NS = 1_000_000_000
HOUR_NS = 3600 * NS
DAY_NS = 24 * HOUR_NS
REDUCED = "twoweek"
"""The operator of `usereduced` when the request names none."""
_LIMIT_S = (1 << 63) // NS - 1  # int64 nanoseconds reach from 1677 to 2262

_TIME = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"\s?(Z|[+\- ]\d\d(?::?\d\d(?::?\d\d)?)?)?\s*",
    re.ASCII | re.IGNORECASE,
)
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Refused(Exception):  # noqa: N818 (it is an answer, not a fault of ours)
    """A request that is answered with an HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def parameters(query: bytes, limit: int = MAX_QUERY) -> list[tuple[str, str]]:
    """The decoded pairs of a query string, in order; 414 when it is too long, 400 when it cannot be decoded."""
    if len(query) > limit:
        raise Refused(414, f"The query has {len(query)} characters; at most {limit} are accepted.")
    if _ESCAPE.search(query):
        raise Refused(400, "The query has a % that is not followed by two hexadecimal digits.")
    try:
        return parse_qsl(query.decode("ascii", "surrogateescape"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refused(400, "The query is not valid percent-encoded UTF-8.") from None


def first_values(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The first value of each parameter."""
    found: dict[str, str] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def parse_time(text: str, parameter: str = "time") -> int:
    """ISO 8601 -> unix nanoseconds; 400 otherwise.

    More is accepted than the appliance does: missing seconds or time of day, a missing zone (UTC), a space for the `+`
    of an offset that was not escaped, a space for the `T`. Times beyond int64 nanoseconds become its ends.
    """
    try:
        time_ns, _ = read_iso(text)
    except ValueError:
        raise Refused(
            400, f"Cannot read {parameter}={printable(text)!r} as a time, such as 2026-11-20T08:00:00.000Z."
        ) from None
    return time_ns


def read_iso(text: str) -> tuple[int, bool]:
    """Unix nanoseconds of an ISO 8601 text (UTC without a zone), and whether it names a zone; else ValueError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    moment = datetime.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    days = moment.toordinal() - datetime.date(1970, 1, 1).toordinal()
    seconds = days * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second - _offset(zone)
    seconds = max(-_LIMIT_S, min(_LIMIT_S, seconds))
    return seconds * NS + int((fraction or "").ljust(9, "0")), bool(zone)


def _offset(zone: str | None) -> int:
    """Seconds east of Greenwich."""
    if not zone or zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "").ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    if hours > 18 or minutes > 59 or seconds > 59:
        raise ValueError(zone)
    return (-1 if zone[0] == "-" else 1) * (hours * 3600 + minutes * 60 + seconds)


def printable(text: str, limit: int = 200) -> str:
    """A stranger's text, safe to repeat: no control characters, not too long."""
    safe = "".join(c if c.isprintable() else "?" for c in text)
    return safe if len(safe) <= limit else safe[:limit] + "…"


_FILLING = (
    *("mean", "jitter", "std", "linear", "loess", "median", "variance", "popvariance", "kurtosis", "skewness"),
    *("max", "min", "count", "stats", "optimLastSample", "optimized", "errorbar", "rms"),
)
"""Operators that have a form which leaves empty bins out."""

_OPERATORS = (
    *("minmax", "lttb", "twoweek", "firstSample", "firstFill", "lastFill", "lastSample", "ncount", "nth"),
    *("ignoreflyers", "flyers", "caplotbinning", "deadBand"),
    *(name + form for name in _FILLING for form in ("Sample", "")),
)


def _operator_name(text: str) -> str:
    """The operator that a name begins with: the appliance takes `stdev` for `std`, and `maximum` for `max`."""
    if text in _OPERATORS:
        return text
    return next((name for name in _OPERATORS if text.startswith(name)), text)


@dataclass(frozen=True)
class Operator:
    """A post-processor: `optimized_2000` is name `optimized`, arguments `("2000",)`."""

    text: str
    name: str
    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Operator:
        """Split `name_arg_arg`; more letters behind the name of an operator are left out."""
        name, *arguments = text.split("_")
        return cls(text, _operator_name(name), tuple(arguments))


@dataclass(frozen=True)
class Target:
    """One PV of a request: its name as asked for (without the operator), and the operator if there is one."""

    name: str
    operator: Operator | None


@dataclass(frozen=True)
class DataRequest:
    """A getData request. Times are unix nanoseconds; `ranges` has one pair, or those of `timeranges`."""

    targets: tuple[Target, ...]
    ranges: tuple[tuple[int, int], ...]
    latest_metadata: bool
    template: str | None = None
    """A PV that is archived, whose type a PV has that is not."""


def parse_target(text: str, pp: str | None = None) -> Target:
    """`NAME`, `operator_args(NAME)` or `operator_args(NAME, arg)`; `pp` is the operator when the text has none."""
    # no name has a space: it is a plus sign that was sent unescaped
    text = text.strip().replace(" ", "+") if "(" not in text else text.strip()
    operator = Operator.parse(pp) if pp else None
    if "(" in text:
        if ")" not in text:
            raise Refused(400, f"The parenthesis in pv={printable(text)} is not closed.")
        function, *pieces = [p.strip() for p in re.split(r"[(,)]", text)]
        name, *extra = pieces
        name = name.replace(" ", "+")
        if not function:
            raise Refused(400, f"There is no operator before the parenthesis in pv={printable(text)}.")
        operator = Operator.parse("_".join([function, *(e for e in extra if e)]))
    else:
        name = text
    if not name:
        raise Refused(400, "PV name is null.")
    return Target(name, operator)


NOWHERE = "The archive's folder is not there: it was not made yet, or its disk is not mounted."


def unknown(name: str) -> Refused:
    """The answer for a PV that is not archived."""
    return Refused(404, f"Unable to find typeinfo for pv {printable(name)}")


def data_request(
    pairs: list[tuple[str, str]], names: list[str] | None = None, now_ns: int | None = None
) -> DataRequest:
    """The request of getData or getDataForPVs; `names` are those of a POST body."""
    values = first_values(pairs)
    texts = [v for k, v in pairs if k == "pv"] if names is None else names
    if not texts or not any(t.strip() for t in texts):
        raise Refused(400, "PV name is null.")
    ranges = time_ranges(values, now_ns)
    pp = values.get("pp") or None
    if pp is None and values.get("usereduced") == "true":
        pp = REDUCED
    targets = tuple(parse_target(text, pp) for text in texts)
    template = values.get("retiredPVTemplate") or None
    return DataRequest(targets, ranges, values.get("fetchLatestMetadata") == "true", template)


def time_ranges(values: Mapping[str, str], now_ns: int | None = None) -> tuple[tuple[int, int], ...]:
    """`timeranges`, or `from` and `to`: `to` is one hour from now, `from` one day before `to`, unless given."""
    if values.get("timeranges"):
        return _several(values["timeranges"])
    now = time.time_ns() if now_ns is None else now_ns
    end = parse_time(values["to"], "to") if values.get("to") else now + HOUR_NS
    start = parse_time(values["from"], "from") if values.get("from") else end - DAY_NS
    if end < start:
        to = printable(values.get("to") or "(an hour from now)")
        raise Refused(400, f"The end, to={to}, is before the start, from={printable(values['from'])}.")
    return ((start, end),)


_PART = r"([+-]?\d{1,9}"
_PERIOD = re.compile(rf"[+-]?P(?=\d|[+-]){_PART}Y)?{_PART}M)?{_PART}W)?{_PART}D)?", re.ASCII | re.IGNORECASE)


def check_period(text: str) -> None:
    """400 for what is no ISO 8601 period of days, such as P1D. We look back without limit, so that is all it is for."""
    if not _PERIOD.fullmatch(text.strip()):
        raise Refused(400, f"Cannot read searchPeriod={printable(text)!r} as a period, such as P1D.")


def _several(text: str) -> tuple[tuple[int, int], ...]:
    times = [parse_time(t, "timeranges") for t in text.split(",")]
    if len(times) % 2:
        raise Refused(400, "timeranges needs an even number of times: start,end,start,end.")
    if times != sorted(times):
        raise Refused(400, "The times of timeranges must ascend, and the ranges must not overlap.")
    return tuple(zip(times[::2], times[1::2], strict=True))
