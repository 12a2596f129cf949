"""The handlers of `/retrieval/bpl`: names, metadata, and the state of the service."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import Response

from archiver.retrieval import catalogue, source
from archiver.retrieval.query import Refused, first_values, parameters
from archiver.retrieval.replies import json_reply, reply
from archiver.retrieval.resolve import Names
from archiver.retrieval.workers import Workers
from archiver.store import Reader

try:
    VERSION = f"owlshift {version('owlshift')}"
except PackageNotFoundError:  # pragma: no cover
    VERSION = "owlshift"


class Bpl:
    """The handlers. Blocking work is done in worker threads."""

    def __init__(self, reader: Reader, names: Names, workers: Workers) -> None:
        self.reader = reader
        self.names = names
        self.workers = workers

    async def get_matching_pvs(self, request: Request) -> Response:
        """`getMatchingPVs`: a JSON list of PVs and then aliases."""
        return await self.workers.run(self._matching, _values(request))

    async def get_all_pvs(self, request: Request) -> Response:
        """`getAllPVs` of management: the same, and all without a pattern."""
        values = _values(request)
        if not values.get("pv") and not values.get("regex"):
            values["pv"] = "*"
        return await self.workers.run(self._matching, values)

    def _matching(self, values: dict[str, str]) -> Response:
        return json_reply(catalogue.matching(self.names.listed(), values))

    async def search_for_pvs_regex(self, request: Request) -> Response:
        """`searchForPVsRegex`: one name a line, all of them."""
        regex = _values(request).get("regex")
        if not regex:
            raise Refused(400, "Give a regular expression: regex=….")
        return await self.workers.run(self._search, regex)

    def _search(self, regex: str) -> Response:
        found = catalogue.matching(self.names.listed(), {"regex": regex, "limit": "-1"})
        return reply(200, "text/plain", "".join(f"{name}\n" for name in found))

    async def get_metadata(self, request: Request) -> Response:
        """`getMetadata`: what is known of one PV."""
        return await self.workers.run(self._metadata, _name(request))

    def _metadata(self, name: str) -> Response:
        found = source.find(self.reader, self.names, name)
        return json_reply(catalogue.metadata(found.info))

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

    async def get_client_config(self, request: Request) -> Response:
        """`getClientConfig`: the appliance's settings for its own viewer; it has defaults for all."""
        return json_reply({})

    async def get_appliance_info(self, request: Request) -> Response:
        """`getApplianceInfo` of management: where the parts are; all of them here."""
        base = f"http://{request.headers.get('host') or 'localhost'}"
        return json_reply(
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
        """What this is, for a person who opens the address where there is no page."""
        return reply(
            200,
            "text/plain",
            f"{VERSION}: the archive's retrieval. Try /retrieval/bpl/getMatchingPVs?pv=*\n"
            "and /retrieval/data/getData.json?pv=NAME&from=2026-11-20T08:00:00Z&to=2026-11-20T09:00:00Z\n",
        )


def _values(request: Request) -> dict[str, str]:
    return first_values(parameters(request.scope["query_string"]))


def _name(request: Request) -> str:
    name = _values(request).get("pv", "")
    if not name:
        raise Refused(400, "PV name is null.")
    return name
