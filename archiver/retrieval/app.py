"""The URL space of the Archiver Appliance's retrieval, as an ASGI application.

Every answer carries `Access-Control-Allow-Origin: *`; every refusal is a status code and one sentence of plain text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archiver.management import Ledger
from archiver.retrieval.bpl import Bpl, Describe
from archiver.retrieval.data import Data
from archiver.retrieval.query import Refused, printable
from archiver.retrieval.replies import FAULTS, refused
from archiver.retrieval.resolve import Names
from archiver.retrieval.workers import Workers
from archiver.store import Reader


def create_app(
    reader: Reader,
    routes: Sequence[BaseRoute] = (),
    ledger: Ledger | None = None,
    limit: int = 0,
    workers: Workers | None = None,
    describe: Describe | None = None,
) -> ASGIApp:
    """The application that answers from this store.

    `routes` (those of management and of the page) go before retrieval's own, at any path. `ledger`: aliases, and what
    was deleted. `limit`: samples that one answer may hold (0: any number). `workers`: the threads, if others share
    them. `describe`: what management knows of a PV, for getMetadata.
    """
    workers = workers or Workers()
    names = Names(reader, ledger)
    data, bpl = Data(reader, names, workers, limit), Bpl(reader, names, workers, describe)
    own = [*_data_routes(data), *_bpl_routes(bpl)]
    app = Starlette(routes=[*routes, *own], exception_handlers=dict.fromkeys(FAULTS, refused))
    app.router.redirect_slashes = False
    return _CrossOrigin(app)


def _get(path: str, handler: Callable[[Request], Awaitable[ASGIApp]], *more: str) -> Route:
    async def endpoint(request: Request) -> ASGIApp:
        return await handler(request)

    return Route(path, endpoint, methods=["GET", *more])


def _data_routes(data: Data) -> list[Route]:
    base = "/retrieval/data"
    return [
        _get(f"{base}/getDataAtTime", data.get_data_at_time, "POST"),
        _get(f"{base}/getDataAtTimeForAppliance", data.get_data_at_time, "POST"),
        _get(f"{base}/getData.{{extension}}", data.get_data),
        _get(f"{base}/getDataForPVs.{{extension}}", data.get_data_for_pvs, "POST"),
        _get(f"{base}/getData", data.get_data),
        _get(f"{base}/getDataForPVs", data.get_data_for_pvs, "POST"),
        _get(f"{base}/{{method:path}}", _no_method, "POST"),
    ]


def _bpl_routes(bpl: Bpl) -> list[Route]:
    base = "/retrieval/bpl"
    return [
        _get("/retrieval/ping", bpl.ping),
        _get(f"{base}/ping", bpl.bpl_ping),
        _get(f"{base}/startupState", bpl.startup_state),
        _get(f"{base}/postStartup", bpl.startup_state),
        _get(f"{base}/getVersion", bpl.get_version),
        _get(f"{base}/getMatchingPVs", bpl.get_matching_pvs),
        _get(f"{base}/searchForPVsRegex", bpl.search_for_pvs_regex),
        _get(f"{base}/getMetadata", bpl.get_metadata),
        _get(f"{base}/areWeArchivingPV", bpl.are_we_archiving),
        _get(f"{base}/{{action:path}}", _no_action, "POST"),
    ]


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
                headers = [h for h in message["headers"] if h[0].lower() != b"access-control-allow-origin"]
                message["headers"] = [*headers, (b"access-control-allow-origin", b"*")]
            await send(message)

        await self._app(scope, receive, open_to_all)
