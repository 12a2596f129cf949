"""The handlers of `/retrieval/bpl`: names, metadata, and the state of the service."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from archiver.retrieval import catalogue, source
from archiver.retrieval.query import NOWHERE, Refused, first_values, parameters
from archiver.retrieval.replies import json_reply, reply
from archiver.retrieval.resolve import Listed, Names
from archiver.retrieval.workers import Workers
from archiver.store import Reader

try:
    VERSION = f"owlshift {version('owlshift')}"
except PackageNotFoundError:  # pragma: no cover
    VERSION = "owlshift"

Describe = Callable[[str], dict[str, Any]]
"""What management knows of a PV, by its name."""


class Bpl:
    """The handlers. Blocking work is done in worker threads."""

    def __init__(self, reader: Reader, names: Names, workers: Workers, describe: Describe | None = None) -> None:
        self.reader = reader
        self.names = names
        self.workers = workers
        self.describe = describe

    async def get_matching_pvs(self, request: Request) -> Response:
        """`getMatchingPVs`: a JSON list of PVs and then aliases."""
        return await self.workers.run(self._matching, _values(request))

    def _matching(self, values: dict[str, str]) -> Response:
        return json_reply(catalogue.matching(self._listed(), values))

    def _listed(self) -> Listed:
        """All names; 503 when the archive is away, since an empty list would say that there is nothing."""
        listed = self.names.listed()
        if not len(listed.pvs) and self.names.nowhere():
            raise Refused(503, NOWHERE)
        return listed

    async def search_for_pvs_regex(self, request: Request) -> Response:
        """`searchForPVsRegex`: one name a line, all of them."""
        regex = _values(request).get("regex")
        if not regex:
            raise Refused(400, "Give a regular expression: regex=….")
        return await self.workers.run(self._search, regex)

    def _search(self, regex: str) -> Response:
        found = catalogue.matching(self._listed(), {"regex": regex, "limit": "-1"})
        return reply(200, "text/plain", "".join(f"{name}\n" for name in found))

    async def get_metadata(self, request: Request) -> Response:
        """`getMetadata`: what is known of one PV."""
        return await self.workers.run(self._metadata, _name(request))

    def _metadata(self, name: str) -> Response:
        found = source.find(self.reader, self.names, name)
        more = {} if self.describe is None or found.field is not None else self.describe(found.info.name)
        texts = {key: value for key, value in more.items() if isinstance(value, str) and value}
        return json_reply({**texts, **catalogue.metadata(found.info)})

    async def are_we_archiving(self, request: Request) -> Response:
        """`areWeArchivingPV`: whether a PV is archived (or paused), as the words true and false."""
        archived = await self.workers.run(self._archived, _name(request))
        return json_reply({"status": str(archived).lower()})

    def _archived(self, name: str) -> bool:
        try:
            found = source.find(self.reader, self.names, name)
        except Refused:
            return False
        entry = self.names.entry(found.info.name)
        return entry is None or not entry.deleted

    async def ping(self, request: Request) -> Response:
        """`/retrieval/ping`."""
        return reply(200, "text", "Pong")

    async def bpl_ping(self, request: Request) -> Response:
        """`bpl/ping`."""
        return reply(200, "text/plain", "pong")

    async def startup_state(self, request: Request) -> Response:
        """`bpl/startupState`, `bpl/postStartup`: we listen only once we are ready."""
        return json_reply({"status": "STARTUP_COMPLETE"})

    async def get_version(self, request: Request) -> Response:
        """`getVersion`."""
        return json_reply({"version": VERSION})


def _values(request: Request) -> dict[str, str]:
    return first_values(parameters(request.scope["query_string"]))


def _name(request: Request) -> str:
    name = _values(request).get("pv", "")
    if not name:
        raise Refused(400, "PV name is null.")
    return name
