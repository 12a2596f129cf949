"""Rows of the blob table, many at once, in the fastest way of each driver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from db.errors import BadInput
from db.models import MYSQL, Blob

Row = tuple[bytes, int, int, bytes]
"""(sha256, codec, size decoded, data)"""

STATEMENT_BYTES = 4 << 20
"""MariaDB: of one INSERT, well below the default of max_allowed_packet (16 MB)."""
LARGE = 1 << 20
"""MariaDB: bytes from which a row is compared with max_allowed_packet."""

_SIZES = select(Blob.sha256, Blob.size).where(Blob.sha256.in_(bindparam("hashes", expanding=True)))
_ROWS = select(Blob.sha256, Blob.codec, Blob.size, Blob.data).where(
    Blob.sha256.in_(bindparam("hashes", expanding=True))
)


def blob_sizes(connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, int]:
    """Those of the hashes (at most some hundreds) that are stored, with the decoded size."""
    if not hashes:
        return {}
    return {bytes(row[0]): row[1] for row in connection.execute(_SIZES, {"hashes": list(hashes)})}


def select_blobs(connection: Connection, hashes: Sequence[bytes]) -> list[Row]:
    """The rows of those of the hashes that are stored."""
    if not hashes:
        return []
    if connection.dialect.name == "sqlite":
        # without SQLAlchemy, which is as slow with these rows as the database
        marks = ", ".join("?" * len(hashes))
        sql = f"SELECT sha256, codec, size, data FROM blob WHERE sha256 IN ({marks})"
        return _driver(connection).execute(sql, list(hashes)).fetchall()
    if connection.dialect.name == "postgresql":
        # in binary: as text, SQLAlchemy's way, they are hexadecimal digits and take three times as long
        with _driver(connection).cursor(binary=True) as cursor:
            cursor.execute("SELECT sha256, codec, size, data FROM blob WHERE sha256 = ANY(%s)", (list(hashes),))
            return cursor.fetchall()
    return [(bytes(r[0]), r[1], r[2], bytes(r[3])) for r in connection.execute(_ROWS, {"hashes": list(hashes)})]


def insert_blobs(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert rows; those that somebody else has inserted meanwhile are left alone. BadInput for one too large."""
    if not rows:
        return
    name = connection.dialect.name
    if name in MYSQL:
        _insert_mariadb(connection, rows)
    else:
        place = "?, ?, ?, ?" if name == "sqlite" else "%s, %s, %s, %s"
        connection.exec_driver_sql(
            f"INSERT INTO blob (sha256, codec, size, data) VALUES ({place}) ON CONFLICT DO NOTHING", list(rows)
        )


def _insert_mariadb(connection: Connection, rows: Sequence[Row]) -> None:
    """Bytes as they are, in a character set of single bytes: half the time of hexadecimal digits."""
    largest = max(len(row[3]) for row in rows)
    if largest > LARGE:
        limit = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
        if 2 * largest + 1000 > limit:  # every byte may need a second one
            raise BadInput(
                f"content of {largest} bytes (compressed) is too large for this server: "
                f"set max_allowed_packet, now {limit}, to {2 * largest + 1000} at least"
            )
    connection.exec_driver_sql("SET character_set_client = latin1")
    try:
        cursor = _driver(connection).cursor()
        try:
            for statement in _statements(rows):
                cursor.execute(statement)
        finally:
            cursor.close()
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql("SET character_set_client = utf8mb4")


def _statements(rows: Sequence[Row]) -> Iterator[bytes]:
    values: list[bytes] = []
    size = 0
    for sha, codec, length, data in rows:
        quoted = data.replace(b"\\", b"\\\\").replace(b"'", b"\\'")  # `db.engines` sets the sql_mode that this is for
        if values and size + len(quoted) > STATEMENT_BYTES:
            yield _statement(values)
            values, size = [], 0
        values.append(b"(X'%s', %d, %d, _binary'%s')" % (sha.hex().encode(), codec, length, quoted))
        size += len(quoted)
    if values:
        yield _statement(values)


def _statement(values: list[bytes]) -> bytes:
    return b"INSERT IGNORE INTO `blob` (sha256, codec, size, data) VALUES " + b", ".join(values)


def _driver(connection: Connection) -> Any:
    """The driver's own connection; `Database.errors` knows its errors, too."""
    return connection.connection.driver_connection
