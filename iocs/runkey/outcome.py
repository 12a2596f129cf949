"""How an apply ended, item by item, and what is known of it on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from iocs.runkey.journal import ItemState
from iocs.runkey.plan import Put
from iocs.runkey.reading import Live
from iocs.runkey.settings import Value, to_json
from iocs.runkey.writing import Level

HEADS = {
    "applied": "applied",
    "refused": "refused, nothing was written",
    "failed": "failed, nothing was written",
    "rolled_back": "failed, and everything is as it was before",
    "rollback_failed": "failed, and NOT everything could be taken back",
    "aborted": "aborted, and everything is as it was before",
}


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What came of one put."""

    pv: str
    old: Value | None
    new: Value
    state: str
    """planned (not written), verified, failed, rolled_back or rollback_failed."""
    message: str = ""
    now: Value | None = None
    """What it is at the end; None: unknown."""
    text: str = ""
    """For people."""


@dataclass(frozen=True)
class Outcome:
    """How an apply ended."""

    state: str
    """applied; refused and failed: nothing was written; rolled_back and aborted: all is as before; rollback_failed."""
    report: str
    """For people, item by item."""
    items: tuple[ItemOutcome, ...] = ()
    reason: str = ""
    """One line: why it is not applied."""
    journaled: bool = True
    """The journal has this end; without it the application stays `running` there until somebody finishes it."""

    def as_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "state": self.state,
            "reason": self.reason,
            "items": [
                {
                    "pv": one.pv,
                    "old": to_json(one.old),
                    "new": to_json(one.new),
                    "state": one.state,
                    "message": one.message,
                    "now": to_json(one.now),
                }
                for one in self.items
            ],
        }


def report_of(state: str, reason: str, lines: Iterable[str]) -> str:
    """The report: what became of it, why, and one line for each put."""
    head = HEADS.get(state, state)
    return "\n".join([f"{head}: {reason}" if reason else head, *lines])


class Track:
    """What has become of the puts of an apply."""

    def __init__(self, puts: Sequence[Put]) -> None:
        self.puts: list[Put] = list(puts)
        self.written: list[Put] = []
        """Those that may have been carried out, in order."""
        self.live: dict[str, Live] = {}
        """What PVs were seen as last."""
        self.unclear: set[str] = set()
        """PVs of which nobody knows what came of the put."""
        self.notes: list[str] = []
        """Lines for the report."""
        self.stopped = ""
        """Why it ended."""
        self.done = 0
        self._states: dict[int, ItemState] = {put.number: ItemState(put.number, "planned") for put in puts}

    def add(self, puts: Sequence[Put]) -> None:
        """More puts are planned."""
        self.puts += puts
        self._states.update({put.number: ItemState(put.number, "planned") for put in puts})

    def state(self, put: Put) -> ItemState:
        """What has become of a put."""
        return self._states[put.number]

    def set(self, put: Put, state: str, message: str = "") -> None:
        """What has become of a put."""
        self._states[put.number] = ItemState(put.number, state, message)

    def write(self, puts: Sequence[Put]) -> None:
        """They go out now."""
        self.written += puts
        for put in puts:
            self.set(put, "writing")

    def take(self, puts: Sequence[Put], level: Level) -> None:
        """What came of puts that went out."""
        self.live.update(level.live)
        for put in puts:
            if put.pv in level.failed:
                self.set(put, "failed", level.failed[put.pv])
            elif put.pv in level.verified:
                self.set(put, "verified")
            if put.pv not in level.verified:
                self.unclear.add(put.pv)
