"""Loopback only: the Channel Access environment is pinned before any CA library is imported.

Every pytest process has a CA port of its own, so that neither a running demo nor another test is ever reached.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from support import free_port

CA_PORT = free_port()
for _name in [n for n in os.environ if n.startswith(("EPICS_CA", "EPICS_PVA"))]:
    del os.environ[_name]
os.environ |= {
    "EPICS_CA_SERVER_PORT": str(CA_PORT),
    "EPICS_CA_REPEATER_PORT": str(free_port()),
    "EPICS_CA_ADDR_LIST": "127.255.255.255",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.255.255.255",
    "QT_QPA_PLATFORM": "offscreen",
}

import pytest  # noqa: E402  (the environment above comes first)
from support import unique_prefix  # noqa: E402


@pytest.fixture
def prefix() -> str:
    """A PV prefix of this test's own."""
    return unique_prefix()
