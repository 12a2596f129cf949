"""Access security on the wire: rights that clients are told, puts that are refused, and a file that changes."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest
from aioca import FORMAT_TIME, CANothing, cainfo, camonitor
from caproto.sync import client as caproto_client
from ioc_support import TIMEOUT, caget, caput, lamp
from support import wait_until

FILE = """
UAG(operators) {{ alice, eve }}
HAG(here) {{ {host} }}
HAG(elsewhere) {{ far.example.org }}
ASG(DEFAULT) {{ RULE(1, READ) RULE(1, WRITE) {{ UAG(operators) HAG(elsewhere) }} }}
ASG(OPERATOR) {{ RULE(1, READ) RULE(1, WRITE, TRAPWRITE) {{ UAG(operators) HAG(here) }} }}
ASG(SYSRESET) {{ RULE(1, NONE) }}
"""


def put_as(monkeypatch: pytest.MonkeyPatch, user: str, name: str, value: float) -> float:
    """Put with caproto's client, which says that `user` runs it (libca asks the system), and read back."""
    monkeypatch.setenv("LOGNAME", user)
    logging.getLogger("caproto").setLevel(logging.CRITICAL)
    caproto_client.write(name, value, notify=True, repeater=False, timeout=TIMEOUT)
    return float(caproto_client.read(name, repeater=False, timeout=TIMEOUT).data[0])


async def test_rights_are_told_and_held(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stand.acf"
    path.write_text(FILE.format(host=socket.gethostname()))
    async with lamp(prefix, tmp_path, path) as process:
        pv = f"{prefix}L:Set"
        assert await caget(f"{prefix}IOC:ACCESS") == "stand.acf"
        mine = {name: await cainfo(f"{prefix}{name}") for name in ("L:Set", "L:Steps", "L:Current", "IOC:SYSRESET")}
        assert {name: (info.read, info.write) for name, info in mine.items()} == {
            "L:Set": (True, False),
            "L:Steps": (True, False),
            "L:Current": (True, False),
            "IOC:SYSRESET": (False, False),
        }
        with pytest.raises(Exception, match=r"(?i)write access"):
            await caput(pv, 1.5, wait=True, timeout=TIMEOUT)
        with pytest.raises(Exception, match=r"(?i)read access"):
            await caget(f"{prefix}IOC:SYSRESET", timeout=TIMEOUT)
        assert await asyncio.to_thread(put_as, monkeypatch, "alice", pv, 0.75) == 0.75
        assert any(f"{pv}: put of 0.75 by alice@{socket.gethostname()}" in line for line in process.log)
        # caproto's client does not say that it was refused; the value does
        assert await asyncio.to_thread(put_as, monkeypatch, "mallory", pv, 1.25) == 0.75
        assert await asyncio.to_thread(put_as, monkeypatch, "alice", f"{prefix}L:Steps", 4) == 3  # not from this host


async def test_a_changed_file_holds_at_once_for_connected_clients(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "stand.acf"
    path.write_text("ASG(DEFAULT) { RULE(1, READ) }")
    async with lamp(prefix, tmp_path, path) as process:
        pv = f"{prefix}L:Set"
        values: list[float] = []
        monitor = camonitor(pv, values.append, format=FORMAT_TIME)
        assert not (await cainfo(pv)).write

        path.write_text("ASG(DEFAULT) { RULE(1, WRITE) }  # longer than before")
        async with asyncio.timeout(TIMEOUT):
            while not (await cainfo(pv)).write:
                await asyncio.sleep(0.1)
        await caput(pv, 1.5, wait=True, timeout=TIMEOUT)

        path.write_text("ASG(DEFAULT) { RULE(1, WRITE) } and something else")
        await asyncio.to_thread(wait_until, lambda: f"{path}:1: 'and' where UAG" in process.text(), TIMEOUT)
        await caput(pv, 0.5, wait=True, timeout=TIMEOUT)  # as it was

        path.write_text("ASG(DEFAULT) { RULE(1, READ) }")
        async with asyncio.timeout(TIMEOUT):
            while (await cainfo(pv)).write:
                await asyncio.sleep(0.1)
        with pytest.raises((CANothing, Exception), match=r"(?i)write access"):
            await caput(pv, 1.0, wait=True, timeout=TIMEOUT)
        async with asyncio.timeout(TIMEOUT):
            while not values or values[-1] != 0.5:
                await asyncio.sleep(0.05)
        monitor.close()
