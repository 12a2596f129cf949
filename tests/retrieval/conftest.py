"""A retrieval process that serves an archive of every kind of PV."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import httpx
import pytest
from archive_fill import Server, fill
from support import free_port, start


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("archive") / "store"
    fill(folder)
    port = free_port()
    argv = [sys.executable, "-m", "archiver.retrieval", "--folder", str(folder), "--http", f"127.0.0.1:{port}"]
    process = start(argv, timeout=60)
    with httpx.Client(timeout=60) as client:
        yield Server(f"http://127.0.0.1:{port}", folder, process, client)
    assert process.stop(30) == 0
    assert not [line for line in process.log if "ERROR" in line or "Traceback" in line], process.text()
