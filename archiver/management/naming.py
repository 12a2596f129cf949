"""The calls that give PVs other names: renamePV, addAlias, removeAlias."""

from __future__ import annotations

from archiver.management.asked import Asked, checked_name
from archiver.management.census import Snapshot, Status
from archiver.management.context import Context
from archiver.management.ledger import LedgerConflict
from archiver.management.status import find_row
from archiver.retrieval.query import Refused, printable


def rename(context: Context, asked: Asked) -> dict[str, str]:
    """Give a paused PV another name; its history stays, and it stays paused."""
    census = context.census.snapshot()
    old, new = asked.text("pv"), checked_name(asked.text("newname"))
    row = find_row(census, old)
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
    name = census.names[find_row(census, asked.text("pv"))]
    alias = checked_name(asked.text("aliasname"))
    check_alias(census, alias, name)
    context.ledger.add_alias(alias, name, asked.verdict.who)
    return {"status": "ok", "desc": f"{alias} stands for {name}."}


def check_alias(census: Snapshot, alias: str, name: str) -> None:
    """400 when `alias` can't stand for the PV `name`."""
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
