"""The ledger: what people have decided about PVs, and who decided it. Management writes it, engines follow it.

An entry is there for each PV that anybody ever requested, paused, changed or deleted. What the catalogues and the site
file name is archived without one. An engine follows like this:

    view = LedgerView(Ledger(folder / "manage.db"))
    if view.refresh(): ...                      # every 0.1 s; cheap when nothing has changed
    for job in ledger.jobs(engine): ...; ledger.finish_job(job.id, engine)      # before the entries are applied

Jobs (`Job.kind`, `Job.args`):
    rename    {"OLD": "NEW"}    the id of OLD gets the name NEW; its history stays
    forget    ["NAME", ...]     the data of these PVs are deleted; a PV requested again starts afresh
    reapply   ["NAME", ...]     policies are looked up again for these PVs, with their type and rate of now
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from archiver.management.ledger_change import Change
from archiver.management.ledger_file import (
    LedgerConflict,
    LedgerDamaged,
    LedgerError,
    LedgerFile,
    check,
    set_aside,
)
from archiver.management.ledger_rows import (
    SELECT,
    SETTINGS,
    AuditRow,
    Identity,
    Job,
    PvEntry,
    Request,
    entry_of,
    loads,
    meta_of,
)

__all__ = [
    "AuditRow",
    "Identity",
    "Job",
    "Ledger",
    "LedgerConflict",
    "LedgerDamaged",
    "LedgerError",
    "LedgerView",
    "PvEntry",
    "Request",
    "check",
    "set_aside",
]

REFUSED_KEPT = 10_000
"""Rows of refused requests that the audit keeps: whoever knocks all day must not fill the disk."""


class Ledger:
    """The ledger in `path` (`<archive folder>/manage.db`), shared by any number of processes and threads.

    With `writable` False a file that isn't there is an empty ledger. Every call that changes something is one
    transaction, with its audit rows; LedgerError (LedgerDamaged) when it can't be done, and then nothing has changed.
    """

    def __init__(self, path: Path | str, writable: bool = True) -> None:
        self._file = LedgerFile(Path(path), writable)

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._file.path

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # reading

    def version(self) -> int:
        """A number that grows with every change of entries, aliases, flags and jobs; 0 when there is no ledger."""
        with self._file.read() as connection:
            return meta_of(connection, "version") if connection is not None else 0

    def entries(self, since: int = 0) -> dict[str, PvEntry]:
        """All entries by name, deleted ones too; or those that changed after version `since`."""
        with self._file.read() as connection:
            if connection is None:
                return {}
            rows = connection.execute(f"{SELECT} WHERE revision > ?" if since else SELECT, (since,) if since else ())
            return {row[0]: entry_of(row) for row in rows}

    def entry(self, name: str) -> PvEntry | None:
        """One entry."""
        with self._file.read() as connection:
            if connection is None:
                return None
            row = connection.execute(f"{SELECT} WHERE name = ?", (name,)).fetchone()
            return entry_of(row) if row else None

    def aliases(self) -> dict[str, str]:
        """The PV of each alias."""
        return dict(self._all("SELECT alias, pv FROM alias ORDER BY alias"))

    def flags(self) -> dict[str, bool]:
        """The named flags."""
        return {name: bool(value) for name, value in self._all("SELECT name, value FROM flag ORDER BY name")}

    def jobs(self, engine: str = "") -> list[Job]:
        """What this engine still has to do, oldest first."""
        rows = self._all(
            "SELECT id, kind, args, time_ns FROM job WHERE NOT EXISTS "
            "(SELECT 1 FROM job_done WHERE job = job.id AND engine = ?) ORDER BY id",
            (engine,),
        )
        return [Job(id_, kind, json.loads(args), time_ns) for id_, kind, args, time_ns in rows]

    def audit(
        self,
        limit: int = 100,
        pv: str | None = None,
        user: str | None = None,
        before_id: int | None = None,
        refused: bool | None = None,
    ) -> list[AuditRow]:
        """The newest changes first, at most `limit`; `before_id` pages on to older ones."""
        conditions, values = ["1"], []
        for condition, value in (("pv = ?", pv), ("user = ?", user), ("id < ?", before_id)):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        if refused is not None:
            conditions.append(f"refused IS {'NOT ' if refused else ''}NULL")
        rows = self._all(
            f"SELECT * FROM audit WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?", (*values, limit)
        )
        return [AuditRow(*row[:6], before=loads(row[6]), after=loads(row[7]), refused=row[8]) for row in rows]

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._file.read() as connection:
            return [] if connection is None else connection.execute(statement, values).fetchall()

    def _view(self, since: int) -> tuple[int, bool, dict[str, PvEntry], dict[str, str]]:
        """Version, whether everything follows or only what changed after `since`, entries, aliases: of one state."""
        with self._file.read() as connection:
            if connection is None:
                return 0, True, {}, {}
            whole = since < meta_of(connection, "base")
            entries = {
                row[0]: entry_of(row)
                for row in connection.execute(f"{SELECT} WHERE revision > ?", (0 if whole else since,))
            }
            aliases = dict(connection.execute("SELECT alias, pv FROM alias").fetchall())
            return meta_of(connection, "version"), whole, entries, aliases

    # changing; each returns the names that did change

    def request(self, specs: Iterable[Request | str], who: Identity) -> list[str]:
        """Archive these PVs. What a request leaves open stays as it was, or is left to policies and catalogues."""
        wanted = {s.name: s for s in (Request(s) if isinstance(s, str) else s for s in specs)}

        def ask(entry: PvEntry) -> PvEntry:
            spec = wanted[entry.name]
            given = {key: value for key in SETTINGS if (value := getattr(spec, key)) is not None}
            if entry.deleted:
                entry = PvEntry(entry.name, created_ns=entry.created_ns, modified_ns=entry.modified_ns)
            return dataclasses.replace(entry, requested=True, paused=spec.paused, deleted=False, **given)

        with self._file.write() as connection:
            change = Change(connection, who)
            done = change.entries("request", wanted, ask)
            for spec in wanted.values():
                if spec.alias:
                    change.alias(spec.alias, spec.name)
            return done

    def pause(self, names: Iterable[str], who: Identity) -> list[str]:
        """Stop archiving these PVs until `resume`; deleted ones are left alone."""
        return self._set("pause", names, who, lambda e: e if e.deleted else dataclasses.replace(e, paused=True))

    def resume(self, names: Iterable[str], who: Identity) -> list[str]:
        """Archive paused PVs again."""
        return self._set("resume", names, who, lambda e: dataclasses.replace(e, paused=False))

    def change(self, names: str | Iterable[str], who: Identity, **settings: Any) -> list[str]:
        """Set any of method, period, deadband, policy, controlling, engine, fields; None leaves one to policies."""
        wrong = set(settings) - set(SETTINGS)
        if wrong:
            raise TypeError(f"no setting: {', '.join(sorted(wrong))}")
        names = [names] if isinstance(names, str) else names
        return self._set("change", names, who, lambda e: dataclasses.replace(e, **settings))

    def delete(self, names: Iterable[str], delete_data: bool, who: Identity) -> list[str]:
        """Archive these PVs no more; with `delete_data` engines forget their data, and their aliases go."""
        names = list(dict.fromkeys(names))
        with self._file.write() as connection:
            change = Change(connection, who)
            done = change.entries(
                "delete data" if delete_data else "delete",
                names,
                lambda e: PvEntry(e.name, deleted=True, created_ns=e.created_ns, modified_ns=e.modified_ns),
                always=delete_data,
            )
            if delete_data and names:
                for alias in connection.execute(
                    "SELECT alias FROM alias WHERE pv IN (SELECT value FROM json_each(?))", (json.dumps(names),)
                ).fetchall():
                    change.alias(alias[0], None)
                change.job("forget", names)
            return done

    def rename(self, old: str, new: str, who: Identity) -> None:
        """Give a PV another name, with its entry, aliases and history; LedgerConflict when `new` is taken."""
        with self._file.write() as connection:
            change = Change(connection, who)
            found = change.fetch([old, new])
            mine, other = found.get(old, PvEntry(old)), found.get(new)
            if mine.deleted:
                raise LedgerConflict(f"There is no PV {old}; nothing was changed.")
            if old == new or (other is not None and not other.deleted):
                raise LedgerConflict(f"There is a PV {new} already; nothing was changed.")
            change.entries(
                "rename", [old], lambda e: PvEntry(old, deleted=True, created_ns=e.created_ns), after={"name": new}
            )
            change.entries(
                "rename",
                [new],
                lambda e: dataclasses.replace(mine, name=new, requested=True, deleted=False),
                before={"name": old},
            )
            change.alias(new, None)
            connection.execute("UPDATE alias SET pv = ? WHERE pv = ?", (new, old))
            change.job("rename", {old: new})

    def add_alias(self, alias: str, name: str, who: Identity) -> bool:
        """Let `alias` stand for the PV `name`; whether that is new."""
        with self._file.write() as connection:
            return Change(connection, who).alias(alias, name)

    def remove_alias(self, alias: str, who: Identity) -> bool:
        """Remove an alias; whether there was one."""
        with self._file.write() as connection:
            return Change(connection, who).alias(alias, None)

    def set_flag(self, name: str, value: bool, who: Identity) -> None:
        """Set a named flag."""
        with self._file.write() as connection:
            change = Change(connection, who)
            row = connection.execute("SELECT value FROM flag WHERE name = ?", (name,)).fetchone()
            connection.execute("INSERT OR REPLACE INTO flag VALUES (?, ?)", (name, int(value)))
            change.note("flag", None, {name: bool(row[0])} if row else None, {name: value})
            change.finish()

    def reapply(self, names: Iterable[str], who: Identity, keep_user: bool = True) -> list[str]:
        """Have engines look up policies again; without `keep_user` what users had set for these PVs is given up."""
        names = list(dict.fromkeys(names))
        with self._file.write() as connection:
            change = Change(connection, who)
            if not keep_user:
                nothing = dict.fromkeys(("method", "period", "deadband", "policy", "fields"))
                known = list(change.fetch(names))
                change.entries("reapply", known, lambda e: dataclasses.replace(e, **nothing))
            if names:
                change.job("reapply", names)
                change.note("reapply policies", None, None, {"pvs": len(names)})
            return names

    def _set(self, what: str, names: Iterable[str], who: Identity, fn: Callable[[PvEntry], PvEntry]) -> list[str]:
        with self._file.write() as connection:
            return Change(connection, who).entries(what, names, fn)

    def refused(self, what: str, names: Sequence[str], why: str, who: Identity) -> None:
        """Note in the audit what was not allowed; engines don't notice."""
        with self._file.write() as connection:
            pv = names[0] if len(names) == 1 else None
            after = {"pvs": list(names[:100]), "number": len(names)} if len(names) > 1 else None
            Change(connection, who).note(what, pv, None, after, why)
            connection.execute(
                "DELETE FROM audit WHERE refused IS NOT NULL AND id <= (SELECT id FROM audit WHERE refused IS NOT NULL "
                f"ORDER BY id DESC LIMIT 1 OFFSET {REFUSED_KEPT})"
            )

    def note(self, what: str, who: Identity, pv: str | None = None, before: Any = None, after: Any = None) -> None:
        """Put something else into the audit; engines don't notice."""
        with self._file.write() as connection:
            Change(connection, who).note(what, pv, before, after)

    def finish_job(self, job: int, engine: str = "") -> None:
        """This engine has done the job."""
        with self._file.write() as connection:
            connection.execute("INSERT OR IGNORE INTO job_done VALUES (?, ?)", (job, engine))


class LedgerView:
    """The ledger in memory, kept in step at the cost of what has changed. For one thread."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.version = -1
        self.entries: dict[str, PvEntry] = {}
        self.aliases: dict[str, str] = {}

    def refresh(self) -> bool:
        """Take in what is new; whether there was anything. LedgerError leaves everything as it was."""
        if self.ledger.version() == self.version:
            return False
        version, whole, entries, aliases = self.ledger._view(self.version)  # noqa: SLF001
        self.entries = entries if whole else {**self.entries, **entries}
        self.aliases = aliases
        self.version = version
        return True
