"""One file of the write-ahead log: written by the engine, and read by anyone while it grows."""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archiver.store.files import sync_folder, write_all
from archiver.store.records import (
    HEADER,
    MAX_PAYLOAD,
    SAMPLES_HEAD,
    Columns,
    Kind,
    Record,
    frame_columns,
    frame_json,
    parse_columns,
    peek_times,
    record_at,
)

FORMAT = "owlshift-log"

SORT_FROM = 512
"""Rows from which a block is sorted by PV instead of looked through at every query."""


class LogWriter:
    """Appends records to a new log file. Not for several threads at once, but `sync` may run beside `append`."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self.size = 0
        self.samples = 0
        self.created = time.monotonic()
        try:
            self.append(
                frame_json(Kind.FILE, number, {"format": FORMAT, "number": number, "created_ns": time.time_ns()})
            )
            sync_folder(path.parent)
        except OSError:
            os.close(self._fd)
            path.unlink(missing_ok=True)
            raise

    def append(self, parts: list[Any]) -> None:
        """Write one framed record. After an OSError nothing of it counts, and the next one takes its place."""
        try:
            self.size = write_all(self._fd, parts, self.size)
        except OSError:
            # what a full disk let through is cut off, so that no reader meets half a record
            os.ftruncate(self._fd, self.size)
            raise

    def append_columns(self, columns: Columns, kind: Kind = Kind.SAMPLES) -> None:
        """Write samples (or events)."""
        self.append(frame_columns(kind, self.number, columns))
        if kind is Kind.SAMPLES:
            self.samples += len(columns)

    def append_json(self, kind: Kind, content: object) -> None:
        """Write a record that holds JSON."""
        self.append(frame_json(kind, self.number, content))

    def sync(self) -> None:
        """Make everything appended so far durable."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file, without a sync."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@dataclass(frozen=True)
class Block:
    """Where the columns of a SAMPLES or EVENTS record lie in its log, and the times in them (ns)."""

    kind: Kind
    start: int
    end: int
    oldest: int
    newest: int


class LogView:
    """What whole records a log file has, for readers beside the engine: `refresh` looks only at what is new.

    Record checksums are tested through read(), not through a mapping: a page that the engine cuts off under a mapping
    would end this process. Only what was found whole, which is never cut off, is mapped.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._map: mmap.mmap | None = None
        self._mapped = 0
        self.size = 0
        self.blocks: list[Block] = []
        self._sorted: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def refresh(self) -> None:
        """Take in the records written since the last call."""
        size = os.fstat(self._fd).st_size
        while self.size + HEADER.size <= size:
            head = os.pread(self._fd, HEADER.size, self.size)
            if len(head) < HEADER.size:
                return
            length = HEADER.unpack(head)[1]
            if length > MAX_PAYLOAD:
                return
            data = os.pread(self._fd, HEADER.size + length + (-length % 8), self.size)
            record = record_at(memoryview(data), 0, self.number)
            if record is None:
                # being written right now, or torn: the engine's recovery deals with that
                return
            if record.kind in (Kind.SAMPLES, Kind.EVENTS) and length >= SAMPLES_HEAD.size:
                _, oldest, newest = peek_times(record.payload)
                start = self.size + HEADER.size
                self.blocks.append(Block(record.kind, start, start + length, oldest, newest))
            self.size += record.end

    def columns(self, block: Block) -> Columns:
        """The columns of a block, as views of the mapped file."""
        if self._map is None or block.end > self._mapped:
            # the old mapping lives on as long as an array looks at it
            self._map = mmap.mmap(self._fd, self.size, prot=mmap.PROT_READ)
            self._mapped = self.size
        return parse_columns(memoryview(self._map)[block.start : block.end])

    def rows(self, block: Block, pv: int) -> Columns | None:
        """Copies of one PV's rows of a block, None when it has none."""
        columns = self.columns(block)
        if len(columns) < SORT_FROM:
            rows = np.flatnonzero(columns.pv == pv)
        else:
            ids, order = self._sorting(block, columns.pv)
            start, end = np.searchsorted(ids, (pv, pv + 1))
            rows = order[start:end]
        return take(columns, rows) if len(rows) else None

    def _sorting(self, block: Block, pv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The PVs of a block, sorted, and the row of each. Made once: queries for many PVs look at every block."""
        found = self._sorted.get(block.start)
        if found is None:
            keys = pv.astype(np.uint16) if int(pv.max()) < 1 << 16 else pv
            order = np.argsort(keys, kind="stable").astype(np.uint32)
            found = self._sorted[block.start] = (pv[order], order)
        return found

    def close(self) -> None:
        """Close the file; arrays that look at it stay valid."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._map = None
        self._sorted.clear()


def take(columns: Columns, rows: np.ndarray | slice) -> Columns:
    """Some rows of `columns`, in the order of `rows`."""
    return Columns(
        columns.dbr,
        columns.array,
        columns.pv[rows],
        columns.time_ns[rows],
        columns.severity[rows],
        columns.status[rows],
        columns.values[rows],
    )


__all__ = ["FORMAT", "Block", "LogView", "LogWriter", "Record", "take"]
