"""What is noted of single samples, and fields of PVs: out of connection events and the history of metadata."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from archive_fill import NS, T0, Filler
from hypothesis import given
from hypothesis import strategies as st
from operator_archive import MemoryArchive, Row, notes_of, process, rows_of, samples_of

from archiver.retrieval import fields_of, operators
from archiver.retrieval.gaps import Gap, gaps_of
from archiver.retrieval.notes import annotate, is_field_change
from archiver.retrieval.query import DataRequest, Refused, parse_target
from archiver.retrieval.resolve import Names
from archiver.retrieval.source import open_answer
from archiver.store import Dbr, StoreReader
from archiver.store.events import CONNECTED, ENGINE_PV, LOST, REMOVED, STARTED, STOPPED

# gaps


@pytest.mark.parametrize(
    ("events", "gaps"),
    [
        ("", []),
        ("S1 C2", [Gap(None, 2, True)]),
        ("S1 C2 D5 C8", [Gap(None, 2, True), Gap(5, 8)]),
        ("S1 C2 D5", [Gap(None, 2, True), Gap(5, None)]),
        ("C2 D5 D6 C7", [Gap(None, 2, True), Gap(5, 7)]),
        ("S1 C2 E5 S6 C7", [Gap(None, 2, True), Gap(5, 7, True)]),
        ("S1 C2 D4 E5 S6 C7", [Gap(None, 2, True), Gap(4, 7, True)]),
        ("S1 C2 E5 S6", [Gap(None, 2, True), Gap(5, None)]),
        ("S1 C2 R5 C9", [Gap(None, 2, True), Gap(5, 9)]),
        ("S1 C2 C3 C4", [Gap(None, 2, True)]),
        ("S1 C2 S6 C7", [Gap(None, 2, True), Gap(None, 7, True)]),
        ("D5", [Gap(5, None)]),
    ],
)
def test_gaps(events: str, gaps: list[Gap]):
    words = {"S": "engine started", "E": "engine stopped", "C": "connected", "D": "disconnected", "R": "removed"}
    assert gaps_of([(int(e[1:]), words[e[0]]) for e in events.split()]) == gaps


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["connected", "disconnected", "engine started", "new"]))))
def test_gaps_of_any_events(events: list[tuple[int, str]]):
    gaps = gaps_of(sorted(events))
    assert all(g.found_ns is not None for g in gaps[:-1])
    assert all(g.lost_ns is None or g.found_ns is None or g.lost_ns <= g.found_ns for g in gaps)


def test_a_gap_in_the_appliances_words():
    assert Gap(None, 7 * NS, True).note == {"cnxlostepsecs": "0", "cnxregainedepsecs": "7", "startup": "true"}
    assert Gap(3 * NS, 7 * NS, True).note == {"cnxlostepsecs": "0", "cnxregainedepsecs": "7", "startup": "true"}
    assert Gap(3 * NS + 5, 7 * NS).note == {"cnxlostepsecs": "3", "cnxregainedepsecs": "7"}
    assert Gap(3 * NS, None).note == {"cnxlostepsecs": "3"}


# notes

ROWS: list[Row] = [(i * NS, float(i), 0) for i in range(10, 40)]


def noted(history: list, gaps: list[Gap], start: int, cuts: tuple[int, ...] = ()) -> dict[int, dict[str, str]]:
    archive = MemoryArchive(samples_of(ROWS), cuts)
    got = list(annotate(archive.read("X", start * NS, 100 * NS), history, gaps, start * NS))
    assert [r[0] for r in rows_of(iter(got))] == [t for t, _, _ in ROWS if t >= start * NS]
    return {time_ns // NS: note for time_ns, note in notes_of(iter(got)).items()}


@pytest.mark.parametrize("cuts", [(), (5,), tuple(range(30))])
def test_the_first_sample_after(cuts: tuple[int, ...]):
    gaps = [Gap(None, 9 * NS, True), Gap(15 * NS, 18 * NS), Gap(20 * NS + 1, 25 * NS)]
    history = [(5 * NS, {"EGU": "V", "HIHI": "9", "NELM": "1"}), (30 * NS, {"EGU": "V", "HIHI": "7", "LOLO": "1"})]
    first = {"cnxlostepsecs": "0", "cnxregainedepsecs": "9", "startup": "true", "EGU": "V", "HIHI": "9"}
    later = {
        16: {"cnxlostepsecs": "15", "cnxregainedepsecs": "18"},
        21: {"cnxlostepsecs": "20", "cnxregainedepsecs": "25"},
        30: {"HIHI": "7", "LOLO": "1"},
    }
    assert noted(history, gaps, 0, cuts) == {10: first, **later}
    # a sample at or before the start may not be the first after anything
    assert noted(history, gaps, 10, cuts) == later
    assert noted(history, gaps, 16, cuts) == {21: later[21], 30: later[30]}
    assert noted([], [], 0, cuts) == {}


def test_of_several_gaps_without_a_sample_the_last_counts():
    gaps = [Gap(11 * NS, 12 * NS, True), Gap(11 * NS + 1, 11 * NS + 2), Gap(11 * NS + 3, 11 * NS + 4)]
    assert noted([], gaps, 0) == {12: {"cnxlostepsecs": "11", "cnxregainedepsecs": "11"}}


def test_a_field_that_went_away():
    history = [(1 * NS, {"HIHI": "9"}), (20 * NS, {}), (25 * NS, {"HIHI": "9"})]
    assert noted(history, [], 0) == {10: {"HIHI": "9"}, 20: {"HIHI": ""}, 25: {"HIHI": "9"}}


def test_what_is_a_change_of_the_record():
    assert is_field_change({"HIHI": "1"}) and is_field_change({"HIHI": "1", "startup": "true"})
    assert not is_field_change(Gap(1, 2).note) and not is_field_change({"stdz": "1", "connectionChange": "true"})


def test_notes_go_where_their_samples_go():
    samples = samples_of(ROWS).__class__(**{**vars(samples_of(ROWS)), "notes": {3: {"a": "1"}, 7: {"b": "2"}}})
    assert (
        samples[2:5].notes == {1: {"a": "1"}} and samples[4:7].notes is None and samples[::7].notes == {1: {"b": "2"}}
    )
    assert operators.take(samples, np.array([7, 1, 3])).notes == {0: {"b": "2"}, 2: {"a": "1"}}
    assert operators.take(samples, np.array([1, 2])).notes is None


# bins in which the connection came back

EVENTS = [(9 * NS, "connected"), (15 * NS, "disconnected"), (18 * NS, "connected"), (33 * NS, "engine stopped")]


@pytest.mark.parametrize("text", ["mean_5", "meanSample_5", "median_5", "stats_5", "count_5"])
def test_bins_with_a_change_of_the_connection(text: str):
    archive = MemoryArchive(samples_of([r for r in ROWS if not 15 < r[1] < 19]), [3, 4], events=EVENTS)
    for start, expected in ((0, [12.5, 17.5]), (12, [17.5]), (21, [])):
        marked = notes_of(process(text).open(archive, "X", start * NS, 60 * NS))
        assert [t / NS for t in marked] == expected
        assert all(note == {"connectionChange": "true"} for note in marked.values())


def test_bins_out_of_tables_are_marked_too():
    rows: list[Row] = [((T0 + i * 10) * NS, 1.0, 0) for i in range(2000) if not 500 < i < 900]
    lost, found = (T0 + 5001) * NS, (T0 + 8990) * NS
    events = [(T0 * NS - 1, "connected"), (lost, "disconnected"), (found, "connected")]
    archive = MemoryArchive(samples_of(rows), events=events)
    marked = notes_of(process("mean_60").open(archive, "X", (T0 - 60) * NS, (T0 + 20_000) * NS))
    assert archive.bins and [t // (60 * NS) * 60 for t in marked] == [T0, (T0 + 9000) // 60 * 60]


# fields

HISTORY = [
    (100 * NS, {"EGU": "V", "PREC": "3", "DESC": "old", "ENUM_0": "1"}),
    (200 * NS, {"EGU": "V", "PREC": "3", "DESC": "old", "HIHI": "10.5", "ADEL": "0.1", "SDIS": "7"}),
    (300 * NS, {"EGU": "mV", "PREC": "3", "DESC": "5", "HIHI": "12"}),
    (400 * NS, {"EGU": "mV", "PREC": "3", "DESC": "6", "HIHI": "odd"}),
]


def field(name: str, start: int, end: int) -> list[tuple[int, object, int]]:
    archive = MemoryArchive(samples_of([]), history=HISTORY)
    return [(t // NS, v, s) for t, v, s in rows_of(fields_of.read(archive, "X", name, start * NS, end * NS))]


def test_a_field_has_a_sample_for_each_change():
    assert field("DESC", 0, 1000) == [(100, "old", 0), (300, "5", 0), (400, "6", 0)]
    assert field("DESC", 250, 350) == [(100, "old", 0), (300, "5", 0)]
    assert field("DESC", 300, 300) == [(300, "5", 0)] and field("DESC", 50, 99) == []
    assert field("PREC", 350, 900) == [(100, 3.0, 0)]
    assert field("ENUM_0", 0, 1000) == [(100, "1", 0), (200, "", 3)]
    assert field("SDIS", 0, 1000)[0] == (200, 7.0, 0)
    limits = field("HIHI", 0, 1000)
    assert limits[:2] == [(200, 10.5, 0), (300, 12.0, 0)]
    assert limits[2][0] == 400 and math.isnan(limits[2][1]) and limits[2][2] == 3  # type: ignore[arg-type]


def test_what_is_known_of_a_field():
    archive = MemoryArchive(samples_of([]), history=HISTORY)
    info = fields_of.info(archive, "X", "HIHI")
    assert info is not None and (info.name, info.dbr, info.count) == ("X.HIHI", Dbr.DOUBLE, 1)
    assert (info.first_ns, info.last_ns) == (200 * NS, 400 * NS) and info.metadata == {"EGU": "mV", "PREC": "3"}
    info = fields_of.info(archive, "X", "DESC")
    assert info is not None and info.dbr is Dbr.STRING and info.metadata == {}
    assert fields_of.info(archive, "X", "HYST") is None
    assert fields_of.names(archive, "X") == ["ADEL", "DESC", "EGU", "ENUM_0", "HIHI", "PREC", "SDIS"]


# out of a store


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("notes") / "store"
    f = Filler(folder)
    pvs = f.writer.add_pvs(["A", "B.HIHI", "B"])
    f.put("A", Dbr.DOUBLE, (T0 + np.arange(100)) * NS, np.arange(100.0))
    f.put("B.HIHI", Dbr.DOUBLE, [T0 * NS], [42.0])
    a = pvs["A"]
    events = [
        (ENGINE_PV, T0 - 5, STARTED),
        (a, T0 - 1, CONNECTED),
        (a, T0 + 20, LOST),
        (a, T0 + 30, CONNECTED),
        (ENGINE_PV, T0 + 60, STOPPED),
        (ENGINE_PV, T0 + 65, STARTED),
        (a, T0 + 70, CONNECTED),
        (a, T0 + 200, REMOVED),
    ]
    columns = np.array([(pv, t * NS, code) for pv, t, code in events], np.int64)
    f.writer.append_events(columns[:, 0].astype(np.uint32), columns[:, 1], columns[:, 2].astype(np.uint8))
    f.writer.registry.describe({a: {"EGU": "V", "HIHI": "10"}, pvs["B"]: {"HIHI": "1"}}, (T0 - 1) * NS)
    f.segment()
    f.writer.registry.describe({a: {"EGU": "V", "HIHI": "20"}}, (T0 + 40) * NS)
    f.put("A", Dbr.DOUBLE, (T0 + 100 + np.arange(50)) * NS, np.arange(50.0))
    f.writer.sync()
    yield StoreReader(folder)
    f.close()


def ask(reader: StoreReader, text: str, start: int, end: int):
    request = DataRequest((), ((start * NS, end * NS),), False)
    return open_answer(reader, Names(reader), parse_target(text), request)


def test_notes_of_a_stored_pv(reader: StoreReader):
    notes = notes_of(ask(reader, "A", T0 - 10, T0 + 1000).batches)
    assert {t // NS - T0: note for t, note in notes.items()} == {
        0: {"cnxlostepsecs": "0", "cnxregainedepsecs": str(T0 - 1), "startup": "true", "EGU": "V", "HIHI": "10"},
        21: {"cnxlostepsecs": str(T0 + 20), "cnxregainedepsecs": str(T0 + 30)},
        40: {"HIHI": "20"},
        61: {"cnxlostepsecs": "0", "cnxregainedepsecs": str(T0 + 70), "startup": "true"},
    }
    # those that give samples as they are keep their notes
    for text in ("nth_1(A)", "firstSample_1(A)", "optimized_1000(A)", "ignoreflyers_900(A)"):
        assert notes_of(ask(reader, text, T0 - 10, T0 + 1000).batches) == notes


def test_gaps_of_a_stored_pv(reader: StoreReader):
    rows = rows_of(ask(reader, "minmax_1000(A)", T0 - 10, T0 + 1000).batches)
    assert [r[0] // NS - T0 for r in rows if math.isnan(r[1])] == [20, 60, 200]


def test_fields_of_a_stored_pv(reader: StoreReader):
    rows = rows_of(ask(reader, "A.HIHI", T0, T0 + 1000).batches)
    assert rows == [((T0 - 1) * NS, 10.0, 0), ((T0 + 40) * NS, 20.0, 0)]
    # operators are honoured
    rows = rows_of(ask(reader, "max_3600(A.HIHI)", T0 - 3600, T0 + 1000).batches)
    assert [r[1] for r in rows] == [10.0, 20.0]
    answer = ask(reader, "mean_60(A.EGU)", T0, T0 + 1000)
    assert "not for values of this type" in answer.warnings[0] and [r[1] for r in rows_of(answer.batches)] == ["V"]


def test_a_pv_of_the_fields_name_wins(reader: StoreReader):
    assert [r[1] for r in rows_of(ask(reader, "B.HIHI", T0, T0 + 10).batches)] == [42.0]
    with pytest.raises(Refused) as refusal:
        ask(reader, "A.HYST", T0, T0 + 10)
    assert refusal.value.status == 404
