"""Reading files that others may have made, or change meanwhile; writing what appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from db.errors import BadInput, DbError, Exists

MAX_FILE = 64 * 2**20
"""Bytes of one payload or chip file. The largest of the field, an FE-I4B chip file, has 4 MB."""
MAX_TOTAL = 8 * 2**30
"""Bytes of all files of one import, which is held in memory."""
MAX_OBJECTS = 200_000
"""Objects of one import; the whole ITk pixel detector has 34,000."""
MAX_DEPTH = 40
"""Objects below one another."""
MAX_PROBLEMS = 50
"""So many problems are said in full, the others are counted."""

_SAFE = re.compile(r"[^A-Za-z0-9 ._+,=@#()-]")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)
_LONGEST = 120
"""Characters of a file's name; file systems allow 255 bytes, some encrypting ones 143."""


class Problems(list[str]):
    """What is wrong, collected, so that all of it can be said at once."""

    def __init__(self) -> None:
        super().__init__()
        self.more = 0

    def add(self, file: object, inside: str, reason: str) -> None:
        """Note one: file, place inside it (may be empty), reason."""
        if len(self) >= MAX_PROBLEMS:
            self.more += 1
        else:
            text = ": ".join(str(part) for part in (file, inside, reason) if str(part))
            self.append(text.encode("utf-8", "backslashreplace").decode())  # names of files need not be Unicode

    def take(self, error: BadInput) -> None:
        """Note all that another reader found."""
        for problem in error.problems:
            self.add("", "", problem)

    def check(self) -> None:
        """BadInput when there are any."""
        if self:
            raise BadInput([*self, *([f"and {self.more} more"] if self.more else [])])


def escape(name: str) -> str:
    """A name that every file system takes, from any text; `unescape` gives the text back.

    All but ASCII letters, digits and `` ._+,=@#()-`` become %XX (of UTF-8), and so do what has a meaning to a file
    system: a dot at the start, a dot or space at the end, a space at the start, the first letter of CON, NUL, …
    """
    text = _SAFE.sub(lambda found: _percent(found[0]), name)
    if text[:1] in (".", " "):
        text = _percent(text[0]) + text[1:]
    if text[-1:] in (".", " "):
        text = text[:-1] + _percent(text[-1])
    if _DEVICES.match(text):
        text = _percent(text[0]) + text[1:]
    return text


def unescape(name: str) -> str:
    """The text that `escape` made `name` of. ValueError when it did not."""
    parts = re.split(r"((?:%[0-9A-F]{2})+)", name)
    return "".join(bytes.fromhex(p.replace("%", "")).decode() if n % 2 else p for n, p in enumerate(parts))


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


class Names:
    """Names in one directory: escaped, of bearable length, and different where case is nothing."""

    def __init__(self, *taken: str) -> None:
        self._taken = {name.casefold() for name in taken}

    def of(self, name: str, suffix: str = "") -> str:
        """A name for `name`; `escape(name)` unless that is too long or taken already."""
        text = escape(name) or "%"
        if len(text) + len(suffix) > _LONGEST:
            text = f"{text[: _LONGEST - len(suffix) - 17]}~{sha256(name.encode()).hexdigest()[:16]}"
        number, found = 1, text + suffix
        while found.casefold() in self._taken:
            number += 1
            found = f"{text}~{number}{suffix}"
        self._taken.add(found.casefold())
        return found


