"""SCAN sampling: of what a PV sends, the newest value once in each period."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from archiver.store.log import take
from archiver.store.records import Columns
from owlshift.ca.protocol import Dbr

Key = tuple[Dbr, bool, int]


def key_of(columns: Columns) -> Key:
    """Type, array or not, elements: what columns of one record have in common."""
    return columns.dbr, columns.array, columns.values.shape[1] if columns.array else 1


def join(parts: list[Columns]) -> Columns:
    """Columns of one key, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Columns(
        parts[0].dbr,
        parts[0].array,
        np.concatenate([p.pv for p in parts]),
        np.concatenate([p.time_ns for p in parts]),
        np.concatenate([p.severity for p in parts]),
        np.concatenate([p.status for p in parts]),
        np.concatenate([p.values for p in parts]),
    )


class ScanFilter:
    """Holds back samples of scanned PVs until their period is over.

    A PV's first sample goes through at once. While a PV is silent nothing is written for it: the newest sample still
    stands.
    """

    def __init__(self) -> None:
        self._held: dict[Key, Columns] = {}
        self._due = np.zeros(1024, np.int64)
        self._rows = np.zeros(1024, np.int64)
        self.replaced = 0
        """Samples that a newer one of the same period replaced."""
        self.on_replaced: Callable[[np.ndarray], None] = lambda pv: None
        """Called with the PV ids (u4) of samples that were replaced."""

    def _place(self, highest: int) -> np.ndarray:
        """Scratch by PV id."""
        if highest >= len(self._rows):
            self._rows = np.zeros(max(highest + 1, 2 * len(self._rows)), np.int64)
        return self._rows

    @property
    def held(self) -> int:
        """Samples that wait for the end of their period."""
        return sum(len(columns) for columns in self._held.values())

    def split(self, columns: Columns, period_ns: np.ndarray) -> Columns | None:
        """The samples of PVs that are not scanned; the others are held. `period_ns`: by PV id, 0 for not scanned."""
        scanned = np.take(period_ns, columns.pv, mode="clip") > 0
        if not scanned.any():
            return columns
        key = key_of(columns)
        mine = columns if scanned.all() else take(columns, scanned)
        held = self._held.get(key)
        joined = mine if held is None else join([held, mine])
        # of each PV the last to come stays
        place, rows = self._place(int(joined.pv.max())), np.arange(len(joined))
        place[joined.pv] = rows
        last = place[joined.pv] == rows
        self.replaced += len(joined) - int(np.count_nonzero(last))
        self.on_replaced(joined.pv[~last])
        self._held[key] = take(joined, last)
        return None if mine is columns else take(columns, ~scanned)

    def due(self, now_ns: int, period_ns: np.ndarray, everything: bool = False) -> list[Columns]:
        """Held samples whose period is over at `now_ns` (any clock that goes forward); `everything`: all of them."""
        result = []
        for key, columns in list(self._held.items()):
            highest = int(columns.pv.max())
            if highest >= len(self._due):
                self._due = np.concatenate([self._due, np.zeros(highest + 1, np.int64)])
            periods = np.take(period_ns, columns.pv, mode="clip")
            # a PV that is scanned no longer waits no longer
            ripe = np.ones(len(columns), bool) if everything else (self._due[columns.pv] <= now_ns) | (periods == 0)
            if not ripe.any():
                continue
            out = take(columns, ripe)
            self._due[out.pv] = now_ns + periods[ripe]
            result.append(out)
            if ripe.all():
                del self._held[key]
            else:
                self._held[key] = take(columns, ~ripe)
        return result
