"""Management over HTTP: `/mgmt/bpl/…` in the appliance's words, its twins of other parts, `/metrics` and `/api/…`.

Handlers are plain functions of a context and what was asked; they run in worker threads. Those that change something
are asked only after the access rules were, and every refusal of those goes into the audit.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from archiver.management import appliance, archiving, changes, config_lists, lists, metrics, naming, reports, status
from archiver.management.access import Verdict
from archiver.management.asked import MAX_BODY, MAX_IMPORT, Asked, read_values, values_of
from archiver.management.context import Context
from archiver.management.ledger import Identity, LedgerError
from archiver.retrieval.query import Refused, printable
from archiver.retrieval.replies import FAULTS, json_reply, refused, reply, sentence
from archiver.retrieval.stream import Chunks, Opened, StreamAnswer

log = logging.getLogger(__name__)

Call = Callable[[Context, Asked], Any]

READER = Verdict(Identity(), False, "Nobody has to say who they are to read.")
UNKNOWN_PEER = "unknown"
"""Who comes over no network that has addresses."""


def _status(context: Context, asked: Asked) -> Any:
    census = context.census.snapshot()
    names, limit = asked.names(census), asked.limit()
    return status.statuses(census, names[:limit] if limit > 0 else names)


def _type_info(context: Context, asked: Asked) -> Any:
    census = context.census.snapshot()
    return status.type_info(context, census, status.find_row(census, asked.text("pv")))


def _details(context: Context, asked: Asked) -> Any:
    return status.details(context, context.census.snapshot(), asked.text("pv"))


def _stores(context: Context, asked: Asked) -> Any:
    status.find_row(context.census.snapshot(), asked.text("pv"))
    return status.stores(context)


READS: dict[str, Call] = {
    **lists.CALLS,
    **reports.REPORTS,
    "getPVStatus": _status,
    "getPVTypeInfo": _type_info,
    "getPVDetails": _details,
    "getStoresForPV": _stores,
    "getApplianceInfo": appliance.appliance_info,
    "getAppliancesInCluster": appliance.appliances,
    "getVersions": appliance.versions,
    "getApplianceMetrics": appliance.metrics,
    "getApplianceMetricsForAppliance": appliance.metrics_for,
    "getInstanceMetrics": appliance.instances,
    "getStorageMetrics": appliance.storage,
    "getProcessMetrics": appliance.process_metrics,
    "getAggregatedApplianceInfo": appliance.aggregated,
    "getApplianceProperties": appliance.properties,
}
WRITES: dict[str, Call] = {
    "archivePV": archiving.archive,
    "pauseArchivingPV": changes.pause,
    "resumeArchivingPV": changes.resume,
    "deletePV": changes.delete,
    "abortArchivingPV": changes.abort,
    "changeArchivalParameters": changes.change,
    "renamePV": naming.rename,
    "addAlias": naming.add_alias,
    "removeAlias": naming.remove_alias,
    "modifyMetaFields": changes.modify_meta_fields,
    "reapplyPolicies": changes.reapply_policies,
    "reassignAppliance": changes.reassign,
    "reshardPV": changes.reassign,
    "setNamedFlag": changes.set_flag,
    "importConfig": config_lists.import_config,
    "putPVTypeInfo": config_lists.put_type_info,
}
SYNONYMS = {
    "getStorageMetricsForAppliance": "getStorageMetrics",
    "getInstanceMetricsForAppliance": "getInstanceMetrics",
    "getCreationReportForAppliance": "getCreationReport",
}
"""Beside these, every report has a twin `…ForThisAppliance`."""
NOT_HERE = {
    **dict.fromkeys(
        ("modifyStoreURLForPV", "changeStore"),
        "Where data lie is said in the site file ([archiver.tiers]), for all PVs of an age.",
    ),
    **dict.fromkeys(
        ("addExternalArchiverServer", "removeExternalArchiverServer", "addExternalArchiverServerArchives"),
        "Other archives are named in the site file ([archiver] remote).",
    ),
    **dict.fromkeys(
        ("appendAndAliasPV", "mergeInData"),
        "Histories are not joined here: rename the PV while it is paused, or give it an alias.",
    ),
    **dict.fromkeys(
        ("skipAliasCheck", "getArchiveRequestWorkflow", "getPVsForThisAppliance"),
        "There is no workflow here that could wait: a PV is archived as soon as it answers.",
    ),
}
"""Calls of the appliance that have no counterpart, and what to do instead: 501."""
RETRIEVAL_CALLS = (
    *("getPVDetails", "getProcessMetrics", "getApplianceMetrics", "getApplianceMetricsForAppliance"),
    *("getInstanceMetrics", "getInstanceMetricsForAppliance", "getStorageMetrics", "getStorageMetricsForAppliance"),
    *("getClientConfig", "filterArchivedPVs", "getVersions", "resetFailoverCachesForThisAppliance"),
)
"""Calls that retrieval answers too."""


def find_call(action: str) -> tuple[Call, bool]:
    """The call of that name, and whether it changes something; 404 or 501 when there is none."""
    action = SYNONYMS.get(action, action)
    if action in WRITES:
        return WRITES[action], True
    for name in (action, action.removesuffix("ForThisAppliance")):
        if name in READS:
            return READS[name], False
    if action in NOT_HERE:
        raise Refused(501, f"{action} is not possible. {NOT_HERE[action]}")
    raise Refused(404, f"There is no call {printable(action, 80)!r}.")


class Management:
    """The handlers of one archive."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def bpl(self, request: Request) -> ASGIApp:
        """Any call under `bpl/`."""
        action = request.path_params["action"]
        if action == "getPolicyText":
            return reply(200, "text/plain", await self.context.workers.run(lists.policy_text, self.context))
        if action == "exportConfig":
            return self._export()
        call, writes = find_call(action)
        asked = await self._asked(request, action, judge=writes)
        if writes:
            await self._permit(request, asked)
        return await self._answer(call, asked)

    async def _answer(self, call: Call, asked: Asked) -> Response:
        """What a call says, as JSON; that of 100,000 PVs takes a while to write, too."""
        return await self.context.workers.run(lambda: json_reply(call(self.context, asked)))

    def _export(self) -> ASGIApp:
        def opened(job: Any) -> Opened:
            pieces: Iterator[bytes] = config_lists.export_config(self.context)
            return Opened(Chunks(job.watch(pieces)), {"Content-Type": "application/json"})

        return StreamAnswer(opened, self.context.workers)

    async def _asked(self, request: Request, call: str, judge: bool = False) -> Asked:
        """What is asked; who asks is only found out to `judge`, since a name server may have to be asked for that."""
        most = MAX_IMPORT if call == "importConfig" else MAX_BODY
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > most:
                raise Refused(413, f"The body is longer than {most} bytes; send it in parts.")
        content = bytes(body)
        workers = self.context.workers
        content_type = request.headers.get("content-type", "")
        pairs, form = await workers.run(read_values, request.scope["query_string"], content, content_type)
        verdict = READER
        if judge:
            peer = request.client.host if request.client else UNKNOWN_PEER
            verdict = await workers.wait(self.context.access.verdict, peer, dict(request.headers))
        base = f"{request.scope.get('scheme', 'http')}://{request.headers.get('host') or 'localhost'}"
        return Asked(call, request.method, values_of(pairs), content, base, verdict, tuple(pairs), form)

    async def _permit(self, request: Request, asked: Asked) -> None:
        if request.method not in ("GET", "POST"):
            raise Refused(405, f"{asked.call} changes something: ask for it with GET or POST.")
        if not asked.verdict.may_write:
            await self.context.workers.wait(self._note_refusal, asked)
            raise _Denied(asked.verdict)

    def _note_refusal(self, asked: Asked) -> None:
        verdict = asked.verdict
        log.warning("%s by %s at %s refused: %s", asked.call, verdict.who.user, verdict.who.host, verdict.why)
        try:
            names = asked.raw_names()
        except Refused:
            names = []
        try:
            self.context.ledger.refused(asked.call, [printable(n, 80) for n in names], verdict.why, verdict.who)
        except LedgerError as error:
            log.error("the refusal can't be noted: %s", error)

    async def metrics(self, request: Request) -> Response:
        """`/metrics`."""
        text = await self.context.workers.run(metrics.metrics, self.context)
        return reply(200, metrics.CONTENT_TYPE, text)

    async def api_status(self, request: Request) -> Response:
        """`/api/status`."""
        return await self.context.workers.run(lambda: json_reply(metrics.api_status(self.context)))

    async def whoami(self, request: Request) -> Response:
        """`/api/whoami`: who asks, and whether it may write."""
        verdict = (await self._asked(request, "whoami", judge=True)).verdict
        return json_reply(
            {"user": verdict.who.user, "host": verdict.who.host, "may_write": verdict.may_write, "why": verdict.why}
        )

    async def audit(self, request: Request) -> Response:
        """`/api/audit`: what was changed, newest first."""
        return await self._answer(lists.audit, await self._asked(request, "audit"))

    async def ping(self, request: Request) -> Response:
        """`bpl/ping`."""
        return reply(200, "text/plain", "pong")

    async def startup_state(self, request: Request) -> Response:
        """`bpl/startupState` and `bpl/postStartup`: we listen only once we are ready."""
        return json_reply({"status": "STARTUP_COMPLETE"})

    async def nothing(self, request: Request) -> Response:
        """A call of the engine or the ETL, which answer no others."""
        raise Refused(404, f"There is no call {printable(request.path_params['action'], 80)!r}.")

    def guarded(self, handler: Callable[[Request], Awaitable[ASGIApp]]) -> Callable[[Request], Awaitable[ASGIApp]]:
        """The handler with every refusal answered, and counted."""

        async def endpoint(request: Request) -> ASGIApp:
            try:
                answer = await handler(request)
            except _Denied as denied:
                answer = sentence(denied.verdict.status, denied.verdict.why)
                if denied.verdict.status == 401:
                    answer.headers["WWW-Authenticate"] = 'Bearer realm="archiver"'
            except FAULTS as error:
                if not isinstance(error, Refused | LedgerError):
                    log.exception("%s failed", request.url.path)
                answer = await refused(request, error)
            code = str(getattr(answer, "status_code", 200))
            self.context.requests[code] = self.context.requests.get(code, 0) + 1
            return answer

        return endpoint


