"""Rows 20 to 23, 27 and 29: clients in Python that others wrote, as they are on PyPI."""

from __future__ import annotations

import datetime as dt

import pytest
from matrix_stand import NS, T0, Stand, run_client

AT = dt.datetime(2026, 11, 20, 8, 0, 10, tzinfo=dt.UTC)

ARCHAPP = """
import datetime, json, sys
from archapp.data import ArchiveData
from archapp.mgmt import ArchiveMgmt
port, live = int(sys.argv[1]), sys.argv[2]
data, mgmt = ArchiveData("127.0.0.1", port), ArchiveMgmt("127.0.0.1", port)
start = datetime.datetime(2026, 11, 20, 8, 0, 10)
end = start + datetime.timedelta(seconds=10)
raw = data.get_raw("C:Beam", start, end)
array = data.get("C:Beam", start, end)
print("answer", json.dumps({
    "raw": raw,
    "values": [float(v) for v in array.sel(field="vals").values] if "field" in array.dims else array.values.tolist(),
    "attrs": {k: str(v) for k, v in array.attrs.items()},
    "day": len(data.get_raw("T:Day", start, start + datetime.timedelta(days=1))["data"]),
    "empty": data.get_raw("T:Empty", start, end),
    "snapshot": data.get_snapshot(["C:Beam", "T:Enum", "T:Empty", "T:Nope"], start),
    "found": mgmt.search_pvs("T:D*", do_print=False),
    "live": mgmt.search_pvs(live, do_print=False),
}))
"""


@pytest.fixture(scope="module")
def archapp(stand: Stand) -> dict:
    return run_client(ARCHAPP, stand.ports[1], stand.live[0])


def test_row_20_archapp_reads_json(stand: Stand, archapp: dict):
    window = "from=2026-11-20T08:00:10Z&to=2026-11-20T08:00:20Z"
    reply = stand.exactly(f"/retrieval/data/getData.json?pv=C:Beam&{window}&donotchunk")
    assert reply.status_code == 200 and len(reply.json()) == 1 and "content-length" in reply.headers
    assert archapp["raw"]["meta"]["name"] == "C:Beam" and archapp["raw"]["meta"]["EGU"] == "mA"
    assert [e["secs"] for e in archapp["raw"]["data"]] == [T0 + n for n in range(10, 21)]
    assert len(archapp["values"]) > 0 and archapp["day"] == 76_390
    assert archapp["empty"]["data"] == []


POINTS = {"secs", "val", "nanos", "severity", "status"}


def test_row_21_many_pvs_at_one_time(archapp: dict, pyarchappl: dict):
    for answer in (archapp["snapshot"], pyarchappl["snapshot"]):
        assert sorted(answer) == ["C:Beam", "T:Enum"]  # one without samples, one unknown
        assert all(POINTS <= set(point) for point in answer.values())
        assert answer["C:Beam"]["secs"] == T0 + 10 and answer["T:Enum"]["val"] == 0


def test_row_22_archapp_searches(stand: Stand, archapp: dict):
    assert archapp["found"] == ["T:Day", "T:Double", "T:Doubles"] and archapp["live"] == stand.live[:1]


PYARCHAPPL = """
import json, sys
from archappl.client import ArchiverDataClient, ArchiverMgmtClient
url, live = sys.argv[1], sys.argv[2]
times = dict(from_time="2026-11-20T08:00:10.000Z", to_time="2026-11-20T08:00:20.000Z", tz="UTC")
out = {}
for form in ("raw", "json"):
    client = ArchiverDataClient(url, format=form)
    frame = client.get_data("C:Beam", **times)
    out[form] = [[t.isoformat(), v, int(s)] for t, v, s in zip(frame.index, frame["val"], frame["severity"])]
    out[form + " enum"] = client.get_data("C:Valve", **times)["val"].tolist()
    frame = client.get_data("T:Empty", **times)
    out[form + " empty"] = None if frame is None else len(frame)
out["snapshot"] = client.get_data_at_time(["C:Beam", "T:Enum", "T:Empty", "T:Nope"], "2026-11-20T08:00:10Z")
mgmt = ArchiverMgmtClient(url)
out["info"] = mgmt.get_appliance_info()
out["pvs"] = mgmt.get_all_pvs("T:D*", limit=2)
out["expanded"] = mgmt.get_all_pvs("*", limit=-1, expanded=True)
out["status"] = {k: vars(v) for k, v in mgmt.get_pv_status([live, "NOT:There"]).items()}
out["type"] = vars(mgmt.get_pv_type_info(live))
out["no type"] = mgmt.get_pv_type_info("NOT:There")
details = mgmt.get_pv_details(live)
out["details"] = [] if details is None else sorted(name for _, name in details.index)
out["stores"] = mgmt.get_stores_for_pv(live)
print("answer", json.dumps(out))
"""


