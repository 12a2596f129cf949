"""The test IOC as a process, and a client of it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioca
from aioca import DBR_CHAR_STR, CANothing, purge_channel_caches
from support import Process, start

HERE = Path(__file__).parent
PUTFAIL, NORDACCESS, NOWTACCESS = 160, 368, 376
TIMEOUT = 30.0

# what these return is a float, int, str or array with attributes, which aioca's type cannot say
caget: Any = aioca.caget
caput: Any = aioca.caput


def start_lamp(prefix: str, *args: object, env: dict[str, str] | None = None, ready: str | None = "ready") -> Process:
    """`lamp_ioc.py` with this prefix."""
    return start([sys.executable, str(HERE / "lamp_ioc.py"), prefix, *map(str, args)], ready=ready, env=env)


@asynccontextmanager
async def lamp(prefix: str, *args: object, env: dict[str, str] | None = None) -> AsyncIterator[Process]:
    """The same, stopped afterwards: cleanly, or the test fails."""
    process = start_lamp(prefix, *args, env=env)
    try:
        yield process
    except BaseException:
        print(process.text())
        raise
    finally:
        purge_channel_caches()
        code = process.stop(TIMEOUT) if process.returncode is None else process.returncode
    assert code == 0, process.text()


async def text(name: str) -> str:
    """A char waveform as text."""
    return await caget(name, datatype=DBR_CHAR_STR, timeout=TIMEOUT)


def code(error: CANothing) -> int:
    """The ECA status of a refused operation."""
    return int(error.errorcode)
