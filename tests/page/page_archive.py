"""An archive with what a page has to show: ramps, spikes, gaps, alarms, states, texts, arrays and hostile names."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from archiver.store import Columns, Dbr, StoreWriter
from archiver.store.events import CONNECTED, LOST

NS = 10**9
HOSTILE = "P:<img/src=x#onerror=alert;>"
"""A name that a page must not take for markup; every character is allowed in a PV name (but `=`, which is not)."""
HOSTILE_LABEL = "<b>On</b>\"'&<script>alert(1)</script>"


class Filler:
    """Writes samples of PVs by name, at once and as time goes on."""

    def __init__(self, folder: Path) -> None:
        self.writer = StoreWriter(folder)
        self.writer.open()

    def put(self, name: str, dbr: Dbr, time_ns: Any, values: Any, severity: Any = 0, status: Any = 0) -> None:
        """Samples of one PV; two-dimensional values are arrays."""
        time_ns = np.atleast_1d(np.asarray(time_ns, np.int64))
        n = len(time_ns)
        pv = self.writer.add_pvs([name])[name]
        self.writer.append(
            Columns(
                dbr,
                np.ndim(values) == 2,
                np.full(n, pv, np.uint32),
                time_ns,
                np.broadcast_to(np.asarray(severity, np.uint8), n).copy(),
                np.broadcast_to(np.asarray(status, np.uint16), n).copy(),
                np.asarray(values),
            )
        )

    def describe(self, name: str, **metadata: str) -> None:
        """Units, labels and so on."""
        self.writer.describe({self.writer.add_pvs([name])[name]: metadata})

    def events(self, name: str, *events: tuple[int, int]) -> None:
        """Connection events `(unix s, code)` of a PV."""
        times, codes = zip(*events, strict=True)
        pv = self.writer.add_pvs([name])[name]
        ids = np.full(len(times), pv, np.uint32)
        self.writer.append_events(ids, np.array(times, np.int64) * NS, np.array(codes, np.uint8))

    def segment(self) -> None:
        """Turn what is in the log into segments."""
        self.writer.roll()
        while self.writer.convert_next():
            pass

    def close(self) -> None:
        self.writer.close()


def fill(f: Filler, now: int) -> None:
    """The archive up to `now` (unix s)."""
    second = np.arange(now - 86_400, now)
    calm = second[(second < now - 30_000) | (second > now - 20_000)]  # nothing for 10,000 s
    day = 20 + 5 * np.sin(calm / 4000) + 0.2 * np.random.default_rng(1).normal(size=len(calm))
    spike = len(day) // 3
    day[spike] = 95.0
    f.describe("P:Day", EGU="degC", PREC="2", DESC="A day at 1 Hz with one spike and a gap")
    f.put("P:Day", Dbr.DOUBLE, calm * NS, day)
    # the last hour, each ten seconds, with alarms
    slow = np.arange(now - 3600, now, 10)
    current = 20 + 18 * np.sin((slow - now) / 500)
    severity = np.select([current > 37, current > 30], [2, 1], 0)
    f.describe("P:Current", EGU="uA", PREC="3", DESC="With alarms", HIGH="30", HIHI="37")
    f.put("P:Current", Dbr.DOUBLE, slow * NS, current, severity, np.select([severity == 2, severity == 1], [3, 4], 0))
    f.describe("P:Voltage", EGU="V", PREC="1")
    f.put("P:Voltage", Dbr.FLOAT, slow * NS, (1500 + slow % 600).astype(np.float32))
    f.describe("P:Vacuum", EGU="mbar", DESC="Eight decades, and a zero")
    pressure = 10.0 ** np.linspace(-9, -1, len(slow))
    pressure[5] = 0.0
    f.put("P:Vacuum", Dbr.DOUBLE, slow * NS, pressure)
    broken = np.full(len(slow), 7.0)
    broken[100:140] = np.nan
    f.describe("P:Broken", EGU="V")
    f.put("P:Broken", Dbr.DOUBLE, slow * NS, broken, np.where(np.isnan(broken), 3, 0), np.where(np.isnan(broken), 9, 0))
    f.describe("P:State", ENUM_0="Off", ENUM_1="Ramping", ENUM_2="On", ENUM_3="Tripped")
    turns = np.arange(now - 3600, now, 300)
    f.put(
        "P:State",
        Dbr.ENUM,
        turns * NS,
        (np.arange(len(turns)) % 4).astype(np.uint16),
        np.arange(len(turns)) % 4 // 3 * 2,
    )
    f.describe(HOSTILE, ENUM_0="Off", ENUM_1=HOSTILE_LABEL, DESC="<u>description</u>")
    f.put(HOSTILE, Dbr.ENUM, turns * NS, (np.arange(len(turns)) % 2).astype(np.uint16))
    texts = np.array([f"step {i} <i>&amp;</i>".encode() for i in range(len(turns))], "S40")
    f.put("P:Message", Dbr.STRING, turns * NS, texts)
    x = np.arange(500)
    waves = np.stack([np.sin(x / 30 + i) * np.exp(-x / 300) for i in range(len(turns))])
    f.describe("P:Wave", EGU="mV", NELM="500", EAA_COUNT="500", DESC="A pulse")
    f.put("P:Wave", Dbr.DOUBLE, turns * NS, waves)
    # fast: 200 Hz for the last ten minutes
    fast = np.arange((now - 600) * 200, now * 200, dtype=np.int64)
    f.describe("P:Fast", EGU="V")
    f.put("P:Fast", Dbr.DOUBLE, fast * (NS // 200), np.sin(fast / 300.0))
    # a PV whose connection was lost for 1000 s, and one that is gone since ten minutes
    f.describe("P:Lost", EGU="V")
    back = slow[(slow < now - 2000) | (slow >= now - 1000)]
    f.put("P:Lost", Dbr.DOUBLE, back * NS, 5 + np.sin(back / 100))
    f.events("P:Lost", (now - 3600, CONNECTED), (now - 2000, LOST), (now - 1001, CONNECTED))
    f.describe("P:Gone", EGU="V")
    f.put("P:Gone", Dbr.DOUBLE, slow[slow < now - 600] * NS, np.full(int((slow < now - 600).sum()), 3.0))
    f.events("P:Gone", (now - 3600, CONNECTED), (now - 600, LOST))
    f.describe("P:Old", EGU="V")
    f.put("P:Old", Dbr.DOUBLE, (now - 40 * 86_400) * NS, np.array([42.0]))
    f.segment()
    f.writer.add_pvs(["P:Nothing"])


class Tail:
    """Goes on with the newest samples of `P:Live`, ten a second, in a thread."""

    def __init__(self, f: Filler) -> None:
        self._f = f
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            now = time.time_ns()
            self._f.put("P:Live", Dbr.DOUBLE, now, np.array([np.sin(now / 5e9)]))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
