"""Clients that others wrote read the archive back."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys

import pytest
from archive_fill import T0, Server
from support import qt_problem

AT = dt.datetime(2026, 11, 20, 8, 0, 10, tzinfo=dt.UTC)


def test_the_retrieval_client_of_ess(server: Server):
    from epicsarchiver.retrieval.client.archiver_retrieval import ArchiverRetrieval
    from epicsarchiver.retrieval.client.processor import Processor, ProcessorName

    client = ArchiverRetrieval("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    end = AT + dt.timedelta(seconds=20)
    metadata, events = client.get_events("T:Ramp", AT, end)
    assert [e.val for e in events] == [i * 0.5 for i in range(9, 30)]
    assert events[0].timestamp.timestamp() == pytest.approx(T0 + 9.123456)
    assert {h.name: h.value for h in metadata[2026].headers}["EGU"] == "V"
    assert client.search("T:D.*s?") == ["T:Day", "T:Double", "T:Doubles"]
    assert client.search("T:Ramp|T:Enum", start=AT, end=end) == ["T:Ramp"]
    for pv, value in (
        ("T:Enum", 0),
        ("T:String", "x" * 39),
        ("T:Doubles", [1.0, 2.0, 3.0]),
        ("T:Strings", ["b,c", "d"]),
    ):
        _, events = client.get_events(pv, AT, AT)
        assert [e.val for e in events] == [value]
    turn = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    metadata, events = client.get_events("T:NewYear", turn - dt.timedelta(days=1), turn + dt.timedelta(days=1))
    assert [e.val for e in events] == [1.0, 2.0, 3.0] and sorted(metadata) == [2026, 2027]
    assert client.get_events("T:Empty", AT, end)[1] == []
    for name in ProcessorName:
        _, events = client.get_events("T:Ramp", AT, end, Processor(name, 5))
        assert events or name is ProcessorName.FLYERS, name  # a ramp has none that fly


PYDM = """
import json, os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qtpy.QtCore import QCoreApplication, QTimer
app = QCoreApplication([])
from pydm.data_plugins.archiver_plugin import Connection
from pydm.widgets.channel import PyDMChannel
out = []
for pv, start, end, command in json.loads(sys.argv[1]):
    got = []
    channel = PyDMChannel(address=f"archiver://pv={pv}", value_slot=lambda value: got.append(value.tolist()))
    connection = Connection(channel, f"pv={pv}")
    connection.new_value_signal[__import__("numpy").ndarray].connect(channel.value_slot)
    states = []
    connection.connection_state_signal.connect(states.append)
    connection.network_manager.finished.connect(lambda reply: QTimer.singleShot(100, app.quit))
    connection.fetch_data(start, end, command)
    QTimer.singleShot(60000, app.quit)
    app.exec()
    out.append([states, got])
print("answer", json.dumps(out))
"""


def test_pydm_s_archiver_plugin(server: Server):
    if problem := qt_problem():
        pytest.skip(f"PyDM can't be loaded here: {problem}")
    asked = [
        ("T:Ramp", T0 + 10.0, T0 + 20.0, None),
        ("T:Day", T0, T0 + 86400.0, "optimized_2000"),
        ("T:Ramp", T0, T0 + 86400.0, "optimized_2000"),
        ("T:Empty", T0, T0 + 10.0, None),
        ("T:Nope", T0, T0 + 10.0, None),
    ]
    run = subprocess.run(
        [sys.executable, "-c", PYDM, json.dumps(asked)],
        env={**os.environ, "PYDM_ARCHIVER_URL": server.url},
        capture_output=True,
        text=True,
        timeout=110,
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("answer ")]
    assert lines, run.stderr
    raw, day, few, empty, unknown = json.loads(lines[0].removeprefix("answer "))
    assert raw[0] == [True] and raw[1][0][1] == [i * 0.5 for i in range(9, 20)]
    assert raw[1][0][0] == [T0 + i for i in range(9, 20)]
    assert day[0] == [True] and len(day[1][0]) == 5 and max(day[1][0][4]) == 99.0
    assert few[0] == [True] and len(few[1][0]) == 2 and len(few[1][0][0]) == 100
    assert empty[0] == [True]
    assert unknown == [[False], []]
