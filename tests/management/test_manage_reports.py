"""Reports, metrics and lists: exact keys, right rows, and 100,000 PVs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from management_support import NOW_NS, NS, Stand, get
from prometheus_client.parser import text_string_to_metric_families
from support import ROOT

from archiver.management.census import Status
from archiver.management.context import Context
from archiver.management.reports import REPORTS
from archiver.management.texts import grouped, human_time, human_times, iso_time, number
from archiver.store.live import PvState
from benchmarks.archive_reports import ask, build
from owlshift.site import load_site

HUMAN = re.compile(r"[A-Z][a-z]{2}/\d\d/\d{4} \d\d:\d\d:\d\d [A-Z+\-0-9]+|Never")

KEYS = {
    "getNeverConnectedPVs": "pvName requestTime startOfWorkflow currentState appliance",
    "getCurrentlyDisconnectedPVs": "pvName instance lastKnownEvent connectionLostAt noConnectionAsOfEpochSecs hostName "
    "commandThreadID",
    "getEventRateReport": "pvName eventRate",
    "getStorageRateReport": "pvName storageRate_KBperHour storageRate_MBperDay storageRate_GBperYear",
    "getRecentlyAddedPVs": "pvName instance creationTime",
    "getRecentlyModifiedPVs": "pvName instance modificationTime",
    "getPausedPVsReport": "pvName instance modificationTime",
    "getLostConnectionsReport": "pvName instance lostConnections currentlyConnected",
    "getSilentPVsReport": "pvName instance lastKnownEvent",
    "getPVsByDroppedEventsTimestamp": "pvName eventsDropped",
    "getPVsByDroppedEventsBuffer": "pvName eventsDropped",
    "getPVsByDroppedEventsTypeChange": "pvName eventsDropped",
    "getSlowChangingPVsWithDroppedEvents": "pvName eventsDropped totalEvents",
    "getDroppedEventsReport": "pvName instance eventsDropped time overflow type scan deadband totalEvents",
    "getPVsByStorageConsumed": "pvName instance storageConsumed storageConsumedInMB",
    "getArchivedWaveforms": "pvName samplingmethod samplingperiod elementCount dbrtype",
    "getTimeSpanReport": "pvName creationTS paused lastEvent",
    "getCreationReport": "pvName creationTS paused",
}
TIMES = {"requestTime", "lastKnownEvent", "connectionLostAt", "creationTime", "modificationTime"}
CHOSEN = {
    "getNeverConnectedPVs": ["ASKED", "NEVER"],
    "getCurrentlyDisconnectedPVs": ["GONE"],
    "getEventRateReport": ["QUICK"],
    "getStorageRateReport": ["QUICK"],
    "getRecentlyAddedPVs": ["ASKED"],
    "getPausedPVsReport": ["HELD"],
    "getLostConnectionsReport": ["GONE"],
    "getSilentPVsReport": ["QUIET"],
    "getPVsByDroppedEventsTimestamp": ["CLOCK"],
    "getPVsByDroppedEventsBuffer": ["QUICK"],
    "getPVsByDroppedEventsTypeChange": ["CLOCK"],
    "getSlowChangingPVsWithDroppedEvents": ["CLOCK"],
    "getDroppedEventsReport": ["QUICK", "CLOCK", "SCANNED"],
    "getPVsByStorageConsumed": ["STORED"],
    "getArchivedWaveforms": ["WAVE"],
}
"""The first rows (or all) of each report over `full`."""


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Stand]:
    """PVs in every state."""
    names = ["NEVER", "GONE", "QUICK", "QUIET", "HELD", "CLOCK", "SCANNED", "STORED", "WAVE"]
    made = Stand(tmp_path / "archive", names)
    made.store("STORED", [NOW_NS - 86400 * NS + n * NS for n in range(1000)])
    made.store("GONE", [NOW_NS - 7200 * NS])
    made.put("NEVER", state=PvState.CONNECTING, first_connected_ns=0, last_ns=0, count=0, dbr=255)
    made.put("GONE", state=PvState.DISCONNECTED, lost_ns=NOW_NS - 600 * NS, losses=3, host=1)
    made.put("QUICK", rate=1000.0, byte_rate=8000.0, dropped_overflow=50)
    made.put("QUIET", last_ns=NOW_NS - 100_000 * NS)
    made.put("CLOCK", rate=0.001, dropped_time=7, dropped_type=1, events=20)
    made.put("SCANNED", dropped_scan=1000, method=1, period=10.0)
    made.put("WAVE", array=1, count=512)
    made.save()
    made.ledger.request(["ASKED"], made.context.access.verdict("127.0.0.1", {}).who)
    made.ledger.pause(["HELD"], made.context.access.verdict("127.0.0.1", {}).who)
    yield made
    made.close()


def rows_of(found: Any) -> list[dict[str, str]]:
    if isinstance(found, dict):
        assert all(key == row["pvName"] for key, row in found.items())
        return list(found.values())
    return found


@pytest.mark.parametrize("name", list(REPORTS))
def test_a_report_has_its_keys_and_its_rows(full: Stand, name: str) -> None:
    rows = rows_of(get(full.client(), name))
    assert rows
    for row in rows:
        assert list(row) == KEYS[name].split()
        assert all(isinstance(value, str) for value in row.values())
        for key in row.keys() & {
            "requestTime",
            "lastKnownEvent",
            "connectionLostAt",
            "creationTime",
            "modificationTime",
        }:
            assert HUMAN.fullmatch(row[key]), row
    found = [row["pvName"] for row in rows]
    if name in CHOSEN:
        assert sorted(found[: len(CHOSEN[name])]) == sorted(CHOSEN[name])
    assert rows_of(get(full.client(), name, limit=1)) == rows[:1]
    assert rows_of(get(full.client(), f"{name}ForThisAppliance", limit=-1)) == rows


def test_values_of_reports(full: Stand) -> None:
    c = full.client()
    gone = get(c, "getCurrentlyDisconnectedPVs")[0]
    assert gone["hostName"] == "127.0.0.1:5064" and gone["instance"] == "appliance0"
    assert gone["noConnectionAsOfEpochSecs"] == str((NOW_NS - 600 * NS) // NS)
    assert gone["connectionLostAt"] == human_time(NOW_NS - 600 * NS)
    assert {r["pvName"]: r["currentState"] for r in get(c, "getNeverConnectedPVs")} == {
        "ASKED": "START",
        "NEVER": "METAINFO_REQUESTED",
    }
    quick = get(c, "getStorageRateReport")[0]
    assert quick["storageRate_MBperDay"] == repr(round(8000 * 86400 / 1024**2, 6))
    assert get(c, "getEventRateReport")[0] == {"pvName": "QUICK", "eventRate": "1000.0"}
    assert get(c, "getArchivedWaveforms") == [
        {
            "pvName": "WAVE",
            "samplingmethod": "MONITOR",
            "samplingperiod": "1.0",
            "elementCount": "512",
            "dbrtype": "DBR_WAVEFORM_DOUBLE",
        }
    ]
    span = get(c, "getTimeSpanReport")
    assert span["STORED"]["creationTS"] == str((NOW_NS - 86400 * NS) // NS) and span["HELD"]["paused"] == "true"
    assert get(c, "getLostConnectionsReport") == [
        {"pvName": "GONE", "instance": "appliance0", "lostConnections": "3", "currentlyConnected": "No"}
    ]
    consumed = get(c, "getPVsByStorageConsumed")[0]
    assert int(consumed["storageConsumed"]) > 500


def test_metrics_are_prometheus(full: Stand) -> None:
    full.client().get("/mgmt/bpl/nonsense")
    answer = full.client().get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    assert all(name.startswith("owlshift_archiver_") for name in families)

    def value(name: str, **labels: str) -> float:
        samples = families[f"owlshift_archiver_{name}"].samples
        return next(s.value for s in samples if labels.items() <= s.labels.items())

    assert (
        value("pvs", state="initial") == 2 and value("pvs", state="paused") == 1 and value("pvs", state="archived") == 7
    )
    assert value("channels", state="connected") == 7
    assert value("samples_dropped", reason="scan") == 95 and value("samples_received") == 1000
    assert value("lag_seconds", engine="appliance0") == 0.25
    assert value("engine_up") == 1 and value("engine_writing", state="recording") == 1
    assert value("manage_requests", status="404") == 1
    full.save(state="stopped")
    full.context.census.forget()
    assert 'owlshift_archiver_engine_up{engine="appliance0"} 0' in full.client().get("/metrics").text


def test_status_in_json_has_numbers(full: Stand) -> None:
    status = full.client().get("/api/status").json()
    assert status["pvs"] == {"archived": 7, "initial": 2, "paused": 1, "connected": 7, "known": 9, "aliases": 0}
    engine = status["engines"][0]
    assert engine["alive"] is True and engine["name"] == "appliance0" and engine["lag"] == 0.25
    assert status["event_rate"] > 1000


def test_numbers_of_the_appliance_have_commas(full: Stand) -> None:
    full.put("QUICK", rate=1_234_567.0)
    full.save()
    full.context.census.forget()
    c = full.client()
    item = get(c, "getApplianceMetrics")[0]
    assert item["status"] == "Working" and item["pvCount"] == "10" and item["capacityUtilized"] == "N/A"
    assert item["eventRate"].startswith("1,234,57") and "." in item["dataRateGBPerYear"]
    for key in (
        *("instance", "dataRate", "dataRateGBPerDay", "connectedPVCount", "disconnectedPVCount"),
        *("formattedWriteThreadSeconds", "secondsConsumedByWriter", "totalChannelIOSeconds"),
        *("avgChannelsWrittenPerCycle", "skippedWriteCycles", "totalETLRuns(0)", "timeForOverallETLInSeconds(0)"),
        "maxETLPercentage",
    ):
        assert isinstance(item[key], str)
    full.save(state="stopped")
    full.context.census.forget()
    assert get(c, "getApplianceMetrics")[0]["status"].startswith("Stopped")


def test_the_appliance_as_a_whole(full: Stand) -> None:
    c = full.client()
    info = get(c, "getApplianceInfo")
    assert info["identity"] == "appliance0" and info["retrievalURL"] == "http://127.0.0.1:17665/retrieval/bpl"
    assert info["dataRetrievalURL"] == "http://127.0.0.1:17665/retrieval"
    assert info["version"].startswith("Archiver Appliance Version")
    assert get(c, "getAppliancesInCluster") == [info] and get(c, "getApplianceInfo", id="appliance0") == info
    assert c.get("/mgmt/bpl/getApplianceInfo?id=x").status_code == 400
    assert set(get(c, "getVersions")) == {"mgmt_version", "engine_version", "etl_version", "retrieval_version"}
    assert get(c, "getInstanceMetrics")[0]["status"] == "Working"
    stores = get(c, "getStorageMetrics")
    assert [s["name"] for s in stores] == ["STS", "MTS", "LTS"] and float(stores[0]["total_space"].replace(",", "")) > 0
    assert {r["name"] for r in get(c, "getApplianceMetricsForAppliance", appliance="appliance0")} >= {"Total PV count"}
    assert get(c, "getApplianceProperties")["archiver.sync"] == "1.0"
    assert int(get(c, "getAggregatedApplianceInfo")["pvCount"]) == 10
    assert get(c, "getStoresForPV", pv="STORED")["STS"].startswith("parquet://localhost?name=STS&rootFolder=")
    for path in ("/mgmt/bpl/ping", "/engine/bpl/ping", "/etl/bpl/ping"):
        assert c.get(path).text == "pong"
    for path in ("/mgmt/bpl/startupState", "/etl/bpl/postStartup", "/retrieval/bpl/postStartup"):
        assert c.get(path).json() == {"status": "STARTUP_COMPLETE"}
    assert c.get("/engine/bpl/none").status_code == 404
    for call in ("getVersions", "getProcessMetrics", "getApplianceMetrics", "getInstanceMetrics", "getClientConfig"):
        assert c.get(f"/retrieval/bpl/{call}").status_code == 200
    assert c.post("/retrieval/bpl/filterArchivedPVs", json=["QUICK", "X"]).json() == ["QUICK"]
    assert {"name": "PV Name", "value": "QUICK", "source": "mgmt"} in c.get(
        "/retrieval/bpl/getPVDetails?pv=QUICK"
    ).json()
    assert c.get("/retrieval/bpl/archivePV?pv=X").status_code == 404


def test_lists_of_names(full: Stand) -> None:
    c = full.client()
    assert get(c, "getAllPVs", pv="Q*") == ["QUICK", "QUIET"] and get(c, "getAllPVs", regex="QUI.K") == ["QUICK"]
    assert len(get(c, "getAllPVs", limit=-1)) == 10 and len(get(c, "getAllPVs", limit=3)) == 3
    assert c.post("/mgmt/bpl/unarchivedPVs", content="QUICK\nX").json() == ["X"]
    assert c.post("/mgmt/bpl/archivedPVs", json=["QUICK", "HELD", "X"]).json() == ["QUICK", "HELD"]
    assert len(c.post("/mgmt/bpl/archivedPVsNotInList", json=["QUICK", "X"]).json()) == 9
    assert {"QUICK", "QUICK.VAL", "QUICK.HIHI"} <= set(get(c, "getAllExpandedPVNames"))
    assert len(get(c, "getTypeInfoKeys")) == 10
    assert {r["pvName"] for r in get(c, "getMetaGets")} == {"ASKED", "NEVER"}
    assert get(c, "getExternalArchiverServers") == []


def test_details_and_type_info_for_people_and_programs(full: Stand) -> None:
    full.describe("STORED", {"EGU": "mA", "PREC": "3", "HIHI": "10", "LOLO": "x", "DESC": "Oven"})
    c = full.client()
    info = get(c, "getPVTypeInfo", pv="STORED.VAL")
    assert (info["units"], info["precision"], info["upperAlarmLimit"], info["lowerAlarmLimit"]) == (
        "mA",
        "3.0",
        "10.0",
        "NaN",
    )
    assert info["DBRType"] == "DBR_SCALAR_DOUBLE" and info["chunkKey"] == "STORED:"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", info["creationTime"])
    assert get(c, "getPVTypeInfo", pv="GONE")["hostName"] == "127.0.0.1:5064"
    detail = {row["name"]: row["value"] for row in get(c, "getPVDetails", pv="STORED")}
    for name in (
        *("PV Name", "Instance archiving PV", "Archiver DBR type (from typeinfo):", "Is this a scalar:"),
        *("Number of elements:", "Precision:", "Units:", "Is this PV paused:", "Sampling method:", "Sampling period:"),
        *("Are we using PVAccess?", "Archive Fields", "Channel Name", "Host name", "Controlling PV"),
        *("Is engine currently archiving this?", "Is engine using monitors?", "Is this PV currently connected?"),
        *("When did we receive the last event?", "How many events so far?", "How many events lost totally so far?"),
        "What did we last push the data to the short term store?",
    ):
        assert name in detail
    assert detail["Samples in the archive"] == "1000"


def test_the_policies_text_is_the_site_files(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        '[site]\nname = "T"\n[archiver]\nsync = 2.0\n\n# Currents are slow.\n[[archiver.policy]]\nname = "slow"\n'
        'pv = "T:I*"  # all of them\nfields = [\n  "ADEL",\n]\n\n[[archiver.policy]]\nname = "rest"\npv = "*"\n\n'
        '# A thermometer.\n[[archiver.pv]]\nname = "LAB:T"\n'
    )
    site = load_site(path, tmp_path)
    made = Stand(tmp_path / "archive", [], site.services["archiver"], site)  # type: ignore[arg-type]
    try:
        text = made.client().get("/mgmt/bpl/getPolicyText").text
        assert text == (
            '# Currents are slow.\n[[archiver.policy]]\nname = "slow"\npv = "T:I*"  # all of them\n'
            'fields = [\n  "ADEL",\n]\n\n'
            '[[archiver.policy]]\nname = "rest"\npv = "*"\n'
        )
        assert set(get(made.client(), "getPolicyList")) == {"Default", "slow", "rest"}
        # the file is followed, and a broken one leaves what was
        path.write_text(path.read_text().replace('"rest"', '"others"'))
        made.context.follower._looked = 0.0
        assert set(get(made.client(), "getPolicyList")) == {"Default", "slow", "others"}
        path.write_text("[site")
        made.context.follower._looked = 0.0
        assert set(get(made.client(), "getPolicyList")) == {"Default", "slow", "others"}
    finally:
        made.close()


# 100,000 PVs


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    made = build(tmp_path_factory.mktemp("large"), 100_000)
    yield made
    made.reader.close()
    made.ledger.close()


@pytest.mark.parametrize("name", [*REPORTS, "getApplianceMetrics", "getAllPVs"])
def test_reports_of_a_hundred_thousand_pvs_agree_with_the_arrays(large: Context, name: str) -> None:
    rows = rows_of(json.loads(ask(large, name, limit="-1")))
    census = large.census.snapshot()
    expected = {
        "getNeverConnectedPVs": census.status == Status.INITIAL,
        "getPausedPVsReport": census.status == Status.PAUSED,
        "getEventRateReport": census.archived(),
        "getLostConnectionsReport": census.archived() & (census.live["losses"] > 0),
        "getArchivedWaveforms": census.archived() & (census.live["array"] > 0),
        "getTimeSpanReport": census.archived(),
        "getAllPVs": census.listed(),
    }
    if name in expected:
        assert len(rows) == np.count_nonzero(expected[name])
    if name == "getEventRateReport":
        rates = [float(row["eventRate"]) for row in rows]
        assert rates == sorted(rates, reverse=True)


# texts


@given(st.lists(st.integers(0, 4_000_000_000 * NS), min_size=1, max_size=20), st.sampled_from(["UTC", "Europe/Zurich"]))
@settings(max_examples=100, deadline=None)
def test_times_for_people_are_those_of_the_library(times: list[int], zone: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        try:
            expected = [
                time.strftime("%b/%d/%Y %H:%M:%S %Z", time.localtime(t // NS)) if t > 0 else "Never" for t in times
            ]
            assert human_times(np.array(times, np.int64)) == expected
        finally:
            patch.undo()
            time.tzset()


def test_other_texts() -> None:
    assert iso_time(1_795_132_800_123_456_789) == "2026-11-20T00:00:00.123Z"
    assert [grouped(v) for v in (0, 1234.5, 1234567.891, 0.001, -0.001, float("nan"))] == [
        *("0", "1,234.5", "1,234,567.89", "0", "0", "0")
    ]
    assert [number(v) for v in (1, 0.1, float("inf"), float("nan"))] == ["1.0", "0.1", "Infinity", "NaN"]


def test_the_benchmark_runs() -> None:
    import subprocess
    import sys

    command = [sys.executable, ROOT / "benchmarks" / "archive_reports.py", "--pvs", "300", "--repeat", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert "getEventRateReport" in done.stdout and "plain Python" in done.stdout


def test_a_place_without_a_site_or_an_engine_answers(tmp_path: Path) -> None:
    from archiver.config import ArchiverConfig
    from archiver.management import Ledger
    from archiver.management.context import context_of
    from archiver.retrieval.workers import Workers
    from archiver.store import open_reader

    folder = tmp_path / "nothing"
    place = SimpleNamespace(folder=folder, config=ArchiverConfig(), folders={}, site=None)
    context = context_of(place, open_reader(folder), Ledger(folder / "manage.db"), Workers())
    assert [json.loads(ask(context, name)) for name in REPORTS] == [
        [] if n != "getTimeSpanReport" else {} for n in REPORTS
    ]
    assert json.loads(ask(context, "getAllPVs")) == []
    context.reader.close()
    context.ledger.close()
