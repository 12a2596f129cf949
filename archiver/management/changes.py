"""The calls that change what is archived: they write the ledger, and the engines follow it within half a second."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from archiver.management.asked import Asked, checked_name, deadband_of, method_of, period_of
from archiver.management.census import Snapshot, Status
from archiver.management.context import Context
from archiver.management.ledger import LedgerConflict, Request
from archiver.management.status import ONE_APPLIANCE
from archiver.retrieval.bodies import MAX_NAMES
from archiver.retrieval.query import Refused, printable, unknown

SUBMITTED = "Archive request submitted"
ALREADY = "Already submitted"
FIELD = re.compile(r"[A-Z0-9_]{1,16}", re.ASCII)


# archivePV


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
                _check_alias(census, spec.alias, spec.name)
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
    return list(dict.fromkeys(census.names[one(census, name)] for name in names))


def one(census: Snapshot, name: str) -> int:
    """The row of a PV that is archived or paused; 404 for another."""
    row = census.row.get(census.resolve(name), -1)
    if row < 0 or census.status[row] == Status.NOT_ARCHIVED:
        raise unknown(name)
    return row


def modify_meta_fields(context: Context, asked: Asked) -> dict[str, str]:
    """Which fields are kept beside a PV: `command=add,ADEL,MDEL`, `remove,…`, `clear`, in order."""
    census = context.census.snapshot()
    row = one(census, asked.text("pv"))
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


def fields_of(names: Iterable[str]) -> tuple[str, ...]:
    """The names of fields, each once; 400 for what is none."""
    fields = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    for name in fields:
        if not FIELD.fullmatch(name):
            raise Refused(400, f"{printable(name, 40)!r} is no name of a field, such as ADEL.")
    return fields


def _policy_fields(context: Context, census: Snapshot, row: int) -> list[str]:
    label = census.policy(row)
    return next((list(rule.fields) for rule in context.config.policy if rule.label == label), [])


def rename(context: Context, asked: Asked) -> dict[str, str]:
    """Give a paused PV another name; its history stays, and it stays paused."""
    census = context.census.snapshot()
    old, new = asked.text("pv"), checked_name(asked.text("newname"))
    row = one(census, old)
    name = census.names[row]
    problem = _no_rename(context, census, row, new)
    if not problem:
        try:
            context.ledger.rename(name, new, asked.verdict.who)
        except LedgerConflict as error:
            problem = str(error)
    if problem:
        return {"status": "no", "validation": problem, "desc": problem}
    return {"status": "ok", "desc": f"{name} is called {new} now, with all its history; it is paused."}


def _no_rename(context: Context, census: Snapshot, row: int, new: str) -> str:
    """Why a PV can't have a new name; "" when it can."""
    name = census.names[row]
    if census.status[row] != Status.PAUSED:
        return f"PV {name} is not paused. Please pause recording first."
    other = census.row.get(new, -1)
    if new == name or new in census.aliases or (other >= 0 and census.listed()[other]):
        return f"There is a PV or alias {new} already."
    if any(total.samples for total in context.reader.infos([new])):
        return f"There are samples of a PV {new}, archived before: only one whose data are deleted leaves its name."
    return ""


def add_alias(context: Context, asked: Asked) -> dict[str, str]:
    """Another name for a PV."""
    census = context.census.snapshot()
    name = census.names[one(census, asked.text("pv"))]
    alias = checked_name(asked.text("aliasname"))
    _check_alias(census, alias, name)
    context.ledger.add_alias(alias, name, asked.verdict.who)
    return {"status": "ok", "desc": f"{alias} stands for {name}."}


def _check_alias(census: Snapshot, alias: str, name: str) -> None:
    other = census.row.get(alias, -1)
    if alias == name or (other >= 0 and census.listed()[other]):
        raise Refused(400, f"{alias} is the name of a PV, and so it can be no alias.")
    if census.aliases.get(alias, name) != name:
        raise Refused(400, f"{alias} is an alias of {census.aliases[alias]} already.")


def remove_alias(context: Context, asked: Asked) -> dict[str, str]:
    """Take an alias away."""
    census = context.census.snapshot()
    alias = asked.text("aliasname")
    name = asked.values.get("pv") or census.aliases.get(alias, "")
    if census.aliases.get(alias) is None or census.aliases[alias] != census.resolve(name):
        raise Refused(400, f"{printable(alias, 80)} is no alias{' of ' + printable(name, 80) if name else ''}.")
    context.ledger.remove_alias(alias, asked.verdict.who)
    return {"status": "ok", "desc": f"{alias} is no alias of {census.aliases[alias]} any more."}


def reassign(context: Context, asked: Asked) -> dict[str, str]:
    """Have another engine archive a PV; its history stays where it is and is read from there."""
    census = context.census.snapshot()
    name = census.names[one(census, asked.text("pv"))]
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
