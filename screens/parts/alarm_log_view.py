"""Entries of the alarm log as rows of a table; a search as words of `owl alarm log`. Imports no Qt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from screens.parts.alarm_data import Event, LogQuery
from screens.parts.alarm_look import look_of, state_word
from screens.parts.words import when

HEADER = ("When", "What", "Severity", "PV or area", "Message", "Value", "Who", "Detail")
WITH_SEVERITY = ("transition", "announce")
KINDS = {
    "transition": "alarm",
    "ack": "acknowledged",
    "unack": "unacknowledged",
    "shelve": "shelved",
    "unshelve": "unshelved",
    "disable": "disabled",
    "enable": "enabled",
    "config": "configured",
    "delete": "removed",
    "mode": "mode",
    "notify": "notify",
    "action": "action",
    "announce": "announced",
    "server": "server",
}
SPANS = (
    ("last hour", timedelta(hours=1)),
    ("last 8 h", timedelta(hours=8)),
    ("last 24 h", timedelta(days=1)),
    ("last 7 days", timedelta(days=7)),
    ("last 30 days", timedelta(days=30)),
    ("all", timedelta(days=36_500)),
)


def row_of(event: Event) -> tuple[str, ...]:
    """An entry as the table shows it."""
    look, before = look_of(event.severity), look_of(event.before)
    severity = (look.text if look.name else event.severity) if event.kind in WITH_SEVERITY else ""
    detail = " ".join(event.detail.split())
    if event.kind == "transition" and event.state not in ("", "Normal", "Active"):
        detail = f"{state_word(event.state)} {detail}".strip()
    if event.kind == "transition" and before.name and before is not look:
        severity = f"{before.symbol} → {severity}"
    return (
        when(event.time)[5:],
        KINDS.get(event.kind, event.kind),
        severity,
        event.pv or event.path,
        event.message,
        event.value,
        event.who,
        detail,
    )


def color_of(row: tuple[str, ...] | list[str]) -> str:
    """The colour of a row: only changes of alarms have one, by the severity that they went to."""
    if row[1] != "alarm" or "✓" in row[2]:
        return ""
    words = {"MINOR": "warning", "MAJOR": "fault", "INVALID": "invalid", "UNDEFINED": "gone", "OK": "good"}
    return next((color for word, color in words.items() if row[2].endswith(word)), "")


def arguments(query: LogQuery) -> list[str]:
    """What `owl alarm log` is asked, without `--json`: an item by its path, its PV, or a glob of PVs."""
    given = (
        ("--from", query.since),
        ("--to", query.until),
        ("--severity", query.severity),
        ("--by", query.person),
        ("--kind", query.kind),
        ("--text", query.text),
        ("--after", query.after),
    )
    options = [f"{name}={value}" for name, value in given if value]
    return [*options, f"--limit={query.limit}", *(["--", item] if (item := query.path or query.pv) else [])]


def since_text(span: timedelta, now: datetime | None = None) -> str:
    """A moment in UTC as the command takes it: so long ago."""
    return f"{(now or datetime.now(UTC)) - span:%Y-%m-%dT%H:%M:%SZ}"
