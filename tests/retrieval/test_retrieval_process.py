"""The process: ready line, ports, signals, streaming, clients that go away."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from archive_fill import NS, T0, Filler, Server
from support import Process, free_port, start, wait_until

from archiver.store import Dbr


def argv(folder: Path, *addresses: str) -> list[str]:
    http = [part for address in addresses for part in ("--http", address)]
    return [sys.executable, "-m", "archiver.retrieval", "--folder", str(folder), *http]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_ports_one_ready_line_and_a_clean_stop(tmp_path: Path, number: int):
    one, two = free_port(), free_port()
    process = start(argv(tmp_path / "none", f"127.0.0.1:{one}", f"127.0.0.1:{two}"), timeout=60)
    assert process.log[0] == f"ready http://127.0.0.1:{one} http://127.0.0.1:{two}"
    with httpx.Client(timeout=30) as client:  # an idle connection must not hold up the stop
        for port in (one, two):
            assert client.get(f"http://127.0.0.1:{port}/retrieval/bpl/getMatchingPVs?pv=*").json() == []
        process.signal(number)
        assert process.wait(30) == 0
    assert "Traceback" not in process.text()


def test_a_port_in_use_is_one_clear_line(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = Process(argv(tmp_path, address))
        assert process.wait(60) == 1
        assert process.log == [f"archiver retrieval: cannot listen on {address}: another process does already"]


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:"])
def test_an_address_that_is_none(tmp_path: Path, address: str):
    process = Process(argv(tmp_path, address))
    assert process.wait(60) == 1
    assert len(process.log) == 1 and address in process.log[0]


def test_neither_site_nor_folder_is_a_usage_error():
    process = Process([sys.executable, "-m", "archiver.retrieval"])
    assert process.wait(60) == 2


def test_what_is_no_archive_is_503(tmp_path: Path):
    (tmp_path / "registry.log").mkdir()
    port = free_port()
    process = start(argv(tmp_path, f"127.0.0.1:{port}"), timeout=60)
    reply = httpx.get(f"http://127.0.0.1:{port}/retrieval/data/getData.json?pv=A", timeout=30)
    assert reply.status_code == 503 and "archive cannot be read" in reply.text
    assert process.stop(30) == 0


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three million samples of one PV."""
    folder = tmp_path_factory.mktemp("big") / "store"
    f = Filler(folder)
    n = 500_000
    for part in range(6):
        when = (T0 * 10 + np.arange(n, dtype=np.int64) + part * n) * (NS // 10)
        f.put("T:Big", Dbr.DOUBLE, when, np.random.default_rng(part).normal(size=n))
    f.segment()
    f.close()
    return folder


def test_a_long_answer_needs_no_memory_and_ends_when_the_client_does(big: Path):
    port = free_port()
    process = start(argv(big, f"127.0.0.1:{port}"), timeout=60)
    me = psutil.Process(process.pid)
    url = f"http://127.0.0.1:{port}/retrieval/data/getData"
    window = "from=2026-11-20T08:00:00Z&to=2026-12-20T08:00:00Z"
    with httpx.Client(timeout=60) as client:
        client.get(f"{url}.json?pv=T:Big&from=2026-11-20T08:00:00Z&to=2026-11-20T09:00:00Z")
        before = me.memory_info().rss
        peak, length, lines = before, 0, 0
        with client.stream("GET", f"{url}.json?pv=T:Big&{window}") as reply:
            for piece in reply.iter_bytes(1 << 20):
                length += len(piece)
                lines += piece.count(b"\n")
                peak = max(peak, me.memory_info().rss)
        assert lines == 3_000_000 + 5 and length > 200_000_000
        assert peak - before < 100 << 20, f"{(peak - before) >> 20} MiB more"
        # a client that stops reading, and one that goes: no work is done for either
        with client.stream("GET", f"{url}.json?pv=T:Big&{window}") as reply:
            next(reply.iter_bytes(1000))

            def idle() -> bool:
                spent = sum(me.cpu_times()[:2])
                time.sleep(0.3)
                return sum(me.cpu_times()[:2]) - spent < 0.1

            wait_until(idle, 30, "no work while nobody reads")
            assert me.memory_info().rss - before < 100 << 20
        wait_until(idle, 30, "no work once the client is gone")
        # and a stop does not wait for one that hangs on
        with client.stream("GET", f"{url}.json?pv=T:Big&{window}") as reply:
            next(reply.iter_bytes(1000))
            process.signal(signal.SIGTERM)
            assert process.wait(30) == 0
    assert "Traceback" not in process.text(), process.text()


def test_other_answers_come_beside_a_long_one(server: Server):
    url = f"{server.url}/retrieval/data/getData.json?pv=T:Day&from=2026-11-20T00:00:00Z&to=2026-11-22T00:00:00Z"
    with server.client.stream("GET", url) as reply:
        next(reply.iter_bytes(1000))
        assert httpx.get(f"{server.url}/retrieval/ping", timeout=30).text == "Pong"


def test_new_samples_are_seen_while_it_runs(tmp_path: Path):
    folder = tmp_path / "store"
    port = free_port()
    process = start(argv(folder, f"127.0.0.1:{port}"), timeout=60)
    url = f"http://127.0.0.1:{port}/retrieval/data/getData.json?pv=T:New&from=2026-11-20T08:00:00Z&to=2026-11-20T09:00:00Z"
    with httpx.Client(timeout=30) as client:
        assert client.get(url).status_code == 404
        f = Filler(folder)
        for second in range(3):
            f.put("T:New", Dbr.LONG, (T0 + second) * NS, np.array([second], np.int32))
            assert [r["val"] for r in client.get(url).json()[0]["data"]] == list(range(second + 1))
            f.segment()
            assert [r["val"] for r in client.get(url).json()[0]["data"]] == list(range(second + 1))
        f.close()
    assert process.stop(30) == 0
