"""A PV's life with real processes: a C IOC, the engine and retrieval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from manage_stand import TIMEOUT, Site, counter, settled
from support import wait_until

pytestmark = pytest.mark.timeout(600)


def test_the_life_of_a_pv(tmp_path: Path, prefix: str) -> None:
    name, new = f"{prefix}Count", f"{prefix}Counter"
    with Site(tmp_path, counter(name) + counter(new)) as site:
        assert site.status(name)["status"] == "Not being archived"
        assert site.call("archivePV", pv=name, samplingperiod="1.0", samplingmethod="MONITOR") == [
            {"pvName": name, "status": "Archive request submitted"}
        ]
        assert site.status(name)["status"] in ("Initial sampling", "Being archived")
        assert site.call("archivePV", pv=name)[0]["status"] == "Already submitted"
        site.wait_status(name, "Being archived")
        rows = site.wait_data(name, lambda rows: len(rows) >= 10, "samples")
        assert (np.diff([v for _, v in rows]) == 1).all()
        wait_until(lambda: site.status(name).get("connectionState") == "true", TIMEOUT, "connected")
        info = site.call("getPVTypeInfo", pv=name)
        assert (info["DBRType"], info["units"], info["samplingMethod"]) == ("DBR_SCALAR_DOUBLE", "n", "MONITOR")
        assert [r["pvName"] for r in site.call("getEventRateReport")] == [name]

        assert site.call("pauseArchivingPV", pv=name)["status"] == "ok"
        assert site.status(name)["status"] == "Paused"
        count = settled(site, name)
        assert (
            site.call("changeArchivalParameters", pv=name, samplingperiod="0.5", samplingmethod="SCAN")["status"]
            == "ok"
        )
        # what was decided outlives both processes, however they end
        site.restart(kill=True)
        assert site.status(name)["status"] == "Paused"
        assert settled(site, name) == count

        assert site.call("resumeArchivingPV", pv=name)["status"] == "ok"
        rows = site.wait_data(name, lambda rows: len(rows) >= count + 6, "samples after it is resumed")
        gaps = np.diff([t for t, _ in rows[count + 1 :]]) / 1e9
        assert (gaps > 0.3).all(), gaps
        assert site.wait_status(name, "Being archived")["isMonitored"] == "false"
        assert site.call("getPVTypeInfo", pv=name)["samplingPeriod"] == "0.5"

        assert "not paused" in site.call("renamePV", pv=name, newname=new)["validation"]
        site.call("pauseArchivingPV", pv=name)
        count = settled(site, name)
        before = site.data(name)
        assert len(before) == count
        assert site.call("renamePV", pv=name, newname=new)["status"] == "ok"
        assert (site.status(name)["status"], site.status(new)["status"]) == ("Not being archived", "Paused")
        site.wait_data(new, lambda rows: rows == before, "its history under the new name")
        wait_until(lambda: not site.data(name), TIMEOUT, "nothing under the old name")
        site.restart()
        assert site.data(new) == before and not site.data(name)
        site.call("resumeArchivingPV", pv=new)
        site.wait_data(new, lambda rows: len(rows) > len(before), "samples under the new name")

        site.call("pauseArchivingPV", pv=new)
        kept = settled(site, new)
        assert site.call("deletePV", pv=new)["status"] == "ok"
        assert site.status(new)["status"] == "Not being archived"
        assert new not in site.call("getAllPVs") and len(site.data(new)) == kept, "its data are still there"
        assert site.call("archivePV", pv=new)[0]["status"] == "Archive request submitted"
        site.wait_data(new, lambda rows: len(rows) > kept, "new samples after the old ones")
        site.call("pauseArchivingPV", pv=new)
        settled(site, new)
        assert site.call("deletePV", pv=new, deleteData="true")["status"] == "ok"
        wait_until(lambda: not site.data(new), TIMEOUT, "no data")
        site.restart()
        assert not site.data(new)
        assert site.call("archivePV", pv=new)[0]["status"] == "Archive request submitted"
        again = site.wait_data(new, lambda rows: len(rows) >= 3, "a fresh start")
        assert again[0][0] > before[-1][0]

        done = [(row["what"], row["pv"]) for row in reversed(json.loads(site.raw("/api/audit")[1]))]
        assert [d for d in done if d[1] == name] == [
            *((what, name) for what in ("request", "pause", "change", "resume", "pause", "rename"))
        ]


def test_aliases_fields_policies_and_control(tmp_path: Path, prefix: str) -> None:
    one, gate, never = f"{prefix}A", f"{prefix}Gate", f"{prefix}Never"
    records = counter(one) + counter(f"{prefix}S") + f'record(ao, "{gate}") {{ field(VAL, "0") field(PINI, "YES") }}\n'
    extra = f'[[archiver.policy]]\nname = "slow"\npv = "{prefix}S*"\nmethod = "scan"\nperiod = 0.5\n'
    with Site(tmp_path, records, extra) as site:
        body = [{"pv": one, "alias": f"{prefix}Nick"}, {"pv": never}, {"pv": f"{prefix}S"}]
        assert {a["status"] for a in site.call("archivePV", body)} == {"Archive request submitted"}
        site.wait_status(one, "Being archived")
        assert site.status(f"{prefix}Nick")["status"] == "Being archived"
        rows = site.wait_data(f"{prefix}Nick", lambda rows: len(rows) >= 5, "samples under an alias")
        assert site.data(one)[: len(rows)] == rows
        assert site.status(never)["status"] == "Initial sampling"
        assert [r["pvName"] for r in site.call("getNeverConnectedPVs")] == [never]
        assert site.call("abortArchivingPV", pv=never)["status"] == "ok"
        assert site.call("getNeverConnectedPVs") == []
        slow = site.wait_status(f"{prefix}S", "Being archived")
        assert slow["isMonitored"] == "false"
        assert site.call("getPVTypeInfo", pv=f"{prefix}S")["policyName"] == "slow"
        # what a user set holds until it is given up
        site.call("changeArchivalParameters", pv=f"{prefix}S", samplingperiod="5", samplingmethod="MONITOR")
        wait_until(lambda: site.status(f"{prefix}S").get("isMonitored") == "true", TIMEOUT, "monitored")
        assert site.call("reapplyPolicies", pv=f"{prefix}S", keepuser="false")["pvs"] == "1"
        wait_until(lambda: site.status(f"{prefix}S").get("isMonitored") == "false", TIMEOUT, "scanned again")
        # nothing is kept while the controlling PV is 0
        site.call("changeArchivalParameters", pv=one, controllingPV=gate)
        count = settled(site, one)
        assert site.status(one)["status"] == "Being archived" and count >= 5
        metrics = site.raw("/metrics")[1]
        assert 'owlshift_archiver_pvs{state="archived"} 2' in metrics and "owlshift_archiver_engine_up" in metrics


def test_a_pv_moves_from_one_engine_to_another(tmp_path: Path, prefix: str) -> None:
    name = f"{prefix}A"
    with Site(tmp_path, counter(name), engines=("e1", "e2")) as site:
        assert [a["identity"] for a in site.call("getAppliancesInCluster")] == ["e1", "e2"]
        assert site.call("archivePV", pv=name, appliance="e1")[0]["status"] == "Archive request submitted"
        assert site.wait_status(name, "Being archived")["appliance"] == "e1"
        before = site.wait_data(name, lambda rows: len(rows) >= 5, "samples")
        assert site.call("reassignAppliance", pv=name, appliance="e2")["status"] == "ok"
        wait_until(lambda: site.status(name).get("appliance") == "e2", TIMEOUT, "the other engine to have it")
        rows = site.wait_data(name, lambda rows: len(rows) >= len(before) + 20, "samples of the other engine")
        assert rows[: len(before)] == before
        values = [int(v) for _, v in rows]
        assert values == sorted(set(values)), "its history is one"
        assert [m["instance"] for m in site.call("getApplianceMetrics")] == ["e1", "e2"]
        # a rename reaches both stores
        site.call("pauseArchivingPV", pv=name)
        settled(site, name)
        whole = site.data(name)
        site.call("renamePV", pv=name, newname=f"{prefix}New")
        site.wait_data(f"{prefix}New", lambda rows: rows == whole, "all its history under the new name")
