"""Content by hash, in the three databases."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator

import pytest
from db_servers import KINDS, ready_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from db import blobs
from db.blobs import copy_blobs, get_blobs, put_blobs
from db.database import Database
from db.errors import BadInput, Damaged, Forbidden, NotFound
from db.models import Blob

AWKWARD = [
    *(b"", b"\0", b"'", b"\\", b"\\'", b"''", b"%s %(x)s %%", b'a\0b\n\r\x1a"`', b"\xe2\x82", b"\xff" * 300),
    "ünï".encode(),
    bytes(range(256)),
]


def stored(database: Database, contents: list[bytes]) -> list[bytes]:
    with database.write() as connection:
        return put_blobs(connection, contents)


def read_all(database: Database, hashes: list[bytes], check: bool = True) -> dict[bytes, bytes]:
    with database.read() as connection:
        return dict(get_blobs(connection, hashes, check=check))


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(Blob)).scalar_one()


def test_contents_come_back_as_they_were(database):
    contents = [*AWKWARD, os.urandom(100_000), b"the same over and over " * 10_000]
    hashes = stored(database, contents)
    assert hashes == [hashlib.sha256(c).digest() for c in contents]
    assert read_all(database, hashes) == dict(zip(hashes, contents, strict=True))
    assert read_all(database, hashes, check=False) == dict(zip(hashes, contents, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes(kind):
    database = Database.open(ready_url(kind))

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(st.lists(st.binary(max_size=300) | st.text("'\\\0%\"`;xé").map(str.encode), max_size=8))
    def check(contents: list[bytes]) -> None:
        hashes = stored(database, contents)
        assert [read_all(database, hashes)[h] for h in hashes] == contents

    try:
        check()
    finally:
        database.close()


def test_equal_content_is_stored_once_and_compressed_when_that_is_smaller(database):
    zeros, noise = bytes(200_000), os.urandom(50_000)
    first = stored(database, [zeros, noise, zeros])
    assert first[0] == first[2]
    assert stored(database, [noise, zeros]) == [first[1], first[0]]
    assert count(database) == 2
    with database.read() as connection:
        rows = connection.execute(select(Blob.sha256, Blob.codec, Blob.size, func.length(Blob.data))).all()
    kept = {bytes(row[0]): tuple(row[1:]) for row in rows}
    assert kept[first[1]] == (blobs.RAW, 50_000, 50_000)
    assert kept[first[0]][:2] == (blobs.ZSTD, 200_000)
    assert kept[first[0]][2] < 200


def test_many_at_once_in_any_order(database, monkeypatch):
    monkeypatch.setattr(blobs, "BATCH_BYTES", 20_000)
    monkeypatch.setattr(blobs, "BATCH_ROWS", 30)
    contents = [random.Random(i).randbytes(i * 7) for i in range(200)]

    def one_by_one() -> Iterator[bytes]:
        yield from contents

    with database.write() as connection:
        hashes = put_blobs(connection, one_by_one())
    wanted = hashes * 2
    random.Random(1).shuffle(wanted)
    with database.read() as connection:
        got = list(get_blobs(connection, wanted))
    assert len(got) == 200
    assert dict(got) == dict(zip(hashes, contents, strict=True))


def test_nothing_for_nothing(database):
    assert stored(database, []) == []
    assert read_all(database, []) == {}


def test_what_is_not_there_is_named(database):
    (there,) = stored(database, [b"there"])
    absent = [hashlib.sha256(b"%d" % i).digest() for i in range(5)]
    with pytest.raises(NotFound, match=f"{absent[0].hex()[:12]}.*and 2 more"):
        read_all(database, [there, *absent])


def test_a_transaction_that_fails_stores_no_content(database):
    with pytest.raises(RuntimeError), database.write() as connection:
        put_blobs(connection, [b"x" * 1000, os.urandom(100_000)])
        raise RuntimeError
    assert count(database) == 0


def test_a_content_too_large_for_the_server_is_refused_with_the_setting_to_change():
    database = Database.open(ready_url("mariadb"))
    try:
        with pytest.raises(BadInput, match="set max_allowed_packet, now 16777216, to 24001000 at least"):
            stored(database, [os.urandom(12_000_000)])
        assert count(database) == 0
        assert len(read_all(database, stored(database, [bytes(30_000_000)]))) == 1  # compressed it is small
    finally:
        database.close()


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_large_contents(kind):
    database = Database.open(ready_url(kind))
    content = os.urandom(40_000_000)
    try:
        (sha,) = stored(database, [content])
        assert read_all(database, [sha])[sha] == content
    finally:
        database.close()


@pytest.mark.parametrize("source_kind", KINDS)
@pytest.mark.parametrize("target_kind", KINDS)
def test_copies_between_databases_move_only_what_is_lacking(source_kind, target_kind):
    source, target = Database.open(ready_url(source_kind)), Database.open(ready_url(target_kind))
    contents = [*AWKWARD, bytes(100_000), *(os.urandom(1000) for _ in range(20))]
    try:
        hashes = stored(source, contents)
        stored(target, contents[:5])
        with source.read() as reading, target.write() as writing:
            assert copy_blobs(reading, writing, hashes) == len(contents) - 5
        with source.read() as reading, target.write() as writing:
            assert copy_blobs(reading, writing, hashes) == 0
        assert read_all(target, hashes) == dict(zip(hashes, contents, strict=True))
        with (
            pytest.raises(NotFound),
            source.read() as reading,
            target.write() as writing,
        ):
            copy_blobs(reading, writing, [bytes(32)])
    finally:
        source.close()
        target.close()


def damage(database: Database, sha: bytes, **values: object) -> None:
    """Change a row in spite of the triggers."""
    quote = database.engine.dialect.identifier_preparer.quote
    name = quote("blob")
    with database.engine.begin() as connection:
        if database.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        else:
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS blob_no_update")
        mark = "?" if database.dialect == "sqlite" else "%s"
        for column, value in values.items():
            connection.exec_driver_sql(f"UPDATE {name} SET {column} = {mark} WHERE sha256 = {mark}", (value, sha))


def test_a_flipped_bit_anywhere_is_noticed(database):
    content = b"the configuration of a front-end " * 100
    (sha,) = stored(database, [content])
    with database.read() as connection:
        data = bytes(connection.execute(select(Blob.data)).scalar_one())
    for position in sorted({0, 4, len(data) // 2, len(data) - 1}):
        damage(database, sha, data=data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        with pytest.raises(Damaged, match=sha.hex()[:12]):
            read_all(database, [sha])
    damage(database, sha, data=data)
    assert read_all(database, [sha])[sha] == content


@pytest.mark.parametrize(
    "change",
    [{"size": 5}, {"size": 2**31 - 1}, {"codec": 0}, {"codec": 7}, {"data": b""}, {"data": b"\x28\xb5\x2f\xfd"}],
)
def test_a_row_that_contradicts_itself_is_damaged(database, change):
    (sha,) = stored(database, [b"word " * 1000])
    damage(database, sha, **change)
    with pytest.raises(Damaged):
        read_all(database, [sha], check=False)


def test_a_read_connection_stores_nothing(database):
    with pytest.raises(Forbidden), database.read() as connection:
        put_blobs(connection, [b"content"])
    assert count(database) == 0
    stored(database, [b"content"])


def test_threads_come_back_after_a_fork():
    """A process that was forked has no threads, but the same module."""
    database = Database.open(ready_url("sqlite"))
    stored(database, [b"a"])
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            other = Database.open(str(database.engine.url))
            code = 0 if read_all(other, stored(other, [b"b" * 10]))[hashlib.sha256(b"b" * 10).digest()] else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert count(database) == 2
    database.close()
