"""All PVs at one moment, in arrays: what the engines say of them, what is stored of them, what people decided.

Made from three things that are there anyway: each store's `live.npy`, its table of channels, and the ledger. Nobody is
asked over a socket, and a report over 100,000 PVs is a few array operations.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from archiver.management.ledger import Ledger, LedgerError, LedgerView, PvEntry
from archiver.store import StoreReader
from archiver.store.live import LIVE, LIVE_FILE, PvState, load_live
from archiver.store.order import NEVER

KEEP_S = 0.25
"""Seconds for which the tables are not looked at again, unless the ledger has changed."""
STALE_S = 15.0
"""An engine that has not written its status for so long is not there."""


class Status(IntEnum):
    """What people call the state of a PV."""

    NOT_ARCHIVED = 0
    INITIAL = 1
    ARCHIVED = 2
    PAUSED = 3


@dataclass(frozen=True)
class Snapshot:
    """All PVs, sorted by name; arrays have one row for each. `row`: name -> row.

    `live`: what its engine says (LIVE; zeros when none does). `engine`: index into `engines` (-1: none knows it yet).
    `oldest`, `newest`: times of stored samples (NEVER for none), without the log's tail. `stored`: samples in segments.
    `known`: some store has it. `status`: a Status.
    """

    names: list[str]
    row: dict[str, int]
    live: np.ndarray
    engine: np.ndarray
    oldest: np.ndarray
    newest: np.ndarray
    stored: np.ndarray
    known: np.ndarray
    status: np.ndarray
    created_ns: np.ndarray
    modified_ns: np.ndarray
    engines: tuple[str, ...]
    engine_status: tuple[dict[str, Any], ...]
    entries: Mapping[str, PvEntry]
    aliases: Mapping[str, str]
    by_pv: Mapping[str, list[str]] = field(default_factory=dict)
    """The aliases of each PV that has some."""

    def archived(self) -> np.ndarray:
        """bool[n]: requested, archived or paused."""
        return self.status != Status.NOT_ARCHIVED

    def listed(self) -> np.ndarray:
        """bool[n]: PVs that the archive has, whether they are archived now or not, without deleted ones."""
        deleted = np.zeros(len(self.names), bool)
        rows = [self.row[name] for name, entry in self.entries.items() if entry.deleted]
        deleted[rows] = True
        return (self.known & ~deleted) | self.archived()

    def resolve(self, name: str) -> str:
        """The PV that goes by this name, which may be an alias, or carry a protocol and `.VAL`."""
        for scheme in ("ca://", "pva://"):
            name = name.removeprefix(scheme)
        for candidate in (name, name.removesuffix(".VAL")):
            if candidate in self.row:
                return candidate
            if candidate in self.aliases:
                return self.aliases[candidate]
        return name.removesuffix(".VAL")

    def entry(self, row: int) -> PvEntry | None:
        """What was decided about a PV."""
        return self.entries.get(self.names[row])

    def host(self, row: int) -> str:
        """The server of a PV, "" when unknown."""
        return self._of_engine(row, "hosts", int(self.live["host"][row]))

    def policy(self, row: int) -> str:
        """The policy that says how a PV is archived, "" when none does."""
        entry = self.entry(row)
        return self._of_engine(row, "policies", int(self.live["policy"][row])) or (entry and entry.policy) or ""

    def _of_engine(self, row: int, key: str, index: int) -> str:
        number = int(self.engine[row])
        names = self.engine_status[number].get(key, ()) if number >= 0 else ()
        return str(names[index]) if index < len(names) else ""

    def alive(self) -> np.ndarray:
        """bool[engines]: whether each engine is there."""
        now = time.time()
        return np.array([is_alive(status, now) for status in self.engine_status], bool)


def is_alive(status: Mapping[str, Any], now: float) -> bool:
    """Whether the engine that wrote this status is still there."""
    updated = status.get("updated", 0)
    return status.get("state") != "stopped" and isinstance(updated, int | float) and now - updated < STALE_S


@dataclass
class _Source:
    """One engine's store."""

    name: str
    reader: StoreReader
    names: dict[int, str] = field(default_factory=dict)
    live: np.ndarray = field(default_factory=lambda: np.zeros(0, LIVE))
    signature: tuple[int, int] = (0, 0)

    def load_live(self) -> None:
        """Read the table again if it was replaced."""
        try:
            status = (self.reader.folder / LIVE_FILE).stat()
            signature = (status.st_ino, status.st_mtime_ns)
        except OSError:
            signature = (0, 0)
        if signature != self.signature:
            self.live, self.signature = load_live(self.reader.folder), signature


