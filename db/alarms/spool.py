"""Events that wait on the disk for their database: JSON lines, durable once `append` returns.

    folder/<id>/lock         held by the process that writes here
    folder/<id>/00000001     events, one a line; removed when the database has them
    folder/refused.jsonl     what no database takes, and lines that were damaged, with the reason: for people

Each process has a folder of its own in it; what one that died has left is taken over by the next that looks.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from db.alarms.event import Event, storable
from db.ids import new_id

log = logging.getLogger(__name__)

SEGMENT = 20_000
"""Events in a file before the next one is begun."""
_TEXTS = tuple(f.name for f in fields(Event) if f.type == "str")


@dataclass(slots=True)
class _Segment:
    path: Path
    rows: int


class Spool:
    """The spool of one process. Thread safe. OSError when the disk takes no more, or can't be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own = folder / new_id()
        self._lock = threading.RLock()
        self._segments: list[_Segment] = []
        """The oldest first; the last one may be the one that is written."""
        self._file: int | None = None
        self._number = 0
        self._held: int | None = None
        self._adopted: dict[Path, int] = {}
        """Folders of processes that died, and their locks, until they are empty."""
        self.damaged = 0
        """Lines that could not be read, since the start."""

    @property
    def rows(self) -> int:
        """Events that wait."""
        return sum(segment.rows for segment in list(self._segments))  # without the lock: nobody waits for the disk

    def adopt(self) -> None:
        """Take over what other processes have left that are no more."""
        with self._lock:
            if not self.folder.is_dir():
                return
            for place in sorted(self.folder.iterdir()):
                if place.is_dir() and place != self._own and place not in self._adopted:
                    self._adopt(place)

    def _adopt(self, place: Path) -> None:
        try:
            lock = _lock(place / "lock")
        except FileNotFoundError:
            return  # another one has just cleared it away
        if lock is None:
            return
        self._adopted[place] = lock
        left = sorted(path for path in place.iterdir() if path.name != "lock")
        found = []
        for path in left:
            rows = path.read_bytes().count(b"\n")
            if rows:
                found.append(_Segment(path, rows))
            else:
                path.unlink()  # it was begun, and nothing in it was accepted
        if found:
            log.info("%d events of an earlier alarm server wait in %s", sum(s.rows for s in found), place)
        self._segments[:0] = found
        self._clear_adopted()

    def append(self, events: Sequence[Event]) -> None:
        """Keep these. Nothing of them is kept when it raises."""
        data = b"".join(_line(event) for event in events)
        with self._lock:
            if self._file is None:
                self._begin()
            file = self._file
            if file is None:
                raise OSError("the spool has no file")
            before = os.lseek(file, 0, os.SEEK_END)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                os.fsync(file)
            except OSError:
                os.ftruncate(file, before)
                raise
            segment = self._segments[-1]
            segment.rows += len(events)
            if segment.rows >= SEGMENT:
                self._end()

    def _begin(self) -> None:
        if self._held is None:
            self._own.mkdir(parents=True, exist_ok=True)
            self._held = _lock(self._own / "lock")
            _sync(self.folder)
        self._number += 1
        path = self._own / f"{self._number:08}"
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o640)
        _sync(self._own)
        self._segments.append(_Segment(path, 0))

    def _end(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def oldest(self) -> tuple[Path, list[Event]] | None:
        """The events of the oldest file; None when none wait. `done` removes it."""
        with self._lock:
            if not self._segments:
                return None
            segment = self._segments[0]
            if len(self._segments) == 1:
                self._end()  # what comes now goes into the next one
            return segment.path, self._read(segment.path)

    def done(self, path: Path) -> None:
        """The database has what `oldest` gave."""
        with self._lock:
            self._segments = [segment for segment in self._segments if segment.path != path]
            path.unlink(missing_ok=True)
            self._clear_adopted()

    def refuse(self, events: Iterable[Event], reason: str) -> None:
        """Put aside for people what the database never takes."""
        self._aside(reason, [_line(event).decode().rstrip("\n") for event in events])

    def close(self) -> None:
        """Let others have what waits."""
        with self._lock:
            self._end()
            for segment in [segment for segment in self._segments if not segment.rows]:
                self.done(segment.path)
            self._clear_adopted()
            if self._held is not None:
                if not any(segment.path.parent == self._own for segment in self._segments):
                    _remove(self._own)
                os.close(self._held)
                self._held = None
            for lock in self._adopted.values():
                os.close(lock)
            self._adopted.clear()

    def _clear_adopted(self) -> None:
        for place, lock in list(self._adopted.items()):
            if not any(segment.path.parent == place for segment in self._segments):
                _remove(place)
                os.close(lock)
                del self._adopted[place]

    def _read(self, path: Path) -> list[Event]:
        """Without a last line that has no end: the process died while it was written, and it was never accepted."""
        *lines, _ = path.read_bytes().split(b"\n")
        events = []
        for line in lines:
            try:
                events.append(_event(line))
            except (ValueError, TypeError) as error:
                self.damaged += 1
                self._aside(f"{path.name}: {error}", [line.decode("utf-8", "replace")])
        return events

    def _aside(self, reason: str, lines: list[str]) -> None:
        log.error("%d events of the log go to %s: %s", len(lines), self.folder / "refused.jsonl", reason)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "refused.jsonl").open("ab") as file:
            for line in lines:
                file.write(orjson.dumps({"reason": reason, "line": line}) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _line(event: Event) -> bytes:
    try:
        return orjson.dumps(event) + b"\n"
    except TypeError:  # half a surrogate pair
        said: dict[str, Any] = {name: getattr(event, name) for name in Event.__dataclass_fields__}
        for name in _TEXTS:
            said[name] = storable(said[name], 1_000_000)
        return orjson.dumps(said) + b"\n"


def _event(line: bytes) -> Event:
    said = orjson.loads(line)
    if not isinstance(said, dict) or not said.keys() >= {"time_ns", "kind", "path", "id"}:
        raise ValueError("this is no event")
    event = Event(**{name: value for name, value in said.items() if name in Event.__dataclass_fields__})
    for field in fields(Event):
        wanted = {"int": int, "bool": bool}.get(str(field.type), str)
        if type(getattr(event, field.name)) is not wanted:
            raise ValueError(f"{field.name} should be {wanted.__name__}")
    return event


def _lock(path: Path) -> int | None:
    """The file, locked as long as it is open; None when another process has it."""
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _remove(place: Path) -> None:
    (place / "lock").unlink(missing_ok=True)
    try:
        place.rmdir()
    except OSError:
        log.warning("%s can't be removed", place)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
