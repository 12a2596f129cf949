"""The calls that change what is archived: they write the ledger, and the engines follow it within half a second."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from archiver.management.asked import Asked, checked_name
from archiver.management.census import Snapshot, Status
from archiver.management.context import Context
from archiver.management.settings import fields_of, known_engine, settings_of
from archiver.management.status import find_row
from archiver.retrieval.query import Refused, printable, unknown

# pause, resume, delete, abort


Outcome = dict[str, str]


def _for_each(
    context: Context,
    asked: Asked,
    judge: Callable[[Snapshot, int, str], str],
    apply: Callable[[list[str]], object],
    done: Callable[[str], Outcome],
    refused: Callable[[str, str], Outcome],
) -> Any:
    """Carry out `apply` for those PVs that `judge` has nothing against; an object for one PV, a list for several."""
    census = context.census.snapshot()
    names = asked.names(census)
    answers: list[Outcome] = []
    good: dict[str, None] = {}
    for name in names:
        row = census.row.get(census.resolve(name), -1)
        problem = judge(census, row, name)
        if not problem:
            good[census.names[row]] = None
        answers.append(refused(name, problem) if problem else done(name))
    if good:
        apply(list(good))
    if asked.single and answers:
        return answers[0]
    return answers


def pause(context: Context, asked: Asked) -> Any:
    """Stop archiving until it is resumed."""

    def judge(census: Snapshot, row: int, name: str) -> str:
        if row < 0 or census.status[row] == Status.NOT_ARCHIVED:
            return (
                f"Trying to pause PV {printable(name, 80)} that is not currently being archived "
                "or on an instance that is not active."
            )
        return f"PV {name} is already paused" if census.status[row] == Status.PAUSED else ""

    return _for_each(context, asked, judge, lambda names: context.ledger.pause(names, asked.verdict.who), _ok, _invalid)


def resume(context: Context, asked: Asked) -> Any:
    """Archive paused PVs again."""

    def judge(census: Snapshot, row: int, name: str) -> str:
        if row < 0 or census.status[row] == Status.NOT_ARCHIVED:
            return f"Trying to resume PV {printable(name, 80)} that is not currently being archived."
        return f"PV {name} is not paused" if census.status[row] != Status.PAUSED else ""

    return _for_each(
        context, asked, judge, lambda names: context.ledger.resume(names, asked.verdict.who), _ok, _invalid
    )


def delete(context: Context, asked: Asked) -> Any:
    """Archive PVs no more; `deleteData=true` deletes their data too. Only paused PVs are deleted."""
    data = asked.flag("deleteData")

    def judge(census: Snapshot, row: int, name: str) -> str:
        if row < 0 or census.status[row] == Status.NOT_ARCHIVED:
            if asked.single:
                raise Refused(400, unknown(name).sentence)
            return unknown(name).sentence
        if census.status[row] != Status.PAUSED:
            return f"We will not stop archiving PV {name} if it is not paused. Please pause recording first."
        return ""

    return _for_each(
        context,
        asked,
        judge,
        lambda names: context.ledger.delete(names, data, asked.verdict.who),
        lambda name: {"pvName": name, "validation": "", "status": "ok"},
        _invalid,
    )


def abort(context: Context, asked: Asked) -> Any:
    """Take a request back whose PV never connected."""

    def judge(census: Snapshot, row: int, name: str) -> str:
        if row < 0 or census.status[row] == Status.NOT_ARCHIVED:
            return f"There is no request to archive {printable(name, 80)}."
        if census.status[row] != Status.INITIAL:
            return f"{name} is being archived or paused: pause and delete it instead."
        return ""

    return _for_each(
        context,
        asked,
        judge,
        lambda names: context.ledger.delete(names, False, asked.verdict.who),
        lambda name: {"pvName": name, "status": "ok", "desc": f"The request to archive {name} is taken back."},
        lambda name, problem: {"pvName": name, "status": "no", "desc": problem},
    )


def _ok(name: str) -> Outcome:
    return {"pvName": name, "status": "ok"}


def _invalid(name: str, problem: str) -> Outcome:
    return {"pvName": name, "validation": problem}


# changing


def change(context: Context, asked: Asked) -> Any:
    """Change the sampling of PVs that are archived or paused."""
    settings = settings_of(context, asked.values)
    settings.pop("engine", None)
    if not asked.values.get("samplingmethod"):
        settings.pop("method", None)
    if asked.values.get("controllingPV"):
        settings["controlling"] = checked_name(asked.values["controllingPV"])
    if "period" not in settings and not {"deadband", "policy", "controlling"} & set(settings):
        raise Refused(400, "changeArchivalParameters needs the parameter samplingperiod, in seconds.")

    def judge(census: Snapshot, row: int, name: str) -> str:
        there = row >= 0 and census.status[row] != Status.NOT_ARCHIVED
        return "" if there else f"Unable to change the archival parameters for {printable(name, 80)}"

    said = ", ".join(f"{key} {value}" for key, value in settings.items())
    return _for_each(
        context,
        asked,
        judge,
        lambda names: context.ledger.change(names, asked.verdict.who, **settings),
        lambda name: {"pvName": name, "status": "ok", "desc": f"Changed the archival parameters of {name}: {said}."},
        _invalid,
    )


def reapply_policies(context: Context, asked: Asked) -> dict[str, str]:
    """Look up policies again: for the named PVs, else all; `keepuser=false`: as if users had set nothing."""
    keep = asked.flag("keepuser", True)
    census = context.census.snapshot()
    if asked.body or asked.values.get("pv"):
        names = _present(census, asked.names(census))
    else:
        names = [census.names[row] for row in census.archived().nonzero()[0].tolist()]
    context.ledger.reapply(names, asked.verdict.who, keep)
    kept = "What users had set for them stays." if keep else "What users had set for them is given up."
    return {
        "status": "ok",
        "pvs": str(len(names)),
        "desc": f"The policies of {len(names)} PVs are looked up again. {kept}",
    }


def _present(census: Snapshot, names: Iterable[str]) -> list[str]:
    """The real names; 404 for the first PV that is not archived."""
    return list(dict.fromkeys(census.names[find_row(census, name)] for name in names))


def modify_meta_fields(context: Context, asked: Asked) -> dict[str, str]:
    """Which fields are kept beside a PV: `command=add,ADEL,MDEL`, `remove,…`, `clear`, in order."""
    census = context.census.snapshot()
    row = find_row(census, asked.text("pv"))
    name = census.names[row]
    entry = census.entry(row)
    fields = (
        list(entry.fields) if entry is not None and entry.fields is not None else _policy_fields(context, census, row)
    )
    commands = [value for key, value in asked.pairs if key == "command"]
    if not commands:
        raise Refused(400, "modifyMetaFields needs the parameter command: add,FIELD,… or remove,FIELD,… or clear.")
    for command in commands:
        verb, *given = [word.strip() for word in command.split(",")]
        if verb == "clear" and not given:
            fields = []
        elif verb in ("add", "remove") and given:
            chosen = fields_of(given)
            fields = [f for f in fields if f not in chosen] + (list(chosen) if verb == "add" else [])
        else:
            raise Refused(400, f"command={printable(command, 80)} is none of add,FIELD,… and remove,FIELD,… and clear.")
    context.ledger.change(name, asked.verdict.who, fields=tuple(fields))
    return {
        "status": "ok",
        "desc": f"Beside {name} these fields are kept: {', '.join(fields) or 'none but limits and units'}.",
    }


def _policy_fields(context: Context, census: Snapshot, row: int) -> list[str]:
    label = census.policy(row)
    return next((list(rule.fields) for rule in context.config.policy if rule.label == label), [])


def reassign(context: Context, asked: Asked) -> dict[str, str]:
    """Have another engine archive a PV; its history stays where it is and is read from there."""
    census = context.census.snapshot()
    name = census.names[find_row(census, asked.text("pv"))]
    engine = known_engine(context, asked.text("appliance"))
    if engine is None:
        return {"status": "ok", "desc": f"There is one engine, which archives {name} already."}
    context.ledger.change(name, asked.verdict.who, engine=engine)
    return {"status": "ok", "desc": f"{name} is archived by the engine {engine} from now on; its history stays."}


def set_flag(context: Context, asked: Asked) -> dict[str, str]:
    """Set a named flag."""
    name = asked.text("name")
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,80}", name, re.ASCII):
        raise Refused(400, f"{printable(name, 80)!r} is no name of a flag.")
    asked.text("value")
    value = asked.flag("value")
    if len(context.ledger.flags()) >= 1000 and name not in context.ledger.flags():
        raise Refused(400, "There are 1000 flags already.")
    context.ledger.set_flag(name, value, asked.verdict.who)
    return {"status": "ok", name: "true" if value else "false"}
