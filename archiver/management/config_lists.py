"""PVTypeInfo as a list: how a lab moves in from an Archiver Appliance, and takes its list of PVs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from archiver.management.asked import Asked, checked_name, deadband_of, method_of, period_of
from archiver.management.census import Status
from archiver.management.context import Context
from archiver.management.ledger import Request
from archiver.management.settings import fields_of
from archiver.management.status import STREAM_FIELDS, type_info
from archiver.retrieval.query import Refused, printable

SHOWN = 1000
"""PVs of an import that are refused with a sentence each; the rest is counted."""
_STREAM = {*STREAM_FIELDS, "DESC", "EGU", "PREC"}


def export_config(context: Context) -> Iterator[bytes]:
    """All PVTypeInfo as one JSON list, in pieces."""
    census = context.census.snapshot()
    before = b"["
    for row in census.archived().nonzero()[0].tolist():
        yield before + orjson.dumps(type_info(context, census, row))
        before = b",\n"
    yield b"[]" if before == b"[" else b"]"


def import_config(context: Context, asked: Asked) -> dict[str, Any]:
    """Archive what a list of PVTypeInfo says (an appliance's exportConfig); what is archived here stays as it is."""
    items = asked.json()
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Refused(400, "The body is no JSON list of PVTypeInfo, as exportConfig gives it.")
    census = context.census.snapshot()
    specs: dict[str, Request] = {}
    problems: list[dict[str, str]] = []
    present = refused = 0
    for item in items:
        try:
            spec = request_of_type_info(context, item)
        except Refused as refusal:
            refused += 1
            if refused <= SHOWN:
                problems.append({"pvName": printable(str(item.get("pvName", "")), 80), "status": refusal.sentence})
            continue
        row = census.row.get(spec.name, -1)
        if row >= 0 and census.status[row] != Status.NOT_ARCHIVED:
            present += 1
        else:
            specs[spec.name] = spec
    context.ledger.request(specs.values(), asked.verdict.who)
    return {
        "status": "ok",
        "desc": f"{len(specs)} PVs are archived from now on; {present} were before; {refused} are refused.",
        "imported": str(len(specs)),
        "present": str(present),
        "refused": problems,
    }


def put_type_info(context: Context, asked: Asked) -> dict[str, Any]:
    """Archive one PV as a PVTypeInfo says; `override=true` replaces settings, `createnew=true` makes a new one."""
    item = asked.json()
    if not isinstance(item, dict):
        raise Refused(400, "The body is no PVTypeInfo: a JSON object.")
    spec = request_of_type_info(context, {**item, "pvName": asked.values.get("pv") or item.get("pvName")})
    census = context.census.snapshot()
    row = census.row.get(spec.name, -1)
    present = row >= 0 and census.status[row] != Status.NOT_ARCHIVED
    if present and not asked.flag("override"):
        raise Refused(400, f"{spec.name} is archived already; override=true replaces how.")
    if not present and not asked.flag("createnew"):
        raise Refused(400, f"{spec.name} is not archived; createnew=true archives it.")
    context.ledger.request([spec], asked.verdict.who)
    census = context.census.snapshot()
    return type_info(context, census, census.row[spec.name])


def request_of_type_info(context: Context, item: Mapping[str, Any]) -> Request:
    """The request that a PVTypeInfo comes down to; what only the appliance knows is left out."""
    name = item.get("pvName")
    if not isinstance(name, str):
        raise Refused(400, "A PVTypeInfo has no pvName.")
    method = str(item.get("samplingMethod", "MONITOR"))
    if method.upper() == "DONT_ARCHIVE":
        raise Refused(400, "Its samplingMethod is DONT_ARCHIVE.")
    fields = item.get("archiveFields") or []
    if not isinstance(fields, list):
        raise Refused(400, "Its archiveFields are no list.")
    own = tuple(f for f in fields_of(map(str, fields)) if f not in _STREAM)
    policies = {rule.label for rule in context.config.policy}
    policy = str(item.get("policyName") or "")
    engine = str(item.get("applianceIdentity") or "")
    controlling = str(item.get("controllingPV") or "")
    spec = Request(
        checked_name(name),
        method=method_of(method),
        period=period_of(str(item.get("samplingPeriod", "1.0")), "samplingPeriod"),
        policy=policy if policy in policies else None,
        controlling=checked_name(controlling) if controlling else None,
        engine=engine if engine in context.config.engines else None,
        fields=own or None,
        paused=str(item.get("paused", "false")).lower() == "true",
    )
    deadband = item.get("deadband")
    return replace(spec, deadband=deadband_of(str(deadband))) if deadband not in (None, "", "0.0") else spec
