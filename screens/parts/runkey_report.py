"""The lines of `Report` and `Plan` as rows of a table, and the states of the runkey IOC. Imports no Qt.

The IOC writes for people, a line a PV: ``DEMO:HV:L07:VSet: is 1400 V, shall be 1500 V``, and in a plan
``DEMO:HV:L07:VSet: 1400 V -> 1500 V``. Any other line is shown as it is.
"""

from __future__ import annotations

import json
import re

from screens.parts.hv_state import NO_CONTACT, State
from screens.parts.runkey_data import Runkey, read

_PV = re.compile(r"(?P<mark>[^\w\s]*\s*)(?P<pv>[A-Za-z0-9_\-.]+(?::[A-Za-z0-9_\-.]+)+): (?P<text>.+)")
_IS = re.compile(r"is (?P<live>.*?), shall be (?P<stored>.*?)(?P<rest>[;(,].*)?")
_STEP = re.compile(r"(?P<live>.*?) -> (?P<stored>.*?)(?P<rest>[;(,:].*)?")

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


def rows_of(text: str) -> list[Row]:
    """Rows (PV, on the stand, in the runkey, remark) of a report or plan; a line without a PV is a remark."""
    rows: list[Row] = []
    for line in text.splitlines():
        line = line.rstrip()
        if not line.strip():
            continue
        found = _PV.fullmatch(line.strip())
        if found is None:
            rows.append(("", "", "", line.strip()))
            continue
        words = found["text"]
        sides = _IS.fullmatch(words) or _STEP.fullmatch(words)
        if sides is None:
            rows.append((found["pv"], "", "", words))
        else:
            rest = (sides["rest"] or "").strip("; ,:").strip()
            rows.append((found["pv"], sides["live"], sides["stored"], f"{found['mark']}{rest}".strip()))
    return rows


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
