"""One change of the ledger: what becomes of entries, aliases and jobs, and the audit rows that say so."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from archiver.management.ledger_rows import (
    COLUMNS,
    SELECT,
    STORE,
    Identity,
    PvEntry,
    dumps,
    entry_of,
    meta_of,
    row_of,
)

AUDIT = "INSERT INTO audit (time_ns, user, host, what, pv, before, after, refused) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
SILENT = ("name", "created_ns", "modified_ns")
"""What the audit need not repeat."""


class Change:
    """The changes of one transaction, with one version and their audit rows."""

    def __init__(self, connection: sqlite3.Connection, who: Identity) -> None:
        self._connection, self._who = connection, who
        self.now_ns = time.time_ns()
        self._version = meta_of(connection, "version") + 1

    def fetch(self, names: Iterable[str]) -> dict[str, PvEntry]:
        """The entries of these names, as far as there are any."""
        rows = self._connection.execute(
            f"{SELECT} WHERE name IN (SELECT value FROM json_each(?))", (json.dumps(list(names)),)
        )
        return {row[0]: entry_of(row) for row in rows}

    def entries(
        self,
        what: str,
        names: Iterable[str],
        fn: Callable[[PvEntry], PvEntry],
        always: bool = False,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Replace each entry by `fn` of it; `always` notes also what stays the same. Returns the names that changed."""
        names = list(dict.fromkeys(names))
        old = self.fetch(names)
        rows, notes, changed = [], [], []
        for name in names:
            was = old.get(name)
            blank = PvEntry(name, created_ns=self.now_ns, modified_ns=self.now_ns)
            now = fn(was or blank)
            if now == (was or blank) and not always:
                continue
            changed.append(name)
            now = dataclasses.replace(now, modified_ns=self.now_ns, created_ns=now.created_ns or self.now_ns)
            rows.append(row_of(now, self._version))
            differing = [c for c in COLUMNS if c not in SILENT and getattr(was or blank, c) != getattr(now, c)]
            notes.append(
                self._note_row(
                    what,
                    name,
                    before if before is not None else {c: getattr(was, c) for c in differing} if was else None,
                    after if after is not None else {c: getattr(now, c) for c in differing},
                )
            )
        if rows:
            self._connection.executemany(STORE, rows)
            self._connection.executemany(AUDIT, notes)
            self.finish()
        return changed

    def alias(self, alias: str, name: str | None) -> bool:
        """Let an alias stand for a PV, or (None) for none; whether that is new."""
        row = self._connection.execute("SELECT pv FROM alias WHERE alias = ?", (alias,)).fetchone()
        old = row[0] if row else None
        if old == name:
            return False
        if name is None:
            self._connection.execute("DELETE FROM alias WHERE alias = ?", (alias,))
        else:
            self._connection.execute("INSERT OR REPLACE INTO alias VALUES (?, ?)", (alias, name))
        self.note("alias", name or old, {alias: old} if old else None, {alias: name} if name else None)
        self.finish()
        return True

    def job(self, kind: str, args: Any) -> None:
        """Something that every engine is to do."""
        self._connection.execute(
            "INSERT INTO job (kind, args, time_ns) VALUES (?, ?, ?)", (kind, json.dumps(args), self.now_ns)
        )
        self.finish()

    def note(self, what: str, pv: str | None, before: Any, after: Any, refused: str | None = None) -> None:
        """A row of the audit; `refused`: why it was not done."""
        self._connection.execute(AUDIT, self._note_row(what, pv, before, after, refused))

    def _note_row(
        self, what: str, pv: str | None, before: Any, after: Any, refused: str | None = None
    ) -> tuple[Any, ...]:
        return (self.now_ns, self._who.user, self._who.host, what, pv, dumps(before), dumps(after), refused)

    def finish(self) -> None:
        """Let the version tell of it, once in the transaction."""
        self._connection.execute("UPDATE meta SET value = ? WHERE key = 'version'", (self._version,))
