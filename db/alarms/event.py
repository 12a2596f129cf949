"""Rows of the log of alarms, as plain data."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from db.ids import new_id

SEVERITIES = (
    "OK", "MINOR_ACK", "MAJOR_ACK", "INVALID_ACK", "UNDEFINED_ACK", "MINOR", "MAJOR", "INVALID", "UNDEFINED",
)  # fmt: skip
"""Names of severities by number."""
EFFECTIVE = (
    "Normal", "Active", "ActiveLatched", "ActiveOffDelayed", "NormalDisabled", "NormalFiltered", "NormalMasked",
    "NormalOnDelayed", "NormalOneShotShelved", "NormalContinuousShelved", "Acknowledged",
)  # fmt: skip
"""Names of effective states by number."""
PRIORITIES = ("", "low", "medium", "high")
KINDS = (
    "transition", "ack", "unack", "shelve", "unshelve", "disable", "enable", "config", "delete", "mode", "notify",
    "action", "announce", "server",
)  # fmt: skip
"""What kinds of events there are."""

_BAD = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: an alarm that changed, or somebody's act."""

    time_ns: int
    """UTC nanoseconds since 1970, by the alarm server's clock."""
    kind: str
    """One of `KINDS`."""
    path: str
    """In the alarm tree; "" for what is of no place in it."""
    pv: str = ""
    """Of an alarm; "" for an area."""
    severity: int = 0
    """Of the alarm, now: a number of `SEVERITIES`."""
    before: int = 0
    """Of the alarm, before."""
    current: int = 0
    """Of the PV itself."""
    message: str = ""
    current_message: str = ""
    value: str = ""
    effective: int = 0
    """A number of `EFFECTIVE`."""
    effective_before: int = 0
    raised: bool = False
    """It went up, and is not suppressed: what the figures count."""
    priority: int = 0
    """A number of `PRIORITIES`."""
    burst: str = ""
    """What alarms of one burst have in common."""
    first_out: bool = False
    user: str = ""
    host: str = ""
    detail: str = ""
    time_pv_ns: int = 0
    """Of the PV's state, by the PV's clock; 0: not of a PV."""
    id: str = field(default_factory=new_id)

    @property
    def time(self) -> datetime:
        """In UTC, to the microsecond."""
        return moment(self.time_ns)

    @property
    def area(self) -> str:
        """The path above; "" above the root."""
        return parent(self.path)

    @property
    def cursor(self) -> str:
        """Where a search goes on after this event: its `after`."""
        return f"{self.time_ns}-{self.id}"

    def as_dict(self) -> dict[str, Any]:
        """As `owl alarm log --json` shows it: names instead of numbers, the time as ISO 8601 in UTC."""
        return {
            "time": iso(self.time_ns),
            "kind": self.kind,
            "path": self.path,
            "pv": self.pv,
            "severity": SEVERITIES[self.severity],
            "before": SEVERITIES[self.before],
            "current": SEVERITIES[self.current],
            "message": self.message,
            "current_message": self.current_message,
            "value": self.value,
            "state": EFFECTIVE[self.effective],
            "state_before": EFFECTIVE[self.effective_before],
            "raised": self.raised,
            "priority": PRIORITIES[self.priority],
            "burst": self.burst,
            "first_out": self.first_out,
            "user": self.user,
            "host": self.host,
            "detail": self.detail,
            "time_pv": iso(self.time_pv_ns) if self.time_pv_ns else "",
            "id": self.id,
        }


FIELDS = tuple(Event.__dataclass_fields__)
"""Names of an event's fields, in their order."""


def parent(path: str) -> str:
    r"""The path above an alarm's; a `/` inside a name is `\/`. "" above the root."""
    end = len(path)
    while (end := path.rfind("/", 0, end)) > 0:
        if path[end - 1] != "\\":
            return path[:end].rstrip("/")
    return ""


def source_id(path: str, pv: str) -> int:
    """The number of a place in the tree, the same in every database: 63 bits of a sha256."""
    digest = hashlib.sha256(f"{path}\0{pv}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def storable(text: str, longest: int) -> str:
    """Text as every database takes it: no NUL, no half of a surrogate pair; a longer one ends in "…"."""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return _BAD.sub("\ufffd", text) if not text.isascii() or "\0" in text else text


def moment(time_ns: int) -> datetime:
    """A time in UTC, to the microsecond."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).replace(microsecond=time_ns % 1_000_000_000 // 1000)


def nanoseconds(time: datetime) -> int:
    """A time with a zone as UTC nanoseconds since 1970; ValueError without a zone."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone")
    whole = time.replace(microsecond=0)
    return round(whole.timestamp()) * 1_000_000_000 + time.microsecond * 1000


def iso(time_ns: int) -> str:
    """A time as ISO 8601 in UTC, with microseconds."""
    return moment(time_ns).isoformat(timespec="microseconds")
