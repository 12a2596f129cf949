"""Ids and metadata of PVs: an append-only file of records, made durable before a sample uses an id.

Every version of a PV's metadata stays in the file with the time it was seen, so that old samples keep their meaning.
A PV that is renamed keeps its id, and with it its past. One that is forgotten loses its name: nothing leads to its
samples any more, and under the same name it begins anew with another id.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from archiver.store.files import sync_folder, write_all
from archiver.store.records import HEADER, MAX_PAYLOAD, Damage, Kind, frame_json, parse_json, record_at, scan

NUMBER = 0
"""The registry's number in its records: logs begin at 1."""

FORMAT = "owlshift-registry"


class Registry:
    """Names, ids and metadata as a file has them. `refresh` takes in what was appended since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._inode = 0
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.metadata: dict[int, dict[str, str]] = {}
        self.history: dict[int, list[tuple[int, dict[str, str]]]] = {}
        self.forgotten: dict[int, int] = {}
        """PVs that no name leads to any more, by id, and when (ns) they were forgotten, in that order."""
        self.renames: list[tuple[int, int, str, str | None]] = []
        """Time (ns), id, old name and new name (None: forgotten) of every change of a name, in order."""
        self._former: dict[str, list[tuple[int, int, str | None]]] = {}
        """The same by old name."""

    @property
    def size(self) -> int:
        """Bytes of the file that are known."""
        return self._size

    def id_at(self, name: str, time_ns: int) -> int | None:
        """The id that `name` stood for at a time, None when it stood for none."""
        for when, pv, _ in self._former.get(name, ()):
            if when >= time_ns:
                return pv
        return self.ids.get(name)

    def refresh(self) -> None:
        """Read what is new; a file that isn't there is an empty one."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            status = os.fstat(fd)
            if status.st_ino != self._inode or status.st_size < self._size:
                self._inode, self._size = status.st_ino, 0
            while self._size + HEADER.size <= status.st_size:
                head = os.pread(fd, HEADER.size, self._size)
                length = HEADER.unpack(head)[1] if len(head) == HEADER.size else MAX_PAYLOAD + 1
                if length > MAX_PAYLOAD:
                    return
                data = os.pread(fd, HEADER.size + length + (-length % 8), self._size)
                record = record_at(memoryview(data), 0, NUMBER)
                if record is None:
                    return
                self._take(record.kind, record.payload)
                self._size += record.end
        finally:
            os.close(fd)

    def _take(self, kind: Kind, payload: memoryview) -> None:
        if kind is Kind.PVS:
            for number, name in parse_json(payload):
                self.ids[name] = number
                self.names[number] = name
        elif kind is Kind.METADATA:
            for number, seen_ns, values in parse_json(payload):
                self.metadata[number] = values
                versions = self.history.setdefault(number, [])
                if not versions or versions[-1] != (seen_ns, values):
                    versions.append((seen_ns, values))
        elif kind is Kind.NAMES:
            for number, name, time_ns in parse_json(payload):
                self._rename(number, name, time_ns)

    def _rename(self, pv: int, name: str | None, time_ns: int) -> None:
        old = self.names.pop(pv, None)
        if old is None:
            return
        if self.ids.get(old) == pv:
            del self.ids[old]
        if name is None:
            self.forgotten[pv] = time_ns
        else:
            self.ids[name] = pv
            self.names[pv] = name
        # a file that is read once more, from its start, tells what is known
        former = self._former.setdefault(old, [])
        if (time_ns, pv, name) not in former:
            former.append((time_ns, pv, name))
            self.renames.append((time_ns, pv, old, name))


class RegistryWriter(Registry):
    """The engine's registry: it may add. `open` cuts off what a crash left half-written and returns those bytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._fd = -1
        self._next = 1
        self._lock = threading.RLock()

    def open(self) -> bytes:
        """Open for writing. Returns what was torn or damaged and is no longer in the file (b"" as a rule)."""
        fresh = not self._path.exists()
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        data = b"" if fresh else self._path.read_bytes()
        good, bad = [], []
        for piece in scan(data, NUMBER):
            (bad if isinstance(piece, Damage) else good).append(data[piece.start : piece.end])
        if bad:
            part = self._path.with_suffix(".part")
            part.write_bytes(b"".join(good))
            os.close(self._fd)
            self._fd = os.open(part, os.O_RDWR | os.O_CLOEXEC)
            os.fsync(self._fd)
            part.replace(self._path)
        self.refresh()
        if not self._size:
            self._append(Kind.FILE, {"format": FORMAT, "created_ns": time.time_ns()})
        sync_folder(self._path.parent)
        self._next = max([*self.names, *self.forgotten], default=0) + 1
        return b"".join(bad)

    def reserve(self, size: int) -> None:
        """Give no id below `size`: the store has used them, even if a damaged registry doesn't tell."""
        self._next = max(self._next, size)

    def _append(self, kind: Kind, content: object) -> None:
        try:
            end = write_all(self._fd, frame_json(kind, NUMBER, content), self._size)
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size = end
        self._inode = os.fstat(self._fd).st_ino

    def add(self, names: Iterable[str]) -> None:
        """Give ids to those of `names` that have none, durably; OSError when that fails, and then none has."""
        with self._lock:
            fresh = [name for name in dict.fromkeys(names) if name not in self.ids]
            for start in range(0, len(fresh), 10_000):
                part = [[self._next + i, name] for i, name in enumerate(fresh[start : start + 10_000])]
                self._append(Kind.PVS, part)
                self._next += len(part)
                self.ids.update((name, number) for number, name in part)
                self.names.update((number, name) for number, name in part)

    def restore(self, pv: int, name: str) -> None:
        """Give the id `pv` its name again, which a damaged file has lost."""
        with self._lock:
            self._append(Kind.PVS, [[pv, name]])
            self._next = max(self._next, pv + 1)
            self.ids[name] = pv
            self.names[pv] = name

    def describe(self, changes: Mapping[int, Mapping[str, str]], now_ns: int) -> None:
        """Keep new metadata of PVs by id; what isn't new costs nothing."""
        with self._lock:
            fresh = {pv: dict(values) for pv, values in changes.items() if self.metadata.get(pv) != values}
            items = list(fresh.items())
            for start in range(0, len(items), 10_000):
                part = items[start : start + 10_000]
                self._append(Kind.METADATA, [[pv, now_ns, values] for pv, values in part])
                for pv, values in part:
                    self.metadata[pv] = values
                    self.history.setdefault(pv, []).append((now_ns, values))

    def name(self, changes: Sequence[tuple[int, str | None]], now_ns: int) -> None:
        """Give PVs (by id) new names, or none (None: forgotten), durably and all at once; OSError when that fails."""
        with self._lock:
            if changes:
                self._append(Kind.NAMES, [[pv, name, now_ns] for pv, name in changes])
            for pv, name in changes:
                self._rename(pv, name, now_ns)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
