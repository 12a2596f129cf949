"""Content by hash: stored once, compressed, checked when it is read."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import zstandard
from sqlalchemy import Connection, bindparam, select

from db.errors import BadInput, Damaged, NotFound
from db.models import Blob

LEVEL = 1
RAW, ZSTD = 0, 1
BATCH_BYTES = 8 << 20
"""Decoded bytes that are worked on at once."""
BATCH = 100
"""Blobs that are read at once."""
LARGEST = 2**31 - 1

_local = threading.local()
_pool_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def blob_hash(content: bytes) -> bytes:
    """The sha256 (32 bytes) under which content is stored."""
    return hashlib.sha256(content).digest()


def put_blobs(connection: Connection, contents: Iterable[bytes]) -> list[bytes]:
    """Store contents that are not there yet; their sha256s (32 bytes each), in the order of `contents`."""
    hashes: list[bytes] = []
    seen: set[bytes] = set()
    for batch in _batches(contents):
        of_batch = list(_workers().map(blob_hash, batch))
        hashes += of_batch
        new = {sha: content for sha, content in zip(of_batch, batch, strict=True) if sha not in seen}
        seen.update(new)
        for sha in present(connection, list(new)):
            del new[sha]
        if new:
            _insert(connection, list(_workers().map(_packed, sorted(new.items()))))
    return hashes


def get_blobs(connection: Connection, hashes: Sequence[bytes], *, check: bool = True) -> Iterator[tuple[bytes, bytes]]:
    """Stream (sha256, content), each hash once, in any order.

    `check`: hash the content again. Damaged when it does not fit; NotFound when there is no such content.
    """
    waiting = None
    for start, wanted in _chunks(list(dict.fromkeys(hashes)), BATCH):
        rows = _select(connection, wanted)
        if len(rows) != len(wanted):
            raise _missing(wanted, [row[0] for row in rows])
        working = _workers().map(lambda row: _content(row, check), rows)
        if waiting is not None:
            yield from waiting
        waiting = working
        del start
    if waiting is not None:
        yield from waiting


def copy_blobs(source: Connection, target: Connection, hashes: Sequence[bytes]) -> int:
    """Copy the contents that `target` lacks, compressed as they are; how many. NotFound when `source` lacks one."""
    copied = 0
    for _, wanted in _chunks(list(dict.fromkeys(hashes)), BATCH):
        there = set(present(target, wanted))
        lacking = [sha for sha in wanted if sha not in there]
        rows = _select(source, lacking) if lacking else []
        if len(rows) != len(lacking):
            raise _missing(lacking, [row[0] for row in rows])
        if rows:
            _insert(target, sorted(rows))
        copied += len(rows)
    return copied


def present(connection: Connection, hashes: Sequence[bytes]) -> list[bytes]:
    """Which of the hashes are stored."""
    found: list[bytes] = []
    for _, part in _chunks(list(hashes), 500):
        found += [bytes(row[0]) for row in connection.execute(_PRESENT, {"hashes": part})]
    return found


_PRESENT = select(Blob.sha256).where(Blob.sha256.in_(bindparam("hashes", expanding=True)))
_SELECT = select(Blob.sha256, Blob.codec, Blob.size, Blob.data).where(
    Blob.sha256.in_(bindparam("hashes", expanding=True))
)

Row = tuple[bytes, int, int, bytes]
"""(sha256, codec, size decoded, data)"""


def _select(connection: Connection, hashes: Sequence[bytes]) -> list[Row]:
    return [(bytes(r[0]), r[1], r[2], bytes(r[3])) for r in connection.execute(_SELECT, {"hashes": list(hashes)})]


def _insert(connection: Connection, rows: Sequence[Row]) -> None:
    sql = {
        "sqlite": "INSERT OR IGNORE INTO blob (sha256, codec, size, data) VALUES (?, ?, ?, ?)",
        "postgresql": "INSERT INTO blob (sha256, codec, size, data) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
    }.get(connection.dialect.name, "INSERT IGNORE INTO `blob` (sha256, codec, size, data) VALUES (%s, %s, %s, %s)")
    connection.exec_driver_sql(sql, list(rows))


def _packed(item: tuple[bytes, bytes]) -> Row:
    sha, content = item
    if len(content) > LARGEST:
        raise BadInput(f"content {sha.hex()[:12]}: {len(content)} bytes is more than {LARGEST}")
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=LEVEL)
    packed = compressor.compress(content)
    return (sha, ZSTD, len(content), packed) if len(packed) < len(content) else (sha, RAW, len(content), content)


def _content(row: Row, check: bool) -> tuple[bytes, bytes]:
    sha, codec, size, data = row
    if codec == ZSTD:
        unpacker = getattr(_local, "unpacker", None)
        if unpacker is None:
            unpacker = _local.unpacker = zstandard.ZstdDecompressor()
        try:
            data = unpacker.decompress(data, max_output_size=size)
        except zstandard.ZstdError as error:
            raise Damaged(f"content {sha.hex()[:12]} can't be decompressed: {error}") from None
    elif codec != RAW:
        raise Damaged(f"content {sha.hex()[:12]} is stored in an unknown way ({codec})")
    if len(data) != size:
        raise Damaged(f"content {sha.hex()[:12]} has {len(data)} bytes instead of {size}")
    if check and hashlib.sha256(data).digest() != sha:
        raise Damaged(f"content {sha.hex()[:12]} does not fit its hash")
    return sha, data


def _missing(wanted: Sequence[bytes], found: Sequence[bytes]) -> NotFound:
    there = set(found)
    missing = [sha.hex()[:12] for sha in wanted if sha not in there]
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return NotFound(f"there is no content {', '.join(missing[:3])}{more}")


def _batches(contents: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for content in contents:
        batch.append(bytes(content))
        size += len(content)
        if size >= BATCH_BYTES or len(batch) >= 500:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _chunks(items: list[bytes], size: int) -> Iterator[tuple[int, list[bytes]]]:
    for start in range(0, len(items), size):
        yield start, list(islice(items, start, start + size))


def _workers() -> ThreadPoolExecutor:
    """Threads for hashing and (de)compressing, which hold no lock of Python's."""
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1), thread_name_prefix="db-blobs")
        return _pool
