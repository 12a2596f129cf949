"""Autosave without a process: what is written, what is taken back, and what is set aside."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from owlshift.ioc import Array, Device, Ioc, Severity, Text, readback, setpoint
from owlshift.ioc.autosave import FORMAT, Autosave


class Mode(enum.IntEnum):
    Off = 0
    On = 1


class Box(Device):
    """One of each type."""

    x = setpoint(float, control=(0, 10), save=True)
    free = setpoint(float, save=True)
    n = setpoint(int, save=True)
    mode = setpoint(Mode, save=True)
    flag = setpoint(bool, save=True)
    text = setpoint(str, save=True)
    note = setpoint(Text(100), save=True)
    curve = setpoint(Array(float, 5), save=True)
    volatile = setpoint(float, initial=1.0)
    seen = readback(float)

    def __init__(self) -> None:
        self.puts = 0

    @x.putter
    async def _(self, value: float) -> None:
        self.puts += 1


def made(folder: Path, prefix: str = "T:") -> tuple[Box, Ioc, Autosave, list[str]]:
    box = Box()
    ioc = Ioc(prefix, [("B:", box)])
    told: list[str] = []
    return box, ioc, Autosave(folder, ioc.prefix, ioc.pvdb, ioc.saved, told.append), told


async def fill(box: Box) -> None:
    await box.post_many(
        [
            (box.x, 2.5), (box.n, -7), (box.mode, Mode.On), (box.flag, True), (box.text, "ä b"),
            (box.note, "long\ntext"), (box.curve, np.array([1.0, 2.0])),
        ]
    )  # fmt: skip


async def test_what_is_saved_comes_back_without_a_putter(tmp_path: Path) -> None:
    box, _, saver, _ = made(tmp_path)
    assert saver.restore() == 0
    await fill(box)
    assert saver.changed.is_set()
    await saver.flush()
    assert not saver.changed.is_set()
    again, _, other, told = made(tmp_path)
    assert other.restore() == 7
    assert (again.x.value, again.n.value, again.mode.value, again.flag.value) == (2.5, -7, Mode.On, True)
    assert (again.text.value, again.note.value, again.curve.value.tolist()) == ("ä b", "long\ntext", [1.0, 2.0])
    assert again.x.severity == Severity.NO_ALARM
    assert again.free.severity == Severity.INVALID  # it never had a value, and has none now
    assert again.puts == 0 and told == [] and not other.changed.is_set()


async def test_infinity_is_not_saved(tmp_path: Path) -> None:
    box, _, saver, _ = made(tmp_path)
    await box.post_many([(box.free, math.inf), (box.n, 1)])
    assert await saver.save()
    assert json.loads(saver.path.read_text())["values"] == {"T:B:n": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"values": {"T:B:x": 5}}',
        json.dumps({"format": FORMAT, "version": 2, "ioc": "T:", "values": {}}).encode(),
        json.dumps({"format": FORMAT, "version": 1, "ioc": "OTHER:", "values": {"T:B:x": 5}}).encode(),
        json.dumps({"format": FORMAT, "version": 1, "ioc": "T:", "values": [1]}).encode(),
        json.dumps({"format": FORMAT, "version": 1, "ioc": "T:", "values": {"T:B:x": math.nan}}).encode(),
    ],
)
async def test_a_file_that_cannot_be_used_is_set_aside(tmp_path: Path, content: bytes) -> None:
    box, _, saver, told = made(tmp_path)
    saver.path.parent.mkdir()
    saver.path.write_bytes(content)
    assert saver.restore() == 0
    assert box.x.severity == Severity.INVALID
    assert len(told) == 1 and "T.json cannot be used" in told[0]
    (aside,) = saver.path.parent.iterdir()
    assert aside.name.startswith("T.bad-") and aside.read_bytes() == content


async def test_values_that_do_not_fit_are_refused_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, _, saver, told = made(tmp_path)
    values = {"T:B:x": 11, "T:B:n": 1.5, "T:B:mode": "Gone", "T:B:flag": "Yes", "T:B:text": "fine", "T:B:old": 5,
              "T:B:volatile": 9, "T:B:seen": 1, "T:B:curve": [1] * 6, "T:B:free": None}  # fmt: skip
    saver.write(values)
    box, _, again, told = made(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert again.restore() == 2
    assert box.flag.value is True and box.text.value == "fine"
    assert {pv.severity for pv in (box.x, box.n, box.mode, box.curve, box.free)} == {Severity.INVALID}
    assert box.volatile.value == 1.0
    assert sorted(line.split(":B:")[1].split(" ")[0] for line in told) == ["curve", "free", "mode", "n", "x"]
    assert "T:B:x is not restored: 11 is above the limit of 10" in " ".join(told)
    assert "T:B:old is no saved setpoint" in caplog.text


async def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box, _, saver, told = made(tmp_path)
    await fill(box)
    assert await saver.save()
    before = saver.path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("owlshift.ioc.autosave.os.fsync", full)
    await box.post(box.n, 8)
    for _ in range(3):
        assert not await saver.save()
    assert len(told) == 1 and "No space left on device" in told[0]
    assert saver.path.read_bytes() == before
    assert [path.name for path in saver.path.parent.iterdir()] == ["T.json"]
    monkeypatch.undo()
    assert await saver.save()
    assert json.loads(saver.path.read_text())["values"]["T:B:n"] == 8


async def test_a_change_is_written_by_itself_and_a_burst_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("owlshift.ioc.autosave.DELAY", 0.05)
    box, _, saver, _ = made(tmp_path)
    written: list[object] = []
    write = saver.write
    monkeypatch.setattr(saver, "write", lambda values: (write(values), written.append(values)))
    task = asyncio.create_task(saver.run())
    for n in range(100):
        await box.post(box.n, n)
    async with asyncio.timeout(20):
        while not written:
            await asyncio.sleep(0.01)
    task.cancel()
    assert written == [{"T:B:n": 99}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from([f"T:B:{name}" for name in Box.declarations] + ["T:B:none"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(NAMES, JSON))
def test_no_content_breaks_a_start(tmp_path: Path, values: dict[str, object]) -> None:
    box, _, saver, _ = made(tmp_path)
    saver.path.parent.mkdir(exist_ok=True)
    body = {"format": FORMAT, "version": 1, "ioc": "T:", "values": values}
    saver.path.write_text(json.dumps(body))
    saver.restore()
    assert not box.x.defined or 0 <= box.x.value <= 10
    assert box.volatile.value == 1.0 and not box.seen.defined


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary())
def test_no_bytes_break_a_start(tmp_path: Path, content: bytes) -> None:
    _, _, saver, _ = made(tmp_path)
    saver.path.parent.mkdir(exist_ok=True)
    saver.path.write_bytes(content)
    assert saver.restore() == 0
