"""How alarms look on a terminal: a shape and a word beside the colour, so that nobody must tell colours apart."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

LOOKS = {
    "OK": ("✓", ".", "green"),
    "MINOR_ACK": ("△", "m", "yellow"),
    "MAJOR_ACK": ("◇", "M", "red"),
    "INVALID_ACK": ("□", "I", "magenta"),
    "UNDEFINED_ACK": ("○", "U", "magenta"),
    "MINOR": ("▲", "m!", "bold yellow"),
    "MAJOR": ("◆", "M!", "bold red"),
    "INVALID": ("■", "I!", "bold magenta"),
    "UNDEFINED": ("●", "U!", "bold magenta"),
}
"""Shape, what stands for it where there are letters only, and style; acknowledged shapes are hollow."""

STATES = {
    "Normal": "normal",
    "Active": "active",
    "ActiveLatched": "latched: is gone",
    "ActiveOffDelayed": "gone, waits",
    "NormalDisabled": "disabled",
    "NormalFiltered": "filtered out",
    "NormalMasked": "masked",
    "NormalOnDelayed": "delayed",
    "NormalOneShotShelved": "shelved once",
    "NormalContinuousShelved": "shelved",
    "Acknowledged": "acknowledged",
}
"""Effective states in an operator's words."""

ACTIVE_COLUMNS = ("severity", "alarm", "message", "value", "since", "state", "what it is")


def drawable(text: str) -> bool:
    """Whether the output can show these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def shape(severity: str) -> str:
    """The shape of a severity, or letters where the output cannot show shapes."""
    drawn, letters, _ = LOOKS.get(severity, ("?", "?", ""))
    return drawn if drawable(drawn) else letters


def style(severity: str) -> str:
    """The style of a severity."""
    return LOOKS.get(severity, ("", "", ""))[2]


def severity_text(severity: str) -> Text:
    """Shape and word in its colour."""
    from rich.text import Text

    return Text(f"{shape(severity)} {severity}", style=style(severity))


def local_time(text: str, now: datetime | None = None) -> str:
    """A form's time in local time: without the date when it is today's; "" stays so."""
    if not text:
        return ""
    moment = datetime.fromisoformat(text).astimezone()
    today = (now or datetime.now(UTC)).astimezone().date()
    return f"{moment:%H:%M:%S}" if moment.date() == today else f"{moment:%Y-%m-%d %H:%M:%S}"


def state_text(row: dict[str, Any]) -> str:
    """What became of an alarm: its state, and who did that, until when."""
    text = STATES.get(row["state"]) or str(row["state"])
    if row["shelved"] is not None:
        return f"{text} until {local_time(row['shelved']['until'])}"
    if row["acknowledged_by"] and row["state"] == "Acknowledged":
        return f"{text} by {row['acknowledged_by'].partition('@')[0]}"
    extra = [word for key, word in (("first_out", "first out"), ("chattering", "chatters")) if row.get(key)]
    return ", ".join((text, *extra))


def active_table(rows: list[dict[str, Any]]) -> Table:
    """The table of alarms."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ACTIVE_COLUMNS:
        table.add_column(heading, no_wrap=heading in ("severity", "since"), overflow="fold")
    for row in rows:
        table.add_row(
            severity_text(row["severity"]),
            Text(row["pv"]),
            Text(row["message"]),
            Text(row["value"]),
            Text(local_time(row.get("since") or row["time"])),
            Text(state_text(row)),
            Text(row["description"].lstrip("*!")),
        )
    return table


def counts_text(rows: list[dict[str, Any]]) -> str:
    """How many alarms wait, and how many are acknowledged, by severity."""
    waiting: dict[str, int] = {}
    acknowledged = 0
    for row in rows:
        if row["severity"].endswith("_ACK"):
            acknowledged += 1
        else:
            waiting[row["severity"]] = waiting.get(row["severity"], 0) + 1
    order = [name for name in reversed(LOOKS) if name in waiting]
    parts = [f"{waiting[name]} {shape(name)} {name}" for name in order]
    parts += [f"{acknowledged} acknowledged"] if acknowledged else []
    return ", ".join(parts) or "no alarm"
