"""Carry out a plan: level by level, verified, and taken back when something of it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from iocs.runkey.journal import Journal
from iocs.runkey.plan import Scope
from iocs.runkey.settings import Value, to_json
from owlshift.ca import Client

Progress = Callable[[int, int, str], None]
"""Puts verified so far (or taken back), puts in all, what is being done."""


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


@dataclass(frozen=True)
class Outcome:
    """How an apply ended."""

    state: str
    """applied; refused and failed (nothing was written); rolled_back and aborted (all is as before); rollback_failed."""
    report: str
    """For people, item by item."""
    items: tuple[ItemOutcome, ...] = ()
    reason: str = ""
    """One line: why it is not applied."""
    details: Mapping[str, Any] = field(default_factory=dict)

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


async def apply(
    client: Client,
    scope: Scope,
    journal: Journal,
    *,
    abort: asyncio.Event | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Carry out `scope.plan`. Cancelled or with `abort` set it stops, takes back what it has written, and ends."""
    raise NotImplementedError
