"""Reading an archive from a command: over HTTP from any server that speaks the appliance's words, or from its files."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Protocol

from archiver.client.moments import iso_text

NS = 1_000_000_000
BATCH = 5000
TIMEOUT_S = 30


class ArchiveError(Exception):
    """The archive does not give what was asked for; str() is one clear line."""


class UnknownPv(ArchiveError):  # noqa: N818
    """The archive has no such PV."""


@dataclass(frozen=True)
class Rows:
    """Samples as Python objects, lists of one length; times in unix nanoseconds. An array's value is a list."""

    time_ns: list[int]
    values: list[Any]
    severity: list[int]
    status: list[int]


@dataclass(frozen=True)
class Reading:
    """What the archive has of one PV: its metadata, and its samples to be gone through once."""

    name: str
    metadata: dict[str, str]
    rows: Iterator[Rows] = field(compare=False)


class Archive(Protocol):
    """A way to an archive."""

    place: str
    """Where it is, for messages."""

    def names(self, glob: str, limit: int = -1) -> list[str]:
        """Names of archived PVs, sorted."""
        ...

    def metadata(self, pv: str) -> dict[str, str]:
        """What getMetadata says."""
        ...

    def read(self, pv: str, start_ns: int, end_ns: int) -> Reading:
        """Samples from the newest at or before the start to the end."""
        ...

    def json(self, pv: str, start_ns: int, end_ns: int) -> Iterator[bytes]:
        """The same as the bytes of `getData.json`."""
        ...

    def facts(self) -> list[tuple[str, str]]:
        """What there is to say of it."""
        ...


