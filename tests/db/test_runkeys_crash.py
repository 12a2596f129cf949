"""Commit and fetch in processes that are killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from db_servers import KINDS, ready_url


@pytest.mark.parametrize("what", ["commit", "fetch"])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_on_the_way(kind: str, what: str) -> None:
    urls = [ready_url(kind), ready_url(kind)]
    stride = 29 if kind == "sqlite" else 97
    program = str(Path(__file__).with_name("runkey_crash.py"))
    done = subprocess.run(
        [sys.executable, "-W", "error", program, *urls, what, str(stride)], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) > 2
