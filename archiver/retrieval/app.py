"""The URL space of the Archiver Appliance's retrieval, as an ASGI application.

Every answer carries `Access-Control-Allow-Origin: *`; every refusal is a status code and one sentence of plain text.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archiver.retrieval import catalogue, pb, source, text
from archiver.retrieval.blocks import year_of
from archiver.retrieval.bodies import names_of_body, split_names
from archiver.retrieval.query import (
    DataRequest,
    Refused,
    data_request,
    first_values,
    parameters,
    parse_time,
    printable,
)
from archiver.retrieval.stream import WHOLE, Chunks, StreamAnswer, Workers
from archiver.store import StoreError, StoreReader

log = logging.getLogger(__name__)

CONTENT_TYPES = {
    "raw": "application/x-protobuf",
    "json": "application/json",
    "qw": "application/json",
    "csv": "text/csv",
    "txt": "text/plain",
}
"""By extension, exactly so: there are clients that compare the whole header."""
PLANNED = ("jplot", "mat", "svg", "flx")
SEVERAL = ("json", "raw", "qw")
"""Extensions in which more than one PV can be asked for."""

try:
    VERSION = f"owlshift {version('owlshift')}"
except PackageNotFoundError:  # pragma: no cover
    VERSION = "owlshift"


class Ledger(Protocol):
    """What retrieval reads of management's ledger."""

    def version(self) -> int:
        """A number that changes with every change."""
        ...

    def aliases(self) -> dict[str, str]:
        """Alias -> PV."""
        ...


