"""What is put to `Shelve`: for how long, and why.

10m cable is being changed        for ten minutes; also 30s, 2h, 1d, 1h30m
once known, comes back to normal  until the alarm is normal again, or the longest time is over
2026-11-21T18:00:00Z beam off     until then; with its time zone
(nothing)                         back from the shelf
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from iocs.alarm.tree.clock import SECOND

ONCE = "once"
MAX_WHY = 500
"""Characters of a reason."""
_SPAN = re.compile(r"(?=\d)(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s)?", re.IGNORECASE)
_HELP = "say for how long, and why: '10m cable is changed', 'once …', '2030-01-01T12:00:00Z …'"


@dataclass(frozen=True, slots=True)
class ShelveWish:
    """What an operator wants."""

    until_ns: int | None
    """UTC ns; None: as long as may be."""
    why: str
    one_shot: bool = False


def parse_shelve(text: str, now_ns: int) -> ShelveWish | None:
    """What a put to `Shelve` means; None: back from the shelf. ValueError, with the reason, when it means nothing."""
    words = text.split(None, 1)
    if not words:
        return None
    when, why = words[0], " ".join(words[1].split()) if len(words) > 1 else ""
    if when.lower() == ONCE:
        wish = ShelveWish(None, why, one_shot=True)
    else:
        wish = ShelveWish(_end(when, now_ns), why)
    if not why:
        raise ValueError(f"there is no reason; {_HELP}")
    if len(why) > MAX_WHY:
        raise ValueError(f"the reason has more than {MAX_WHY} characters")
    return wish


def _end(text: str, now_ns: int) -> int:
    match = _SPAN.fullmatch(text)
    if match is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        span = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if not span:
            raise ValueError(f"{text!r} is no time at all; {_HELP}")
        return now_ns + span * SECOND
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no time; {_HELP}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; add Z for UTC, or +01:00")
    try:
        end = int(moment.astimezone(UTC).timestamp()) * SECOND
    except (OverflowError, ValueError):
        raise ValueError(f"{text!r} is no time; {_HELP}") from None
    if end <= now_ns:
        raise ValueError(f"{text!r} is over")
    return end


def shelve_text(until_ns: int | None, why: str, one_shot: bool) -> str:
    """The same as a text."""
    if one_shot or until_ns is None:
        return f"{ONCE} {why}"
    return f"{datetime.fromtimestamp(until_ns // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ} {why}"