class Reader:
    """Reads files and remembers how they were, so that a change during an import is seen.

    Symbolic links, sockets, devices and pipes are refused; nothing is followed or waited for.
    """

    def __init__(self, problems: Problems, limit: int = MAX_FILE, total: int = MAX_TOTAL) -> None:
        self.problems = problems
        self.limit, self.left = limit, total
        self.size = 0
        self._seen: dict[Path, tuple[int, ...]] = {}

    def file(self, path: Path) -> bytes | None:
        """The content of a regular file; None (and a problem noted) when it cannot be read."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.problems.add(path, "", _reason(error))
            return None
        with open(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                self.problems.add(path, "", f"is {_what(before.st_mode)}, no file")
                return None
            if before.st_size > self.limit:
                self.problems.add(path, "", f"has {before.st_size:,} bytes; more than {self.limit:,} are refused")
                return None
            if before.st_size > self.left:
                self.problems.add(path, "", f"all files together are larger than {MAX_TOTAL:,} bytes")
                return None
            try:
                content = file.read(self.limit + 1)
            except OSError as error:
                self.problems.add(path, "", _reason(error))
                return None
            after = os.fstat(descriptor)
        if _state(before) != _state(after) or len(content) != after.st_size:
            self.problems.add(path, "", "changed while it was being read")
            return None
        self.left -= len(content)
        self.size += len(content)
        self._seen[path] = _state(after)
        return content

    def folder(self, path: Path) -> list[os.DirEntry[str]] | None:
        """What is in a directory, by name; None (and a problem noted) when it is none or cannot be read."""
        try:
            state = os.lstat(path)
            if not stat.S_ISDIR(state.st_mode):
                self.problems.add(path, "", f"is {_what(state.st_mode)}, no directory")
                return None
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.problems.add(path, "", _reason(error))
            return None
        self._seen[path] = _state(state)
        return found

    def finish(self) -> None:
        """Note what changed since it was read."""
        for path, state in self._seen.items():
            try:
                now = _state(os.lstat(path))
            except OSError as error:
                self.problems.add(path, "", f"changed during the import: {_reason(error)}")
                continue
            if now != state:
                self.problems.add(path, "", "changed during the import")


def load_json(data: bytes, file: object, problems: Problems) -> Any:
    """Strict JSON: UTF-8, no NaN; None (and a problem noted) when it is not."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        problems.add(file, f"line {error.lineno}, column {error.colno}", f"no JSON: {error.msg}")
        return None


def check_format(form: str, content: bytes, file: object, problems: Problems) -> None:
    """Note when content is not of the format that it is said to be of."""
    if form == "json":
        load_json(content, file, problems)
    elif form == "text":
        try:
            content.decode()
        except UnicodeDecodeError as error:
            problems.add(file, f"byte {error.start:,}", f"is no UTF-8 ({error.reason})")


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, renamed to it at the end, removed on an exception. Exists, DbError."""
    if os.path.lexists(target):
        raise Exists(f"{target} exists")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise DbError(f"{target}: {_reason(error)}") from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if os.path.lexists(target):  # rename would replace an empty folder
            raise Exists(f"{target} exists")
        temporary.rename(target)
    except OSError as error:
        raise DbError(f"{error.filename or target}: {_reason(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[BinaryIO]:
    """A temporary file beside `target` that takes its name at the end, or is removed. Exists, DbError."""
    if os.path.lexists(target):
        raise Exists(f"{target} exists")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise DbError(f"{target}: {_reason(error)}") from error
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        temporary.chmod(0o666 & ~_umask())
        try:
            os.link(temporary, target)  # fails where rename would replace
        except FileExistsError:
            raise Exists(f"{target} exists") from None
        except OSError:  # a file system without hard links
            temporary.rename(target)
    except OSError as error:
        raise DbError(f"{error.filename or target}: {_reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """A new file on disk, for use inside `new_folder`."""
    with open(path, "xb") as file:
        file.write(content)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _state(state: os.stat_result) -> tuple[int, ...]:
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, stat.S_IFMT(state.st_mode))


def _what(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISFIFO, "a pipe"),
    )
    return next((text for test, text in kinds if test(mode)), "a device" if not stat.S_ISREG(mode) else "a file")


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a symbolic link; only files and directories are read"
    if error.errno == errno.ENXIO:
        return "is a socket or pipe, no file"
    return error.strerror or str(error)
