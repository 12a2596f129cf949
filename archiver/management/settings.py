"""How PVs are to be archived, as requests say it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from archiver.management.asked import deadband_of, method_of, period_of
from archiver.management.context import Context
from archiver.management.status import ONE_APPLIANCE
from archiver.retrieval.query import Refused, printable

FIELD = re.compile(r"[A-Z0-9_]{1,16}", re.ASCII)


def settings_of(context: Context, values: Mapping[str, str]) -> dict[str, Any]:
    """How a request wants PVs to be archived; only what it says."""
    found: dict[str, Any] = {}
    if values.get("samplingperiod"):
        found["period"] = period_of(values["samplingperiod"])
        found["method"] = "monitor"
    if values.get("samplingmethod"):
        found["method"] = method_of(values["samplingmethod"])
    if values.get("deadband"):
        found["deadband"] = deadband_of(values["deadband"])
    if values.get("policy"):
        found["policy"] = known_policy(context, values["policy"])
    if values.get("appliance"):
        found["engine"] = known_engine(context, values["appliance"])
    return {key: value for key, value in found.items() if value is not None}


def known_policy(context: Context, name: str) -> str:
    """The policy, if the site file has it; 400 otherwise."""
    labels = [rule.label for rule in context.config.policy]
    if name not in labels:
        there = f"there are {', '.join(labels)}" if labels else "the site file has none"
        raise Refused(400, f"There is no policy {printable(name, 40)!r}; {there}.")
    return name


def known_engine(context: Context, name: str) -> str | None:
    """The engine of that name; None when there is only one, which needs no name; 400 for another."""
    engines = context.config.engines
    if name in engines:
        return name
    if not engines and name == ONE_APPLIANCE:
        return None
    raise Refused(
        400, f"There is no appliance {printable(name, 40)!r}; there is {', '.join(engines) or ONE_APPLIANCE}."
    )


def fields_of(names: Iterable[str]) -> tuple[str, ...]:
    """The names of fields, each once; 400 for what is none."""
    fields = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    for name in fields:
        if not FIELD.fullmatch(name):
            raise Refused(400, f"{printable(name, 40)!r} is no name of a field, such as ADEL.")
    return fields
