"""Whose turn it is: short requests beside long ones, and work that ends when nobody waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from archive_fill import NS, T0, Filler
from retrieval_inside import on_a_socket
from support import wait_until

from archiver.retrieval.app import create_app
from archiver.retrieval.workers import SLICE_S, Gone, Job, Turns, Watched
from archiver.store import Dbr, Samples, StoreReader

WINDOW = "from=2026-11-20T08:00:00Z&to=2100-01-01T00:00:00Z"


class Endless:
    """A reader whose PV `T:Endless` never ends; how many such streams are open."""

    def __init__(self, folder: Path) -> None:
        self._reader = StoreReader(folder)
        self.open = 0
        self.begun = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, name: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
        return self._endless() if name == "T:Endless" else self._reader.read(name, from_ns, to_ns)

    def _endless(self) -> Iterator[Samples]:
        n = 20_000
        zeros = np.zeros(n)
        self.open += 1
        self.begun += 1
        try:
            start = T0 * NS
            while True:
                times = start + np.arange(n, dtype=np.int64) * NS
                start = int(times[-1]) + NS
                yield Samples(Dbr.DOUBLE, False, times, zeros.astype(np.uint8), zeros.astype(np.uint16), zeros)
                if start > 4 * 10**18:
                    start = T0 * NS
        finally:
            self.open -= 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "store"
    f = Filler(folder)
    for name in ("T:Endless", "T:Short"):
        f.put(name, Dbr.DOUBLE, (T0 + np.arange(10)) * NS, np.arange(10.0))
    f.segment()
    f.close()
    return folder


def ask(address: tuple[str, int], pv: str, extension: str = "json") -> socket.socket:
    sock = socket.create_connection(address, timeout=60)
    sock.sendall(f"GET /retrieval/data/getData.{extension}?pv={pv}&{WINDOW} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return sock


@pytest.mark.parametrize(
    ("pv", "extension"),
    [
        ("T:Endless", "json"),  # an answer that goes on
        ("flyers_86400_9(T:Endless)", "json"),  # one that has not begun
        ("T:Endless", "mat"),
    ],
)
def test_a_client_that_leaves_ends_the_work(folder: Path, pv: str, extension: str):
    reader: Any = Endless(folder)
    with on_a_socket(create_app(reader)) as address:
        socks = [ask(address, pv, extension) for _ in range(3)]
        wait_until(lambda: reader.begun >= 3, 60, "three streams")
        if (pv, extension) == ("T:Endless", "json"):
            assert socks[0].recv(10).startswith(b"HTTP/1.1 2")
        assert reader.open >= 1
        for sock in socks:
            sock.close()
        wait_until(lambda: reader.open == 0, 60, "all streams closed")


def test_short_requests_come_beside_many_long_ones(folder: Path):
    reader: Any = Endless(folder)
    with on_a_socket(create_app(reader)) as address:
        socks = [ask(address, "flyers_86400_9(T:Endless)") for _ in range(20)]
        wait_until(lambda: reader.begun >= 20, 60, "twenty streams")
        url = f"http://{address[0]}:{address[1]}/retrieval"
        with httpx.Client(timeout=60) as client:
            for _ in range(5):
                found = client.get(f"{url}/data/getData.json?pv=T:Short&{WINDOW}").json()
                assert len(found[0]["data"]) == 10
                assert client.get(f"{url}/bpl/getMatchingPVs?pv=T:*").json() == ["T:Endless", "T:Short"]
        for sock in socks:
            sock.close()
        wait_until(lambda: reader.open == 0, 60, "all streams closed")


def test_parallel_viewers_share(folder: Path):
    """Each of twenty that read as fast as they can gets something, and none much more than another."""
    reader: Any = Endless(folder)
    with on_a_socket(create_app(reader)) as address:
        socks = [ask(address, "T:Endless") for _ in range(20)]
        got = [0] * len(socks)
        stop = threading.Event()

        def take(number: int) -> None:
            while not stop.is_set():
                got[number] += len(socks[number].recv(1 << 20))

        threads = [threading.Thread(target=take, args=(n,)) for n in range(len(socks))]
        for thread in threads:
            thread.start()
        wait_until(lambda: min(got) > 20_000_000, 120, "20 MB for each")
        stop.set()
        for thread in threads:
            thread.join(60)
        assert max(got) < 10 * min(got)
        for sock in socks:
            sock.close()
        wait_until(lambda: reader.open == 0, 60, "all streams closed")


def test_turns_are_given_in_order():
    turns = Turns(short=1, long=1)
    order: list[int] = []
    waiting = threading.Semaphore(0)

    def work(number: int) -> None:
        waiting.release()
        turns.take(0)
        order.append(number)
        turns.give(0)

    turns.take(0)
    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        waiting.acquire()
        wait_until(lambda n=number: len(turns._waiting[0]) == n + 1, 30, "it waits")
    assert turns.wanted(0) and not turns.wanted(1)
    turns.give(0)
    for thread in threads:
        thread.join(30)
    assert order == [0, 1, 2, 3, 4] and not turns.wanted(0)


def test_a_job_that_computes_for_long_gives_way(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    turns = Turns(short=1, long=1)
    job = Job(turns)
    with job:
        now[0] += SLICE_S
        job.pause()
        assert turns._free == [0, 1]
        now[0] += 10
        job.pause()
        assert turns._free == [1, 0]
    assert turns._free == [1, 1]
    with job:
        assert turns._free == [1, 0]


def test_nobody_waits_any_more():
    job = Job(Turns())
    with job:
        seen = []
        with pytest.raises(Gone):
            for item in job.watch([1, 2, 3]):
                seen.append(item)
                job.gone = True
    assert seen == [1]


def test_a_watched_reader_is_the_reader(folder: Path):
    reader = StoreReader(folder)
    job = Job(Turns())
    watched: Any = Watched(reader, job)
    with job:
        assert watched.names() == ["T:Endless", "T:Short"]
        assert sum(len(s) for s in watched.read("T:Short", 0, 2 * 10**18)) == 10
        assert sum(b.num_rows for b in watched.read_arrow("T:Short", 0, 2 * 10**18)) == 10
        bins = list(watched.summaries("T:Short", 60, T0 * NS, (T0 + 60) * NS))
        assert int(sum(b.count.sum() for b in bins)) == 10
    reader.close()
