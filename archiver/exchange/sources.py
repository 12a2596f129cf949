"""Where samples can be imported from: an appliance's `.pb` files, `.raw` answers in files, and other archivers."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from archiver.client.access import ArchiveError
from archiver.client.http_access import HttpArchive
from archiver.client.raw import Block, RawError, RawReader

PIECE = 4 << 20
"""Bytes of a file that are read at once."""

PARTITION = re.compile(r"(?P<pv>.*):(?P<year>\d{4})(?:_\d\d){0,4}\.pb")
"""The name of an appliance's file: the PV's (with `/` for `:` and `-`), a colon, and when it begins."""


@dataclass
class Source:
    """Something to import. `blocks` gives what it holds; what could not be read is then in `problem` and `bad`.

    `name`: for messages. `size`: bytes, 0 when nobody knows. `year`: the one in a file's name.
    """

    name: str
    size: int = 0
    year: int | None = None
    problem: str | None = None
    bad: int = 0
    """Lines that were no event."""
    read: int = 0
    """Bytes read so far."""

    def blocks(self) -> Iterator[Block]:
        """Blocks of events."""
        reader = RawReader()
        try:
            for piece in self.pieces():
                self.read += len(piece)
                for block in reader.feed(piece):
                    self.bad += block.bad
                    yield block
            if reader.rest():
                self.bad += 1
                self.problem = "the last line is torn, and left out"
        except (RawError, ArchiveError) as error:
            self.problem = str(error)
        except OSError as error:
            self.problem = f"cannot be read: {(error.strerror or str(error)).lower()}"
        if self.problem is None and not reader.headers:
            self.problem = "is empty"

    def pieces(self) -> Iterable[bytes]:
        """The bytes, in pieces of any size."""
        raise NotImplementedError


@dataclass
class FileSource(Source):
    """A `.pb` file, or a `.raw` answer in a file."""

    path: Path = field(default_factory=Path)

    @classmethod
    def of(cls, path: Path) -> FileSource:
        """The file at `path`; its size is 0 when it can't be looked at."""
        match = PARTITION.fullmatch(path.name)
        try:
            size = path.stat().st_size
        except OSError:
            size = 0
        return cls(str(path), size, int(match["year"]) if match else None, path=path)

    def pieces(self) -> Iterable[bytes]:
        """The file's bytes."""
        with open(self.path, "rb") as file:
            while piece := file.read(PIECE):
                yield piece


@dataclass
class UrlSource(Source):
    """A `.raw` answer of a server."""

    url: str = ""

    def pieces(self) -> Iterable[bytes]:
        """The answer, as it comes."""
        parts = urllib.parse.urlsplit(self.url)
        archive = HttpArchive(f"{parts.scheme}://{parts.netloc}")
        with closing(archive):
            yield from archive.stream(parts.path, parts.query)


def files_in(places: Iterable[Path]) -> Iterator[Path]:
    """The files among places, and those below folders that an appliance or this archive calls `.pb` or `.raw`.

    The newest of a PV come first: what they say of units and limits is what counts.
    """
    for place in places:
        if not place.is_dir():
            yield place
            continue
        found = [path for path in place.rglob("*") if path.suffix in (".pb", ".raw") and path.is_file()]
        yield from sorted(found, key=_newest_first)


def _newest_first(path: Path) -> tuple[str, tuple[int, ...]]:
    stem, colon, when = path.stem.rpartition(":")
    if not colon:
        return str(path), ()
    return f"{path.parent}/{stem}", tuple(-int(n) for n in when.split("_") if n.isdecimal())


def remote(url: str, patterns: Iterable[str], start: str, end: str) -> Iterator[Source]:
    """All PVs of another archiver that fit the patterns; ArchiveError when it does not answer."""
    with closing(HttpArchive(url)) as archive:
        names = sorted({name for pattern in patterns for name in matching(archive, pattern)})
    for name in names:
        query = urllib.parse.urlencode({"pv": name, "from": start, "to": end, "fetchLatestMetadata": "true"})
        address = f"{archive.place}/retrieval/data/getData.raw?{query}"
        yield UrlSource(f"{name} at {archive.place}", url=address)


def matching(archive: HttpArchive, pattern: str) -> list[str]:
    """Names at an archiver that fit a glob; a plain name is taken as it is."""
    if "*" not in pattern and "?" not in pattern:
        return [pattern]
    try:
        return archive.names(pattern)
    except ArchiveError:
        # one that keeps management apart may know its PVs only there
        found = archive.call("/mgmt/bpl/getAllPVs", pv=pattern, limit="-1")
        return [str(name) for name in found] if isinstance(found, list) else []
