"""Content by hash: stored once, compressed, checked when it is read.

A pixel map of 153,600 bytes takes 0.17 ms to compress (zstd, level 1: higher ones give no less than its 79 kB), 0.1 ms
to decompress and 0.13 ms to hash, each on one core and without Python's lock: all run on threads, beside the database.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import zstandard
from sqlalchemy import Connection

from db.blob_rows import Row, blob_sizes, insert_blobs, select_blobs
from db.errors import BadInput, Damaged, NotFound

LEVEL = 1
"""Of zstd. Higher ones are slower on pixel maps and not smaller."""
RAW, ZSTD = 0, 1
"""Values of `Blob.codec`."""
BATCH_BYTES = 8 << 20
"""Decoded bytes that are worked on at once."""
BATCH_ROWS = 500
LARGEST = 2**31 - 1
"""Bytes of one content."""

T = TypeVar("T")
R = TypeVar("R")

_local = threading.local()
_pool_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_process = 0


def blob_hash(content: bytes) -> bytes:
    """The sha256 (32 bytes) under which content is stored."""
    return hashlib.sha256(content).digest()


def put_blobs(connection: Connection, contents: Iterable[bytes]) -> list[bytes]:
    """Store contents that are not there yet; their sha256s (32 bytes each), in the order of `contents`.

    Some megabytes of `contents` are held at a time. BadInput for one that is too large for the database.
    """
    hashes: list[bytes] = []
    seen: set[bytes] = set()
    packing: Iterator[Row] | None = None
    for batch in _batches(contents):
        of_batch = list(parallel(blob_hash, batch))
        hashes += of_batch
        new = {sha: content for sha, content in zip(of_batch, batch, strict=True) if sha not in seen}
        seen.update(new)
        for sha in blob_sizes(connection, list(new)):
            del new[sha]
        # in the order of hashes: two writers that store the same do not wait for each other crosswise
        following = parallel(_packed, sorted(new.items()))
        if packing is not None:
            insert_blobs(connection, list(packing))
        packing = following
    if packing is not None:
        insert_blobs(connection, list(packing))
    return hashes


def get_blobs(connection: Connection, hashes: Sequence[bytes], *, check: bool = True) -> Iterator[tuple[bytes, bytes]]:
    """Stream (sha256, content), each hash once, in any order; some megabytes are held at a time.

    `check`: hash the content again. Damaged when it does not fit; NotFound when there is no such content.
    """
    return stream_blobs(connection, [hashes], check=check)


def stream_blobs(
    connection: Connection, portions: Iterable[Sequence[bytes]], *, check: bool = True
) -> Iterator[tuple[bytes, bytes]]:
    """As `get_blobs`, for many portions, one after another; a hash comes once for each portion that it is in.

    A portion is taken, and fetched from the database, while the content before it is being worked on.
    """
    waiting: Iterator[tuple[bytes, bytes]] | None = None
    for wanted in (batch for hashes in portions for batch in _stored(connection, hashes)):
        rows = select_blobs(connection, wanted)
        working = parallel(_checked if check else _content, rows)
        if waiting is not None:
            yield from waiting
        waiting = working
    if waiting is not None:
        yield from waiting


def copy_blobs(source: Connection, target: Connection, hashes: Sequence[bytes]) -> int:
    """Copy the contents that `target` lacks, compressed as they are; how many. NotFound when `source` lacks one."""
    lacking: list[bytes] = []
    for part in _parts(list(dict.fromkeys(hashes))):
        there = blob_sizes(target, part)
        lacking += [sha for sha in part if sha not in there]
    for wanted in _stored(source, lacking):
        insert_blobs(target, sorted(select_blobs(source, wanted)))
    return len(lacking)


def unpack(row: Row) -> bytes:
    """The content of a row, checked; Damaged when it does not fit its hash or its size."""
    return _checked(row)[1]


def _stored(connection: Connection, hashes: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The hashes in lists of a few megabytes of content. NotFound before the first of a part that is missing."""
    for part in _parts(list(dict.fromkeys(hashes))):
        sizes = blob_sizes(connection, part)
        if len(sizes) != len(part):
            missing = [sha.hex()[:12] for sha in part if sha not in sizes]
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise NotFound(f"there is no content {', '.join(missing[:3])}{more}")
        batch: list[bytes] = []
        size = 0
        for sha in part:
            batch.append(sha)
            size += sizes[sha]
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _batches(contents: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for content in contents:
        if len(content) > LARGEST:
            raise BadInput(f"content of {len(content)} bytes: more than {LARGEST} can't be stored")
        batch.append(bytes(content))
        size += len(content)
        if size >= BATCH_BYTES or len(batch) >= BATCH_ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _parts(hashes: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(hashes), BATCH_ROWS):
        yield hashes[start : start + BATCH_ROWS]


def _packed(item: tuple[bytes, bytes]) -> Row:
    sha, content = item
    compressor: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=LEVEL)
    packed = compressor.compress(content)
    return (sha, ZSTD, len(content), packed) if len(packed) < len(content) else (sha, RAW, len(content), content)


def _content(row: Row) -> tuple[bytes, bytes]:
    sha, codec, size, data = row
    if codec == ZSTD:
        unpacker: zstandard.ZstdDecompressor | None = getattr(_local, "unpacker", None)
        if unpacker is None:
            unpacker = _local.unpacker = zstandard.ZstdDecompressor()
        try:
            # not what a damaged frame claims of itself: it could ask for any amount of memory
            claimed = zstandard.frame_content_size(data)
            if claimed != size:
                raise Damaged(f"content {sha.hex()[:12]} claims {claimed} bytes instead of {size}")
            data = unpacker.decompress(data)
        except zstandard.ZstdError as error:
            raise Damaged(f"content {sha.hex()[:12]} can't be decompressed: {error}") from None
    elif codec != RAW:
        raise Damaged(f"content {sha.hex()[:12]} is stored in an unknown way ({codec})")
    if len(data) != size:
        raise Damaged(f"content {sha.hex()[:12]} has {len(data)} bytes instead of {size}")
    return sha, data


def _checked(row: Row) -> tuple[bytes, bytes]:
    sha, content = _content(row)
    if hashlib.sha256(content).digest() != sha:
        raise Damaged(f"content {sha.hex()[:12]} does not fit its hash")
    return sha, content


def parallel(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """function(item) of all, in order, on threads that begin at once; a few tasks rather than one for each item."""
    if not items:
        return iter(())
    workers = _workers()
    size = max(1, -(-len(items) // (2 * (os.cpu_count() or 1))))
    tasks = [workers.submit(_each, function, items[start : start + size]) for start in range(0, len(items), size)]
    return _results(tasks)


def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]


def _results(tasks: list[Future[list[R]]]) -> Iterator[R]:
    for index, task in enumerate(tasks):
        yield from task.result()
        tasks[index] = Future()  # what was given away is not kept


def _workers() -> ThreadPoolExecutor:
    global _pool, _pool_process
    with _pool_lock:
        if _pool is None or _pool_process != os.getpid():  # threads do not survive a fork
            _pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="db-blobs")
            _pool_process = os.getpid()
        return _pool
