"""A cache on the local disk for what is read from object stores: blocks of files that never change.

Each block is a file of its own under a name that says what it is, with its length and checksum in front. Several
threads and processes may share a folder: blocks appear at once, and one that is gone or damaged is fetched again.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

BLOCK = 1 << 20
"""Bytes fetched at a time."""

LIMIT = 2048 << 20
"""Bytes in a cache, unless said otherwise."""

_HEAD = struct.Struct("<4sII")
_MAGIC = b"OWLB"
_NUMBER = struct.Struct("<q")

Fetch = Callable[[int, int], bytes]


LOOK = 8
"""The folder is looked through again when so much of the limit (one part in LOOK) was written."""

ABANDONED = 60.0
"""Seconds after which a part of a block is of a process that was killed."""

AT_ONCE = 8
"""Blocks fetched in one go at most."""


class _Turn:
    """Whose turn it is to fetch blocks of a file."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


def _rows(blocks: list[int]) -> list[list[int]]:
    """Blocks in a row, at most AT_ONCE."""
    rows: list[list[int]] = []
    for block in blocks:
        if rows and rows[-1][-1] == block - 1 and len(rows[-1]) < AT_ONCE:
            rows[-1].append(block)
        else:
            rows.append([block])
    return rows


class BlockCache:
    """Blocks in `folder`, at most `limit` bytes of them; the longest unused go first."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self.hits = 0
        self.misses = 0
        self._lock = threading.Lock()
        self._blocks: OrderedDict[str, int] | None = None
        self._size = 0
        self._fresh = 0
        self._turns: dict[str, _Turn] = {}

    def get(self, key: str, first: int, last: int, size: int, fetch: Fetch) -> list[bytes]:
        """Blocks `first` to `last` of the file `key` of `size` bytes; `fetch(start, end)` gets bytes from its store.

        Blocks that are missing in a row are fetched in one go.
        """
        stem = hashlib.sha256(key.encode()).hexdigest()[:32]
        with self._lock:
            turn = self._turns.setdefault(stem, _Turn())
            turn.users += 1
        try:
            return self._get(stem, first, last, size, fetch, turn.lock)
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    self._turns.pop(stem, None)

    def _get(self, stem: str, first: int, last: int, size: int, fetch: Fetch, turn: threading.Lock) -> list[bytes]:
        def length(block: int) -> int:
            return min((block + 1) * BLOCK, size) - block * BLOCK

        found = {block: self._load(f"{stem}-{block}", length(block)) for block in range(first, last + 1)}
        if any(content is None for content in found.values()):
            # one thread at a time fetches of a file: another may have brought what this one waited for
            with turn:
                for block in [block for block, content in found.items() if content is None]:
                    found[block] = self._load(f"{stem}-{block}", length(block))
                missing = [block for block, content in found.items() if content is None]
                for row in _rows(missing):
                    start, end = row[0] * BLOCK, min((row[-1] + 1) * BLOCK, size)
                    content = fetch(start, end)
                    if len(content) != end - start:
                        raise OSError(f"{len(content)} bytes instead of {end - start} from the object store")
                    for block in row:
                        offset = block * BLOCK - start
                        found[block] = content[offset : offset + length(block)]
                        self._store(f"{stem}-{block}", found[block] or b"")
                self.misses += len(missing)
        self.hits += len(found)
        return [found[block] or b"" for block in range(first, last + 1)]

    def remember(self, key: str, number: int) -> None:
        """Keep a number under `key`."""
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}-n"
        if self._load(name, _NUMBER.size) != _NUMBER.pack(number):
            self._store(name, _NUMBER.pack(number))

    def recall(self, key: str) -> int | None:
        """The number that is kept under `key`, None for none."""
        found = self._load(f"{hashlib.sha256(key.encode()).hexdigest()[:32]}-n", _NUMBER.size)
        return _NUMBER.unpack(found)[0] if found is not None else None

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name

    def _load(self, name: str, length: int) -> bytes | None:
        try:
            data = self._path(name).read_bytes()
        except OSError:
            return None
        if len(data) != _HEAD.size + length:
            return None
        magic, stored, crc = _HEAD.unpack_from(data)
        content = data[_HEAD.size :]
        if magic != _MAGIC or stored != length or zlib.crc32(content) != crc:
            return None
        with suppress(OSError):
            # the time of its last use, which other processes go by too
            os.utime(self._path(name))
        with self._lock:
            if self._blocks is not None and name in self._blocks:
                self._blocks.move_to_end(name)
        return content

    def _store(self, name: str, content: bytes) -> None:
        """Keep a block; a disk that takes none of it only makes things slower."""
        path = self._path(name)
        part = path.with_name(f"{name}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as file:
                file.write(_HEAD.pack(_MAGIC, len(content), zlib.crc32(content)))
                file.write(content)
            os.replace(part, path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            return
        with self._lock:
            self._fresh += _HEAD.size + len(content)
            if self._fresh > self.limit // LOOK:
                # others fill the folder too
                self._blocks, self._fresh = None, 0
            blocks = self._known()
            self._size += _HEAD.size + len(content) - blocks.pop(name, 0)
            blocks[name] = _HEAD.size + len(content)
            gone = []
            while self._size > self.limit and len(blocks) > 1:
                old, size = blocks.popitem(last=False)
                self._size -= size
                gone.append(old)
        for old in gone:
            with suppress(OSError):
                self._path(old).unlink()

    def _known(self) -> OrderedDict[str, int]:
        """What is in the folder, longest unused first: as it was when last looked for, and what this process added."""
        if self._blocks is None:
            found = []
            for path in self.folder.glob("??/*"):
                with suppress(OSError):
                    status = path.stat()
                    if path.suffix == ".part":
                        if time.time() - status.st_mtime > ABANDONED:
                            path.unlink()
                    else:
                        found.append((status.st_mtime_ns, path.name, status.st_size))
            self._blocks = OrderedDict((name, size) for _, name, size in sorted(found))
            self._size = sum(self._blocks.values())
        return self._blocks


class CachedFile(io.RawIOBase):
    """A file of an object store, read by blocks through a cache. One thread at a time."""

    def __init__(self, cache: BlockCache, key: str, size: int, fetch: Fetch) -> None:
        super().__init__()
        self._cache, self._key, self._size, self._fetch = cache, key, size, fetch
        self._place = 0
        self._last: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset from the start, from here or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, all to the end for -1."""
        end = self._size if size is None or size < 0 else min(self._place + size, self._size)
        start, self._place = self._place, max(self._place, end)
        if start >= end:
            return b""
        first, last = start // BLOCK, (end - 1) // BLOCK
        if first == last == self._last[0]:
            return self._last[1][start - first * BLOCK : end - first * BLOCK]
        blocks = self._cache.get(self._key, first, last, self._size, self._fetch)
        self._last = (last, blocks[-1])
        joined = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        return joined[start - first * BLOCK : end - first * BLOCK]

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as the file goes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
