"""Times of the command line: read as people write them, shown in local time with its zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

EXAMPLES = "now, today, yesterday, -10m, -2d, 14:30, 2026-11-20, 2026-11-20T08:00:00Z"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([+-])(\d{1,6})\s*([smhdw])[a-z]*")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")


def read_moment(text: str, now: datetime | None = None) -> datetime:
    """The time in UTC that a text means, without a zone in local time; ValueError with a sentence otherwise."""
    words = text.strip().lower()
    now = now or datetime.now(UTC)
    try:
        if words == "now":
            return now
        if words in ("today", "yesterday"):
            day = now.astimezone().date() - timedelta(days=words == "yesterday")
            return datetime(day.year, day.month, day.day).astimezone(UTC)
        if match := _SPAN.fullmatch(words):
            span = timedelta(**{_UNITS[match[3]]: int(match[2])})
            return now + span if match[1] == "+" else now - span
        if match := _CLOCK.fullmatch(words):
            today = now.astimezone().replace(tzinfo=None)
            hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
            return today.replace(hour=hour, minute=minute, second=second, microsecond=0).astimezone(UTC)
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; write for example {EXAMPLES}") from None


def moment_option(text: str | None, option: str) -> datetime | None:
    """A time of the command line; ends the command with exit code 2 when it is none."""
    if text is None:
        return None
    try:
        return read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def local_text(moment: datetime | None, none: str = "") -> str:
    """`2026-11-20 14:30:05 CET`."""
    return none if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def json_time(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the microsecond."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
