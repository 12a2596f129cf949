"""Places: where a tier's files lie, a folder or an object store behind one small interface.

Names within a place are relative paths with `/`, such as `double/days-2026-11-20-….parquet`. Every place but the
archive's own folder holds a marker that says whose it is: where the marker can't be seen the place is away (a disk that
isn't mounted, a bucket that doesn't answer), and a file that can't be found there isn't lost.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
import pyarrow as pa

from archiver.store.cache import BlockCache
from archiver.store.files import StoreError, reason, replace_file, sync_file, sync_folder

MARKER = "owlshift-place.json"
INDEX = ".index.npy"
FORMAT = "owlshift-place"

URL = re.compile(r"[a-z][a-z0-9+.-]+://")

CHUNK = 1 << 22


class PlaceError(StoreError):
    """The place is away or refuses: nothing is known of its files. str() is one clear line."""


class Place(Protocol):
    """Files by name. FileNotFoundError: the place answers and has no such file. PlaceError: it doesn't answer."""

    spec: str
    """How a manifest writes it: "" for the archive's own, a folder, or a URL."""
    local: Path | None
    """Its folder, when it is one."""

    def open(self, name: str) -> Any:
        """The file for reading at any offset, as `pyarrow.parquet.ParquetFile` wants it."""
        ...

    def read_bytes(self, name: str) -> bytes:
        """All of a (small) file."""
        ...

    def put(self, name: str, source: Path) -> None:
        """Copy a local file to `name`, at once and durably."""
        ...

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write a small file, at once and durably."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that isn't there is fine."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file."""
        ...

    def stamp(self, name: str) -> object:
        """Something that is another thing once the file has another content."""
        ...

    def list(self) -> list[tuple[str, int]]:
        """All files, sorted by name, with their sizes; not the marker."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """All of a file in pieces, past any cache."""
        ...


class Indexes:
    """Copies of the indexes in a place that may be away: what isn't there can be told without asking it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where the copy of an index is, or would be."""
        return self._folder / name

    def open(self, name: str) -> pa.NativeFile | None:
        """The copy of an index, None for other files and when there is none."""
        if name.endswith(INDEX):
            with suppress(OSError):
                return pa.memory_map(str(self.path(name)), "r")
        return None

    def keep(self, name: str, content: bytes) -> None:
        """Keep a copy if it is an index; a disk that takes none only makes things slower."""
        if name.endswith(INDEX):
            with suppress(OSError):
                self.path(name).parent.mkdir(parents=True, exist_ok=True)
                replace_file(self.path(name), content, durable=False)

    def drop(self, name: str) -> None:
        """Delete the copy."""
        if name.endswith(INDEX):
            with suppress(OSError):
                self.path(name).unlink()


class LocalPlace:
    """A folder. The archive's own (`spec` "") is always there; another one is away when its marker can't be seen."""

    def __init__(self, folder: Path, spec: str = "", indexes: Indexes | None = None) -> None:
        self._indexes = indexes
        self.folder = folder
        self.spec = spec
        self.local: Path | None = folder

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self.folder / name

    def open(self, name: str) -> pa.NativeFile:
        """The file, mapped into memory."""
        if self._indexes is not None and (found := self._indexes.open(name)) is not None:
            return found
        with self._asked(name):
            return pa.memory_map(str(self.path(name)), "r")

    def read_bytes(self, name: str) -> bytes:
        """All of a file."""
        if self._indexes is not None and name.endswith(INDEX):
            with self.open(name) as file:
                return file.read()
        with self._asked(name):
            return self.path(name).read_bytes()

    def put(self, name: str, source: Path) -> None:
        """Copy a file here; OSError (disk full and the like) leaves nothing behind."""
        self._there()
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        try:
            shutil.copyfile(source, part)
            sync_file(part)
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
        if self._indexes is not None and name.endswith(INDEX):
            self._indexes.keep(name, source.read_bytes())

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write a file."""
        if name != MARKER:
            self._there()
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, content)

    def delete(self, name: str) -> None:
        """Remove a file."""
        self._there()
        self.path(name).unlink(missing_ok=True)
        if self._indexes is not None:
            self._indexes.drop(name)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        with self._asked(name):
            return self.path(name).stat().st_size

    def stamp(self, name: str) -> object:
        """Inode, time and size."""
        with self._asked(name):
            status = self.path(name).stat()
            return status.st_ino, status.st_mtime_ns, status.st_size

    def list(self) -> list[tuple[str, int]]:
        """All files and their sizes, those of conversions that were cut off included."""
        self._there()
        found = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder) / name
                relative = path.relative_to(self.folder).as_posix()
                if relative != MARKER:
                    found.append((relative, path.stat().st_size))
        return sorted(found)

    def chunks(self, name: str) -> Iterator[bytes]:
        """All of a file in pieces."""
        with self._asked(name), open(self.path(name), "rb") as file:
            while piece := file.read(CHUNK):
                yield piece

    def _there(self) -> None:
        if self.spec and not (self.folder / MARKER).exists():
            raise PlaceError(f"the folder {self.folder} of the archive isn't there (no {MARKER} in it)")

    @contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            if name != MARKER:
                self._there()
            raise FileNotFoundError(f"{self.path(name)} isn't there") from None
        except PermissionError as error:
            raise PlaceError(f"{self.path(name)} can't be read: {reason(error)}") from error


def open_place(spec: str | Path, base: Path, cache: BlockCache | None = None) -> Place:
    """The place that a manifest writes as `spec`: "" is `base` / "segments"; relative folders are below `base`.

    PlaceError when a URL can't be understood. Nothing is asked of a store yet.
    """
    text = str(spec) if isinstance(spec, Path) else spec
    if not text:
        return LocalPlace(base / "segments")
    indexes = Indexes(base / "indexes" / hashlib.sha256(text.encode()).hexdigest()[:16])
    if URL.match(text):
        if text.startswith("file://"):
            return LocalPlace(Path(urlsplit(text).path), text, indexes)
        from archiver.store.remote import RemotePlace  # it imports this module

        return RemotePlace(text, cache or BlockCache(base / "cache"), indexes)
    return LocalPlace(base / Path(text).expanduser(), text, indexes)


def claim(place: Place, archive: str, new: bool) -> None:
    """See that `place` is that of the archive with the id `archive`; PlaceError when it is another's, or away.

    `new`: nothing of the archive lies there yet, so a place without a marker gets one (and a folder is made).
    """
    if not place.spec:
        return
    try:
        owner = orjson.loads(place.read_bytes(MARKER))
        known = owner["archive"] if owner["format"] == FORMAT else None
    except FileNotFoundError:
        if not new:
            raise PlaceError(f"{place.spec} isn't there (no {MARKER} in it)") from None
        place.put_bytes(MARKER, orjson.dumps({"format": FORMAT, "archive": archive}))
        return
    except (ValueError, KeyError, TypeError) as error:
        raise PlaceError(f"{place.spec}: {MARKER} isn't readable ({error})") from error
    if known != archive:
        raise PlaceError(f"{place.spec} belongs to another archive; give this one a place of its own")
