"""Rows 24 to 26, 28, 31, 33 and 34: managing PVs with the clients' own words, files on disk, ports, other origins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matrix_stand import NS, T0, TIMEOUT, Stand, run_client
from support import wait_until
from typer.testing import CliRunner

from archiver.cli import app


def status(stand: Stand, pv: str) -> str:
    return stand.bpl("getPVStatus", pv=pv)[0]["status"]


AAPY_STATUS = """
import json, sys
from aa.rest import AaRestClient
client = AaRestClient("127.0.0.1", int(sys.argv[1]))
names = sys.argv[2:]
print("answer", json.dumps({
    "status": client.get_pv_statuses(names),
    "one": client.get_pv_status(names[0]),
    "all": client.get_all_pvs("T:D*"),
    "type": client.get_pv_type_info(names[0]),
    "never": client.get_never_connected_pvs(),
    "gone": sorted(client.get_currently_disconnected_pvs()),
}))
"""


def test_row_24_status_of_a_list_by_a_form(stand: Stand):
    wait_until(lambda: status(stand, stand.live[0]) == "Being archived", TIMEOUT, "the live PV")
    names = [stand.live[0], "T:Nope"]
    reply = stand.client.post(f"{stand.url}/mgmt/bpl/getPVStatus", data={"pv": ",".join(names)})
    assert [row["pvName"] for row in reply.json()] == names
    answer = run_client(AAPY_STATUS, stand.ports[0], *names, old=True)
    assert [row["status"] for row in answer["status"]] == ["Being archived", "Not being archived"]
    assert answer["one"][0]["connectionState"] == "true" and answer["all"] == ["T:Day", "T:Double", "T:Doubles"]
    assert answer["type"]["pvName"] == names[0] and all(isinstance(v, str) for v in answer["one"][0].values())


AAPY_LIFE = """
import json, sys, time
from aa.rest import AaRestClient
client = AaRestClient("127.0.0.1", int(sys.argv[1]))
pv = sys.argv[2]
steps = {}
steps["archive"] = client.archive_pv(pv, 1.0, "MONITOR")
def wait(wanted):
    for _ in range(900):
        found = client.get_pv_status(pv)[0]["status"]
        if found == wanted:
            return found
        time.sleep(0.1)
    return found
