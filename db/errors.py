"""What can go wrong in the runkey database, for people: a closed tree; SQLAlchemy's own errors never leave `db`.

DbError
├── NotFound        what was named is not there
├── Exists          the name is taken
├── BadInput        what was given can't be used; `problems` says all of it
├── Conflict        somebody changed the same things meanwhile; `changes` says what
├── Forbidden       the user may not, or the rows never change
├── Unavailable     no connection to the database
│   └── Busy        another writer holds it too long; the same again may work
├── Damaged         content does not fit its hash, or the database file is broken
└── NotMigrated     the tables are not (yet) those of this program
"""

# ruff: noqa: N818  (what happened, in the words of operators)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHOWN = 20
"""Problems that str() shows; `problems` has them all."""


class DbError(Exception):
    """Anything below. str() is a sentence for operators."""


class NotFound(DbError):
    """No such runkey, path, role, object, payload, tag, user, …"""


class Exists(DbError):
    """The name is taken."""


class BadInput(DbError):
    """Input that can't be used. Nothing of it was stored."""

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        """Each "FILE or object: PATH INSIDE: reason"."""
        shown = self.problems[:SHOWN]
        if len(self.problems) > SHOWN:
            shown.append(f"… and {len(self.problems) - SHOWN} more")
        super().__init__("\n".join(shown) or "bad input")

    def __reduce__(self) -> tuple[Any, ...]:
        """So that a worker process may raise it."""
        return type(self), (self.problems,)


class Conflict(DbError):
    """Somebody changed the same things since they were read. Nothing was stored."""

    def __init__(self, changes: Sequence[str] | str) -> None:
        self.changes = [changes] if isinstance(changes, str) else list(changes)
        """Each names the path, who, when and what."""
        super().__init__("\n".join(self.changes) or "somebody changed the same things meanwhile")

    def __reduce__(self) -> tuple[Any, ...]:
        """So that a worker process may raise it."""
        return type(self), (self.changes,)


class Forbidden(DbError):
    """The user has not the role, or the rows are immutable."""


class Unavailable(DbError):
    """The database can't be reached, or does not answer."""


class Busy(Unavailable):
    """Another writer held the database for longer than we wait, or the server undid a deadlock: try again."""


class Damaged(DbError):
    """What is stored is not what was stored."""


class NotMigrated(DbError):
    """The tables are missing, or of another version of this program; str() says what to run."""
