"""The same on SQLite, PostgreSQL and MariaDB, and servers that are killed or stopped meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import db_servers
import pytest
from aioca import CANothing
from rk_stand import KINDS, RkStand, stand_of
from test_rk_life import NAMES, begin, current, prepare

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_same_script(tmp_path: Path, kind: str) -> None:
    with stand_of(tmp_path, kind) as stand:
        await prepare(stand)
        await stand.put("Compare", 1)
        assert await stand.get("DiffCount") == 16
        await stand.put("Apply", 1)
        assert set(await stand.hv_values(*NAMES)) == {50.0, 0.0}
        await stand.put("Commit", 1)
        with stand.store() as store:
            assert store.backend.info("home").digest == await stand.get("AppliedHash")
            assert store.staging.info("home").committed
        password = stand.env.get("OWLSHIFT_DB_PASSWORD")
        if password:
            argv = Path(f"/proc/{stand.processes['rk'].pid}/cmdline").read_text()
            assert password not in argv
            assert password not in stand.processes["rk"].text()
            assert password not in stand.site_file.read_text()


class Server:
    """A database server of this test's own, which `fresh_url` gives databases of."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if reason := db_servers.missing(kind):
            pytest.skip(reason)
        self.server = db_servers.SERVERS[kind]()
        monkeypatch.setitem(db_servers._running, kind, self.server)


@pytest.fixture(params=["postgresql", "mariadb"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    found = Server(request.param, monkeypatch)
    try:
        yield request.param, found.server
    finally:
        found.server.close()


async def away(stand: RkStand) -> None:
    await stand.until("DbConn", lambda text: text == "Away")


async def test_a_server_that_is_gone_and_back(tmp_path: Path, served) -> None:
    kind, server = served
    with stand_of(tmp_path, kind, config="health = 0.2") as stand:
        await prepare(stand)
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
        assert str(await stand.get("Selected")) == "home"
        await stand.put("Apply", 1)
        assert set(await stand.hv_values(*NAMES)) == {50.0, 0.0}
        assert server.password not in stand.processes["rk"].text()


async def test_kill_9_of_the_server_in_the_middle_of_an_apply(tmp_path: Path, served) -> None:
    """Without a journal nothing further is written, and what was is taken back; the journal is told when it is back."""
    kind, server = served
    with stand_of(tmp_path, kind, config="health = 0.2") as stand:
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


async def test_a_server_that_hangs(tmp_path: Path, served) -> None:
    """SIGSTOP: the loop goes on, commands end in time, and the IOC can be stopped."""
    kind, server = served
    with stand_of(tmp_path, kind, config="health = 0.2") as stand:
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


def _signal(pid: int, number: int) -> None:
    import psutil

    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        os.kill(process.pid, number)