class Retrieval:
    """The handlers. Blocking work (files, encoding) is done in worker threads."""

    def __init__(self, reader: StoreReader, ledger: Ledger | None = None, limit: int = 0) -> None:
        self.reader = reader
        self.ledger = ledger
        self.limit = limit
        self.workers = Workers()

    # Samples

    async def get_data(self, request: Request) -> ASGIApp:
        """`getData.<ext>`: one PV."""
        pairs = _pairs(request)
        names = [v for k, v in pairs if k == "pv"][:1]
        return await self._samples(request, pairs, names, tuple(CONTENT_TYPES))

    async def get_data_for_pvs(self, request: Request) -> ASGIApp:
        """`getDataForPVs.<ext>`: several, as `pv=` each or as a list in the body."""
        pairs = _pairs(request)
        if request.method == "POST":
            names = await names_of_body(request)
        else:
            names = [v for k, v in pairs if k == "pv"]
        return await self._samples(request, pairs, names, SEVERAL)

    async def _samples(
        self, request: Request, pairs: list[tuple[str, str]], names: list[str], extensions: tuple[str, ...]
    ) -> ASGIApp:
        extension = request.path_params.get("extension", "")
        if extension in PLANNED and extensions != SEVERAL:
            raise Refused(501, f"The format .{extension} is not there yet; there are {_list(extensions)}.")
        if extension not in extensions:
            raise Refused(400, f"There is no format {printable('.' + extension)!r}; there are {_list(extensions)}.")
        asked = data_request(pairs, names)
        chunked = first_values(pairs).get("donotchunk", "false") == "false" and request.scope["http_version"] != "1.0"
        return await self.workers.run(self._open, asked, extension, chunked)

    def _open(self, asked: DataRequest, extension: str, chunked: bool) -> StreamAnswer:
        """The answer with its first bytes already made, so that what goes wrong at once has a status of its own."""
        first = source.begun(source.open_answer(self.reader, asked.targets[0], asked))
        warnings = dict.fromkeys(first.warnings)
        if any(target.operator for target in asked.targets[1:]):
            rest = [source.open_answer(self.reader, target, asked) for target in asked.targets[1:]]
            warnings |= dict.fromkeys(w for answer in rest for w in answer.warnings)
        else:  # thousands of PVs are opened one after the other, as their turn comes
            source.check_known(self.reader, asked.targets[1:])
            rest = (source.open_answer(self.reader, target, asked) for target in asked.targets[1:])
        chunks = Chunks(_encode(extension, first, rest))
        headers = {"Content-Type": CONTENT_TYPES[extension]}
        if warnings:
            headers["Warning"] = ", ".join(f'299 owlshift "{_header_text(w)}"' for w in list(warnings)[:5])
        return StreamAnswer(chunks, chunks.take(1 if chunked else WHOLE), headers, self.workers)

    async def get_data_at_time(self, request: Request) -> Response:
        """`getDataAtTime`: the newest sample of many PVs at or before one time."""
        values = first_values(_pairs(request))
        at_ns = parse_time(values["at"], "at") if values.get("at") else time.time_ns()
        names = await names_of_body(request) if request.method == "POST" else split_names(values.get("pv", ""))
        if not names:
            raise Refused(400, "PV name is null.")
        return _json_text(await self.workers.run(self._at_time, list(dict.fromkeys(names)), at_ns))

    def _at_time(self, names: list[str], at_ns: int) -> str:
        parts = []
        for name in names:
            found = source.newest_at(self.reader, name, at_ns)
            if found is None:
                continue
            known, samples = found
            kind = catalogue.type_name(samples.dbr, samples.array)
            meta = {"source": "store", "DBRType": kind, **source.headers(known, True)}
            seconds, nanos = divmod(int(samples.time_ns[0]), 1_000_000_000)
            value = text.values_text(samples, text.BARE)[0].as_py()
            severity, status = int(samples.severity[0]), int(samples.status[0])
            parts.append(
                f'{text.quoted(name)}: {{ "secs": {seconds}, "val": {value}, "nanos": {nanos}, '
                f'"severity": {severity}, "status": {status}, "meta": {json.dumps(meta)} }}'
            )
        return "{ " + ",\n".join(parts) + " }"

    # Names

    async def _names(self) -> list[str]:
        return await self.workers.run(self.reader.names)

    async def get_matching_pvs(self, request: Request) -> Response:
        """`getMatchingPVs`, and `getAllPVs` of the management: a JSON list."""
        values = first_values(_pairs(request))
        if request.url.path.endswith("getAllPVs") and not values.get("pv") and not values.get("regex"):
            values["pv"] = "*"
        return _json(catalogue.matching(await self._names(), values))

    async def search_for_pvs_regex(self, request: Request) -> Response:
        """`searchForPVsRegex`: one name a line, all of them."""
        regex = first_values(_pairs(request)).get("regex")
        if not regex:
            raise Refused(400, "Give a regular expression: regex=….")
        found = catalogue.matching(await self._names(), {"regex": regex, "limit": "-1"})
        return _reply(200, "text/plain", "".join(f"{name}\n" for name in found))

    async def get_metadata(self, request: Request) -> Response:
        """`getMetadata`: what is known of one PV."""
        name = first_values(_pairs(request)).get("pv", "")
        if not name:
            raise Refused(400, "PV name is null.")
        return _json(catalogue.metadata(await self.workers.run(source.find, self.reader, name)))

    async def are_we_archiving(self, request: Request) -> Response:
        """`areWeArchivingPV`: whether a PV is known, as the words true and false."""
        name = first_values(_pairs(request)).get("pv", "")
        if not name:
            raise Refused(400, "PV name is null.")
        try:
            await self.workers.run(source.find, self.reader, name)
        except Refused:
            return _json({"status": "false"})
        return _json({"status": "true"})

    # The service

    async def ping(self, request: Request) -> Response:
        """`/retrieval/ping`."""
        return _reply(200, "text", "Pong")

    async def bpl_ping(self, request: Request) -> Response:
        """`bpl/ping`."""
        return _reply(200, "text/plain", "pong")

    async def startup_state(self, request: Request) -> Response:
        """`bpl/startupState`: we listen only once we are ready."""
        return _json({"status": "STARTUP_COMPLETE"})

    async def get_version(self, request: Request) -> Response:
        """`getVersion`."""
        return _json({"version": VERSION})

    async def get_appliance_info(self, request: Request) -> Response:
        """`getApplianceInfo`: where the parts are; all of them here."""
        base = f"http://{request.headers.get('host') or 'localhost'}"
        return _json(
            {
                "identity": "appliance0",
                "mgmtURL": f"{base}/mgmt/bpl",
                "engineURL": f"{base}/engine/bpl",
                "etlURL": f"{base}/etl/bpl",
                "retrievalURL": f"{base}/retrieval/bpl",
                "dataRetrievalURL": f"{base}/retrieval",
                "clusterInetPort": "localhost:0",
                "version": VERSION,
            }
        )

    async def front(self, request: Request) -> Response:
        """What this is, for a person who opens the address."""
        return _reply(
            200,
            "text/plain",
            f"{VERSION}: the archive's retrieval. Try /retrieval/bpl/getMatchingPVs?pv=*\n"
            "and /retrieval/data/getData.json?pv=NAME&from=2026-11-20T08:00:00Z&to=2026-11-20T09:00:00Z\n",
        )


def _encode(extension: str, first: source.Answer, rest: Iterable[source.Answer]) -> Iterator[bytes]:
    answers = chain([first], rest)
    if extension == "json":
        return text.json_stream(({"name": a.name, **a.metadata}, a.batches) for a in answers)
    if extension == "qw":
        return text.qw_stream(({"name": a.requested, **a.metadata}, a.array, a.batches) for a in answers)
    if extension == "raw":
        return _raw(answers)
    if extension == "csv":
        return text.csv_stream(first.batches)
    return text.txt_stream(first.name, "owlshift", first.batches)


def _raw(answers: Iterable[source.Answer]) -> Iterator[bytes]:
    for number, a in enumerate(answers):
        if number:
            yield b"\n"
        yield from pb.encode(a.name, a.info, a.metadata, year_of(a.start_ns), a.batches)


# Requests and replies


def _pairs(request: Request) -> list[tuple[str, str]]:
    return parameters(request.scope["query_string"])