@pytest.fixture(scope="module")
def pyarchappl(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> dict:
    config = tmp_path_factory.mktemp("pyarchappl") / "config.ini"
    config.write_text(
        "[main]\nuse = here\n[here]\nurl = http://127.0.0.1\nadmin_port = 17665\ndata_port = 17668\n"
        "data_format = raw\nadmin_disabled = false\n[misc]\nlocal_timezone = UTC\n"
    )
    stand.engine.wait_values(stand.live[0], 1)
    return run_client(PYARCHAPPL, stand.url, stand.live[0], old=True, env={"PYARCHAPPL_CONFIG_FILE": str(config)})


def test_pyarchappl_reads_and_asks(stand: Stand, pyarchappl: dict):
    assert [row[0] for row in pyarchappl["raw"]] == [f"2026-11-20T08:00:{n:02}+00:00" for n in range(10, 21)]
    assert pyarchappl["raw"] == pyarchappl["json"] and pyarchappl["raw enum"] == pyarchappl["json enum"] == [0]
    assert pyarchappl["raw empty"] is None and pyarchappl["json empty"] is None
    assert pyarchappl["info"]["identity"] == "appliance0" and pyarchappl["pvs"] == ["T:Day", "T:Double"]
    status = pyarchappl["status"]
    assert status[stand.live[0]]["status"] == "Being archived" and status["NOT:There"]["status"] == "Not being archived"
    assert pyarchappl["type"]["DBRType"] == "DBR_SCALAR_DOUBLE" and pyarchappl["no type"] is None
    assert "Channel Name" in pyarchappl["details"] and "PV Name" in pyarchappl["details"]
    live = stand.live[0]
    assert {live, f"{live}.VAL", f"{live}.HIHI"} <= set(pyarchappl["expanded"]) and pyarchappl["stores"]


AAPY = """
import datetime, json, sys
import pytz
from aa.js import JsonFetcher
from aa.pb import PbFetcher
port = int(sys.argv[1])
start = datetime.datetime(2026, 11, 20, 8, 0, 10, tzinfo=pytz.utc)
end = start + datetime.timedelta(seconds=10)
turn = datetime.datetime(2027, 1, 1, tzinfo=pytz.utc)
day = datetime.timedelta(days=1)
out = {}
for name, fetcher in (("json", JsonFetcher("127.0.0.1", port)), ("pb", PbFetcher("127.0.0.1", port))):
    def rows(pv, start, end):
        found = fetcher.get_values(pv, start, end)
        return [[float(t), v.tolist()] for t, v in zip(found.timestamps, found.values)]
    mine = out[name] = {}
    mine["beam"] = rows("C:Beam", start, end)
    mine["doubles"] = rows("T:Doubles", start - 2 * (end - start), start - (end - start) / 2)
    mine["turn"] = len(rows("T:NewYear", turn - day, turn + day))
    enum = fetcher.get_values("C:Valve", start, end)
    mine["enum"] = {str(k): v for k, v in enum.enum_options.items()}
    event = fetcher.get_event_at("C:Beam", start + datetime.timedelta(seconds=0.5))
    mine["event"] = [float(event.timestamp), float(event.value[0])]
    mine["empty"] = len(rows("T:Empty", start, end))
    try:
        mine["unknown"] = len(rows("T:Nope", start, end))
    except Exception as error:
        mine["unknown"] = str(error)
print("answer", json.dumps(out))
"""


def test_row_23_aapy(stand: Stand):
    answers = run_client(AAPY, stand.ports[1], old=True)
    for name, answer in answers.items():
        assert [t for t, _ in answer["beam"]] == [T0 + n for n in range(10, 21)], name
        assert answer["enum"] == {"0": "Closed", "1": "Open"}, name
        assert answer["event"][0] == T0 + 10, name
        assert answer["empty"] == 0, name
        # its JSON reader goes from the year's start to the window; its PB reader chooses by the year itself
        assert answer["turn"] >= 2, name
    assert answers["json"]["beam"] == answers["pb"]["beam"]
    assert "404" in answers["json"]["unknown"] and answers["pb"]["unknown"] == 0
    assert answers["json"]["doubles"][:2] == answers["pb"]["doubles"][:2]


def test_row_27_the_retrieval_client_of_ess(stand: Stand):
    from epicsarchiver.retrieval.client.archiver_retrieval import ArchiverRetrieval
    from epicsarchiver.retrieval.client.processor import Processor, ProcessorName

    client = ArchiverRetrieval("127.0.0.1", stand.ports[1])
    end = AT + dt.timedelta(seconds=20, microseconds=123456)
    metadata, events = client.get_events("C:Beam", AT, end)
    assert [e.timestamp.timestamp() for e in events] == [T0 + n for n in range(10, 31)]
    assert {h.name: h.value for h in metadata[2026].headers}["EGU"] == "mA"
    for name in ProcessorName:
        _, events = client.get_events("C:Beam", AT, end, Processor(name, 5))
        assert events or name.value == "flyers", name  # a sine has none of those
    for pv, value in (("C:EscText", "a\nb\rc\x1bd"), ("C:EscLong", -0x1B1B1B1B)):
        _, events = client.get_events(pv, AT, end)
        assert value in [e.val for e in events] or (pv == "C:EscLong" and len(events) == 3)
    assert client.search("C:Beam|T:Enum", start=AT, end=end) == ["C:Beam"]


async def test_row_27_the_same_with_asyncio(stand: Stand):
    from epicsarchiver.retrieval.client.archiver_retrieval import ArchiverRetrieval
    from epicsarchiver.retrieval.client.async_archiver_retrieval import AsyncArchiverRetrieval

    window = (AT, AT + dt.timedelta(seconds=20))
    _, expected = ArchiverRetrieval("127.0.0.1", stand.ports[1]).get_events("C:Beam", *window)
    async with AsyncArchiverRetrieval("127.0.0.1", stand.ports[1]) as client:
        events = await client.get_events("C:Beam", *window)
        assert [event.val for event in events] == [event.val for event in expected]


AACLIENT = """
import asyncio, datetime, json, sys
from aaclient import getArchive, MatchMode
async def main():
    conf = {"url": sys.argv[1] + "/mgmt/bpl/getApplianceInfo", "urltype": ".appl", "maxquery": "5",
            "chunksize": "262144", "defaultcount": "100", "starttime": "-1h", "endtime": "now"}
    out = {}
    async with await getArchive(conf) as arch:
        out["info"] = arch._info
        out["regex"] = sorted(await arch.search("^T:D.*$", match=MatchMode.Regex))
        out["glob"] = sorted(await arch.search("T:Ra*", match=MatchMode.Wildcard))
        start = datetime.datetime(2026, 11, 20, 8, tzinfo=datetime.timezone.utc)
        times = dict(T0=start, Tend=start + datetime.timedelta(hours=1))
        # no 16-bit and 8-bit types: its decoder (0.0.5) puts 32-bit numbers into arrays of those, and ends in a crash
        for pv in ("C:Beam", "T:Float", "T:Doubles", "T:Long"):
            value, meta = await arch.raw(pv, **times)
            out[pv] = [value.shape, value[0].tolist(), int(meta["sec"][0]), int(meta["severity"].max())]
        value, meta = await arch.plot("C:Beam", count=60, **times)
        out["plot"] = [value.shape, meta["sec"].tolist(), value[:, 0].tolist()]
    print("answer", json.dumps(out))
asyncio.run(main())
"""


def test_row_29_aaclient(stand: Stand):
    answer = run_client(AACLIENT, stand.url, old=True)
    info = answer["info"]
    assert info["retrievalURL"] == f"{stand.url}/retrieval/bpl" and info["mgmtURL"] == f"{stand.url}/mgmt/bpl"
    assert answer["regex"] == ["T:Day", "T:Double", "T:Doubles"] and answer["glob"] == ["T:Ramp"]
    assert answer["C:Beam"][0] == [3601, 1] and answer["C:Beam"][2] == T0
    assert answer["T:Doubles"][0] == [6, 3] and answer["T:Long"][1] == [-(2**31)]
    shape, seconds, values = answer["plot"]
    assert 100 < shape[0] <= 4 * 61 + 2 and seconds == sorted(seconds)
    assert max(values) == pytest.approx(6, abs=0.01) and min(values) == pytest.approx(4, abs=0.01)


def test_the_past_is_what_was_put_there(stand: Stand):
    """The rows above compare with times only; this one with every value."""
    from archiver.client import Archive

    with Archive(stand.url) as archive:
        table = archive.get("C:Beam", "2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z")
    assert table["time"].cast("int64").to_pylist() == [(T0 + n) * NS for n in range(7200)]