class _Denied(Exception):  # noqa: N818
    """A change that the access rules don't allow."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.why)
        self.verdict = verdict


def management_routes(context: Context) -> list[BaseRoute]:
    """All routes of management, to go before retrieval's own."""
    m = Management(context)

    def route(path: str, handler: Callable[[Request], Awaitable[ASGIApp]], *more: str) -> Route:
        return Route(path, m.guarded(handler), methods=["GET", *more])

    routes: list[BaseRoute] = [
        route("/metrics", m.metrics),
        route("/api/status", m.api_status),
        route("/api/whoami", m.whoami, "POST"),
        route("/api/audit", m.audit),
    ]
    for part in ("mgmt", "engine", "etl"):
        routes += [
            route(f"/{part}/bpl/ping", m.ping),
            route(f"/{part}/bpl/startupState", m.startup_state),
            route(f"/{part}/bpl/postStartup", m.startup_state),
        ]
    routes.append(route("/retrieval/bpl/postStartup", m.startup_state))
    for action in RETRIEVAL_CALLS:
        routes.append(_fixed(route, f"/retrieval/bpl/{action}", action, m))
    for part in ("engine", "etl"):
        for action in ("getVersion", "getPVDetails", "getApplianceMetrics", "getProcessMetrics"):
            routes.append(_fixed(route, f"/{part}/bpl/{action}", action, m))
        routes.append(route(f"/{part}/bpl/{{action:path}}", m.nothing, "POST"))
    routes.append(route("/mgmt/bpl/{action:path}", m.bpl, "POST"))
    return routes


def _fixed(route: Callable[..., Route], path: str, action: str, management: Management) -> Route:
    """The route of one call."""

    async def handler(request: Request) -> ASGIApp:
        request.scope["path_params"] = {"action": action}
        return await management.bpl(request)

    return route(path, handler, "POST")
