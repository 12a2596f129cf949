"""The how-to's example runs as it stands there."""

import asyncio
import os
import sys

import pytest
from aioca import FORMAT_TIME, CANothing, caget, caput, purge_channel_caches
from support import ROOT, start, unique_prefix

CHILLER = ROOT / "docs" / "how-to" / "chiller"


async def test_the_chiller() -> None:
    prefix = unique_prefix()
    simulator = start([sys.executable, str(CHILLER / "simulator.py"), "0"])
    try:
        port = simulator.log[0].rsplit(":", 1)[1]
        argv = [sys.executable, str(CHILLER / "chiller.py"), prefix, "127.0.0.1", port]
        ioc = start([*argv, os.environ["EPICS_CA_SERVER_PORT"]])
        try:
            await caput(f"{prefix}Setpoint", 21.0, wait=True, timeout=10)
            for refused in (36.0, float("nan")):
                with pytest.raises(CANothing):
                    await caput(f"{prefix}Setpoint", refused, wait=True, timeout=10)
            await _until(f"{prefix}Setpoint_RBV", lambda v: v.severity == 0 and v == 21.0)
            await _until(f"{prefix}Temperature", lambda v: v.severity == 0 and v < 22.0)
            simulator.kill()
            await _until(f"{prefix}Temperature", lambda v: v.severity == 3)
            with pytest.raises(CANothing):
                await caput(f"{prefix}Setpoint", 20.0, wait=True, timeout=10)
        finally:
            purge_channel_caches()
            assert ioc.stop() == 0
    finally:
        simulator.kill()


async def _until(name: str, condition) -> None:
    async with asyncio.timeout(30):
        while not condition(await caget(name, format=FORMAT_TIME, timeout=10)):
            await asyncio.sleep(0.05)
