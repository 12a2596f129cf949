"""The catalogue: everything that the declarations say, as JSON for programs and as a table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .config import config_entry, full_name
from .values import State

if TYPE_CHECKING:
    from .device import Device
    from .pv import Pv

VERSION = 1
ITSELF = "IOC:HEARTBEAT"
"""What is in alarm when the IOC does not answer."""
NO_MASK = "-"


def _pair(pair: tuple[float | None, float | None] | None) -> list[float | None] | None:
    if pair is None or pair == (None, None):
        return None
    return [None if side is None or not math.isfinite(side) else side for side in pair]


def _alarm_entry(pv: Pv[Any], prefix: str) -> dict[str, Any] | None:
    info = pv.alarm_info
    if info is None:
        return None
    found = asdict(info)
    masked_by = "" if info.masked_by == NO_MASK else full_name(pv, prefix, info.masked_by or f"/{ITSELF}")
    found["masked_by"] = "" if masked_by == pv.name else masked_by
    return {key: value for key, value in found.items() if key != "masked_by" or value}


def alarm_problems(prefix: str, pvdb: Mapping[str, Pv[Any]]) -> list[str]:
    """Alarms of an IOC that are masked by what is no alarm of it, one line each."""
    found = []
    for name, pv in pvdb.items():
        masked_by = (_alarm_entry(pv, prefix) or {}).get("masked_by")
        if masked_by and (masked_by not in pvdb or pvdb[masked_by].alarm_info is None):
            found.append(f"{pv.declaration.source}: {name} is masked by {masked_by}, which is no alarm of this IOC")
    return found


def entry(pv: Pv[Any], prefix: str = "") -> dict[str, Any]:
    """One PV of the IOC with this prefix; keys that say nothing are left out."""
    declaration, limits = pv.declaration, pv.limits
    if isinstance(pv.type, State):
        severities = {pv.type.labels[int(pv.type.coerce(k))]: s.name for k, s in declaration.severities.items()}
    else:
        severities = {str(key): severity.name for key, severity in declaration.severities.items()}
    found: dict[str, Any] = {
        "name": pv.name,
        "kind": declaration.kind,
        "type": pv.type.kind,
        "count": pv.type.count,
        "units": declaration.units,
        "precision": declaration.precision if pv.type.kind == "double" else None,
        "display": _pair(limits.display),
        "control": _pair(limits.control),
        "warn": _pair(limits.warn),
        "alarm": _pair(limits.alarm),
        "severities": severities,
        "states": list(pv.type.labels),
        "doc": declaration.doc,
        "asg": declaration.asg,
        "save": declaration.save,
        "config": config_entry(pv, prefix) or False,
        "archive": asdict(declaration.archive) if declaration.archive else None,
        "alarm_info": _alarm_entry(pv, prefix),
        "source": declaration.source,
    }
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def catalogue(prefix: str, pvs: Iterable[Pv[Any]], objects: Iterable[tuple[str, Device]] = ()) -> dict[str, Any]:
    """The catalogue of an IOC: its PVs, and the prefix and description (`objects`) of each of its devices."""
    described = {name: (type(device).__doc__ or "").strip().partition("\n")[0] for name, device in objects}
    return {"ioc": prefix, "version": VERSION, "objects": described, "pvs": [entry(pv, prefix) for pv in pvs]}


def catalogue_text(prefix: str, pvs: Iterable[Pv[Any]], objects: Iterable[tuple[str, Device]] = ()) -> str:
    """The catalogue as compact JSON, all ASCII."""
    return json.dumps(catalogue(prefix, pvs, objects), separators=(",", ":"), allow_nan=False)


def _range(pair: list[float | None] | None) -> str:
    if not pair:
        return ""
    return " … ".join("" if side is None else f"{side:g}" for side in pair).strip()


def catalogue_markdown(found: Mapping[str, Any]) -> str:
    """A PV reference table in Markdown of a catalogue."""
    lines = [
        f"## {found['ioc']}",
        "",
        "| PV | kind | type | units | range | alarm | description |",
        "|---|---|---|---|---|---|---|",
    ]
    for pv in found["pvs"]:
        count = pv.get("count", 1)
        kind = pv["type"] + (f"[{count}]" if count > 1 else "")
        if pv.get("states"):
            kind += ": " + ", ".join(filter(None, pv["states"]))
        span = _range(pv.get("control") or pv.get("display"))
        alarms = [
            f"{name} {_range(pv.get(key))}" for key, name in (("alarm", "MAJOR"), ("warn", "MINOR")) if pv.get(key)
        ]
        alarms += [f"{state}: {severity}" for state, severity in pv.get("severities", {}).items()]
        cells = [f"`{pv['name']}`", pv["kind"], kind, pv.get("units", ""), span, "; ".join(alarms), pv.get("doc", "")]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
