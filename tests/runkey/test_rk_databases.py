"""The same on SQLite, PostgreSQL and MariaDB, and servers that are killed or stopped meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import db_servers
import pytest
from aioca import CANothing
from rk_stand import NAMES, RkStand, begin, current, prepare, stand_of, the_script

from iocs.runkey.journal import applications

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A server of these tests' own, which they may kill, and a stand on it."""
    kind = request.param
    if reason := db_servers.missing(kind):
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch, db_servers.SERVERS[kind]() as server:
        patch.setitem(db_servers._running, kind, server)
        with stand_of(tmp_path_factory.mktemp(kind), kind, config="health = 0.2") as stand:
            yield stand, server


async def test_the_same_script(served) -> None:
    """SQLite does it, too: test_rk_commands."""
    stand, server = served
    await the_script(stand)
    process = stand.processes["rk"]
    assert server.password not in Path(f"/proc/{process.pid}/cmdline").read_text()
    assert server.password not in process.text()
    assert server.password not in stand.site_file.read_text()


async def away(stand: RkStand) -> None:
    await stand.until("DbConn", lambda text: text == "Away")


async def test_a_server_that_is_gone_and_back(served) -> None:
    stand, server = served
    name = await prepare(stand)
    server.kill()
    await away(stand)
    assert (await stand.get("DbLatency")).severity == 3
    assert await stand.until("State", lambda state: state == "Offline")
    for command in ("Snapshot", "Compare", "Apply"):
        said = await stand.refused(command)
        assert "database" in said, said
        assert server.password not in said
    assert set(await current(stand)) == {30.0, 40.0}
    server.start()
    await stand.until("DbConn", lambda text: text == "Connected")
    await stand.until("State", lambda state: state == "Idle")
    assert str(await stand.get("Selected")) == name
    await stand.put("Apply", 1)
    assert set(await stand.hv_values(*NAMES)) == {50.0, 0.0}
    assert server.password not in stand.processes["rk"].text()


async def test_kill_9_of_the_server_in_the_middle_of_an_apply(served) -> None:
    """Without a journal nothing further is written, and what was is taken back; the journal is told when it is back."""
    stand, server = served
    await prepare(stand)
    task = await begin(stand)
    server.kill()
    with pytest.raises(CANothing):
        await task
    stand.heal()
    assert set(await current(stand)) == {30.0, 40.0}, await stand.get("Report")
    assert "journal" in await stand.get("Report")
    server.start()
    await stand.until("DbConn", lambda text: text == "Connected")
    await stand.until("AppliedResult", lambda text: "was tried" in text)
    await stand.put("Apply", 1)
    assert await stand.get("AppliedResult") == "applied and verified"


async def test_kill_9_of_the_server_during_snapshots(served) -> None:
    """A snapshot is there whole or not at all, and what the put said is so."""
    stand, server = served
    await prepare(stand)
    told: list[str] = []
    name = ""
    killer = asyncio.get_running_loop().call_later(0.3, server.kill)
    for number in range(200):
        name = f"{server.kind} {number}"
        try:
            await stand.put("SnapshotName", name)
            await stand.put("Snapshot", 1)
            told.append(name)
        except CANothing:
            break
    killer.cancel()
    server.start()
    await stand.until("DbConn", lambda text: text == "Connected")
    await stand.until("State", lambda state: state == "Idle")
    with stand.store() as store:
        from db.verify import verify

        there = [info.name for info in store.staging.list(f"{server.kind} *")]
        assert set(told) <= set(there) <= {*told, name}
        for one in there:
            assert store.staging.payload(one, "/HV", "setpoints")
        assert not verify(store.staging.database)
    await stand.put("SnapshotName", "")


async def test_a_server_that_hangs(served) -> None:
    """SIGSTOP: the loop goes on, and commands go on when the server does."""
    stand, server = served
    await prepare(stand)
    _signal(server.pid, signal.SIGSTOP)
    try:
        await away(stand)
        task = asyncio.ensure_future(stand.put("Compare", 1))
        beats = {int(await stand.get("IOC:HEARTBEAT"))}
        async with asyncio.timeout(60):
            while len(beats) < 3:
                beats.add(int(await stand.get("IOC:HEARTBEAT")))
                await asyncio.sleep(0.1)
        _signal(server.pid, signal.SIGCONT)
        await task
    finally:
        _signal(server.pid, signal.SIGCONT)
    await stand.until("DbConn", lambda text: text == "Connected")
    assert await stand.get("DiffCount") == 16


async def test_an_abort_does_not_wait_for_a_server_that_hangs(served) -> None:
    stand, server = served
    await prepare(stand)
    _signal(server.pid, signal.SIGSTOP)
    try:
        task = asyncio.ensure_future(stand.put("Compare", 1))
        await stand.until("State", lambda state: state == "Comparing")
        await stand.put("Abort", 1)
        with pytest.raises(CANothing):
            await task
        assert "Compare was aborted by " in await stand.get("Msg")
        assert await stand.get("State") in ("Idle", "Offline")
    finally:
        _signal(server.pid, signal.SIGCONT)
    await stand.until("DbConn", lambda text: text == "Connected")
    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 16


async def test_a_server_that_is_restarted_in_good_order_in_an_apply(served) -> None:
    """The apply goes on or is taken back: what the put says, the stand has and the journal tells."""
    stand, server = served
    await prepare(stand)
    task = await begin(stand)
    await asyncio.to_thread(server.stop)
    server.start()  # on this thread: it ends with the one that has started it
    stand.heal()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    await stand.until("DbConn", lambda text: text == "Connected")
    report = await stand.get("Report")
    if result is None:
        assert set(await current(stand)) == {50.0, 0.0}, report
        assert await stand.get("AppliedResult") == "applied and verified"
    else:
        assert isinstance(result, CANothing)
        assert set(await current(stand)) == {30.0, 40.0}, report
        await stand.until("AppliedResult", lambda text: "was tried" in text)
    ended = "applied" if result is None else "rolled_back"
    async with asyncio.timeout(60):
        while await asyncio.to_thread(last_apply, stand) != ended:
            await asyncio.sleep(0.2)
    await stand.put("Apply", 1)
    assert set(await current(stand)) == {50.0, 0.0}


def last_apply(stand: RkStand) -> str:
    """How the journal says that it ended."""
    with stand.store() as store, store.staging.database.read() as connection:
        return applications(connection, limit=1)[0].state


async def test_only_the_backend_is_away(served) -> None:
    """What is in the staging area can be applied all the same."""
    stand, server = served
    urls = stand.urls
    stand.urls = {"backend": urls["backend"]}
    try:
        stand.restart(stand.config)
        name = await prepare(stand)
        server.kill()
        await away(stand)
        await stand.put("Apply", 1)
        assert set(await stand.hv_values(*NAMES)) == {50.0, 0.0}
        assert str(await stand.get("Applied")) == name
        assert "the backend database" in await stand.refused("Commit")
    finally:
        server.start()
        stand.urls = urls
        stand.restart(stand.config)


def _signal(pid: int, number: int) -> None:
    import psutil

    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        os.kill(process.pid, number)
