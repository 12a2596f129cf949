"""Rows 1 to 5 of the acceptance matrix: PyDM's own archiver plugin. Row 6 with Trace's request."""

from __future__ import annotations

import json
import time

import pytest
from matrix_stand import T0, Stand, run_client
from support import qt_problem

PYDM = """
import json, sys
from qtpy.QtCore import QCoreApplication, QTimer
app = QCoreApplication([])
import numpy
from pydm.data_plugins.archiver_plugin import Connection
from pydm.widgets.channel import PyDMChannel
out = []
for pv, start, end, command in json.loads(sys.argv[1]):
    states, got = [], []
    channel = PyDMChannel(address=f"archiver://pv={pv}", value_slot=lambda value: got.append(value.tolist()))
    connection = Connection(channel, f"pv={pv}")
    connection.new_value_signal[numpy.ndarray].connect(channel.value_slot)
    connection.connection_state_signal.connect(states.append)
    connection.network_manager.finished.connect(lambda reply: QTimer.singleShot(100, app.quit))
    connection.fetch_data(start, end, command)
    QTimer.singleShot(60000, app.quit)
    app.exec()
    out.append([states, got])
print("answer", json.dumps(out))
"""
WINDOW = "from=2026-11-20T08:00:10.000Z&to=2026-11-20T08:00:20.000Z"


@pytest.fixture(scope="module")
def plugin(stand: Stand) -> dict[str, tuple[list, list]]:
    """What PyDM's plugin made of the answers to its requests: connection states, and the arrays it gave to a plot."""
    if problem := qt_problem():
        pytest.skip(f"PyDM can't be loaded here: {problem}")
    asked = {
        "raw": ("T:Ramp", T0 + 10.0, T0 + 20.0, None),
        "many": ("T:Day", T0, T0 + 86400.0, "optimized_2000"),
        "few": ("T:Ramp", T0, T0 + 86400.0, "optimized_2000"),
        "empty": ("T:Empty", T0, T0 + 10.0, None),
        "before": ("T:NewYear", T0, T0 + 10.0, None),
        "unknown": ("T:Nope", T0, T0 + 10.0, None),
    }
    answers = run_client(PYDM, json.dumps(list(asked.values())), env={"PYDM_ARCHIVER_URL": stand.url})
    return dict(zip(asked, answers, strict=True))


def test_row_01_raw_json(stand: Stand, plugin: dict):
    reply = stand.exactly(f"/retrieval/data/getData.json?pv=T:Ramp&{WINDOW}")
    assert reply.headers["content-type"] == "application/json"
    assert [e["val"] for e in reply.json()[0]["data"]] == [n * 0.5 for n in range(9, 20)]
    states, arrays = plugin["raw"]
    assert states == [True]
    assert arrays[0][0] == [T0 + n for n in range(9, 20)] and arrays[0][1] == [n * 0.5 for n in range(9, 20)]


def test_row_02_optimized_with_many_samples(stand: Stand, plugin: dict):
    window = "from=2026-11-20T08:00:00.000Z&to=2026-11-21T08:00:00.000Z"
    events = stand.exactly(f"/retrieval/data/getData.json?pv=optimized_2000(T:Day)&{window}").json()[0]["data"]
    assert 1000 < len(events) <= 2010 and all(len(e["val"]) >= 4 for e in events)
    states, arrays = plugin["many"]
    assert states == [True] and len(arrays[0]) == 5 and max(arrays[0][4]) == 99.0


def test_row_03_optimized_with_few_samples(stand: Stand, plugin: dict):
    window = "from=2026-11-20T08:00:00.000Z&to=2026-11-21T08:00:00.000Z"
    events = stand.exactly(f"/retrieval/data/getData.json?pv=optimized_2000(T:Ramp)&{window}").json()[0]["data"]
    assert len(events) == 100 and all(isinstance(e["val"], float) for e in events)
    states, arrays = plugin["few"]
    assert states == [True] and len(arrays[0]) == 2 and len(arrays[0][0]) == 100


def test_row_04_a_known_pv_without_samples(stand: Stand, plugin: dict):
    for pv in ("T:Empty", "T:NewYear"):
        answer = stand.exactly(f"/retrieval/data/getData.json?pv={pv}&{WINDOW}").json()
        assert len(answer) == 1 and answer[0]["meta"]["name"] == pv and answer[0]["data"] == []
    assert plugin["empty"][0] == [True] and plugin["before"][0] == [True]
    assert plugin["unknown"] == [[False], []]


def test_row_05_well_within_pydm_s_7_5_seconds(stand: Stand):
    start = time.monotonic()
    window = "from=2026-11-20T08:00:00.000Z&to=2026-11-21T08:00:00.000Z"
    reply = stand.exactly(f"/retrieval/data/getData.json?pv=T:Day&{window}")
    assert reply.status_code == 200 and len(reply.json()[0]["data"]) == 76_400
    assert time.monotonic() - start < 7.5


def test_row_06_search_of_trace_and_phoebus(stand: Stand):
    reply = stand.get("/retrieval/bpl/searchForPVsRegex", regex=".*Ramp.*")
    assert reply.headers["content-type"].startswith("text/plain") and reply.text.split() == ["T:Ramp"]
    reply = stand.get("/retrieval/bpl/searchForPVsRegex", regex="T:D.*")
    assert reply.text.splitlines() == ["T:Day", "T:Double", "T:Doubles"]
    assert stand.get("/retrieval/bpl/searchForPVsRegex", regex="amp").text == ""  # the whole name must match


def test_a_live_pv_reaches_pydm_as_it_is_archived(stand: Stand):
    """What the engine took a second ago is in the answer."""
    stand.engine.wait_values(stand.live[0], 10)
    events = stand.get("/retrieval/data/getData.json", pv=stand.live[0]).json()[0]["data"]
    values = [e["val"] for e in events]
    assert len(values) >= 10 and values == list(range(int(values[0]), int(values[0]) + len(values)))