steps["archived"] = wait("Being archived")
steps["again"] = client.archive_pv(pv, 1.0, "MONITOR")
steps["delete while archived"] = client.delete_pv(pv)
steps["pause"] = client.pause_archiving_pv(pv)
steps["paused"] = wait("Paused")
steps["pause twice"] = client.pause_archiving_pv(pv)
steps["change"] = client.change_archival_parameters(pv, 2.0, "SCAN")
steps["resume"] = client.resume_archiving_pv(pv)
steps["resumed"] = wait("Being archived")
steps["type"] = client.get_pv_type_info(pv)
steps["pause again"] = client.pause_archiving_pv(pv)
steps["delete"] = client.delete_pv(pv)
steps["deleted"] = wait("Not being archived")
print("answer", json.dumps(steps))
"""


def test_row_25_the_life_of_a_pv(stand: Stand):
    pv = stand.live[1]
    steps = run_client(AAPY_LIFE, stand.ports[0], pv, old=True)
    assert steps["archive"] == [{"pvName": pv, "status": "Archive request submitted"}]
    assert (steps["archived"], steps["paused"], steps["resumed"]) == ("Being archived", "Paused", "Being archived")
    assert steps["again"][0]["status"] == "Already submitted"
    assert steps["pause"]["status"] == "ok" and steps["resume"]["status"] == "ok" and steps["change"]["status"] == "ok"
    assert steps["pause twice"]["validation"] == f"PV {pv} is already paused"
    refusal = f"We will not stop archiving PV {pv} if it is not paused. Please pause recording first."
    assert steps["delete while archived"]["validation"] == refusal
    assert (steps["type"]["samplingMethod"], float(steps["type"]["samplingPeriod"])) == ("SCAN", 2.0)
    assert steps["delete"]["status"] == "ok" and steps["deleted"] == "Not being archived"


def test_row_25_the_same_with_plain_requests(stand: Stand):
    """As row 25, for where the older clients are not installed."""
    pv = stand.live[2]
    assert stand.bpl("archivePV", pv=pv)[0]["status"] == "Archive request submitted"
    wait_until(lambda: status(stand, pv) == "Being archived", TIMEOUT, "it to be archived")
    assert stand.bpl("pauseArchivingPV", pv=pv)["status"] == "ok"
    assert status(stand, pv) == "Paused"
    assert stand.bpl("changeArchivalParameters", pv=pv, samplingperiod="5.0", samplingmethod="SCAN")["status"] == "ok"
    assert stand.bpl("resumeArchivingPV", pv=pv)["status"] == "ok"
    assert stand.bpl("pauseArchivingPV", pv=pv)["status"] == "ok"
    assert stand.bpl("deletePV", pv=pv)["status"] == "ok"
    assert status(stand, pv) == "Not being archived"


AAPY_MORE = """
import json, sys
from aa.rest import AaRestClient
client = AaRestClient("127.0.0.1", int(sys.argv[1]))
metrics = client.get_appliance_metrics()
print("answer", json.dumps({
    "metrics": metrics,
    "details": client.get_appliance_metrics_for_appliance(metrics[0]["instance"]),
    "policies": client.get_policy_list(),
}))
"""


def test_row_26_metrics_policies_and_rename(stand: Stand):
    answer = run_client(AAPY_MORE, stand.ports[0], old=True)
    (metrics,) = answer["metrics"]
    assert metrics["status"] == "Working" and int(metrics["pvCount"].replace(",", "")) > 0
    assert all(isinstance(value, str) for value in metrics.values())
    assert {"eventRate", "dataRate", "connectedPVCount", "disconnectedPVCount"} <= set(metrics)
    assert {"name", "value"} <= set(answer["details"][0])
    assert answer["policies"]["Fast"] == "All there is"


def test_row_26_rename(stand: Stand):
    pv, new = f"{stand.prefix}State", f"{stand.prefix}Renamed"
    assert stand.bpl("archivePV", pv=pv)[0]["status"] in ("Archive request submitted", "Already submitted")
    wait_until(lambda: status(stand, pv) == "Being archived", TIMEOUT, "it to be archived")
    wait_until(lambda: stand.data("json", pv, "2020-01-01", "2100-01-01").status_code == 200, TIMEOUT, "a sample")
    assert stand.bpl("pauseArchivingPV", pv=pv)["status"] == "ok"
    assert stand.bpl("renamePV", pv=pv, newname=new)["status"] == "ok"

    def renamed() -> bool:
        reply = stand.data("json", new, "2020-01-01", "2100-01-01")
        return reply.status_code == 200 and len(reply.json()[0]["data"]) > 0

    wait_until(renamed, TIMEOUT, "the renamed PV to have its past")
    assert stand.data("json", pv, "2020-01-01", "2100-01-01").status_code == 404


def test_row_28_the_older_client_of_ess(stand: Stand):
    info = stand.bpl("getApplianceInfo")
    assert info["identity"] and info["version"]
    reply = stand.client.get(f"{info['dataRetrievalURL']}/data/getData.json", params={"pv": "C:Beam"})
    assert reply.status_code == 200 and reply.json()[0]["meta"]["name"] == "C:Beam"
    pvs = [f"{stand.prefix}Later{n}" for n in range(3)]
    body = [{"pv": pv, "samplingperiod": "1.0", "samplingmethod": "MONITOR"} for pv in pvs]
    reply = stand.client.post(f"{stand.url}/mgmt/bpl/archivePV", json=body)
    assert [row["status"] for row in reply.json()] == ["Archive request submitted"] * 3
    assert [row["pvName"] for row in reply.json()] == pvs
    csv = {"content": ",".join(pvs[:2]), "headers": {"Content-Type": "text/plain"}}
    reply = stand.client.post(f"{stand.url}/mgmt/bpl/pauseArchivingPV", **csv)
    assert reply.json() == [{"pvName": pv, "status": "ok"} for pv in pvs[:2]] or all(
        row["status"] == "ok" for row in reply.json()
    )
    assert [status(stand, pv) for pv in pvs[:2]] == ["Paused", "Paused"]
    # a misspelt delete_data deletes no data, and is no error
    assert stand.bpl("deletePV", pv=pvs[0], delete_data="true")["status"] == "ok"
    assert stand.bpl("abortArchivingPV", pv=pvs[2])["status"] == "ok"
    assert stand.bpl("getAllExpandedPVNames")


@pytest.mark.parametrize("port", [0, 1])
def test_row_33_both_ports_answer_everything(stand: Stand, port: int):
    base = f"http://127.0.0.1:{stand.ports[port]}"
    for path in (
        "/retrieval/ping",
        "/retrieval/bpl/getVersion",
        "/retrieval/data/getData.json?pv=C:Beam",
        "/mgmt/bpl/getAllPVs?pv=T:*",
        "/mgmt/bpl/getApplianceInfo",
        "/mgmt/bpl/getVersions",
    ):
        assert stand.client.get(base + path).status_code == 200, path
    info = stand.client.get(f"{base}/mgmt/bpl/getApplianceInfo").json()
    assert stand.client.get(f"{info['retrievalURL']}/getVersion").status_code == 200
    assert stand.client.get(f"{info['mgmtURL']}/getVersions").status_code == 200


def test_row_34_pages_of_other_origins_may_read(stand: Stand):
    path = f"{stand.url}/retrieval/data/getData.json?pv=C:Beam"
    headers = {"Origin": "http://grafana.lab", "Access-Control-Request-Method": "GET"}
    reply = stand.client.options(path, headers=headers)
    assert reply.status_code in (200, 204) and reply.headers["access-control-allow-origin"] == "*"
    for path in ("/retrieval/data/getData.json?pv=C:Beam", "/retrieval/bpl/getMatchingPVs?pv=*", "/mgmt/bpl/getAllPVs"):
        reply = stand.client.get(stand.url + path, headers={"Origin": "http://grafana.lab"})
        assert reply.headers["access-control-allow-origin"] == "*", path
    # but a foreign page may not manage
    reply = stand.client.get(
        f"{stand.url}/mgmt/bpl/pauseArchivingPV",
        params={"pv": stand.live[0]},
        headers={"Origin": "http://evil.example"},
    )
    assert reply.status_code in (401, 403) and status(stand, stand.live[0]) == "Being archived"


AAPY_FILES = """
import datetime, json, sys
from aa.pb import PbFileFetcher
fetcher = PbFileFetcher(sys.argv[1])
start, end = (datetime.datetime.fromtimestamp(int(t), datetime.timezone.utc) for t in sys.argv[2:4])
answer = {}
for pv in sys.argv[4:]:
    found = fetcher.get_values(pv, start, end)
    answer[pv] = {
        "times": found.timestamps.tolist(), "values": found.values.tolist(), "severities": found.severities.tolist(),
        "states": {str(k): v for k, v in found.enum_options.items()},
    }
