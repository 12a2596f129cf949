"""What the recorder leaves out and what it counts of each PV, against models that look at one sample at a time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from archive_tools import columns_of, counted, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from support import wait_until

from archiver.config import ArchiverConfig
from archiver.engine.counters import Flow, Links, Rates
from archiver.engine.deadband import DeadbandFilter
from archiver.engine.intake import Channels, Intake
from archiver.engine.recorder import Recorder
from archiver.store import Dbr
from archiver.store.events import CONNECTED
from archiver.store.live import LIVE, UNKNOWN_TYPE, load_live, save_live
from archiver.store.records import Columns
from owlshift.ca import Batch

NOW = 1_790_000_000 * 10**9
VALUES = st.sampled_from([0.0, 0.4, 0.5, 0.6, 1.0, -3.0, math.nan, math.inf, -math.inf])
SAMPLES = st.lists(st.tuples(st.integers(1, 20), VALUES, st.integers(0, 3)), max_size=60)


class Model:
    """The dead-band rule, one sample at a time."""

    def __init__(self, bands: dict[int, float]) -> None:
        self.bands = bands
        self.last: dict[int, tuple[float, int]] = {}

    def keeps(self, pv: int, value: float, severity: int) -> bool:
        band = self.bands.get(pv, 0.0)
        if band <= 0:
            return True
        old = self.last.get(pv)
        good = (
            old is None or old[1] != severity or math.isnan(old[0]) != math.isnan(value) or abs(value - old[0]) > band
        )
        if good:
            self.last[pv] = (value, severity)
        return good


def columns(samples: list[tuple[int, float, int]]) -> Columns:
    made = columns_of(
        Dbr.DOUBLE, [s[0] for s in samples], [NOW + i for i in range(len(samples))], [s[1] for s in samples]
    )
    made.severity[:] = [s[2] for s in samples]
    return made


@settings(deadline=None)
@given(st.lists(SAMPLES, min_size=1, max_size=4), st.lists(st.integers(1, 20), max_size=3))
def test_the_dead_band_is_that_of_the_model(batches: list[list[tuple[int, float, int]]], again: list[int]) -> None:
    bands = dict.fromkeys(range(1, 18), 0.5) | {18: 2.0}
    array = np.zeros(30)
    for pv, band in bands.items():
        array[pv] = band
    model, tested = Model(bands), DeadbandFilter()
    for batch in batches:
        if not batch:
            continue
        expected = [model.keeps(*sample) for sample in batch]
        made = columns(batch)
        kept, dropped = tested.split(made, array)
        assert kept.time_ns.tolist() == [int(t) for t, good in zip(made.time_ns, expected, strict=True) if good]
        assert sorted(dropped.tolist()) == sorted(s[0] for s, good in zip(batch, expected, strict=True) if not good)
        tested.forget(np.array(again, np.uint32))
        for pv in again:
            model.last.pop(pv, None)


def test_states_texts_and_arrays_have_no_dead_band() -> None:
    tested, band = DeadbandFilter(), np.full(10, 1.0)
    for made in (
        columns_of(Dbr.ENUM, [1, 1], [NOW, NOW + 1], [2, 2]),
        columns_of(Dbr.STRING, [1, 1], [NOW, NOW + 1], ["a", "a"]),
        columns_of(Dbr.DOUBLE, [1, 1], [NOW, NOW + 1], [[1.0], [1.0]], array=True),
    ):
        kept, dropped = tested.split(made, band)
        assert (len(kept), len(dropped)) == (2, 0)


def batch_of(channel: list[int], values: list[float], start: int) -> Batch:
    n, zero = len(channel), np.zeros(len(channel), np.uint16)
    return Batch(
        Dbr.DOUBLE, np.array(channel, np.uint32), NOW + start + np.arange(n), zero, zero, np.array(values, np.float64)
    )


def test_a_recorder_with_dead_bands_accounts_for_every_sample(tmp_path: Path) -> None:
    store = opened(tmp_path)
    ids = store.add_pvs(["A", "B"])
    intake, channels = Intake(1 << 26), Channels()
    for channel, name in enumerate(("A", "B")):
        channels.map(channel, ids[name])
    channels.sample(ids["A"], 0, 0.5)
    recorder = Recorder(store, ArchiverConfig(), intake, channels)
    recorder.start()
    intake.put(batch_of([0, 1] * 10, [i * 0.1 for i in range(20)], 0))
    wait_until(lambda: recorder.waiting == 0, 30, "the first batch")
    assert recorder.drops() == {"deadband": 6}  # of A: 0.0, 0.6, 1.2, 1.8 are kept
    intake.put_event(ids["A"], NOW, CONNECTED)
    intake.put(batch_of([0, 0], [1.2, 1.2], 100))
    wait_until(lambda: recorder.waiting == 0, 30, "the batch after a reconnect")
    assert recorder.drops() == {"deadband": 7}
    flow = recorder.flow
    assert flow.events[[ids["A"], ids["B"]]].tolist() == [12, 10]
    assert flow.bytes[ids["A"]] == 96
    assert flow.deadband[ids["A"]] == 7
    assert flow.last_ns[ids["A"]] == NOW + 101
    recorder.stop()
    store.roll()
    while store.convert_next():
        pass
    store.close()
    assert counted(store.manifest.totals) == (22, 22)
    assert store.manifest.totals["stored"] == 15


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(1, 3000), st.booleans()), min_size=1, max_size=50), max_size=5))
def test_counters_are_those_of_the_model(batches: list[list[tuple[int, bool]]]) -> None:
    flow, events, last = Flow(), dict[int, int](), dict[int, int]()
    for number, batch in enumerate(batches):
        pv = [item[0] for item in batch]
        made = columns_of(Dbr.LONG, pv, [NOW + number * 100 + i for i in range(len(pv))], [0] * len(pv))
        flow.came(made)
        flow.good(made)
        for one, time_ns in zip(pv, made.time_ns.tolist(), strict=True):
            events[one] = events.get(one, 0) + 1
            last[one] = time_ns
    for pv, count in events.items():
        assert (int(flow.events[pv]), int(flow.bytes[pv]), int(flow.last_ns[pv])) == (count, 4 * count, last[pv])
    assert int(flow.events.sum()) == sum(events.values())


def test_rates_begin_soon_and_follow() -> None:
    rates = Rates()
    watched = np.array([False, True, True])
    events = np.zeros(3, np.uint64)
    now = 1000.0
    rates.look(events, events * np.uint64(8), watched, now)
    for _ in range(30):
        now += 1
        events = events + np.array([0, 10, 0], np.uint64)
        rates.look(events, events * np.uint64(8), watched, now)
    assert abs(rates.events[1] - 10) < 0.5
    assert abs(rates.bytes[1] - 80) < 4
    assert rates.events[2] == 0
    for _ in range(600):
        now += 1
        rates.look(events, events * np.uint64(8), watched, now)
    assert rates.events[1] < 0.01
    # the event that a subscription begins with is no rate
    watched, events = np.append(watched, True), np.append(events, np.uint64(1))
    for _ in range(12):
        now += 1
        rates.look(events, events * np.uint64(8), watched, now)
    assert rates.events[3] == 0
    assert rates.seen(6)[3] > 10
    assert rates.seen(6)[5] == 0


def test_the_table_of_pvs_is_read_back_and_begins_where_the_last_engine_ended(tmp_path: Path) -> None:
    assert len(load_live(tmp_path)) == 0
    table = np.zeros(3000, LIVE)
    table["first_connected_ns"][2999], table["dbr"][2999] = 77, Dbr.LONG
    save_live(tmp_path, table)
    assert (load_live(tmp_path) == table).all()
    links = Links(load_live(tmp_path))
    links.ensure(9000)
    assert (links.first_connected_ns[2999], links.dbr[2999], links.dbr[8999]) == (77, Dbr.LONG, UNKNOWN_TYPE)
    for rubbish in (b"", b"rubbish", (tmp_path / "live.npy").read_bytes()[:500]):
        (tmp_path / "live.npy").write_bytes(rubbish)
        assert len(load_live(tmp_path)) == 0
