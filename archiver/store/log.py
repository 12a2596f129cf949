"""One file of the write-ahead log, as the engine writes it. Readers have `archiver.store.tail`."""

from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from archiver.store.files import sync_folder, write_all
from archiver.store.records import Columns, Kind, frame_columns, frame_json

log = logging.getLogger(__name__)

FORMAT = "owlshift-log"

CHUNK = 1 << 22


class LogWriter:
    """Appends records to a new log file. Not for several threads at once, but `sync` may run beside `append`."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
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
        """Make everything appended so far durable, under the log's name; OSError when that can't be done.

        A log whose file somebody has deleted, or whose folder is another one now, is written there anew.
        """
        if not self.in_place():
            self._write_anew()
        os.fdatasync(self._fd)

    def in_place(self) -> bool:
        """Whether the log's name leads to the file that is written; OSError when that can't be known."""
        mine = os.fstat(self._fd)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)

    def _write_anew(self) -> None:
        """Put all that was appended so far under the log's name again; the open file still has it."""
        part = self.path.with_suffix(".part")
        try:
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                done = 0
                while done < self.size:
                    done = write_all(fd, [os.pread(self._fd, min(CHUNK, self.size - done), done)], done)
                os.fsync(fd)
                part.replace(self.path)
                sync_folder(self.path.parent)
            except OSError:
                os.close(fd)
                part.unlink(missing_ok=True)
                raise
        except FileNotFoundError as error:
            raise OSError(errno.ENOENT, f"the folder of the log is gone ({self.path.parent})") from error
        os.close(self._fd)
        self._fd = fd
        log.warning("the log %s was gone, and is written anew", self.path)

    def close(self) -> None:
        """Close the file, without a sync."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


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


__all__ = ["FORMAT", "LogWriter", "take"]
