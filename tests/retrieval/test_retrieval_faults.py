"""An archive that is damaged, half there or gone, and a service that ends in the middle of an answer."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from archive_fill import NS, T0, Filler
from retrieval_inside import inside
from support import Process, free_port, start, wait_until

from archiver.config import ArchiverConfig
from archiver.management import Ledger
from archiver.retrieval.mounts import Place, application
from archiver.store import Dbr, StoreReader, StoreWriter
from archiver.store.places import PlaceError

WINDOW = {"from": "2026-11-20T08:00:00Z", "to": "2026-11-22T08:00:00Z"}
DATA = "/retrieval/data"


def served(folder: Path, *options: str) -> tuple[Process, str]:
    port = free_port()
    argv = [sys.executable, "-m", "archiver.retrieval", "--folder", folder, "--http", f"127.0.0.1:{port}", *options]
    return start([str(a) for a in argv], timeout=60), f"http://127.0.0.1:{port}"


def three_segments(folder: Path, config: ArchiverConfig | None = None) -> None:
    f = Filler(folder)
    if config is not None:
        f.writer.close()
        f.writer = StoreWriter(folder, config)
        f.writer.open()
    rng = np.random.default_rng(0)
    for part in range(3):
        times = (T0 + 10_000 * part + np.arange(5000, dtype=np.int64)) * NS
        f.put("T:A", Dbr.DOUBLE, times, rng.normal(size=5000))
        f.put("T:B", Dbr.STRING, times[:1], np.array([b"x"], "S40"))
        f.segment()
    deadline = time.monotonic() + 120
    while config is not None and {s.place for s in f.writer.manifest.segments} == {""}:
        if not f.writer.compact_next(today=10**6):
            time.sleep(0.02)
        assert time.monotonic() < deadline
    f.close()


def test_a_segment_that_is_damaged_is_left_out_and_named(tmp_path: Path):
    folder = tmp_path / "store"
    three_segments(folder)
    files = sorted((folder / "segments").rglob("*.parquet"), key=lambda p: p.stat().st_size)
    victim = files[-2]
    content = bytearray(victim.read_bytes())
    content[: len(content) // 2] = b"\xff" * (len(content) // 2)
    victim.write_bytes(content)
    process, url = served(folder)
    with httpx.Client(timeout=60) as client:
        reply = client.get(f"{url}{DATA}/getData.json", params={"pv": "T:A", **WINDOW})
        assert reply.status_code == 200 and len(reply.json()[0]["data"]) == 10_000
        reply = client.get(f"{url}{DATA}/getData.json", params={"pv": "T:A", **WINDOW})
        assert reply.status_code == 200 and len(reply.json()[0]["data"]) == 10_000
        assert (
            '299 owlshift "samples of T:A may be missing: 1 file(s) of the archive cannot be read"'
            in (reply.headers["warning"])
        )
        assert len(client.get(f"{url}{DATA}/getData.raw", params={"pv": "T:B", **WINDOW}).content) > 20
    assert process.stop(30) == 0
    assert any("can't be read and is left out" in line and victim.stem in line for line in process.log)


async def test_a_place_that_is_gone_is_503_until_it_is_back(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    config = ArchiverConfig.model_validate(
        {"tiers": {tier: {"place": str(elsewhere)} for tier in ("minutes", "days", "months")}}
    )
    three_segments(tmp_path / "store", config)
    assert list(elsewhere.rglob("*.parquet"))
    elsewhere.rename(tmp_path / "away")
    transport = httpx.ASGITransport(application(Place(tmp_path / "store", config)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
        for extension in ("json", "raw", "mat", "svg"):
            reply = await client.get(f"{DATA}/getData.{extension}", params={"pv": "T:A", **WINDOW})
            assert reply.status_code == 503 and reply.text.startswith("The archive cannot be read: "), reply.text
        (tmp_path / "away").rename(elsewhere)
        reply = await client.get(f"{DATA}/getData.json", params={"pv": "T:A", **WINDOW})
        assert reply.status_code == 200 and len(reply.json()[0]["data"]) == 15_000
        assert "warning" not in reply.headers


@pytest.mark.parametrize("fault", [PlaceError("s3://bucket doesn't answer:\n  timed out"), OSError(5, "I/O error")])
async def test_what_an_object_store_says_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
):
    three_segments(tmp_path / "store")
    reader = StoreReader(tmp_path / "store")

    def broken(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr(reader, "read", broken)
    monkeypatch.setattr(reader, "newest", broken)
    async with inside(reader) as client:
        replies = [
            await client.get(f"{DATA}/getData.json", params={"pv": "T:A"}),
            await client.get(f"{DATA}/getDataAtTime", params={"pv": "T:A"}),
        ]
    for reply in replies:
        assert reply.status_code == 503
        assert reply.text.startswith("The archive cannot be read: ") and reply.text.count("\n") == 1


async def test_a_folder_that_is_not_there(tmp_path: Path):
    folder = tmp_path / "store"
    async with inside(StoreReader(folder), ledger=Ledger(folder / "manage.db", writable=False)) as client:
        for path in (f"{DATA}/getData.json", f"{DATA}/getDataForPVs.raw", "/retrieval/bpl/getMetadata"):
            reply = await client.get(path, params={"pv": "T:A", **WINDOW})
            assert reply.status_code == 503 and reply.text.startswith("The archive's folder is not there")
        for query in ("getMatchingPVs?pv=*", "searchForPVsRegex?regex=.*"):
            reply = await client.get(f"/retrieval/bpl/{query}")
            assert reply.status_code == 503 and reply.text.startswith("The archive's folder is not there")
        three_segments(folder)
        assert (await client.get(f"{DATA}/getData.json", params={"pv": "T:A", **WINDOW})).status_code == 200
        assert (await client.get(f"{DATA}/getData.json", params={"pv": "T:X", **WINDOW})).status_code == 404


def long_answer(url: str, pv: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    sock = socket.create_connection((host, int(port)), timeout=60)
    query = "&".join(f"{k}={v}" for k, v in WINDOW.items())
    sock.sendall(f"GET {DATA}/getData.json?pv={pv}&{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    return sock


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_in_the_middle_of_an_answer(tmp_path: Path, number: signal.Signals):
    folder = tmp_path / "store"
    f = Filler(folder)
    for part in range(4):
        times = T0 * NS + (part * 250_000 + np.arange(250_000, dtype=np.int64)) * (NS // 10)
        f.put("T:Big", Dbr.DOUBLE, times, np.random.default_rng(part).normal(size=250_000))
    f.segment()
    f.close()
    process, url = served(folder)
    with long_answer(url, "T:Big") as sock:
        process.signal(number)
        assert process.wait(60) == (0 if number is signal.SIGTERM else -signal.SIGKILL)
        rest = b""
        try:
            while part := sock.recv(1 << 20):
                rest = part
        except ConnectionResetError:
            pass
        assert not rest.endswith(b"0\r\n\r\n")  # cut off, not ended as if whole
    again, url = served(folder)
    rows = httpx.get(f"{url}{DATA}/getData.csv", params={"pv": "T:Big", **WINDOW}, timeout=60).text
    assert rows.count("\n") == 1_000_001
    assert again.stop(30) == 0
    assert not [line for line in process.log + again.log if "Traceback" in line]


def test_a_log_of_requests_on_demand(tmp_path: Path):
    folder, log = tmp_path / "store", tmp_path / "access.log"
    three_segments(folder)
    process, url = served(folder, "--access-log", str(log))
    with httpx.Client(timeout=60) as client:
        reply = client.get(f"{url}{DATA}/getData.json", params={"pv": "T:A", **WINDOW})
        wait_until(log.exists, 60, "a line")
        log.rename(tmp_path / "moved.log")  # as logrotate does
        client.get(f"{url}/retrieval/ping")
        client.get(f"{url}/a%20b%01c?q=%00")
        wait_until(lambda: log.exists() and log.read_text().count("\n") == 2, 60, "two more")
    lines = (tmp_path / "moved.log").read_text().splitlines() + log.read_text().splitlines()
    assert process.stop(30) == 0
    first, second, third = [line.split(" ") for line in lines]
    assert first[1:3] == ["127.0.0.1", "GET"] and first[3].startswith(f"{DATA}/getData.json?pv=T%3AA&from=")
    assert first[4:6] == ["200", str(len(reply.content))] and float(first[6]) >= 0
    assert second[3:6] == ["/retrieval/ping", "200", "4"]
    assert third[3] == "/a%20b?c?q=%00" and third[4] == "404"
    assert abs(time.time() - time.mktime(time.strptime(first[0], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 4000
