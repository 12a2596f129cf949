"""Places in object stores, as Arrow's file systems reach them."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

from archiver.store.cache import BlockCache, CachedFile
from archiver.store.files import reason
from archiver.store.places import CHUNK, INDEX, MARKER, Indexes, PlaceError
from archiver.store.s3delete import can_delete, delete

CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 20.0
ATTEMPTS = 2
"""An object store that is away must not hold anybody up for minutes: whoever needs it tries again by itself."""

OPEN_FILES = 256
"""Files of a store whose size is kept in mind."""


class RemotePlace:
    """A prefix in an object store, read through a cache of blocks. Safe for several threads."""

    def __init__(self, spec: str, cache: BlockCache, indexes: Indexes) -> None:
        self._indexes = indexes
        self.spec = spec
        self.local: Path | None = None
        self._cache = cache
        self._fs, self._root, self._options = _filesystem(spec)
        self._lock = threading.Lock()
        self._files: OrderedDict[str, Any] = OrderedDict()

    def open(self, name: str) -> pa.NativeFile:
        """The file, read through the cache."""
        if (found := self._indexes.open(name)) is not None:
            return found
        if name.endswith(INDEX):
            self._indexes.keep(name, b"".join(self.chunks(name)))
            if (found := self._indexes.open(name)) is not None:
                return found
        label = f"{self.spec}\n{name}"
        try:
            size = self._file(name).size()
            self._cache.remember(label, size)
        except PlaceError:
            # what is in the cache can be read all the same
            known = self._cache.recall(label)
            if known is None:
                raise
            size = known
        key = f"{label}\n{size}"
        return pa.PythonFile(CachedFile(self._cache, key, size, lambda start, end: self._range(name, start, end)), "r")

    def _file(self, name: str) -> Any:
        """The file in the store, asked for only once; several threads may read it at once."""
        with self._lock:
            found = self._files.get(name)
        if found is None:
            with self._asked(name):
                found = self._fs.open_input_file(self._path(name))
            with self._lock:
                self._files[name] = found
                while len(self._files) > OPEN_FILES:
                    self._files.popitem(last=False)
        return found

    def _drop(self, name: str) -> None:
        with self._lock:
            self._files.pop(name, None)

    def read_bytes(self, name: str) -> bytes:
        """All of a file; that of a segment through the cache, for it never changes."""
        if "/" not in name:
            return b"".join(self.chunks(name))
        with self.open(name) as file:
            return file.read()

    def put(self, name: str, source: Path) -> None:
        """Upload a file; it is there once all of it is."""
        with open(source, "rb") as file:
            self._write(name, iter(lambda: file.read(CHUNK), b""), source.stat().st_size)
        if name.endswith(INDEX):
            self._indexes.keep(name, source.read_bytes())

    def put_bytes(self, name: str, content: bytes) -> None:
        """Upload a small file."""
        self._write(name, iter([content]), len(content))

    def _write(self, name: str, pieces: Iterator[bytes], size: int) -> None:
        self._drop(name)
        with self._asked(name):
            with self._fs.open_output_stream(self._path(name)) as stream:
                for piece in pieces:
                    stream.write(piece)
            stored = self._fs.get_file_info(self._path(name)).size
        if stored != size:
            raise PlaceError(f"{self.spec}: {name} has {stored} bytes after an upload of {size}")

    def delete(self, name: str) -> None:
        """Remove a file."""
        self._drop(name)
        self._indexes.drop(name)
        try:
            with self._asked(name):
                if self._options is not None and can_delete():
                    delete(self._path(name), self._options)
                else:
                    self._fs.delete_file(self._path(name))
        except FileNotFoundError:
            pass

    def size(self, name: str) -> int:
        """Bytes of a file."""
        with self._asked(name):
            info = self._fs.get_file_info(self._path(name))
            if not info.is_file:
                raise FileNotFoundError
            return int(info.size)

    def stamp(self, name: str) -> object:
        """Time and size."""
        with self._asked(name):
            info = self._fs.get_file_info(self._path(name))
            if not info.is_file:
                raise FileNotFoundError
            return info.mtime_ns, info.size

    def list(self) -> list[tuple[str, int]]:
        """All files and their sizes."""
        from pyarrow.fs import FileSelector

        with self._asked(""):
            infos = self._fs.get_file_info(FileSelector(self._root, recursive=True, allow_not_found=True))
        if not infos:
            self._there()
        found = [(info.path[len(self._root) + 1 :], int(info.size)) for info in infos if info.is_file]
        return sorted(entry for entry in found if entry[0] != MARKER)

    def chunks(self, name: str) -> Iterator[bytes]:
        """All of a file in pieces."""
        with self._asked(name), self._fs.open_input_stream(self._path(name)) as stream:
            while piece := stream.read(CHUNK):
                yield piece

    def _range(self, name: str, start: int, end: int) -> bytes:
        try:
            with self._asked(name):
                return bytes(self._file(name).read_at(end - start, start))
        except PlaceError:
            self._drop(name)
            raise

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            if name != MARKER:
                self._there()
            raise FileNotFoundError(f"{self.spec}: {name} isn't there") from None
        except (OSError, pa.ArrowException) as error:
            raise PlaceError(f"{self.spec} doesn't answer: {_short(error)}") from error

    def _there(self) -> None:
        try:
            there = self._fs.get_file_info(self._path(MARKER)).is_file
        except (OSError, pa.ArrowException) as error:
            raise PlaceError(f"{self.spec} doesn't answer: {_short(error)}") from error
        if not there:
            raise PlaceError(f"{self.spec} is no place of an archive (no {MARKER} in it)")


def _filesystem(spec: str) -> tuple[Any, str, dict[str, Any] | None]:
    from pyarrow import fs

    try:
        if spec.startswith("s3://"):
            return _s3(spec)
        filesystem, path = fs.FileSystem.from_uri(spec)
    except (ValueError, TypeError, OSError, pa.ArrowException) as error:
        raise PlaceError(f"{spec} is no URL of an object store: {_short(error)}") from error
    return filesystem, path.rstrip("/"), None


S3_OPTIONS = ("endpoint_override", "scheme", "region", "tls_ca_file_path")


def _s3(spec: str) -> tuple[Any, str, dict[str, Any]]:
    from pyarrow import fs

    # checksums at the end of a body are something that many stores don't know; every file has its own in the manifest
    for variable in ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"):
        os.environ.setdefault(variable, "when_required")
    url = urlsplit(spec)
    options: dict[str, Any] = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
    unknown = sorted(set(options) - set(S3_OPTIONS))
    if unknown:
        raise ValueError(f"{unknown[0]} is none of the options {', '.join(S3_OPTIONS)}")
    if url.username or url.password:
        raise ValueError("credentials belong into the environment")
    if not url.hostname:
        raise ValueError("there is no bucket in it")
    options.setdefault("region", os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1")
    filesystem = fs.S3FileSystem(
        connect_timeout=CONNECT_TIMEOUT,
        request_timeout=REQUEST_TIMEOUT,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        **options,
    )
    return filesystem, f"{url.netloc}{url.path}".rstrip("/"), options


def _short(error: BaseException) -> str:
    text = reason(error) if isinstance(error, OSError) else str(error)
    return text.splitlines()[0][:300] if text else type(error).__name__
