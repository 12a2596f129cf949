"""archivePV: which PVs are wanted, how, and under which other names."""

from __future__ import annotations

from collections.abc import Mapping

from archiver.management.asked import Asked, checked_name
from archiver.management.census import Status
from archiver.management.context import Context
from archiver.management.ledger import Request
from archiver.management.naming import check_alias
from archiver.management.settings import fields_of, settings_of
from archiver.retrieval.bodies import MAX_NAMES
from archiver.retrieval.query import Refused, printable

SUBMITTED = "Archive request submitted"
ALREADY = "Already submitted"


def archive(context: Context, asked: Asked) -> list[dict[str, str]]:
    """Archive PVs: names in a GET with parameters for all of them, or a POST with a JSON list of objects."""
    wanted = _wanted(asked)
    census = context.census.snapshot()
    answers: list[dict[str, str]] = []
    specs: dict[str, Request] = {}
    taken: dict[str, str] = {}
    for values in wanted:
        shown = values["pv"]
        try:
            spec = _request(context, values)
            _check_name(taken, spec.name)
            known = census.row.get(census.resolve(spec.name), -1)
            if spec.name in specs or (known >= 0 and census.status[known] != Status.NOT_ARCHIVED):
                answers.append({"pvName": shown, "status": ALREADY})
                continue
            if spec.alias is not None:
                check_alias(census, spec.alias, spec.name)
                _check_alias_of_request(specs, taken, spec.alias, spec.name)
                taken[spec.alias] = spec.name
            specs[spec.name] = spec
            answers.append({"pvName": shown, "status": SUBMITTED})
        except Refused as refusal:
            if len(wanted) == 1:
                raise
            answers.append({"pvName": printable(shown, 80), "status": refusal.sentence})
    context.ledger.request(specs.values(), asked.verdict.who)
    return answers


def _check_name(taken: Mapping[str, str], name: str) -> None:
    if name in taken:
        raise Refused(400, f"{name} is an alias of {taken[name]} in this request.")


def _check_alias_of_request(specs: Mapping[str, Request], taken: Mapping[str, str], alias: str, name: str) -> None:
    if alias in specs:
        raise Refused(400, f"{alias} is the name of a PV, and so it can be no alias.")
    if taken.get(alias, name) != name:
        raise Refused(400, f"{alias} is an alias of {taken[alias]} already.")


def _wanted(asked: Asked) -> list[dict[str, str]]:
    """What is wanted of each PV, as strings."""
    items = asked.json() if not asked.form and asked.body.lstrip().startswith((b"[", b"{")) else []
    items = [items] if isinstance(items, dict) else items
    if any(isinstance(item, dict) for item in items):
        if not all(isinstance(item, dict) and isinstance(item.get("pv"), str) for item in items):
            raise Refused(400, 'The body is no JSON list of requests, such as [{"pv": "A", "samplingperiod": "1.0"}].')
        if len(items) > MAX_NAMES:
            raise Refused(413, f"There are {len(items)} PVs; at most {MAX_NAMES} are accepted.")
        return [{str(key): _text(value) for key, value in item.items() if value is not None} for item in items]
    return [{**asked.values, "pv": name} for name in asked.raw_names()]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _request(context: Context, values: Mapping[str, str]) -> Request:
    settings = settings_of(context, values)
    name = checked_name(values["pv"])
    controlling = values.get("controllingPV")
    alias = values.get("alias")
    return Request(
        name,
        controlling=checked_name(controlling) if controlling else None,
        alias=checked_name(alias) if alias else None,
        fields=fields_of(values["archiveFields"].split(",")) if values.get("archiveFields") else None,
        **settings,
    )
