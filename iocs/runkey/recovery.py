"""After a start: what an apply that was interrupted has left on the stand, and which runkey is applied.

Nothing is written to the stand here. An apply whose process died is `running` in the journal; its items say how far it
was, and the stand says what they are now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from db.errors import DbError
from db.who import Who
from iocs.runkey.browse import iso
from iocs.runkey.catalogues import Catalogue, Item
from iocs.runkey.journal import INTERRUPTED, RUNNING, ApplicationRow, ItemRow, applications, items_of
from iocs.runkey.journal import finish_application as finish
from iocs.runkey.reading import Live, read_live, same
from iocs.runkey.settings import Value, check_value, show_value
from iocs.runkey.snapshots import settings_at
from owlshift.ioc import Severity

if TYPE_CHECKING:
    from db.store import Store
    from iocs.runkey.stand import Stand

LOOK_PERIOD = 1.0
"""Seconds between two looks at subsystems that do not answer yet."""
_WORDS = {
    "planned": "not begun",
    "writing": "was being written",
    "verified": "was written and verified",
    "failed": "had failed",
    "rolling_back": "was being taken back",
    "rolled_back": "was taken back",
    "rollback_failed": "could not be taken back",
}


@dataclass(frozen=True)
class Applied:
    """The runkey that the stand was brought to last, as far as the journal knows."""

    name: str = ""
    """Empty: none, or nobody knows what the stand is."""
    root: str = ""
    digest: str = ""
    by: str = ""
    at: str = ""
    result: str = "no runkey was applied yet"
    severity: Severity = Severity.NO_ALARM


@dataclass(frozen=True)
class Interrupted:
    """An apply that nobody ended."""

    row: ApplicationRow
    items: tuple[ItemRow, ...]

    @property
    def line(self) -> str:
        """For `Msg`."""
        begun = sum(1 for item in self.items if item.state != "planned")
        row = self.row
        return (
            f"Apply of {row.runkey} by {row.user}@{row.host} at {iso(row.started)} was interrupted: "
            f"{begun} of {len(self.items)} settings had been begun; Report says what they are now"
        )


def find_interrupted(store: Store, prefixes: Sequence[str]) -> list[Interrupted]:
    """Applies of this stand that are still `running`, the oldest first. To be asked before any apply begins."""
    with store.staging.database.read() as connection:
        rows = applications(connection, state=RUNNING)
        found = [Interrupted(row, tuple(items_of(connection, row.id))) for row in rows]
    # a staging area may serve several stands, of which another may be applying at this moment
    return [one for one in reversed(found) if _is_of(store, one.row, one.items, prefixes)]


def _is_of(store: Store, row: ApplicationRow, items: Sequence[ItemRow], prefixes: Sequence[str]) -> bool:
    """Whether it is an apply to the stand with these prefixes."""
    if items:
        return any(item.pv.startswith(tuple(prefixes)) for item in items)
    try:
        # nothing was to be written: the stand was so already, or it was refused
        settings, _ = settings_at(store, row.root_id)
    except DbError:
        return True  # the runkey is gone; one stand alone is what is usual
    return any(setting.pv.startswith(tuple(prefixes)) for setting in settings)


def mark_interrupted(store: Store, application: Interrupted, report: str, who: Who) -> None:
    """Say so in the journal and in the audit."""
    with store.staging.database.write() as connection:
        finish(connection, application.row.id, INTERRUPTED, report, application.row.runkey, who)


async def explain(application: Interrupted, stand: Stand, patience: float) -> str:
    """The report, item by item: how far each was, and what it is now; subsystems have `patience` seconds to answer."""
    names = {item.pv for item in application.items}
    deadline = time.monotonic() + patience
    while True:
        catalogue = await stand.catalogue()
        known = [catalogue.items[pv] for pv in names if pv in catalogue.items]
        live = await read_live(stand.client, known, catalogue, stand.timeout)
        settled = len(known) == len(names) and all(one.known is not None for one in live.values())
        if settled or time.monotonic() >= deadline:
            return describe(application, catalogue, live)
        await asyncio.sleep(LOOK_PERIOD)


def describe(application: Interrupted, catalogue: Catalogue, live: dict[str, Live]) -> str:
    """The report of an interrupted apply."""
    row = application.row
    lines: list[str] = []
    counts = {"as the runkey says": 0, "as before": 0, "neither": 0, "unknown": 0}
    for entry in application.items:
        item = catalogue.items.get(entry.pv)
        verdict, now = _verdict(entry, item, live.get(entry.pv))
        counts[verdict] += 1
        word = _WORDS.get(entry.state, entry.state)
        old, new = (_shown(text, item) for text in (entry.old, entry.new))
        lines.append(f"  {entry.pv}: {word}; {now} ({verdict}; before {old}, the runkey says {new})")
    head = [
        f"Apply of {row.runkey!r} by {row.user}@{row.host} at {iso(row.started)} was INTERRUPTED: the IOC died",
        f"Runkey: hash {row.digest.hex()}",
    ]
    if row.comment:
        head.insert(1, f"Why: {row.comment}")
    if not lines:
        return "\n".join([*head, "Nothing had been written."])
    total = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    head.append(f"Of {len(lines)} settings now: {total}. Nothing was written since then.")
    if counts["as before"] + counts["as the runkey says"] == len(lines) and not counts["as the runkey says"]:
        head.append("The stand is as it was before.")
    else:
        head.append(f"Apply {row.runkey} again to finish it, or the runkey that was applied before to take it back.")
    return "\n".join([*head, *lines])


def _value(text: str, item: Item) -> Value | None:
    raw = orjson.loads(text)
    if raw is None:
        return None
    try:
        return check_value(item.type, raw)
    except ValueError:
        return None


def _shown(text: str, item: Item | None) -> str:
    if item is None:
        return text
    return show_value(_value(text, item), item.units, item.precision)


def _verdict(entry: ItemRow, item: Item | None, live: Live | None) -> tuple[str, str]:
    """What the item is now beside before and after, and the value in words."""
    if item is None:
        return "unknown", "no subsystem has it now"
    if live is None or live.known is None:
        return "unknown", f"cannot be read: {(live.reason if live else '') or 'it has no value'}"
    now = f"is {show_value(live.known, item.units, item.precision)}"
    if same(item, live.known, _value(entry.new, item)):
        return "as the runkey says", now
    if same(item, live.known, _value(entry.old, item)):
        return "as before", now
    return "neither", now


def applied_now(store: Store, prefixes: Sequence[str]) -> Applied:
    """Which runkey is applied to the stand with these prefixes: the last that was, unless a later one was neither
    finished nor taken back."""
    tried = ""
    with store.staging.database.read() as connection:
        for row in applications(connection, limit=1000):
            if row.state in (RUNNING, "refused"):
                continue
            items = items_of(connection, row.id)
            if not _is_of(store, row, items, prefixes):
                continue
            by, began = f"{row.user}@{row.host}", iso(row.started)
            if row.state == "applied":
                at = iso(row.finished or row.started)
                return Applied(row.runkey, row.root_id, row.digest.hex(), by, at, f"applied and verified{tried}")
            if row.state in (INTERRUPTED, "rollback_failed") and _touched(items):
                what = "was interrupted" if row.state == INTERRUPTED else "failed and could not all be taken back"
                text = f"uncertain: {row.runkey} by {by} at {began} {what}"
                return Applied(by=by, at=began, result=text, severity=Severity.MAJOR)
            tried = tried or f"; {row.runkey} by {by} at {began} was tried: {row.state.replace('_', ' ')}"
    return Applied(result=f"no runkey was applied yet{tried}")


def _touched(items: Sequence[ItemRow]) -> bool:
    """Whether some setting may be another one than before."""
    return any(item.state not in ("planned", "rolled_back") for item in items)