@dataclass
class _Frame:
    """What changes only when PVs come or go, or the ledger does."""

    names: list[str]
    row: dict[str, int]
    rows: list[np.ndarray]
    """For each source: the row of each of its PVs,"""
    ids: list[np.ndarray]
    """and their ids there."""
    requested: np.ndarray
    paused: np.ndarray
    decided: np.ndarray
    deleted: np.ndarray
    created_ns: np.ndarray
    modified_ns: np.ndarray
    by_pv: dict[str, list[str]]


class Census:
    """Makes snapshots; several threads may ask."""

    def __init__(self, sources: Sequence[tuple[str, StoreReader]], ledger: Ledger) -> None:
        self._sources = [_Source(name, reader) for name, reader in sources]
        self._view = LedgerView(ledger)
        self._lock = threading.Lock()
        self._frame: _Frame | None = None
        self._made: tuple[float, Snapshot] | None = None

    def snapshot(self) -> Snapshot:
        """All PVs now: the ledger to the last change, the engines as of their last word (a second or so ago)."""
        with self._lock:
            if self._view.refresh():
                self._frame = None
            return self._recent()

    def volumes(self) -> tuple[Snapshot, np.ndarray]:
        """All PVs, and the bytes that are stored of each, an estimate (i8)."""
        with self._lock:
            if self._view.refresh():
                self._frame = None
            snapshot = self._recent()
            size = np.zeros(len(snapshot.names), np.int64)
            if self._frame is not None:
                for source, rows, ids in zip(self._sources, self._frame.rows, self._frame.ids, strict=True):
                    size[rows] += _padded(source.reader.volumes(), ids, np.int64(0))
            return snapshot, size

    def as_known(self) -> tuple[Snapshot, str]:
        """As `snapshot`, by what was last known of a ledger that can't be read; and why it can't ("" when it can)."""
        with self._lock:
            problem = ""
            try:
                if self._view.refresh():
                    self._frame = None
            except LedgerError as error:
                problem = str(error)
            return self._recent(), problem

    def _recent(self) -> Snapshot:
        now = time.monotonic()
        if self._made is None or self._frame is None or now - self._made[0] >= KEEP_S:
            self._made = (now, self._make())
        return self._made[1]

    def forget(self) -> None:
        """Have the next snapshot look at everything again."""
        with self._lock:
            self._made = None

    def _make(self) -> Snapshot:
        tables = []
        for source in self._sources:
            table, names = source.reader.channels()
            names.pop(0, None)
            if names != source.names:
                source.names, self._frame = names, None
            source.load_live()
            tables.append(table)
        if self._frame is None:
            self._frame = self._make_frame()
        frame = self._frame
        size = len(frame.names)
        live = np.zeros(size, LIVE)
        engine = np.full(size, -1, np.int16)
        oldest, newest = np.full(size, NEVER, np.int64), np.full(size, NEVER, np.int64)
        stored = np.zeros(size, np.uint64)
        known = np.zeros(size, bool)
        for number, (source, table, rows, ids) in enumerate(
            zip(self._sources, tables, frame.rows, frame.ids, strict=True)
        ):
            mine = _padded(source.live, ids, np.zeros(1, LIVE)[0])
            # of several engines that have had a PV, the one that works on it counts
            take = (mine["state"] > 0) | (live["state"][rows] == 0)
            live[rows[take]] = mine[take]
            engine[rows[take]] = number
            known[rows] = True
            inside = ids < len(table)
            there, row = ids[inside], rows[inside]
            first, last = table["oldest"][there], table["newest"][there]
            oldest[row] = np.where(
                oldest[row] == NEVER, first, np.where(first == NEVER, oldest[row], np.minimum(oldest[row], first))
            )
            newest[row] = np.maximum(newest[row], last)
            stored[row] += table["samples"][there]
        created = _created(frame, live, oldest)
        statuses = tuple(source.reader.status() or {} for source in self._sources)
        return Snapshot(
            frame.names,
            frame.row,
            live,
            engine,
            oldest,
            newest,
            stored,
            known,
            _status(frame, live, newest),
            created,
            np.maximum(frame.modified_ns, created),
            tuple(source.name for source in self._sources),
            statuses,
            self._view.entries,
            self._view.aliases,
            frame.by_pv,
        )

    def _make_frame(self) -> _Frame:
        entries = self._view.entries
        everything = set(entries)
        for source in self._sources:
            everything.update(source.names.values())
        names = sorted(everything)
        row = {name: number for number, name in enumerate(names)}
        rows, ids = [], []
        for source in self._sources:
            rows.append(np.fromiter((row[name] for name in source.names.values()), np.int64, len(source.names)))
            ids.append(np.fromiter(source.names, np.int64, len(source.names)))
        size = len(names)
        flags = np.zeros((4, size), bool)
        times = np.zeros((2, size), np.int64)
        where = np.fromiter((row[name] for name in entries), np.int64, len(entries))
        values = entries.values()
        for number, key in enumerate(("requested", "paused", "deleted")):
            flags[number, where] = np.fromiter((getattr(e, key) for e in values), bool, len(entries))
        flags[3, where] = True
        for number, key in enumerate(("created_ns", "modified_ns")):
            times[number, where] = np.fromiter((getattr(e, key) for e in values), np.int64, len(entries))
        by_pv: dict[str, list[str]] = {}
        for alias, pv in self._view.aliases.items():
            by_pv.setdefault(pv, []).append(alias)
        requested, paused, deleted, decided = flags
        return _Frame(names, row, rows, ids, requested, paused, decided, deleted, times[0], times[1], by_pv)


