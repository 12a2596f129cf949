"""How fast a year of 1 Hz is read, in process and through HTTP, with the limits and a plain pyarrow read beside.

    python benchmarks/archive_read.py [--folder FOLDER] [--days 365]

The archive is made first (`archive_year.py`, a minute or two), in a temporary folder or in FOLDER, which stays. For
what is `cold`, the page cache is dropped when this runs as root; otherwise only this program's own knowledge is new.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from archive_year import DAY, MANY, MANY_SAMPLES, START, build
from ports import free_port

from archiver.store import StoreReader

NS = 10**9


def report(what: str, figure: str, limit: str = "", ok: bool | None = None) -> None:
    """One line."""
    verdict = "" if ok is None else ("ok" if ok else "OVER")
    print(f"{what:58} {figure:>34}   {limit:26} {verdict}", flush=True)


def best_of(times: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs."""
    best = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def drop_caches() -> bool:
    """Have the system forget what it read; False when that isn't allowed."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def in_process(folder: Path, end: int) -> None:
    """The store's reader."""
    reader = StoreReader(folder)
    for name in ("YEAR:ADC", "YEAR:NOISE"):
        rows = sum(batch.num_rows for batch in reader.read_arrow(name, START, end))
        seconds = best_of(3, lambda name=name: sum(b.num_rows for b in reader.read_arrow(name, START, end)))
        figure = f"{rows / seconds / 1e6:.1f} M samples/s ({seconds:.2f} s)"
        report(f"{name}: {rows:,} samples into Arrow", figure, "at least 10 M/s", rows / seconds >= 10e6)
        seconds = best_of(2, lambda name=name: sum(len(s) for s in reader.read(name, START, end)))
        report(f"{name}: into numpy", f"{rows / seconds / 1e6:.1f} M samples/s")
    seconds = best_of(2, lambda: plain(folder, "YEAR:ADC"))
    report("YEAR:ADC: pyarrow alone, all files, filtered by name", f"{rows / seconds / 1e6:.1f} M samples/s")
    seconds = best_of(2, lambda: duck(folder, "YEAR:ADC"))
    report("YEAR:ADC: DuckDB, all files, filtered by name", f"{rows / seconds / 1e6:.1f} M samples/s")
    for unit in (60, 3600):
        bins = sum(len(b) for b in reader.summaries("YEAR:ADC", unit, START, end))
        seconds = best_of(5, lambda unit=unit: sum(len(b) for b in reader.summaries("YEAR:ADC", unit, START, end)))
        report(f"YEAR:ADC: {bins:,} summaries of {unit} s", f"{seconds * 1e3:.0f} ms", "under 60 ms", seconds < 0.06)
    names = [f"MANY:{i:05d}" for i in range(MANY)]
    for what, at in (("now", end), ("in the middle of 32 M samples", end - MANY_SAMPLES // 2 * 60 * NS)):
        if len(reader.newest(names, at)) != MANY:
            raise RuntimeError("some PVs have no sample")
        seconds = best_of(3, lambda at=at: reader.newest(names, at))
        report(f"{MANY:,} newest samples, {what}", f"{seconds * 1e3:.0f} ms", "under 500 ms", seconds < 0.5)
    seconds = best_of(3, reader.infos)
    report(f"totals of {len(reader.infos()):,} PVs", f"{seconds * 1e3:.0f} ms", "under 500 ms", seconds < 0.5)
    reader.close()


def plain(folder: Path, name: str) -> int:
    """The same samples as anybody reads them who knows nothing of our indexes."""
    rows = 0
    for path in sorted((folder / "segments" / "double").glob("months-*.parquet")):
        if path.name.count(".") == 1:
            file = pq.ParquetFile(path, memory_map=True)
            for batch in file.iter_batches(1 << 17, columns=["pv", "time", "severity", "status", "value"]):
                rows += batch.filter(pc.call_function("equal", [batch.column("pv"), pa.scalar(name)])).num_rows
    return rows


def duck(folder: Path, name: str) -> int:
    """The same samples, by DuckDB into Arrow."""
    import duckdb

    paths = [str(p) for p in (folder / "segments" / "double").glob("months-*.parquet") if p.name.count(".") == 1]
    query = "select time, severity, status, value from read_parquet($paths) where pv = $name order by time"
    result = duckdb.sql(query, params={"paths": paths, "name": name})
    batches = () if result is None else result.to_arrow_reader(1 << 17) or ()
    return sum(batch.num_rows for batch in batches)


@contextmanager
def served(folder: Path):
    """A retrieval process of its own on `folder`, and its port."""
    port = free_port()
    command = [sys.executable, "-m", "archiver.retrieval", "--folder", str(folder), "--http", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        await_port(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def await_port(process: subprocess.Popen, port: int) -> None:
    """Wait until it serves; RuntimeError with what it said when it ends instead."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"retrieval ended: {process.stderr.read() if process.stderr else ''}")
        try:
            fetch(port, "/retrieval/ping")
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("retrieval doesn't answer")


def fetch(port: int, path: str, body: bytes | None = None) -> tuple[float, float, int, bytes]:
    """Seconds to the first byte of the body and to the last, bytes, and the beginning of the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    begin = time.perf_counter()
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request("GET" if body is None else "POST", path, body, headers)
    answer = connection.getresponse()
    head = answer.read1(1 << 16)
    first = time.perf_counter() - begin
    size, keep = len(head), head
    while data := answer.read(1 << 20):
        size += len(data)
        if len(keep) < 1 << 22:
            keep += data
    seconds = time.perf_counter() - begin
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {head[:200]!r}")
    return first, seconds, size, keep


def iso(time_ns: int) -> str:
    """A time as clients write it."""
    return str(np.datetime64(time_ns // 10**6, "ms")) + "Z"


def through_http(folder: Path, end: int) -> None:
    """A retrieval process and a plain HTTP client, both on this machine."""
    samples = (end - START) // NS
    window = f"from={iso(START)}&to={iso(end)}"

    def data(ext: str, pv: str, when: str = window) -> str:
        return f"/retrieval/data/getData.{ext}?pv={quote(pv)}&{when}"

    with served(folder) as port:
        first, seconds, size, _ = fetch(port, data("raw", "YEAR:ADC"))
        rate = samples / seconds
        figure = f"{rate / 1e6:.2f} M samples/s ({size / 1e6:.0f} MB)"
        report("YEAR:ADC as .raw", figure, "at least 2 M/s", rate >= 2e6)
        warm = min(fetch(port, data("json", "optimized_2000(YEAR:ADC)"))[1] for _ in range(5))
        report("optimized_2000 over it, json, warm", f"{warm * 1e3:.0f} ms", "under 100 ms", warm < 0.1)
        day = f"from={iso(end - DAY)}&to={iso(end)}"
        fetch(port, data("json", "FAST:10HZ", day))
        first, seconds, size, _ = min(fetch(port, data("json", "FAST:10HZ", day)) for _ in range(3))
        report("a day of 10 Hz as json: first byte", f"{first * 1e3:.0f} ms", "under 50 ms", first < 0.05)
        report(
            "... all of it", f"{864_000 / seconds / 1e6:.2f} M samples/s", "at least 1 M/s", 864_000 / seconds >= 1e6
        )
        names = json.dumps([f"MANY:{i:05d}" for i in range(MANY)]).encode()
        for what, at in (("now", end), ("in the middle of 32 M samples", end - MANY_SAMPLES // 2 * 60 * NS)):
            path = f"/retrieval/data/getDataAtTime?at={iso(at)}"
            seconds = min(fetch(port, path, names)[1] for _ in range(3))
            report(f"getDataAtTime of {MANY:,} PVs, {what}", f"{seconds * 1e3:.0f} ms", "under 1 s", seconds < 1)
        many_pvs(port, end)
    dropped = True
    cold = []
    for _ in range(3):
        with served(folder) as port:
            dropped = drop_caches() and dropped
            cold.append(fetch(port, data("json", "optimized_2000(YEAR:ADC)"))[1])
    note = "cold" if dropped else "first of a new process"
    report(f"optimized_2000 over it, json, {note}", f"{min(cold) * 1e3:.0f} ms", "under 500 ms", min(cold) < 0.5)


def many_pvs(port: int, end: int) -> None:
    """A few samples of each of many PVs: in one request, and in one request each over a connection that stays."""
    names = [f"MANY:{i:05d}" for i in range(MANY)]
    middle = end - MANY_SAMPLES // 2 * 60 * NS
    window = f"from={iso(middle)}&to={iso(middle + 600 * NS)}"
    for ext in ("raw", "json"):
        path = f"/retrieval/data/getDataForPVs.{ext}?{window}"
        first, seconds, _, _ = min(fetch(port, path, json.dumps(names).encode()) for _ in range(3))
        each = one_by_one(port, [f"/retrieval/data/getData.{ext}?pv={n}&{window}" for n in names[::20]])
        figure = f"{seconds:.2f} s, first byte {first * 1e3:.0f} ms"
        ratio = each * MANY / seconds
        report(
            f"getDataForPVs.{ext} of {MANY:,} PVs, ten minutes", figure, f"one by one {each * MANY:.1f} s: {ratio:.1f}x"
        )


def one_by_one(port: int, paths: list[str]) -> float:
    """Seconds that a request takes, on average."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    begin = time.perf_counter()
    for path in paths:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
    seconds = time.perf_counter() - begin
    connection.close()
    return seconds / len(paths)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--days", type=int, default=365)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="owl-year-") as temporary:
        folder = (options.folder or Path(temporary) / "archive").resolve()
        end = START + options.days * DAY
        if not (folder / "manifest.json").exists():
            begin = time.perf_counter()
            build(folder, options.days)
            rows = StoreReader(folder).totals()["stored"]
            seconds = time.perf_counter() - begin
            report(f"an archive of {rows:,} samples is made", f"{rows / seconds / 1e6:.1f} M samples/s")
        in_process(folder, end)
        through_http(folder, end)


if __name__ == "__main__":
    main()
