"""The lines of `Report` and `Plan` as rows of a table, and the states of the runkey IOC. Imports no Qt.

The IOC writes for people, a line a PV: ``DEMO:HV:L07:VSet: is 1400 V, shall be 1500 V``, and in a plan
``DEMO:HV:L07:VSet: 1400 V -> 1500 V``. Any other line is shown as it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from screens.parts.hv_state import NO_CONTACT, State
from screens.parts.runkey_data import Runkey
from screens.parts.words import read

_PV = re.compile(r"(?P<lead>(?:missing|left): )?(?P<pv>[A-Za-z0-9_\-.]+(?::[A-Za-z0-9_\-.]+)+): (?P<text>.+)")
_STEP_OF = re.compile(r"(?:level|step) (?P<step>\d+) of (?P<steps>\d+):?")
_IS = re.compile(r"is (?P<live>.*?), shall be (?P<stored>.*?)(?P<rest>(?:;| \().*)?")
_STEP = re.compile(r"(?P<live>.*?) -> (?P<stored>.*?)(?P<rest>(?:;| \(|: ).*)?")

OFFLINE = State("disconnected", "┅", "DISCONNECTED")
STATES = {
    "Idle": State("off", "○", "IDLE"),
    "Snapshotting": State("ramping", "▶", "SNAPSHOT"),
    "Comparing": State("ramping", "▶", "COMPARING"),
    "Applying": State("ramping", "▶", "APPLYING"),
    "Committing": State("ramping", "▶", "COMMITTING"),
    "RollingBack": State("warning", "◀", "ROLLING BACK"),
    "Aborting": State("warning", "■", "ABORTING"),
    "Failed": State("fault", "✖", "FAILED"),
    "Offline": State("invalid", "?", "NO DATABASE"),
}
BUSY = {"Snapshotting", "Comparing", "Applying", "Committing", "RollingBack", "Aborting"}

Row = tuple[str, str, str, str]


def state_of(name: str, severity: int, connected: bool) -> State:
    """What the IOC does, from its PV `State`: the state's name, and the severity of the PV (0 to 3)."""
    if not connected:
        return OFFLINE
    if name in STATES:
        return STATES[name]
    if not name or severity >= 3:
        return NO_CONTACT
    return State("fault" if severity == 2 else "warning" if severity else "off", "◆", name.upper()[:16])


@dataclass(frozen=True)
class Report:
    """What was done, to what, by whom and how it went (`head`, lines), and the items."""

    head: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()

    @property
    def title(self) -> str:
        """The head with hashes that fit into a line."""
        return "\n".join(re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", line) for line in self.head)


def read_report(text: str) -> Report:
    """A report or plan. The lines before the first item are its head; an item without a PV is a remark."""
    head: list[str] = []
    rows: list[Row] = []
    step = ""
    for line in text.splitlines():
        words = line.strip()
        if not words:
            continue
        if found := _STEP_OF.fullmatch(words):
            step = f"step {found['step']} of {found['steps']}"
        elif row := _row(words, step):
            rows.append(row)
        elif rows or line.startswith(" "):
            rows.append(("", "", "", words))
        else:
            head.append(words)
    return Report(tuple(head), tuple(rows))


def _row(line: str, step: str) -> Row | None:
    found = _PV.fullmatch(line)
    if found is None:
        return None
    words, lead = found["text"], (found["lead"] or "").strip(": ")
    step = "" if lead else step
    sides = _IS.fullmatch(words) or _STEP.fullmatch(words)
    if sides is None:
        return found["pv"], "", "", ", ".join(part for part in (step, lead, words) if part)
    rest = (sides["rest"] or "").strip("; :()")
    return found["pv"], sides["live"], sides["stored"], ", ".join(part for part in (step, lead, rest) if part)


def kind_of(row: Row) -> str:
    """The colour of a row by what it says: fault, warning, gone or none."""
    words = row[3].lower()
    if re.search(r"fail|refus|interlock|locked|not verified|rollback|rolled back|killed|abort", words):
        return "fault"
    if re.search(r"cannot be (read|compared)|disconnected|no subsystem|not compared|missing", words):
        return "gone"
    return "warning" if re.search(r"cannot be written|read-only|does not have it|no valid value", words) else ""


def read_names(text: str) -> tuple[list[Runkey], int]:
    """The runkeys of `List` or `Found`, and how many more there are; ValueError when it is something else."""
    document = json.loads(text)
    if isinstance(document, list):
        document = {"runkeys": document}
    return (
        read(lambda d: [Runkey.of(entry) for entry in d["runkeys"]], document),
        read(lambda d: int(d.get("more") or 0), document),
    )
