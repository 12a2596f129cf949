"""The calls that change what is archived: their words, their status codes, and what they leave in the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from management_support import NOW_NS, NS, Stand, get

from archiver.management.access import Verdict
from archiver.management.asked import NAME, Asked, read_values, values_of
from archiver.management.ledger import Identity
from archiver.retrieval.query import Refused
from archiver.store.live import PvState


def post(stand: Stand, call: str, body: Any, content_type: str = "application/json", **parameters: str) -> Any:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    answer = stand.client().post(
        f"/mgmt/bpl/{call}", content=content, params=parameters, headers={"Content-Type": content_type}
    )
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return answer.json()


def status_of(stand: Stand, name: str) -> str:
    return get(stand.client(), "getPVStatus", pv=name)[0]["status"]


# archivePV


def test_archiving_a_pv_in_the_appliances_words(stand: Stand) -> None:
    c = stand.client()
    assert get(c, "archivePV", pv="NEW:1") == [{"pvName": "NEW:1", "status": "Archive request submitted"}]
    assert get(c, "archivePV", pv="NEW:1") == [{"pvName": "NEW:1", "status": "Already submitted"}]
    assert get(c, "archivePV", pv="SIM:A") == [{"pvName": "SIM:A", "status": "Already submitted"}]
    assert status_of(stand, "NEW:1") == "Initial sampling"
    assert get(c, "archivePV", pv="ca://N:2.VAL,N:3", samplingperiod="2.5", samplingmethod="SCAN") == [
        {"pvName": "ca://N:2.VAL", "status": "Archive request submitted"},
        {"pvName": "N:3", "status": "Archive request submitted"},
    ]
    entries = stand.ledger.entries()
    assert (entries["N:2"].method, entries["N:2"].period) == ("scan", 2.5)
    assert entries["NEW:1"].method is None
    row = stand.ledger.audit(1)[0]
    assert (row.user, row.host, row.what) == ("anonymous", "127.0.0.1", "request")


def test_archiving_by_post(stand: Stand) -> None:
    body = [
        {"pv": "P:1", "samplingperiod": "1.0", "samplingmethod": "MONITOR", "policy": "fast", "alias": "One"},
        {"pv": "P:2", "samplingperiod": 0.5, "controllingPV": "SIM:A", "deadband": "0.25"},
        {"pv": "bad name!"},
        {"pv": "P:3", "samplingperiod": "fast"},
        {"pv": "SIM:A"},
    ]
    answers = post(stand, "archivePV", body)
    assert [a["pvName"] for a in answers] == ["P:1", "P:2", "bad name!", "P:3", "SIM:A"]
    assert [a["status"] for a in answers[:2]] == ["Archive request submitted"] * 2
    assert "no name of a PV" in answers[2]["status"] and "no period" in answers[3]["status"]
    assert answers[4]["status"] == "Already submitted"
    entries = stand.ledger.entries()
    assert set(entries) == {"P:1", "P:2"}
    assert (entries["P:1"].policy, entries["P:2"].controlling, entries["P:2"].deadband) == ("fast", "SIM:A", 0.25)
    assert stand.ledger.aliases() == {"One": "P:1"}
    assert len(post(stand, "archivePV", "Q:1\nQ:2,Q:3", "text/plain")) == 3
    assert len(post(stand, "archivePV", ["R:1", "R:2"])) == 2
    assert len(post(stand, "archivePV", "pv=T%3A1,T%3A2&samplingperiod=5", "application/x-www-form-urlencoded")) == 2
    assert stand.ledger.entries()["T:2"].period == 5.0


def test_however_a_list_of_requests_is_laid_out_it_is_one(stand: Stand) -> None:
    wanted = [{"pv": "P:1", "samplingperiod": "7", "samplingmethod": "SCAN"}]
    for number, head in enumerate((b"", b" " * 100, b"\n" * 300)):
        wanted[0]["pv"] = f"P:{number}"
        post(stand, "archivePV", head + b"[" + head + json.dumps(wanted)[1:].encode())
        entry = stand.ledger.entry(f"P:{number}")
        assert entry is not None and (entry.method, entry.period) == ("scan", 7.0)
    mixed = stand.client().post("/mgmt/bpl/archivePV", json=["P:8", {"pv": "P:9"}])
    assert mixed.status_code == 400 and "no JSON list of requests" in mixed.text
    assert stand.client().post("/mgmt/bpl/archivePV", json=[]).status_code == 400


def test_names_of_one_request_are_not_given_twice(stand: Stand) -> None:
    answers = post(
        stand,
        "archivePV",
        [{"pv": "X:1", "alias": "N"}, {"pv": "X:2", "alias": "N"}, {"pv": "X:3", "alias": "X:1"}, {"pv": "N"}],
    )
    assert [a["status"] for a in answers] == [
        "Archive request submitted",
        "N is an alias of X:1 already.",
        "X:1 is the name of a PV, and so it can be no alias.",
        "N is an alias of X:1 in this request.",
    ]
    assert stand.ledger.aliases() == {"N": "X:1"} and set(stand.ledger.entries()) == {"X:1"}


def test_patterns_and_forms_have_bounds(stand: Stand) -> None:
    c = stand.client()
    globs = [f"*{n}*" for n in range(101)]
    answer = c.post("/mgmt/bpl/getPVStatus", json=globs)
    assert answer.status_code == 413 and "at most 100" in answer.text
    assert c.post("/mgmt/bpl/getPVStatus", json=["SIM:*", *globs[:99]]).json()[0]["pvName"] == "SIM:A"
    for path in ("/mgmt/bpl/getPVStatus", "/mgmt/bpl/pauseArchivingPV"):
        form = c.post(path, content=b"pv=A&" * 100_000, headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert form.status_code == 413 and "JSON list" in form.text
    many = c.post("/mgmt/bpl/getPVStatus", data={"pv": ",".join(f"F:{n}" for n in range(10_000))})
    assert len(many.json()) == 10_000


def test_ten_thousand_at_once(stand: Stand) -> None:
    names = [f"BULK:{n}" for n in range(10_000)]
    answers = post(stand, "archivePV", [{"pv": name} for name in names])
    assert {a["status"] for a in answers} == {"Archive request submitted"}
    assert len(post(stand, "pauseArchivingPV", names)) == 10_000
    assert {s["status"] for s in post(stand, "getPVStatus", names)} == {"Paused"}
    assert len(get(stand.client(), "resumeArchivingPV", pv="BULK:*")) == 10_000
    assert not any(e.paused for e in stand.ledger.entries().values())


@pytest.mark.parametrize(
    ("call", "parameters", "status", "words"),
    [
        ("archivePV", {}, 400, "needs the parameter pv"),
        ("archivePV", {"pv": "a b c!"}, 400, "no name of a PV"),
        ("archivePV", {"pv": "A" * 61}, 400, "no name of a PV"),
        ("archivePV", {"pv": "X*"}, 400, "no name of a PV"),
        ("archivePV", {"pv": "pva://X"}, 400, "without pva://"),
        ("archivePV", {"pv": "X", "samplingperiod": "0"}, 400, "no period"),
        ("archivePV", {"pv": "X", "samplingperiod": "nan"}, 400, "no period"),
        ("archivePV", {"pv": "X", "samplingperiod": "1e9"}, 400, "no period"),
        ("archivePV", {"pv": "X", "samplingmethod": "POLL"}, 400, "neither SCAN nor MONITOR"),
        ("archivePV", {"pv": "X", "policy": "none"}, 400, "there are fast, slow"),
        ("archivePV", {"pv": "X", "appliance": "other"}, 400, "there is appliance0"),
        ("archivePV", {"pv": "X", "alias": "SIM:A"}, 400, "can be no alias"),
        ("pauseArchivingPV", {}, 400, "needs the parameter pv"),
        ("deletePV", {"pv": "NOWHERE"}, 400, "Unable to find typeinfo for pv NOWHERE"),
        ("deletePV", {"pv": "SIM:A", "deleteData": "maybe"}, 400, "neither true nor false"),
        ("changeArchivalParameters", {"pv": "SIM:A"}, 400, "needs the parameter samplingperiod"),
        ("changeArchivalParameters", {"pv": "SIM:A", "samplingmethod": "SCAN"}, 400, "samplingperiod"),
        ("changeArchivalParameters", {"pv": "SIM:A", "samplingperiod": "-1"}, 400, "no period"),
        ("renamePV", {"pv": "SIM:A"}, 400, "needs the parameter newname"),
        ("renamePV", {"pv": "NOWHERE", "newname": "Y"}, 404, "Unable to find typeinfo for pv NOWHERE"),
        ("renamePV", {"pv": "SIM:A", "newname": "a b"}, 400, "no name of a PV"),
        ("addAlias", {"pv": "SIM:A"}, 400, "needs the parameter aliasname"),
        ("addAlias", {"pv": "SIM:A", "aliasname": "SIM:B"}, 400, "can be no alias"),
        ("removeAlias", {"pv": "SIM:A", "aliasname": "X"}, 400, "is no alias"),
        ("modifyMetaFields", {"pv": "SIM:A", "command": "add"}, 400, "none of add"),
        ("modifyMetaFields", {"pv": "SIM:A", "command": "add,no field"}, 400, "no name of a field"),
        ("getPVTypeInfo", {}, 400, "needs the parameter pv"),
        ("getPVTypeInfo", {"pv": "NOWHERE"}, 404, "Unable to find typeinfo for pv NOWHERE"),
        ("getPVDetails", {"pv": "NOWHERE"}, 404, "Unable to find typeinfo"),
        ("getEventRateReport", {"limit": "ten"}, 400, "not a whole number"),
        ("getAllPVs", {"regex": "("}, 400, "Cannot read regex"),
        ("changeTypeForPV", {"pv": "SIM:A", "newtype": "FLOAT"}, 400, "is no type"),
        ("setNamedFlag", {"name": "a b", "value": "true"}, 400, "no name of a flag"),
        ("reassignAppliance", {"pv": "SIM:A", "appliance": "x"}, 400, "no appliance"),
        ("modifyStoreURLForPV", {"pv": "SIM:A"}, 501, "archiver.tiers"),
        ("mergeInData", {}, 501, "rename"),
        ("frobnicate", {}, 404, "There is no call 'frobnicate'"),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence(
    stand: Stand, call: str, parameters: dict[str, str], status: int, words: str
) -> None:
    version = stand.ledger.version()
    answer = stand.client().get(f"/mgmt/bpl/{call}", params=parameters)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert stand.ledger.version() == version


def test_bodies_that_are_too_large_or_make_no_sense(stand: Stand) -> None:
    c = stand.client()
    for body, status in (
        (b"[" + b'"X",' * 3_000_000, 413),
        (json.dumps([f"X{n}" for n in range(20_001)]).encode(), 413),
        (b"[1, 2]", 400),
        (b'[{"nopv": 1}]', 400),
        (b"[", 400),
        (b"\xff\xfe", 400),
    ):
        assert c.post("/mgmt/bpl/archivePV", content=body).status_code == status, body[:20]
    assert c.post("/mgmt/bpl/importConfig", content=b"{}").status_code == 400
    assert stand.ledger.entries() == {}


# pause, resume, delete


def test_pausing_and_resuming(stand: Stand) -> None:
    c = stand.client()
    assert get(c, "pauseArchivingPV", pv="SIM:A") == {"pvName": "SIM:A", "status": "ok"}
    assert get(c, "pauseArchivingPV", pv="SIM:A") == {
        "pvName": "SIM:A",
        "validation": "PV SIM:A is already paused",
    }
    assert status_of(stand, "SIM:A") == "Paused"
    assert get(c, "pauseArchivingPV", pv="NONE")["validation"] == (
        "Trying to pause PV NONE that is not currently being archived or on an instance that is not active."
    )
    assert get(c, "resumeArchivingPV", pv="SIM:B") == {"pvName": "SIM:B", "validation": "PV SIM:B is not paused"}
    assert get(c, "resumeArchivingPV", pv="SIM:A") == {"pvName": "SIM:A", "status": "ok"}
    assert status_of(stand, "SIM:A") == "Being archived"


def test_pausing_many_gives_a_list(stand: Stand) -> None:
    c = stand.client()
    assert get(c, "pauseArchivingPV", pv="SIM:A,SIM:B,X") == [
        {"pvName": "SIM:A", "status": "ok"},
        {"pvName": "SIM:B", "status": "ok"},
        {
            "pvName": "X",
            "validation": "Trying to pause PV X that is not currently being archived or on an instance that is not "
            "active.",
        },
    ]
    assert [a["pvName"] for a in get(c, "resumeArchivingPV", pv="SIM:?")] == ["SIM:A", "SIM:B", "SIM:C"]
    # as the older ESS client sends it, and others
    assert post(stand, "pauseArchivingPV", "SIM:A,SIM:B", "text/plain")[1] == {"pvName": "SIM:B", "status": "ok"}
    assert post(stand, "resumeArchivingPV", "SIM:A,SIM:B", "application/x-www-form-urlencoded")[0]["status"] == "ok"
    assert post(stand, "pauseArchivingPV", "pv=SIM:A", "application/x-www-form-urlencoded")[0]["status"] == "ok"
    assert post(stand, "pauseArchivingPV", ["SIM:C"]) == [{"pvName": "SIM:C", "status": "ok"}]


def test_only_a_paused_pv_is_deleted(stand: Stand) -> None:
    c = stand.client()
    assert get(c, "deletePV", pv="SIM:A") == {
        "pvName": "SIM:A",
        "validation": "We will not stop archiving PV SIM:A if it is not paused. Please pause recording first.",
    }
    get(c, "pauseArchivingPV", pv="SIM:A,SIM:B")
    answer = get(c, "deletePV", pv="SIM:A", delete_data="true")
    assert answer["status"] == "ok" and answer["validation"] == ""
    assert stand.ledger.jobs() == []
    assert status_of(stand, "SIM:A") == "Not being archived"
    assert get(c, "deletePV", pv="SIM:B", deleteData="true")["status"] == "ok"
    assert [(j.kind, j.args) for j in stand.ledger.jobs()] == [("forget", ["SIM:B"])]
    assert "SIM:A" not in get(c, "getAllPVs")
    assert get(c, "archivePV", pv="SIM:A")[0]["status"] == "Archive request submitted"
    several = get(c, "deletePV", pv="SIM:C,NOWHERE")
    assert "not paused" in several[0]["validation"] and "Unable to find" in several[1]["validation"]


def test_a_request_is_taken_back(stand: Stand) -> None:
    c = stand.client()
    get(c, "archivePV", pv="N:1")
    assert get(c, "abortArchivingPV", pv="N:1")["status"] == "ok"
    assert status_of(stand, "N:1") == "Not being archived"
    assert get(c, "abortArchivingPV", pv="N:1")["status"] == "no"
    assert get(c, "abortArchivingPV", pv="SIM:A")["status"] == "no"


# change, rename, alias, fields, policies


def test_changing_parameters(stand: Stand) -> None:
    c = stand.client()
    answer = get(c, "changeArchivalParameters", pv="SIM:A", samplingperiod="7", samplingmethod="scan")
    assert answer["status"] == "ok" and "7.0" in answer["desc"]
    info = get(c, "getPVTypeInfo", pv="SIM:A")
    assert (info["samplingMethod"], info["samplingPeriod"]) == ("SCAN", "7.0")
    assert get(c, "changeArchivalParameters", pv="NONE", samplingperiod="7") == {
        "pvName": "NONE",
        "validation": "Unable to change the archival parameters for NONE",
    }
    get(c, "pauseArchivingPV", pv="SIM:A")
    assert get(c, "changeArchivalParameters", pv="SIM:A", samplingperiod="8")["status"] == "ok"
    entry = stand.ledger.entries()["SIM:A"]
    assert (entry.method, entry.period, entry.paused) == ("scan", 8.0, True)
    assert len(get(c, "changeArchivalParameters", pv="SIM:*", deadband="0.5")) == 3
    assert stand.ledger.entries()["SIM:C"].deadband == 0.5


def test_renaming_a_paused_pv(stand: Stand) -> None:
    c = stand.client()
    assert "not paused" in get(c, "renamePV", pv="SIM:A", newname="SIM:Z")["validation"]
    get(c, "pauseArchivingPV", pv="SIM:A")
    assert get(c, "renamePV", pv="SIM:A", newname="SIM:B")["status"] == "no"
    get(c, "addAlias", pv="SIM:A", aliasname="Al")
    assert get(c, "renamePV", pv="SIM:A", newname="SIM:Z")["status"] == "ok"
    assert [(j.kind, j.args) for j in stand.ledger.jobs()] == [("rename", {"SIM:A": "SIM:Z"})]
    assert (status_of(stand, "SIM:A"), status_of(stand, "SIM:Z")) == ("Not being archived", "Paused")
    assert get(c, "getAllAliases") == [{"aliasName": "Al", "srcPVName": "SIM:Z"}]


def test_a_name_that_has_samples_is_not_given_to_another_pv(stand: Stand) -> None:
    stand.store("SIM:B", [NOW_NS - 10 * NS])
    c = stand.client()
    for name in ("SIM:A", "SIM:B"):
        get(c, "pauseArchivingPV", pv=name)
    get(c, "deletePV", pv="SIM:B")
    answer = get(c, "renamePV", pv="SIM:A", newname="SIM:B")
    assert answer["status"] == "no" and "samples of a PV SIM:B" in answer["validation"]
    assert stand.ledger.jobs() == [] and status_of(stand, "SIM:A") == "Paused"


def test_a_rename_that_comes_too_late_is_refused_not_a_fault(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    c = stand.client()
    get(c, "pauseArchivingPV", pv="SIM:A")
    check = stand.context.reader.infos

    def meanwhile(names: list[str]) -> Any:
        stand.ledger.request(["SIM:Z"], Identity())  # by another writer, after the names were looked at
        return check(names)

    monkeypatch.setattr(stand.context.reader, "infos", meanwhile)
    answer = get(c, "renamePV", pv="SIM:A", newname="SIM:Z")
    assert answer["status"] == "no" and answer["validation"] == "There is a PV SIM:Z already; nothing was changed."


def test_aliases(stand: Stand) -> None:
    c = stand.client()
    assert get(c, "addAlias", pv="SIM:A", aliasname="Temp:Oven")["status"] == "ok"
    assert get(c, "getAllAliases") == [{"aliasName": "Temp:Oven", "srcPVName": "SIM:A"}]
    found = get(c, "getPVStatus", pv="Temp:Oven")[0]
    assert (found["pvName"], found["status"]) == ("Temp:Oven", "Being archived")
    assert get(c, "getAllPVs", pv="*")[-1] == "Temp:Oven"
    assert get(c, "getPVTypeInfo", pv="Temp:Oven")["pvName"] == "SIM:A"
    assert get(c, "archivePV", pv="Temp:Oven")[0]["status"] == "Already submitted"
    assert get(c, "pauseArchivingPV", pv="Temp:Oven") == {"pvName": "Temp:Oven", "status": "ok"}
    assert status_of(stand, "SIM:A") == "Paused"
    assert stand.client().get("/mgmt/bpl/addAlias?pv=SIM:B&aliasname=Temp:Oven").status_code == 400
    assert get(c, "removeAlias", pv="SIM:A", aliasname="Temp:Oven")["status"] == "ok"
    assert get(c, "getAllAliases") == []


def test_archived_fields(stand: Stand) -> None:
    c = stand.client()
    query = "pv=SIM:A&command=add,ADEL,MDEL&command=remove,ADEL&command=add,SCAN"
    answer = c.get(f"/mgmt/bpl/modifyMetaFields?{query}")
    assert answer.json()["status"] == "ok"
    assert stand.ledger.entries()["SIM:A"].fields == ("MDEL", "SCAN")
    assert get(c, "getPVTypeInfo", pv="SIM:A")["archiveFields"][-2:] == ["MDEL", "SCAN"]
    assert "SIM:A.MDEL" in get(c, "getAllExpandedPVNames")
    get(c, "modifyMetaFields", pv="SIM:A", command="clear")
    assert stand.ledger.entries()["SIM:A"].fields == ()


def test_policies_are_listed_and_applied_again(stand: Stand) -> None:
    c = stand.client()
    listed = get(c, "getPolicyList")
    assert set(listed) == {"Default", "fast", "slow"} and listed["slow"] == "Now and then"
    get(c, "changeArchivalParameters", pv="SIM:A", samplingperiod="7")
    assert get(c, "reapplyPolicies")["pvs"] == "3"
    assert stand.ledger.entries()["SIM:A"].period == 7.0
    assert get(c, "reapplyPolicies", pv="SIM:A", keepuser="false")["status"] == "ok"
    assert stand.ledger.entries()["SIM:A"].period is None
    assert [(j.kind, j.args) for j in stand.ledger.jobs()] == [
        ("reapply", ["SIM:A", "SIM:B", "SIM:C"]),
        ("reapply", ["SIM:A"]),
    ]
    assert c.get("/mgmt/bpl/reapplyPolicies?pv=NONE").status_code == 404
    text = c.get("/mgmt/bpl/getPolicyText")
    assert text.headers["content-type"] == "text/plain" and "no site file" in text.text


def test_flags_and_calls_that_need_do_nothing(stand: Stand) -> None:
    c = stand.client()
    assert get(c, "getNamedFlag", name="quiet") == {"quiet": "false"}
    assert get(c, "setNamedFlag", name="quiet", value="true") == {"status": "ok", "quiet": "true"}
    assert get(c, "getAllNamedFlags") == {"quiet": "true"}
    version = stand.ledger.version()
    answer = get(c, "changeTypeForPV", pv="SIM:A", newtype="DBR_SCALAR_INT")
    assert answer["status"] == "ok" and "Nothing was changed" in answer["desc"]
    assert get(c, "consolidateDataForPV", pv="SIM:A", storage="LTS")["status"] == "ok"
    assert get(c, "reassignAppliance", pv="SIM:A", appliance="appliance0")["status"] == "ok"
    assert stand.ledger.version() == version


# moving in from an appliance


def type_info(name: str, **more: Any) -> dict[str, Any]:
    """A PVTypeInfo as an appliance exports it."""
    return {
        "pvName": name,
        "DBRType": "DBR_SCALAR_DOUBLE",
        "scalar": "true",
        "elementCount": "1",
        "applianceIdentity": "appliance7",
        "samplingMethod": "MONITOR",
        "samplingPeriod": "1.0",
        "policyName": "TwoWeeks",
        "paused": "false",
        "archiveFields": ["HIHI", "LOLO", "HIGH"],
        "dataStores": ["pb://localhost?name=STS"],
        **more,
    }


def test_the_list_of_an_appliance_is_imported(stand: Stand) -> None:
    items = [
        type_info("LAB:1"),
        type_info("LAB:2", samplingMethod="SCAN", samplingPeriod="5.0", paused="true", archiveFields=["HIHI", "RTYP"]),
        type_info("LAB:3", samplingMethod="DONT_ARCHIVE"),
        type_info("SIM:A"),
        type_info("LAB:4", policyName="slow", controllingPV="SIM:A"),
        {"nothing": 1},
    ]
    answer = post(stand, "importConfig", items)
    assert (answer["imported"], answer["present"], len(answer["refused"])) == ("3", "1", 2)
    entries = stand.ledger.entries()
    assert set(entries) == {"LAB:1", "LAB:2", "LAB:4"}
    two = entries["LAB:2"]
    assert (two.method, two.period, two.paused, two.fields) == ("scan", 5.0, True, ("RTYP",))
    assert (entries["LAB:4"].policy, entries["LAB:4"].controlling) == ("slow", "SIM:A")
    assert entries["LAB:1"].policy is None
    exported = stand.client().get("/mgmt/bpl/exportConfig").json()
    assert [i["pvName"] for i in exported] == ["LAB:1", "LAB:2", "LAB:4", "SIM:A", "SIM:B", "SIM:C"]
    # what is exported can be imported elsewhere
    get(stand.client(), "pauseArchivingPV", pv="LAB:*")
    get(stand.client(), "deletePV", pv="LAB:*")
    again = post(stand, "importConfig", exported)
    assert (again["imported"], again["present"], again["refused"]) == ("3", "3", [])
    assert stand.ledger.entries()["LAB:2"].fields == ("RTYP",)


def test_one_type_info_is_put(stand: Stand) -> None:
    c = stand.client()
    body = type_info("LAB:1", samplingPeriod="3.0")
    assert c.post("/mgmt/bpl/putPVTypeInfo?pv=LAB:1", json=body).status_code == 400
    made = post(stand, "putPVTypeInfo", body, pv="LAB:1", createnew="true")
    assert (made["pvName"], made["samplingPeriod"]) == ("LAB:1", "3.0")
    assert c.post("/mgmt/bpl/putPVTypeInfo?pv=LAB:1&createnew=true", json=body).status_code == 400
    changed = post(stand, "putPVTypeInfo", {**body, "samplingPeriod": "4.0"}, pv="LAB:1", override="true")
    assert changed["samplingPeriod"] == "4.0"


# what engines say


def test_the_ledger_has_the_last_word_while_the_engine_follows(stand: Stand) -> None:
    c = stand.client()
    stand.put("SIM:A", state=PvState.PAUSED)
    stand.save()
    stand.context.census.forget()
    assert status_of(stand, "SIM:A") == "Paused"
    get(c, "pauseArchivingPV", pv="SIM:B")
    stand.put("SIM:B", state=PvState.PAUSED)
    stand.save()
    get(c, "resumeArchivingPV", pv="SIM:B")
    assert status_of(stand, "SIM:B") == "Being archived"
    stand.save(state="stopped")
    stand.context.census.forget()
    assert status_of(stand, "SIM:C") == "Appliance Down"
    assert status_of(stand, "SIM:B") == "Appliance Down"


def test_the_whole_of_a_status(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.put("SIM:A", losses=2, connected_ns=NOW_NS - 60 * NS, method=1, period=5.0)
    stand.save()
    stand.context.census.forget()
    item = get(stand.client(), "getPVStatus", pv="SIM:A", reporttype="short")[0]
    assert set(item) == {
        *("pvName", "status", "isMonitored", "samplingPeriod", "connectionState", "lastEvent", "lastRotateLogs"),
        *("connectionFirstEstablished", "connectionLastRestablished", "connectionLossRegainCount", "appliance"),
        "pvNameOnly",
    }
    assert all(isinstance(value, str) for value in item.values())
    assert (item["isMonitored"], item["samplingPeriod"], item["connectionState"]) == ("false", "5.0", "true")
    assert item["connectionLossRegainCount"] == "2" and item["appliance"] == "appliance0"
    never = get(stand.client(), "getPVStatus", pv="SIM:B")[0]
    assert (never["connectionLastRestablished"], never["lastRotateLogs"]) == ("Never", "Never")


def test_a_damaged_ledger_is_set_aside_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "manage.db").write_bytes(b"rubbish" * 1000)
    made = Stand(folder, ["SIM:A"])
    try:
        assert status_of(made, "SIM:A") == "Being archived"
        assert get(made.client(), "pauseArchivingPV", pv="SIM:A")["status"] == "ok"
        note = made.ledger.audit()[-1]
        assert note.what == "ledger set aside" and (folder / note.after["file"]).read_bytes().startswith(b"rubbish")
    finally:
        made.close()


def test_a_ledger_that_goes_bad_later_is_a_clear_error(stand: Stand) -> None:
    stand.ledger.pause(["SIM:A"], Identity())
    stand.ledger.close()
    for path in stand.folder.glob("manage.db*"):
        path.write_bytes(b"rubbish" * 1000)
    answer = stand.client().get("/mgmt/bpl/pauseArchivingPV?pv=SIM:B")
    assert answer.status_code == 503 and "is damaged" in answer.text
    answer = stand.client().get("/mgmt/bpl/getPVStatus?pv=SIM:B")
    assert answer.status_code == 503 and "is damaged" in answer.text
    # whoever watches the archive is told, and goes on seeing the engines
    figures = stand.client().get("/metrics")
    assert figures.status_code == 200 and "\nowlshift_archiver_ledger_good 0\n" in figures.text
    assert 'owlshift_archiver_engine_up{engine="appliance0"} 1' in figures.text
    status = stand.client().get("/api/status").json()
    assert "is damaged" in status["ledger"] and status["engines"][0]["alive"]


def test_what_fails_once_is_not_forgotten(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    from archiver.store import StoreError

    assert status_of(stand, "NEW:1") == "Not being archived"
    with monkeypatch.context() as patch:
        stand.ledger.request(["NEW:1"], Identity())

        def away() -> None:
            raise StoreError("the folder is away")

        patch.setattr(stand.context.census._sources[0].reader, "channels", away)
        assert stand.client().get("/mgmt/bpl/getPVStatus?pv=NEW:1").status_code == 503
    assert status_of(stand, "NEW:1") == "Initial sampling"


# the parser of requests, against anything

ITEMS = st.text(max_size=10) | st.integers() | st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3))
BODIES = (
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
    | st.lists(ITEMS, max_size=5).map(lambda items: json.dumps(items).encode())
)
KINDS = st.sampled_from(["", "application/json", "text/plain", "application/x-www-form-urlencoded"])


@given(body=BODIES, query=st.binary(max_size=60), kind=KINDS)
@settings(max_examples=300, deadline=None)
def test_any_request_is_understood_or_refused(body: bytes, query: bytes, kind: str) -> None:
    try:
        pairs, form = read_values(query, body, kind)
        asked = Asked("x", "POST", values_of(pairs), body, "", Verdict(Identity(), True, ""), tuple(pairs), form)
        names = asked.raw_names()
    except Refused as refusal:
        assert refusal.status in (400, 413, 414) and refusal.sentence.endswith((".", ")")), refusal.sentence
    else:
        assert names and len(set(names)) == len(names) and all(n.strip() for n in names)


@given(body=BODIES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_body_breaks_a_call(stand: Stand, body: bytes) -> None:
    c = stand.client()
    for call in ("archivePV", "importConfig", "putPVTypeInfo?createnew=true", "deletePV"):
        assert c.post(f"/mgmt/bpl/{call}", content=body).status_code in (200, 400), (call, body)
    assert all(NAME.fullmatch(name) for name in stand.ledger.entries())
