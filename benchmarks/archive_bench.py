"""What the archive's benchmarks share: an engine process over a site file of its own, and a look at what it stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from archiver.store import StoreWriter
from archiver.store.manifest import load_manifest


class EngineRun:
    """The engine as a child process that archives `names`, found at 127.0.0.1:`ports`, into `folder`."""

    def __init__(self, folder: Path, ports: list[int], names: list[str], extra: str = "") -> None:
        self.folder = folder
        self.archive = folder / "state" / "archive"
        self.log: list[str] = []
        search = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        rules = "\n".join(f'[[archiver.pv]]\nname = "{name}"' for name in names)
        site = f'[site]\nname = "BENCH"\n[ca]\nport = {ports[0]}\n[archiver]\nsearch = [{search}]\n{extra}\n{rules}\n'
        (folder / "site.toml").write_text(site)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> EngineRun:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EPICS_CA")}
        environment["EPICS_CA_REPEATER_PORT"] = "0"
        command = [sys.executable, "-u", "-m", "archiver.engine", "--site", str(self.folder / "site.toml")]
        self._process = subprocess.Popen(
            [*command, "--state", str(self.folder / "state")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        self.wait_for(lambda: any(line.startswith("ready") for line in self.log), "the engine", 120)
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is not None:
            for line in process.stdout:
                self.log.append(line.rstrip())

    def wait_for(self, condition: Any, what: str, seconds: float) -> None:
        """Poll until `condition()` is true; RuntimeError with the engine's log after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"waited for {what}:\n" + "\n".join(self.log[-20:]))
            time.sleep(0.05)

    @property
    def process(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process

    def status(self) -> dict[str, Any]:
        """The engine's counters, as it last wrote them."""
        try:
            return json.loads((self.archive / "engine.json").read_text())
        except (OSError, ValueError):
            return {}

    def fresh_status(self) -> dict[str, Any]:
        """Counters that were written after this call."""
        before = self.status().get("updated", 0)
        self.wait_for(lambda: self.status().get("updated", 0) > before, "new counters", 60)
        return self.status()

    def cpu_seconds(self) -> float:
        """CPU seconds of the engine so far, all threads."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Bytes of resident memory."""
        return psutil.Process(self.process.pid).memory_info().rss

    def stop(self) -> None:
        """SIGTERM and wait; RuntimeError unless it ends with 0."""
        self.process.terminate()
        if self.process.wait(120) != 0:
            raise RuntimeError("the engine failed:\n" + "\n".join(self.log[-20:]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Stored:
    """What an archive of counters holds: samples, PVs, events that are missing between a PV's first and last one."""

    samples: int
    pvs: int
    lost: int
    bytes: int

    @property
    def bytes_per_sample(self) -> float:
        """Bytes of segments and what lies beside them, a sample."""
        return self.bytes / max(1, self.samples)


def finish(archive: Path) -> dict[str, int]:
    """Turn every log into segments; returns the archive's totals."""
    writer = StoreWriter(archive)
    writer.open()
    while writer.convert_next():
        pass
    writer.close()
    return writer.manifest.totals


def check_counters(archive: Path) -> Stored:
    """Read everything back: the values of each PV must count up by one."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    samples = lost = size = 0
    segments = [s for s in load_manifest(archive / "manifest.json").segments if s.kind == "double"]
    for segment in sorted(segments, key=lambda segment: segment.name):
        size += segment.bytes + sum(beside for _, beside, _ in segment.sidecars)
        file = pq.ParquetFile(archive / "segments" / segment.name)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["pv", "value"])
            names = table.column("pv").combine_chunks()
            names = names if hasattr(names, "dictionary") else names.dictionary_encode()
            codes = names.indices.to_numpy()
            values = table.column("value").to_numpy()
            samples += len(values)
            starts = np.flatnonzero(np.diff(codes, prepend=-1))
            ends = np.append(starts[1:], len(codes))
            steps = np.diff(values)
            inside = np.diff(codes) == 0
            lost += int((steps[inside] - 1).sum())
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                name = names.dictionary[int(codes[start])].as_py()
                if name in last:
                    lost += int(values[start] - last[name] - 1)
                first.setdefault(name, float(values[start]))
                last[name] = float(values[end - 1])
    return Stored(samples, len(last), lost, size)
