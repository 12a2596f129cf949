"""Real Chromium, and a retrieval process that serves an archive with whatever a page has to show."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Iterator

import pytest
from page_archive import Filler, Tail, fill
from page_browser import Archive, View
from support import free_port, start

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("page") / "store"
    filler = Filler(folder)
    now = int(time.time())
    fill(filler, now)
    tail = Tail(filler)
    port = free_port()
    argv = [sys.executable, "-m", "archiver.retrieval", "--folder", str(folder), "--http", f"127.0.0.1:{port}"]
    process = start(argv, timeout=90)
    yield Archive(f"http://127.0.0.1:{port}", folder, now)
    tail.stop()
    assert process.stop(60) == 0
    filler.close()
    assert not [line for line in process.log if "Traceback" in line], process.text()


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """A browser. One for each file: while its driver runs, no other event loop can in this thread."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium (Debian, Ubuntu: apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        # other names of this host, as a name server would give them
        names = f"--host-resolver-rules=MAP *.test 127.0.0.1,MAP {socket.gethostname()} 127.0.0.1"
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", names])
        yield browser
        browser.close()


@pytest.fixture
def view(chromium: object, archive: Archive) -> Iterator[View]:
    """The page in a window of its own; at the end there must have been no error and no request to anywhere else."""
    made = View(chromium, archive.url)
    yield made
    made.finish()