print("answer", json.dumps(answer))
"""


@pytest.mark.parametrize("way", ["server", "folder"])
def test_row_31_pb_files_on_disk(stand: Stand, tmp_path: Path, way: str):
    """aapy's PbFileFetcher reads what is exported as an appliance's own files."""
    where = ["--url", stand.url] if way == "server" else ["--folder", str(stand.engine.archive)]
    window = ["--from", "2026-01-01T00:00:00Z", "--to", "2028-01-01T00:00:00Z"]
    pvs = ["C:Beam", "C:Valve", "C:EscDoubles", "C:EscLong", "T:NewYear", "T:Short", "T:String"]
    argv = ["export", *pvs, *window, "--format", "pb", "-o", str(tmp_path), *where]
    result = CliRunner().invoke(app, argv, prog_name="owl archive")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "C" / "Beam:2026.pb").exists() and (tmp_path / "T" / "NewYear:2027.pb").exists()
    answer = run_client(AAPY_FILES, tmp_path, T0 - 86400, T0 + 100 * 86400, *pvs, old=True)
    for pv in pvs:
        chunks = stand.raw(pv, window[1], window[3])
        events = [event for chunk in chunks for event in chunk.events]
        assert len(answer[pv]["times"]) == len(events) > 0
        assert answer[pv]["times"] == pytest.approx([event.time_ns / NS for event in events], abs=1e-6)
        values = [np.atleast_1d(value).tolist() for value in answer[pv]["values"]]
        assert values == [np.atleast_1d(event.value).tolist() for event in events], pv
        assert np.ravel(answer[pv]["severities"]).tolist() == [event.severity for event in events]
    assert answer["C:Valve"]["states"] == {"0": "Closed", "1": "Open"}
    assert len(answer["C:Beam"]["times"]) == 7200


@pytest.mark.skip(reason="row 32: the Archiver Appliance itself (Java, Tomcat) is not on this machine")
def test_row_32_the_same_data_in_the_original():
    """The same samples in both servers, compared byte by byte."""


def test_metadata_are_json_that_anybody_reads(stand: Stand):
    reply = stand.get("/retrieval/bpl/getMetadata", pv="T:Ramp")
    assert json.loads(reply.text)["DESC"] == 'a "ramp" µ'
