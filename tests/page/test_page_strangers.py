"""What a stranger's page can make a browser on the archiver's host do: nothing. The archive's own page may."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from page_browser import TIMEOUT, View
from support import free_port, start, wait_until

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import expect

from archiver.store import StoreWriter

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An archive that everybody on this host may change; A has been asked for."""
    folder = tmp_path_factory.mktemp("strangers") / "store"
    store = StoreWriter(folder)
    store.open()
    store.close()
    number = free_port()
    argv = [sys.executable, "-m", "archiver.retrieval", "--folder", str(folder), "--http", f"127.0.0.1:{number}"]
    process = start(argv, timeout=90)
    assert httpx.get(f"http://127.0.0.1:{number}/mgmt/bpl/archivePV?pv=A").json()[0]["status"].endswith("submitted")
    yield number
    assert process.stop(60) == 0


def status(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/mgmt/bpl/getPVStatus?pv=A").json()[0]["status"]


@contextmanager
def stranger(body: str) -> Iterator[str]:
    """The address of a page under a name that is not the archiver's."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://stranger.test:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", "rebound.test", socket.gethostname()])
def test_an_image_of_a_stranger_s_page_pauses_nothing(chromium: Any, port: int, host: str) -> None:
    def refusals() -> int:
        return len(httpx.get(f"http://127.0.0.1:{port}/api/audit?refused=true").json())

    before = refusals()
    image = f'<img referrerpolicy="no-referrer" src="http://{host}:{port}/mgmt/bpl/pauseArchivingPV?pv=A">'
    with stranger(image) as url:
        context = chromium.new_context()
        context.new_page().goto(url, timeout=TIMEOUT)
        wait_until(lambda: refusals() > before, 60, "the request to come, and to be refused", interval=0.1)
        context.close()
    assert status(port) == "Initial sampling"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", socket.gethostname()])
def test_the_archive_s_own_page_may(chromium: Any, port: int, host: str) -> None:
    view = View(chromium, f"http://{host}:{port}")
    view.go("#pvs")
    view.page.locator('table.pvs tr[data-pv="A"]').get_by_role("checkbox").check()
    view.page.locator("#pause").click()
    expect(view.page.locator('table.pvs tr[data-pv="A"] .alarm')).to_have_text("paused")
    assert status(port) == "Paused"
    view.page.locator('table.pvs tr[data-pv="A"]').get_by_role("checkbox").check()
    view.page.locator("#resume").click()
    expect(view.page.locator('table.pvs tr[data-pv="A"] .alarm')).not_to_have_text("paused")
    view.finish()