class HttpArchive:
    """An archive behind HTTP: owlshift's, or an Archiver Appliance."""

    def __init__(self, url: str) -> None:
        self.place = url.rstrip("/").removesuffix("/retrieval")
        # no proxy: an archiver is on the stand's own network
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _open(self, path: str, **parameters: str) -> HTTPResponse:
        query = urllib.parse.urlencode(parameters)
        try:
            return self._opener.open(f"{self.place}{path}?{query}", timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                sentence = error.read(2000).decode("utf-8", "replace").strip().split("\n")[0]
            if error.code == 404 and sentence.startswith("Unable to find"):
                raise UnknownPv(f"{parameters.get('pv', '')} is not in the archive at {self.place}") from None
            raise ArchiveError(f"{self.place} answers {error.code}: {sentence}") from None
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            why = f"no archiver answers at {self.place}: {str(reason).lower()}"
            raise ArchiveError(f"{why} (is the site up? --folder DIR reads the archive's files without it)") from None
        except (OSError, HTTPException, ValueError) as error:
            raise ArchiveError(f"no archiver answers at {self.place}: {error}") from None

    def _json(self, path: str, **parameters: str) -> Any:
        with closing(self._open(path, **parameters)) as reply, _unbroken(self.place):
            return json.load(reply)

    def names(self, glob: str, limit: int = -1) -> list[str]:
        """Names of archived PVs, sorted."""
        found = self._json("/retrieval/bpl/getMatchingPVs", pv=glob, limit=str(limit))
        if not isinstance(found, list):
            raise ArchiveError(f"{self.place} does not answer as an archiver")
        return sorted(map(str, found))

    def metadata(self, pv: str) -> dict[str, str]:
        """What getMetadata says."""
        found = self._json("/retrieval/bpl/getMetadata", pv=pv)
        if not isinstance(found, dict):
            raise ArchiveError(f"{self.place} does not answer as an archiver")
        return {str(k): str(v) for k, v in found.items()}

    def json(self, pv: str, start_ns: int, end_ns: int) -> Iterator[bytes]:
        """The bytes of `getData.json`."""
        times = {"from": iso_text(start_ns), "to": iso_text(end_ns)}
        reply = self._open("/retrieval/data/getData.json", pv=pv, **times)

        def pieces() -> Iterator[bytes]:
            with closing(reply), _unbroken(self.place):
                while piece := reply.read(1 << 16):
                    yield piece

        return pieces()

    def read(self, pv: str, start_ns: int, end_ns: int) -> Reading:
        """Samples, line by line as they come."""
        lines = _lines(self.json(pv, start_ns, end_ns))
        head = b""
        for line in lines:
            head += line
            if line.rstrip().endswith(b"["):
                if b'"data"' in line:
                    break
            elif line.strip() == b"]":
                return Reading(pv, {}, iter(()))  # an appliance's answer for a PV without samples
        try:
            meta = json.loads(head.strip() + b"] } ]")[0]["meta"]
        except (ValueError, LookupError, TypeError):
            raise ArchiveError(f"{self.place} does not answer as an archiver") from None
        if not isinstance(meta, dict):
            raise ArchiveError(f"{self.place} does not answer as an archiver")
        texts = {str(k): str(v) for k, v in meta.items()}
        return Reading(texts.pop("name", pv), texts, _rows_of_lines(lines, self.place))

    def facts(self) -> list[tuple[str, str]]:
        """What there is to say of it."""
        found = self._json("/retrieval/bpl/getVersion")
        version = found.get("version") if isinstance(found, dict) else None
        return [("archive", self.place), ("version", str(version)), ("PVs", str(len(self.names("*"))))]


@contextmanager
def _unbroken(place: str) -> Iterator[None]:
    """Faults while an answer comes in, as one line."""
    try:
        yield
    except (OSError, HTTPException) as error:
        raise ArchiveError(f"the answer of {place} broke off: {error}") from None
    except ValueError as error:
        raise ArchiveError(f"the answer of {place} cannot be read: {error}") from None


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        yield from lines
    if rest:
        yield rest


def _rows_of_lines(lines: Iterator[bytes], place: str) -> Iterator[Rows]:
    """Samples, one a line, up to the line that closes the list."""
    batch: list[bytes] = []
    closed = False
    for line in lines:
        text = line.strip().removesuffix(b",")
        if text.startswith(b"]"):
            closed = True
            break
        if text:
            batch.append(text)
        if len(batch) == BATCH:
            yield _rows(batch, place)
            batch = []
    if batch:
        yield _rows(batch, place)
    if not closed:
        raise ArchiveError(f"the answer of {place} broke off")


def _rows(batch: list[bytes], place: str) -> Rows:
    try:
        events = json.loads(b"[" + b",".join(batch) + b"]")
        return Rows(
            [int(e["secs"]) * NS + int(e["nanos"]) for e in events],
            [e["val"] for e in events],
            [int(e["severity"]) for e in events],
            [int(e["status"]) for e in events],
        )
    except (ValueError, LookupError, TypeError):
        raise ArchiveError(f"the answer of {place} cannot be read") from None


class FolderArchive:
    """An archive read from its files, whether an engine runs or not."""

    def __init__(self, folder: Path) -> None:
        from archiver.store import StoreReader

        if not folder.is_dir():
            raise ArchiveError(f"there is no folder {folder}")
        self.place = str(folder)
        self._reader = StoreReader(folder)

    def names(self, glob: str, limit: int = -1) -> list[str]:
        """Names of archived PVs, sorted."""
        from archiver.retrieval.catalogue import matching

        return self._try(lambda: matching(self._reader.names(), {"pv": glob, "limit": str(limit)}))

    def metadata(self, pv: str) -> dict[str, str]:
        """What getMetadata says."""
        from archiver.retrieval import catalogue, source

        return self._try(lambda: catalogue.metadata(source.find(self._reader, pv)))

    def json(self, pv: str, start_ns: int, end_ns: int) -> Iterator[bytes]:
        """The bytes of `getData.json`."""
        from archiver.retrieval.text import json_stream

        answer = self._answer(pv, start_ns, end_ns)
        return json_stream([({"name": answer.name, **answer.metadata}, answer.batches)])

    def read(self, pv: str, start_ns: int, end_ns: int) -> Reading:
        """Samples, as they are read."""
        answer = self._answer(pv, start_ns, end_ns)

        def rows() -> Iterator[Rows]:
            for batch in answer.batches:
                for start in range(0, len(batch), BATCH):
                    part = batch[start : start + BATCH]
                    values = [v.tolist() if hasattr(v, "tolist") else v for v in part.values.tolist()]
                    yield Rows(part.time_ns.tolist(), values, part.severity.tolist(), part.status.tolist())

        return Reading(answer.name, answer.metadata, rows())

    def _answer(self, pv: str, start_ns: int, end_ns: int) -> Any:
        from archiver.retrieval.query import DataRequest, parse_target
        from archiver.retrieval.source import begun, open_answer

        def opened() -> Any:
            target = parse_target(pv)
            return begun(open_answer(self._reader, target, DataRequest((target,), ((start_ns, end_ns),), False)))

        return self._try(opened)

    def facts(self) -> list[tuple[str, str]]:
        """What there is to say of it."""
        engine = self._reader.status() or {}
        facts = [("archive", self.place), ("PVs", str(len(self.names("*"))))]
        return facts + [(f"engine {k}", str(v)) for k, v in engine.items() if isinstance(v, (str, int, float))]

    def _try(self, work: Callable[[], Any]) -> Any:
        from archiver.retrieval.query import Refused
        from archiver.store import StoreError

        try:
            return work()
        except Refused as refused:
            if refused.status == 404 and refused.sentence.startswith("Unable to find"):
                name = refused.sentence.rsplit(" ", 1)[-1]
                raise UnknownPv(f"{name} is not in the archive in {self.place}") from None
            raise ArchiveError(refused.sentence) from None
        except (StoreError, OSError) as error:
            raise ArchiveError(f"the archive in {self.place} cannot be read: {error}") from None
