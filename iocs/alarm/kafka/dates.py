"""The local dates in Phoebus' records: `2026-11-20T18:30:00`, without a zone, as Java's LocalDateTime writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?", re.ASCII
)


def local_text(moment: datetime, zone: tzinfo | None) -> str:
    """An aware time as local time of a zone (None: the system's), with a fraction of a second only where there is one.

    In the hour that comes twice in autumn the text is that of both.
    """
    local = moment.astimezone(zone)
    fraction = f".{local.microsecond:06d}".rstrip("0") if local.microsecond else ""
    return f"{local.year:04d}-{local:%m-%dT%H:%M:%S}{fraction}"


def read_local(text: str, zone: tzinfo | None) -> datetime:
    """The aware time (UTC) that a local time of a zone (None: the system's) stands for; ValueError when it is none.

    As in Java: of an hour that comes twice the first is meant; one that is left out in spring is an hour later.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no local date")
    *parts, fraction = found.groups(default="0")
    year, month, day, hour, minute, second = (int(part) for part in parts)
    naive = datetime(year, month, day, hour, minute, second, int(fraction.ljust(9, "0")) // 1000)
    try:
        return (naive.replace(tzinfo=zone) if zone is not None else naive.astimezone()).astimezone(UTC)
    except (OverflowError, OSError):
        raise ValueError(f"{text[:40]!r} is no local date") from None
