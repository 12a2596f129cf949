"""The handlers of `/retrieval/data`: samples of one PV, of several, and of many at one time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from archiver.retrieval import at_time, formats, limits, source
from archiver.retrieval.ahead import Ahead
from archiver.retrieval.bodies import names_of_body, split_names
from archiver.retrieval.query import (
    DataRequest,
    Operator,
    Refused,
    Target,
    check_period,
    data_request,
    first_values,
    parameters,
    parse_time,
)
from archiver.retrieval.replies import header_text, reply
from archiver.retrieval.resolve import Names
from archiver.retrieval.stream import Chunks, Opened, StreamAnswer
from archiver.retrieval.workers import Job, Watched, Workers
from archiver.store import Reader

log = logging.getLogger(__name__)

MOST_WARNINGS = 5
MOST_NAMED = 5
"""PVs in a warning."""


class Data:
    """The handlers. Blocking work (files, encoding) is done in worker threads."""

    def __init__(self, reader: Reader, names: Names, workers: Workers, limit: int = 0) -> None:
        self.reader = reader
        self.names = names
        self.workers = workers
        self.limit = limit

    async def get_data(self, request: Request) -> ASGIApp:
        """`getData.<ext>`: one PV."""
        pairs = parameters(request.scope["query_string"])
        return self._samples(request, pairs, [v for k, v in pairs if k == "pv"][:1], several=False)

    async def get_data_for_pvs(self, request: Request) -> ASGIApp:
        """`getDataForPVs.<ext>`: several, as `pv=` each or as a list in the body."""
        pairs = parameters(request.scope["query_string"])
        names = [v for k, v in pairs if k == "pv"]
        if request.method == "POST":
            names += await names_of_body(request)
        return self._samples(request, pairs, names, several=True)

    def _samples(self, request: Request, pairs: list[tuple[str, str]], names: list[str], several: bool) -> ASGIApp:
        form = formats.find(request.path_params.get("extension", ""), several)
        asked = data_request(pairs, names)
        chunked = first_values(pairs).get("donotchunk", "false") == "false" and request.scope["http_version"] != "1.0"
        return StreamAnswer(partial(self._open, asked, form, not chunked), self.workers)

    def _open(self, asked: DataRequest, form: formats.Format, whole: bool, job: Job) -> Opened:
        """The answer with its first samples already read, so that what goes wrong at once has a status of its own."""
        reader: Any = Watched(self.reader, job)
        targets = asked.targets
        if form.operator is not None:
            plain = Operator.parse(form.operator)
            targets = tuple(Target(t.name, t.operator or plain) for t in targets)
        wanted = [target.name for target in targets]
        known = self.names.known(wanted) if len(wanted) > 1 else {}
        archived = [c.name for c in known.values() if c is not None and c.field is None]
        if len(archived) > 1 and len(asked.ranges) == 1:
            reader = Ahead(reader, archived, *asked.ranges[0])
        if self.limit:
            limits.check(reader, self.names, targets, asked, self.limit)
        first = source.begun(source.open_answer(reader, self.names, targets[0], asked))
        warnings = dict.fromkeys(first.warnings)
        rest: Iterable[source.Answer]
        if any(target.operator for target in targets[1:]):
            rest = [source.open_answer(reader, self.names, target, asked) for target in targets[1:]]
            warnings |= dict.fromkeys(w for answer in rest for w in answer.warnings)
        else:  # thousands of PVs are opened one after the other, as their turn comes
            if asked.template is None:
                source.check_known(self.names, known)
            rest = (source.open_answer(reader, self.names, target, asked) for target in targets[1:])
        damaged = dict(self.reader.damaged)
        if damaged and (lacking := self.reader.lacking(archived or [first.name])):
            warnings[_lack(lacking, len(damaged))] = None
        headers = {"Content-Type": form.content_type}
        if warnings:
            sentences = list(warnings)[:MOST_WARNINGS]
            headers["Warning"] = ", ".join(f'299 owlshift "{header_text(w)}"' for w in sentences)
        encoded = form.encode(_chained(first, rest))
        return Opened(Chunks(self._told(encoded, targets[0].name, set(damaged))), headers, whole)

    def _told(self, encoded: Iterator[bytes], name: str, known: set[str]) -> Iterator[bytes]:
        """The bytes; afterwards a log line on files that turned out to be unreadable on the way."""
        yield from encoded
        lost = set(self.reader.damaged) - known
        if lost:
            log.error("an answer on %s lacks what is in %s", name, ", ".join(sorted(lost)))

    async def get_data_at_time(self, request: Request) -> Response:
        """`getDataAtTime`: the newest sample of many PVs at or before one time."""
        values = first_values(parameters(request.scope["query_string"]))
        at_ns = parse_time(values["at"], "at") if values.get("at") else time.time_ns()
        if values.get("searchPeriod"):
            check_period(values["searchPeriod"])
        names = await names_of_body(request) if request.method == "POST" else []
        names = names or split_names(values.get("pv", ""))
        if not names:
            raise Refused(400, "PV name is null.")
        body = await self.workers.run(at_time.newest, self.reader, self.names, list(dict.fromkeys(names)), at_ns)
        return reply(200, "application/json", body)


def _lack(names: list[str], files: int) -> str:
    more = len(names) - MOST_NAMED
    named = ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"samples of {named} may be missing: {files} file(s) of the archive cannot be read"


def _chained(first: source.Answer, rest: Iterable[source.Answer]) -> Iterator[source.Answer]:
    yield first
    yield from rest