def _reply(status: int, content_type: str, body: str) -> Response:
    # the header as it is: Starlette would add a charset to a media type, and there are clients that compare the whole
    return Response(body.encode("utf-8", "replace"), status, headers={"Content-Type": content_type})


def _json(content: object) -> Response:
    return _json_text(json.dumps(content))


def _json_text(body: str) -> Response:
    return _reply(200, "application/json", body)


def _list(extensions: tuple[str, ...]) -> str:
    return ", ".join("." + e for e in extensions)


def _header_text(sentence: str) -> str:
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in printable(sentence))


def _sentence(status: int, sentence: str) -> Response:
    response = _reply(status, "text/plain; charset=utf-8", sentence + "\n")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return _sentence(error.status, error.sentence)
    if isinstance(error, StoreError):
        return _sentence(503, f"The archive cannot be read: {error}.")
    if isinstance(error, OSError):
        log.error("the archive cannot be read: %s", error)
        return _sentence(503, f"The archive cannot be read: {(error.strerror or str(error)).lower()}.")
    if isinstance(error, ClientDisconnect):
        return _sentence(400, "The request broke off.")
    if isinstance(error, HTTPException):
        path = printable(request.url.path)
        if error.status_code == 404:
            return _sentence(404, f"There is nothing at {path}.")
        if error.status_code == 405:
            response = _sentence(405, f"{request.method} is not possible at {path}.")
            response.headers["Allow"] = (error.headers or {}).get("Allow", "GET")
            return response
        return _sentence(error.status_code, error.detail)
    return _sentence(500, "The archiver failed on this request; its log says how.")


async def _no_method(request: Request) -> Response:
    method = request.path_params.get("method", "")
    raise Refused(400, f"{printable(method)!r} is not a valid API method.")


async def _no_action(request: Request) -> Response:
    raise Refused(404, f"There is no call {printable(request.path_params.get('action', ''))!r}.")


class _CrossOrigin:
    """CORS: any page may read; a preflight is answered here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response(
                status_code=204,
                headers={
                    "Access-Control-Allow-Origin": "*",
                    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
                    "Access-Control-Allow-Headers": "*, Content-Type, Authorization",
                    "Access-Control-Max-Age": "86400",
                    "Allow": "GET, HEAD, POST, OPTIONS",
                },
            )(scope, receive, send)
            return

        async def open_to_all(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"access-control-allow-origin", b"*")]
            await send(message)

        await self._app(scope, receive, open_to_all)


def create_app(
    reader: StoreReader, routes: Sequence[BaseRoute] = (), ledger: Ledger | None = None, limit: int = 0
) -> ASGIApp:
    """The application that answers from this store.

    `routes` (those of management and of the page) go before retrieval's own, at any path. `ledger`: aliases, and what
    is archived and how. `limit`: samples that one answer may hold (0: any number).
    """
    r = Retrieval(reader, ledger, limit)

    def get(path: str, handler: Callable[[Request], Awaitable[ASGIApp]], *more: str) -> Route:
        return Route(path, _endpoint(handler), methods=["GET", *more])

    data, bpl, mgmt = "/retrieval/data", "/retrieval/bpl", "/mgmt/bpl"
    routes = [
        *routes,
        get("/", r.front),
        get("/retrieval/ping", r.ping),
        get(f"{data}/getDataAtTime", r.get_data_at_time, "POST"),
        get(f"{data}/getData.{{extension}}", r.get_data),
        get(f"{data}/getDataForPVs.{{extension}}", r.get_data_for_pvs, "POST"),
        get(f"{data}/getData", r.get_data),
        get(f"{data}/getDataForPVs", r.get_data_for_pvs, "POST"),
        get(f"{data}/{{method:path}}", _no_method, "POST"),
        get(f"{bpl}/ping", r.bpl_ping),
        get(f"{bpl}/startupState", r.startup_state),
        get(f"{bpl}/getVersion", r.get_version),
        get(f"{bpl}/getMatchingPVs", r.get_matching_pvs),
        get(f"{bpl}/searchForPVsRegex", r.search_for_pvs_regex),
        get(f"{bpl}/getMetadata", r.get_metadata),
        get(f"{bpl}/areWeArchivingPV", r.are_we_archiving),
        get(f"{mgmt}/getAllPVs", r.get_matching_pvs),
        get(f"{mgmt}/getApplianceInfo", r.get_appliance_info),
        get(f"{bpl}/{{action:path}}", _no_action, "POST"),
        get(f"{mgmt}/{{action:path}}", _no_action, "POST"),
    ]
    handlers = dict.fromkeys((Refused, StoreError, OSError, HTTPException, ClientDisconnect, Exception), _refused)
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return _CrossOrigin(app)


def _endpoint(handler: Callable[[Request], Awaitable[ASGIApp]]) -> Callable[[Request], Awaitable[ASGIApp]]:
    async def endpoint(request: Request) -> ASGIApp:
        return await handler(request)

    return endpoint
