"""Archives to read: one with every kind of PV, as files and behind a retrieval process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from retrieval.archive_fill import Server, fill
from support import free_port, start


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an archive of every kind of PV."""
    folder = tmp_path_factory.mktemp("archive") / "store"
    fill(folder)
    return folder


@pytest.fixture(scope="session")
def server(filled: Path) -> Iterator[Server]:
    """A retrieval process that serves it."""
    port = free_port()
    argv = [sys.executable, "-m", "archiver.retrieval", "--folder", str(filled), "--http", f"127.0.0.1:{port}"]
    process = start(argv, timeout=60)
    with httpx.Client(timeout=60) as client:
        yield Server(f"http://127.0.0.1:{port}", filled, process, client)
    assert process.stop(30) == 0
