"""The calls that list: names, aliases, policies, flags, the audit."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any

from archiver.management import appliance
from archiver.management.asked import Asked
from archiver.management.census import Snapshot, Status
from archiver.management.context import Context
from archiver.management.status import STREAM_FIELDS
from archiver.management.texts import iso_time, word
from archiver.retrieval import catalogue
from archiver.retrieval.query import Refused, printable
from owlshift.toml_lines import key_lines

MOST_AUDIT = 10_000
KINDS = ("STRING", "SHORT", "FLOAT", "ENUM", "BYTE", "INT", "DOUBLE")
TYPES = [
    *(
        f"DBR_{form}_{kind}"
        for form in ("SCALAR", "WAVEFORM")
        for kind in ("STRING", "SHORT", "FLOAT", "ENUM", "BYTE", "INT", "DOUBLE")
    ),
    "DBR_V4_GENERIC_BYTES",
]


def all_pvs(context: Context, asked: Asked) -> list[str]:
    """getAllPVs: PVs, then aliases, that a glob or regular expression chooses; 500 of them without a `limit`."""
    census = context.census.snapshot()
    listed = [census.names[row] for row in census.listed().nonzero()[0].tolist()]
    values = dict(asked.values)
    if not values.get("pv") and not values.get("regex"):
        values["pv"] = "*"
    pattern = catalogue.glob_pattern(values["pv"]) if values.get("pv") else values["regex"]
    found = catalogue.full_match(listed, pattern) + catalogue.full_match(sorted(census.aliases), pattern)
    limit = asked.limit(catalogue.DEFAULT_LIMIT)
    return found[:limit] if limit > 0 else found


def expanded_names(context: Context, asked: Asked) -> list[str]:
    """getAllExpandedPVNames: every name that retrieval answers for: PVs, aliases, `.VAL` and fields of them."""
    census = context.census.snapshot()
    found: list[str] = []
    for row in census.archived().nonzero()[0].tolist():
        name = census.names[row]
        entry = census.entry(row)
        fields = dict.fromkeys((*STREAM_FIELDS, *(entry.fields or () if entry else ())))
        for each in (name, *census.by_pv.get(name, ())):
            found += [each, f"{each}.VAL", *(f"{each}.{field}" for field in fields)]
    return found


def type_info_keys(context: Context, asked: Asked) -> list[str]:
    """getTypeInfoKeys: names of all PVs with a PVTypeInfo."""
    census = context.census.snapshot()
    return [census.names[row] for row in census.archived().nonzero()[0].tolist()]


def _is_archived(census: Snapshot, name: str) -> bool:
    row = census.row.get(census.resolve(name), -1)
    return row >= 0 and census.status[row] != Status.NOT_ARCHIVED


def archived_pvs(context: Context, asked: Asked) -> list[str]:
    """archivedPVs: those of a list that are archived (or paused)."""
    census = context.census.snapshot()
    return [name for name in asked.raw_names() if _is_archived(census, name)]


def unarchived_pvs(context: Context, asked: Asked) -> list[str]:
    """unarchivedPVs: those of a list that are not."""
    census = context.census.snapshot()
    return [name for name in asked.raw_names() if not _is_archived(census, name)]


def archived_not_in_list(context: Context, asked: Asked) -> list[str]:
    """archivedPVsNotInList: what is archived and not in a list."""
    census = context.census.snapshot()
    listed = {census.resolve(name) for name in asked.raw_names()}
    return [name for name in type_info_keys(context, asked) if name not in listed]


def aliases(context: Context, asked: Asked) -> list[dict[str, str]]:
    """getAllAliases."""
    found = sorted(context.census.snapshot().aliases.items())
    return [{"aliasName": alias, "srcPVName": name} for alias, name in found]


def in_progress(context: Context, asked: Asked) -> list[dict[str, str]]:
    """getMetaGets: requests whose PV has not answered yet."""
    census = context.census.snapshot()
    rows = (census.status == Status.INITIAL).nonzero()[0].tolist()
    return [
        {"pvName": census.names[row], "currentState": "METAINFO_REQUESTED" if census.live["state"][row] else "START"}
        for row in rows
    ]


# policies


def policy_list(context: Context, asked: Asked) -> dict[str, str]:
    """getPolicyList: the policies of the site file, and what comes without one."""
    listed = {"Default": "Every event is kept, unless the IOC's catalogue says otherwise"}
    for rule in context.config.policy:
        listed[rule.label] = rule.doc or _described(rule.model_dump(exclude_defaults=True, mode="json"))
    return listed


def _described(rule: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in rule.items() if key not in ("name", "doc"))


def policy_text(context: Context) -> str:
    """getPolicyText: the [[archiver.policy]] rules as they stand in the site file, with their comments."""
    site = context.site
    if site is None:
        return "# This archive has no site file, and so no policies.\n"
    try:
        text = site.path.read_text("utf-8")
        count = len(tomllib.loads(text).get("archiver", {}).get("policy", ()))
    except (OSError, ValueError) as error:
        raise Refused(503, f"The site file can't be read: {printable(str(error))}.") from None
    if not count:
        return "# The site file has no [[archiver.policy]].\n"
    lines = text.splitlines()
    where = key_lines(text)
    starts = sorted({where[path] for path in where if path[:2] == ("archiver", "policy")})
    others = sorted({line for path, line in where.items() if path[:2] != ("archiver", "policy")})
    kept: list[str] = []
    done = 0
    for start in starts:
        if start <= done:
            continue
        done = next((line - 1 for line in others if line > start), len(lines))
        first = start - 1
        while first > 0 and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        piece = lines[first:done]
        while piece and (not piece[-1].strip() or piece[-1].lstrip().startswith("#")):
            piece.pop()
        kept += [*piece, ""]
    return "\n".join(kept).rstrip() + "\n"


# flags


def flag(context: Context, asked: Asked) -> dict[str, str]:
    """getNamedFlag: one that was never set is false."""
    name = asked.text("name")
    return {name: word(context.ledger.flags().get(name, False))}


def flags(context: Context, asked: Asked) -> dict[str, str]:
    """getAllNamedFlags."""
    return {name: word(value) for name, value in context.ledger.flags().items()}


# what has nothing to do here, and says so


def change_type(context: Context, asked: Asked) -> dict[str, str]:
    """changeTypeForPV: nothing needs to be done."""
    census = context.census.snapshot()
    name = asked.text("pv")
    if not _is_archived(census, name):
        raise Refused(404, f"Unable to find typeinfo for pv {printable(name)}")
    new = asked.text("newtype")
    if new not in TYPES:
        raise Refused(400, f"{printable(new, 40)!r} is no type; there are {', '.join(TYPES)}.")
    text = "A PV may change its type at any time here: samples of the new type are archived beside the old ones."
    return {"status": "ok", "desc": f"Nothing was changed. {text}"}


def consolidate(context: Context, asked: Asked) -> dict[str, str]:
    """consolidateDataForPV: nothing needs to be done."""
    if not _is_archived(context.census.snapshot(), asked.text("pv")):
        raise Refused(404, f"Unable to find typeinfo for pv {printable(asked.text('pv'))}")
    return {
        "status": "ok",
        "desc": "Data move from log to segments, days and months by themselves; nothing was changed.",
    }


def ready(context: Context, asked: Asked) -> dict[str, str]:
    """webAppReady and its like."""
    return {"status": "ok", "desc": "The archiver is ready; there is nothing to be restarted or reset."}


def nothing(context: Context, asked: Asked) -> list[str]:
    """An empty list."""
    return []


def client_config(context: Context, asked: Asked) -> dict[str, Any]:
    """getClientConfig: what a web viewer should know."""
    return {
        "name": context.site.name if context.site else appliance.ONE_APPLIANCE,
        "title": (context.site.title if context.site else "") or "owlshift archiver",
        "version": appliance.VERSION,
        "appliances": appliance.names(context),
    }


def version(context: Context, asked: Asked) -> dict[str, str]:
    """getVersion."""
    return {"version": appliance.VERSION}


def audit(context: Context, asked: Asked) -> list[dict[str, Any]]:
    """`/api/audit`: `limit` (100), `pv`, `user`, `before` (an id, to page on), `refused=true|false`."""
    limit = asked.limit(100)
    before = asked.values.get("before", "")
    if before and not re.fullmatch(r"\d{1,15}", before, re.ASCII):
        raise Refused(400, f"before={printable(before, 40)} is no id of a row.")
    rows = context.ledger.audit(
        min(limit, MOST_AUDIT) if limit > 0 else MOST_AUDIT,
        pv=asked.values.get("pv") or None,
        user=asked.values.get("user") or None,
        before_id=int(before) if before else None,
        refused=asked.flag("refused") if asked.values.get("refused") else None,
    )
    return [
        {
            "id": row.id,
            "time": iso_time(row.time_ns),
            "user": row.user,
            "host": row.host,
            "what": row.what,
            "pv": row.pv,
            "before": row.before,
            "after": row.after,
            "refused": row.refused,
        }
        for row in rows
    ]


CALLS: dict[str, Callable[[Context, Asked], Any]] = {
    "getAllPVs": all_pvs,
    "getAllExpandedPVNames": expanded_names,
    "getTypeInfoKeys": type_info_keys,
    "archivedPVs": archived_pvs,
    "filterArchivedPVs": archived_pvs,
    "unarchivedPVs": unarchived_pvs,
    "archivedPVsNotInList": archived_not_in_list,
    "getAllAliases": aliases,
    "getMetaGets": in_progress,
    "getPolicyList": policy_list,
    "getNamedFlag": flag,
    "getAllNamedFlags": flags,
    "changeTypeForPV": change_type,
    "consolidateDataForPV": consolidate,
    "webAppReady": ready,
    "resetFailoverCaches": ready,
    "resetFailoverCachesForThisAppliance": ready,
    "restartArchivePVWorkflowThreadForThisAppliance": ready,
    "getExternalArchiverServers": nothing,
    "getClientConfig": client_config,
    "getVersion": version,
}
