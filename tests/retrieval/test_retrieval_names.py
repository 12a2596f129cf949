"""The `bpl` calls, pings and versions."""

from __future__ import annotations

from importlib.metadata import version

from archive_fill import Server

BPL = "/retrieval/bpl"


def test_ping_and_version(server: Server):
    reply = server.get("/retrieval/ping")
    assert (reply.text, reply.headers["content-type"]) == ("Pong", "text")
    assert server.get(f"{BPL}/ping").text == "pong"
    assert server.get(f"{BPL}/startupState").json() == {"status": "STARTUP_COMPLETE"}
    assert server.get(f"{BPL}/getVersion").json() == {"version": f"owlshift {version('owlshift')}"}
    assert "owlshift" in server.get("/").text


def test_matching_names(server: Server):
    def names(**params) -> list[str]:
        reply = server.get(f"{BPL}/getMatchingPVs", **params)
        assert reply.headers["content-type"] == "application/json"
        return reply.json()

    assert names(pv="T:D*") == ["T:Day", "T:Double", "T:Doubles"]
    assert names(pv="T:?ong") == ["T:Long"]
    assert names(pv="Other:A[0]") == ["Other:A[0]"]
    assert names(pv="T:D*", regex=".*") == ["T:Day", "T:Double", "T:Doubles"]
    assert names(regex="T:D.*") == ["T:Day", "T:Double", "T:Doubles"]
    assert names(regex="Double") == []
    assert names(regex="T:Day|T:Ramp") == ["T:Day", "T:Ramp"]
    assert names(regex="(?i)t:day") == ["T:Day"]
    assert names(pv="*", limit=2) == ["Other:A[0]", "T:Changed"]
    assert len(names(pv="*", limit=-1)) == len(names(pv="*")) > 15
    assert names(pv="nothing*") == []


def test_search_is_text(server: Server):
    reply = server.get(f"{BPL}/searchForPVsRegex", regex=".*Day.*|.*Ramp.*")
    assert (reply.text, reply.headers["content-type"]) == ("T:Day\nT:Ramp\n", "text/plain")


def test_metadata(server: Server):
    got = server.get(f"{BPL}/getMetadata", pv="T:Ramp.VAL").json()
    assert got["pvName"] == "T:Ramp" and got["DBRType"] == "DBR_SCALAR_DOUBLE" and got["scalar"] == "true"
    assert (got["EGU"], got["PREC"], got["units"], got["precision"], got["NELM"]) == ("V", "3", "V", "3.0", "1")
    got = server.get(f"{BPL}/getMetadata", pv="T:Chars").json()
    assert (got["DBRType"], got["scalar"], got["NELM"]) == ("DBR_WAVEFORM_BYTE", "false", "8")
    assert all(isinstance(v, str) for v in got.values())
    assert server.get(f"{BPL}/getMetadata", pv="T:Enum").json()["ENUM_1"] == "On"


def test_is_it_archived(server: Server):
    assert server.get(f"{BPL}/areWeArchivingPV", pv="T:Ramp").json() == {"status": "true"}
    assert server.get(f"{BPL}/areWeArchivingPV", pv="T:Nope").json() == {"status": "false"}


def test_what_clients_ask_of_the_management(server: Server):
    assert server.get("/mgmt/bpl/getAllPVs", pv="T:D*").json() == ["T:Day", "T:Double", "T:Doubles"]
    assert "T:Ramp" in server.get("/mgmt/bpl/getAllPVs", limit=-1).json()
    info = server.get("/mgmt/bpl/getApplianceInfo").json()
    assert info["dataRetrievalURL"] == f"{server.url}/retrieval" and info["retrievalURL"].endswith("/bpl")
