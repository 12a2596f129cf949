"""One soft IOC for the tests of a file."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from support import unique_prefix
from watch_bench import put, running


@pytest.fixture(autouse=True)
async def forget_channels() -> AsyncIterator[None]:
    """aioca's channels end with the test's loop."""
    yield
    if "aioca" in sys.modules:
        from aioca import purge_channel_caches

        purge_channel_caches()


@pytest.fixture(scope="module")
def soft_prefix() -> Iterator[str]:
    prefix = unique_prefix()
    with running(prefix, 3, "free"):
        yield prefix


@pytest.fixture
async def soft(soft_prefix: str) -> str:
    """The prefix of a soft IOC of which nothing is in alarm."""
    for name, value in (("L01:IMon", 0.0), ("L02:IMon", 0.0), ("L03:IMon", 0.0), ("X:State", 0), ("X:Switch", 1.0)):
        await put(soft_prefix + name, value)
    return soft_prefix
