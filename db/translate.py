"""Errors of SQLAlchemy and of the drivers, as ours: one sentence for operators, no passwords, no SQL."""

from __future__ import annotations

import re

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import BadInput, Busy, Damaged, DbError, Exists, Forbidden, NotFound, NotMigrated, Unavailable

Kind = type[DbError]

POSTGRESQL: list[tuple[str, Kind]] = [  # beginnings of SQLSTATE
    ("40", Busy),  # serialisation failure, deadlock
    ("55P03", Busy),
    ("57014", Busy),
    ("23505", Exists),
    ("23503", NotFound),
    ("P0001", Forbidden),  # our triggers
    ("42501", Forbidden),
    ("25006", Forbidden),  # writing in a read transaction
    ("42P01", NotMigrated),
    ("42703", NotMigrated),
    ("22", BadInput),
    ("XX", Damaged),
    ("08", Unavailable),
    ("28", Unavailable),
    ("3D", Unavailable),
    ("53", Unavailable),
    ("57", Unavailable),
    ("58", Unavailable),
]
MARIADB: dict[int, Kind] = {
    1205: Busy, 1213: Busy, 1020: Busy,
    1062: Exists,
    1451: NotFound, 1452: NotFound,
    1644: Forbidden,  # our triggers
    1142: Forbidden, 1143: Forbidden, 1227: Forbidden, 1370: Forbidden, 1792: Forbidden,
    1146: NotMigrated, 1054: NotMigrated,
    1153: BadInput, 1366: BadInput, 1406: BadInput, 1264: BadInput,
    1032: Damaged, 1034: Damaged, 1194: Damaged, 1712: Damaged, 1932: Damaged,
    1040: Unavailable, 1044: Unavailable, 1045: Unavailable, 1049: Unavailable, 1053: Unavailable, 1130: Unavailable,
    1021: Unavailable, 1114: Unavailable, 1203: Unavailable, 1226: Unavailable, 1290: Unavailable, 1698: Unavailable,
    1836: Unavailable, 1927: Unavailable,
    2002: Unavailable, 2003: Unavailable, 2005: Unavailable, 2006: Unavailable, 2013: Unavailable, 2055: Unavailable,
}  # fmt: skip
SQLITE: list[tuple[str, Kind]] = [
    ("is locked", Busy),
    ("UNIQUE constraint", Exists),
    ("FOREIGN KEY constraint", NotFound),
    ("constraint failed", BadInput),
    ("readonly", Forbidden),
    ("no such table", NotMigrated),
    ("no such column", NotMigrated),
    ("malformed", Damaged),
    ("not a database", Damaged),
    ("unable to open", Unavailable),
    ("disk I/O error", Unavailable),
    ("is full", Unavailable),
    ("too big", BadInput),
]
SAYS: dict[Kind, str] = {
    Busy: "{where} is busy with another writer: {why}",
    Exists: "{where}: there is such a row already: {why}",
    NotFound: "{where}: something that is referred to is not there (any more), or is still in use: {why}",
    Forbidden: "{where} refuses: {why}",
    NotMigrated: "{where} has not the tables that this version of owlshift needs: {remedy} ({why})",
    BadInput: "{where} can't store this: {why}",
    Damaged: "{where} is damaged: {why}",
    Unavailable: "no connection to {where}: {why}",
    DbError: "{where}: {why}",
}


def translate(
    error: Exception, where: str, password: str | None = None, remedy: str = "run `owl runkey init`"
) -> DbError:
    """The error as one of ours; `where` says which database; `password` is never in the text.

    `remedy`: what to do when tables are missing.
    """
    kind = _kind(error)
    why = _reason(error)
    if password:
        why = why.replace(password, "***")
    return kind(SAYS[kind].format(where=where, why=why, remedy=remedy))


def _kind(error: Exception) -> Kind:
    if isinstance(error, PoolTimeout):
        return Busy
    lost = False
    original: BaseException | None = error  # of the driver itself
    if isinstance(error, DBAPIError):
        original, lost = error.orig, error.connection_invalidated
    elif isinstance(error, StatementError):
        return BadInput if isinstance(error.orig, ValueError | TypeError | OverflowError) else DbError
    elif isinstance(error, SQLAlchemyError):
        return DbError
    state = getattr(original, "sqlstate", None)
    module = type(original).__module__.partition(".")[0]
    if module == "sqlite3":
        text = str(original)
        for part, kind in SQLITE:
            if part in text:
                return kind
        return Forbidden if type(original).__name__ == "IntegrityError" else DbError
    if module in ("pymysql", "MySQLdb"):
        number = original.args[0] if original is not None and original.args else 0
        if isinstance(number, int) and number in MARIADB:
            return MARIADB[number]
    elif isinstance(state, str):
        for start, kind in POSTGRESQL:
            if state.startswith(start):
                return kind
    elif module == "psycopg" and any(base.__name__ == "OperationalError" for base in type(original).__mro__):
        return Unavailable  # psycopg could not even connect
    return Unavailable if lost else DbError


def _reason(error: Exception) -> str:
    """What the driver says, without SQLAlchemy's SQL and links, in one line."""
    original = error.orig if isinstance(error, StatementError) else error
    if original is None or isinstance(original, SQLAlchemyError):
        said = str(error)
    elif type(original).__module__.partition(".")[0] in ("pymysql", "MySQLdb") and len(original.args) > 1:
        said = str(original.args[1])
    else:
        diagnosis = getattr(original, "diag", None)
        said = getattr(diagnosis, "message_primary", None) or str(original)
    said = re.sub(r"\(Background on this error at:.*\)", "", said)
    return re.sub(r"\s+", " ", said).strip().rstrip(".") or type(original or error).__name__
