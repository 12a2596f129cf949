"""The archive's folder: where everything lies, how a file is replaced, and the lock that keeps two engines apart.

lock              flock of the engine; its content is the engine's process id
registry.log      ids and metadata of PVs, append-only
manifest.json     which segments there are and the first log that isn't in one; replaced at once
channels-N.npy    newest time of every PV in the segments, belongs to a manifest
wal/N.log         the write-ahead log
segments/KIND/    Parquet files, each with its index and summaries beside it; tiers may have places elsewhere
suspects/         names of segments that a reader couldn't read: the engine looks into them
incoming/         imported samples that wait to be taken in
indexes/          copies of the indexes of segments that lie in other places
cache/            blocks of files in object stores
quarantine/       what was damaged, kept aside
engine.json       the engine's counters, replaced every few seconds
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from archiver.store.cache import BlockCache
    from archiver.store.manifest import Segment
    from archiver.store.places import Place


class StoreError(Exception):
    """The archive's folder can't be used; str() is one clear line."""


class Layout:
    """The paths of an archive folder, and the places of its segments.

    `cache_limit`: bytes on the local disk for what is read from object stores.
    """

    def __init__(self, folder: Path, cache_limit: int = 2048 << 20) -> None:
        self.folder = folder
        self.cache_limit = cache_limit
        self._places: dict[str, Place] = {}
        self._cache: BlockCache | None = None
        self.lock = folder / "lock"
        self.registry = folder / "registry.log"
        self.manifest = folder / "manifest.json"
        self.wal = folder / "wal"
        self.segments = folder / "segments"
        self.quarantine = folder / "quarantine"
        self.engine = folder / "engine.json"
        self.incoming = folder / "incoming"
        self.suspects = folder / "suspects"
        self.cache = folder / "cache"

    def place(self, spec: str = "") -> Place:
        """The place that a manifest writes as `spec`; "" is the archive's own. PlaceError when there can be none."""
        found = self._places.get(spec)
        if found is None:
            # these import this module
            from archiver.store.cache import BlockCache
            from archiver.store.places import open_place

            if self._cache is None:
                self._cache = BlockCache(self.cache, self.cache_limit)
            found = self._places[spec] = open_place(spec, self.folder, self._cache)
        return found

    def place_of(self, segment: Segment) -> Place:
        """Where the files of a segment lie."""
        return self.place(segment.place)

    def log(self, number: int) -> Path:
        """The file of log `number`."""
        return self.wal / f"{number:010d}.log"

    def logs(self, first: int = 0) -> list[tuple[int, Path]]:
        """All log files with a number of at least `first`, in order; [] when there is no folder."""
        try:
            names = os.listdir(self.wal)
        except FileNotFoundError:
            return []
        numbers = sorted(int(n[:-4]) for n in names if n.endswith(".log") and n[:-4].isdecimal())
        return [(n, self.log(n)) for n in numbers if n >= first]

    def make(self) -> None:
        """Make the folders; StoreError when that can't be done."""
        try:
            for folder in (self.folder, self.wal, self.segments, self.quarantine):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the archive folder {self.folder} can't be made: {reason(error)}") from error


def reason(error: OSError) -> str:
    """What the system says, without the number and the path."""
    return (error.strerror or str(error)).lower()


def suspect(layout: Layout, name: str, why: str) -> None:
    """Leave word for the engine that the segment `name` couldn't be read; a folder that can't be written is fine."""
    try:
        layout.suspects.mkdir(exist_ok=True)
        (layout.suspects / name.replace("/", ":")).write_text(why[:1000])
    except OSError:
        # whoever reads says so in its own log as well
        pass


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make the content of `path` durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, content: bytes, durable: bool = True) -> None:
    """Put `content` at `path` so that a reader, or a crash, sees the old content or the new, never a mixture."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def replace_json(path: Path, content: Any, durable: bool = True) -> None:
    """`replace_file` with JSON."""
    replace_file(path, orjson.dumps(content), durable)


def write_all(fd: int, parts: Sequence[Any], offset: int) -> int:
    """Write the buffers `parts` at `offset`, all of them, and return the offset after them; OSError when it can't."""
    views = [memoryview(part).cast("B") for part in parts]
    while views:
        done = os.pwritev(fd, views[:64], offset)
        offset += done
        while views and done >= len(views[0]):
            done -= len(views[0])
            views.pop(0)
        if done:
            views[0] = views[0][done:]
    return offset


class FolderLock:
    """Held by the one engine that writes a folder; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock; StoreError when another process holds it or the folder isn't writable."""
        folder = self._path.parent
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"the archive folder {folder} isn't writable: {reason(error)}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"the archive folder {folder} can't be locked: {reason(error)}") from error
            raise StoreError(
                f"the archive folder {folder} is in use by another engine (process {owner or 'unknown'})"
            ) from None
        self._fd = fd
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # a full disk takes the name of the owner away, not the lock
            pass

    def release(self) -> None:
        """Let go of the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
