"""An archive behind HTTP: owlshift's, or an Archiver Appliance."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPResponse
from itertools import chain
from typing import Any

from archiver.client.access import NS, ArchiveError, Noted, Reading, Sample, UnknownPv
from archiver.client.moments import iso_text
from archiver.client.raw import GENERIC, Block, Header, RawError, RawReader
from archiver.client.samples import samples_of

TIMEOUT_S = 60
PIECE = 1 << 20
"""Bytes that are read at once."""


class HttpArchive:
    """An archiver at a URL: `http://host:17665`, with or without `/retrieval`."""

    def __init__(self, url: str) -> None:
        self.place = url.rstrip("/").removesuffix("/retrieval")
        # no proxy: an archiver is on the stand's own network
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._replies: weakref.WeakSet[HTTPResponse] = weakref.WeakSet()

    def close(self) -> None:
        """Break off answers that nobody has read to their end."""
        for reply in list(self._replies):
            reply.close()

    def _open(self, path: str, parameters: Mapping[str, str], body: bytes | None = None) -> HTTPResponse:
        query = urllib.parse.urlencode(parameters)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            request = urllib.request.Request(f"{self.place}{path}?{query}", body, headers)
            return self._opener.open(request, timeout=TIMEOUT_S)
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

    def call(self, path: str, body: bytes | None = None, **parameters: str) -> Any:
        """The JSON answer of a call, for example `/mgmt/bpl/getAllPVs`."""
        with closing(self._open(path, parameters, body)) as reply, _unbroken(self.place):
            return json.load(reply)

    def names(self, glob: str, limit: int = -1) -> list[str]:
        """Names of archived PVs, sorted."""
        found = self.call("/retrieval/bpl/getMatchingPVs", pv=glob, limit=str(limit))
        if not isinstance(found, list):
            raise ArchiveError(f"{self.place} does not answer as an archiver")
        return sorted(map(str, found))

    def metadata(self, pv: str) -> dict[str, str]:
        """What getMetadata says."""
        found = self.call("/retrieval/bpl/getMetadata", pv=pv)
        if not isinstance(found, dict):
            raise ArchiveError(f"{self.place} does not answer as an archiver")
        return {str(k): str(v) for k, v in found.items()}

    def json(self, pv: str, start_ns: int, end_ns: int) -> Iterator[bytes]:
        """The bytes of `getData.json`."""
        return self._pieces(self._data("json", pv, start_ns, end_ns))

    def _data(self, extension: str, pv: str, start_ns: int, end_ns: int) -> HTTPResponse:
        times = {"from": iso_text(start_ns), "to": iso_text(end_ns)}
        more = {"fetchLatestMetadata": "true"} if extension == "raw" else {}
        reply = self._open(f"/retrieval/data/getData.{extension}", {"pv": pv, **times, **more})
        self._replies.add(reply)
        return reply

    def stream(self, path: str, query: str) -> Iterator[bytes]:
        """The bytes of any answer; `query` as it stands in the URL."""
        return self._pieces(self._open(path, dict(urllib.parse.parse_qsl(query, keep_blank_values=True))))

    def _pieces(self, reply: HTTPResponse) -> Iterator[bytes]:
        with closing(reply), _unbroken(self.place):
            while piece := reply.read1(PIECE):
                yield piece
            if reply.length:
                raise OSError(f"{reply.length} bytes are missing")

    def read(self, pv: str, start_ns: int, end_ns: int) -> Reading:
        """Samples, decoded as they come."""
        header, blocks, notes = self._blocks_of(pv, start_ns, end_ns)
        return Reading(header.name, header.metadata, (block.batch() for block in blocks), notes)

    def noted(self, pv: str, start_ns: int, end_ns: int) -> Noted:
        """As `read`, with the notes of single samples; structures of pvAccess are left out."""
        header, blocks, notes = self._blocks_of(pv, start_ns, end_ns)
        batches = (samples_of(block, notes=True) for block in blocks if block.header.payload != GENERIC)
        return Noted(header.name, header.metadata, batches, notes)

    def _blocks_of(self, pv: str, start_ns: int, end_ns: int) -> tuple[Header, Iterator[Block], tuple[str, ...]]:
        """The first header of an answer, its blocks that have samples, and what the server says of it."""
        reply = self._data("raw", pv, start_ns, end_ns)
        notes = tuple(_notes(reply.headers.get_all("Warning") or []))
        blocks = self.blocks(self._pieces(reply))
        first = next(blocks, None)
        if first is None:  # an appliance's answer for a PV without samples
            return Header(0, pv, 1970), iter(()), notes
        return first.header, (block for block in chain([first], blocks) if len(block)), notes

    def blocks(self, pieces: Iterator[bytes]) -> Iterator[Block]:
        """The blocks of a `.raw` answer; ArchiveError when it is none, or not whole."""
        reader = RawReader()
        bad = 0
        try:
            for piece in pieces:
                for block in reader.feed(piece):
                    bad += block.bad
                    yield block
        except RawError as error:
            raise ArchiveError(f"{self.place} does not answer as an archiver: {error}") from None
        if reader.rest():
            raise ArchiveError(f"the answer of {self.place} broke off")
        if bad:
            raise ArchiveError(f"the answer of {self.place} holds {bad} lines that cannot be read")

    def at(self, pvs: Sequence[str], at_ns: int) -> dict[str, Sample]:
        """The newest sample of each PV at or before a time."""
        if not pvs:
            return {}
        found = self.call("/retrieval/data/getDataAtTime", json.dumps(list(pvs)).encode(), at=iso_text(at_ns))
        try:
            return {
                name: Sample(
                    name,
                    int(s["secs"]) * NS + int(s["nanos"]),
                    _number(s["val"]),
                    int(s["severity"]),
                    int(s["status"]),
                    {str(k): str(v) for k, v in s.get("meta", {}).items()},
                )
                for name, s in found.items()
            }
        except (AttributeError, LookupError, TypeError, ValueError):
            raise ArchiveError(f"{self.place} does not answer as an archiver") from None

    def facts(self) -> list[tuple[str, str]]:
        """What there is to say of it."""
        found = self.call("/retrieval/bpl/getVersion")
        version = found.get("version") if isinstance(found, dict) else None
        return [("archive", self.place), ("version", str(version)), ("PVs", str(len(self.names("*"))))]


def _number(value: Any) -> Any:
    """What is no number comes as null, since JSON has none for it."""
    if isinstance(value, list):
        return [_number(element) for element in value]
    return math.nan if value is None else value


def _notes(headers: list[str]) -> Iterator[str]:
    """The sentences of Warning headers: `299 agent "sentence", …`."""
    for header in headers:
        parts = header.split('"')
        yield from parts[1::2]


@contextmanager
def _unbroken(place: str) -> Iterator[None]:
    """Faults while an answer comes in, as one line."""
    try:
        yield
    except (OSError, HTTPException) as error:
        raise ArchiveError(f"the answer of {place} broke off: {error}") from None
    except ValueError as error:
        raise ArchiveError(f"the answer of {place} cannot be read: {error}") from None
