"""An archive of every kind of PV, made by the store's own writer."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from support import Process

from archiver.store import Columns, Dbr, StoreWriter

NS = 10**9
T0 = calendar.timegm((2026, 11, 20, 8, 0, 0))
"""2026-11-20T08:00:00Z."""


class Filler:
    """Writes samples of PVs by name."""

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
        pv = self.writer.add_pvs([name])[name]
        self.writer.describe({pv: metadata})

    def segment(self) -> None:
        """Turn what is in the log into segments."""
        self.writer.roll()
        while self.writer.convert_next():
            pass

    def close(self) -> None:
        self.writer.close()


def fill(folder: Path) -> None:
    f = Filler(folder)
    seconds = np.arange(5)
    # a ramp of 1 Hz: 08:00:00 .. 08:00:59, in segments, and 08:01:00 .. 08:01:39 in the log's tail
    f.describe("T:Ramp", EGU="V", PREC="3", HIHI="10.0", HOPR="nonsense", DESC='a "ramp" µ')
    f.put("T:Ramp", Dbr.DOUBLE, (T0 + np.arange(60)) * NS + 123_456_789, np.arange(60) * 0.5)
    f.segment()
    f.put("T:Ramp", Dbr.DOUBLE, (T0 + np.arange(60, 100)) * NS + 123_456_789, np.arange(60, 100) * 0.5, 2, 3)
    f.put("T:Short", Dbr.SHORT, (T0 + seconds) * NS, np.array([-32768, -1, 0, 1, 32767], np.int16))
    f.put("T:Float", Dbr.FLOAT, (T0 + seconds) * NS, np.array([0.1, -0.0, 1e10, np.nan, 3], np.float32))
    f.describe("T:Enum", ENUM_0="Off", ENUM_1="On", ENUM_2="Trip")
    f.put(
        "T:Enum", Dbr.ENUM, (T0 + seconds) * NS, np.array([0, 1, 2, 1, 0], np.uint16), [0, 0, 2, 0, 0], [0, 0, 7, 0, 0]
    )
    f.put("T:Char", Dbr.CHAR, (T0 + seconds) * NS, np.array([0, 10, 13, 27, 255], np.uint8))
    f.put("T:Long", Dbr.LONG, (T0 + seconds) * NS, np.array([-(2**31), -1, 0, 1, 2**31 - 1], np.int32))
    odd = np.array([np.nan, np.inf, -np.inf, 1e300, 5e-324])
    f.put("T:Double", Dbr.DOUBLE, (T0 + seconds) * NS, odd, [3, 3, 3, 0, 0], [17, 17, 17, 0, 0])
    texts = np.array([b"", b'say "hi"\\', b"line\nfeed", "µA".encode(), b"x" * 39], "S40")
    f.put("T:String", Dbr.STRING, (T0 + seconds) * NS, texts)
    numbers = np.arange(10).reshape(5, 2)
    for name, dbr, dtype in (
        ("Shorts", Dbr.SHORT, np.int16),
        ("Floats", Dbr.FLOAT, np.float32),
        ("Enums", Dbr.ENUM, np.uint16),
        ("Chars", Dbr.CHAR, np.uint8),
        ("Longs", Dbr.LONG, np.int32),
        ("Doubles", Dbr.DOUBLE, np.float64),
    ):
        f.describe(f"T:{name}", NELM="8", EAA_COUNT="8")
        f.put(f"T:{name}", dbr, (T0 + seconds) * NS, numbers.astype(dtype))
        f.put(f"T:{name}", dbr, (T0 + 10) * NS, np.array([[1, 2, 3]], dtype))
    f.put("T:Strings", Dbr.STRING, (T0 + seconds[:2]) * NS, np.array([[b"a", b""], [b"b,c", b"d"]], "S40"))
    nothing = np.array([[np.nan, np.inf]])
    f.put("T:NanArray", Dbr.DOUBLE, T0 * NS, nothing)
    # a PV that turns from an integer into a double
    f.put("T:Changed", Dbr.LONG, (T0 + seconds) * NS, np.arange(5, dtype=np.int32))
    f.put("T:Changed", Dbr.DOUBLE, (T0 + 10 + seconds) * NS, np.arange(5) + 0.25)
    # over New Year
    turn = calendar.timegm((2027, 1, 1, 0, 0, 0))
    f.put("T:NewYear", Dbr.DOUBLE, np.array([turn * NS - 1, turn * NS, (turn + 1) * NS]), np.array([1.0, 2.0, 3.0]))
    # nothing yet
    f.writer.add_pvs(["T:Empty"])
    # a day of 1 Hz with a gap, and a spike
    hours = np.concatenate([np.arange(0, 40_000), np.arange(50_000, 86_400)])
    values = np.sin(hours / 1000)
    values[12_345] = 99.0
    f.put("T:Day", Dbr.DOUBLE, (T0 + hours) * NS, values)
    f.segment()
    f.put("Other:A[0]", Dbr.DOUBLE, T0 * NS, np.array([1.0]))
    f.close()


@dataclass
class Server:
    url: str
    folder: Path
    process: Process
    client: httpx.Client

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.client.get(self.url + path, params=params or None)

    def data(self, pv: str, start: str = "", end: str = "", ext: str = "json", **more: str) -> httpx.Response:
        times = {k: v for k, v in (("from", start), ("to", end)) if v}
        return self.get(f"/retrieval/data/getData.{ext}", pv=pv, **times, **more)