def _padded(table: np.ndarray, ids: np.ndarray, blank: np.generic) -> np.ndarray:
    """Rows of `table` by id; blank ones for ids beyond its end."""
    if not len(table):
        return np.full(len(ids), blank)
    found = table[np.minimum(ids, len(table) - 1)]
    found[ids >= len(table)] = blank
    return found


def _status(frame: _Frame, live: np.ndarray, newest: np.ndarray) -> np.ndarray:
    state = live["state"]
    archived = ~frame.deleted & ((state > PvState.NOT_ARCHIVED) | frame.requested | frame.paused)
    # the ledger has the last word: what it says an engine will do within half a second
    paused = frame.paused | (~frame.decided & (state == PvState.PAUSED))
    seen = (state == PvState.CONNECTED) | (live["first_connected_ns"] > 0) | (newest != NEVER)
    status = np.where(seen, Status.ARCHIVED, Status.INITIAL)
    status = np.where(paused, Status.PAUSED, status)
    return np.where(archived, status, Status.NOT_ARCHIVED).astype(np.uint8)


def _created(frame: _Frame, live: np.ndarray, oldest: np.ndarray) -> np.ndarray:
    """When somebody asked for it; for what a catalogue names, the earliest trace of it."""
    most = np.iinfo(np.int64).max
    earliest = np.full(len(oldest), most)
    for times in (live["requested_ns"], oldest):
        earliest = np.minimum(earliest, np.where(times > 0, times, most))
    asked = frame.requested & (frame.created_ns > 0)
    created = np.where(asked, frame.created_ns, np.where(earliest < most, earliest, frame.created_ns))
    return np.where(created == most, 0, created)
