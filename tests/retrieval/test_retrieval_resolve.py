"""Which PV a name means: protocols, `.VAL`, aliases, fields, deleted and retired PVs; and who is listed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from archive_fill import NS, T0, Filler, Server, fill
from epicsevent import decode
from retrieval_inside import inside

from archiver.management import Identity, Ledger, Request
from archiver.retrieval.resolve import Candidate, Names
from archiver.store import Dbr, Reader, open_reader

DATA, BPL = "/retrieval/data", "/retrieval/bpl"
WINDOW = {"from": "2026-11-20T08:00:00Z", "to": "2026-11-20T08:00:10Z"}
WHO = Identity("someone")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names") / "store"
    fill(folder)
    f = Filler(folder)
    f.put("T:Ramp.ADEL", Dbr.DOUBLE, T0 * NS, np.array([7.0]))  # archived as a PV of its own
    f.put("T:Own.VAL", Dbr.LONG, T0 * NS, np.array([9], np.int32))
    f.close()
    ledger = Ledger(folder / "manage.db")
    ledger.add_alias("A:Ramp", "T:Ramp", WHO)
    ledger.add_alias("A:Nothing", "T:Nope", WHO)
    ledger.add_alias("T:Enum", "T:Ramp", WHO)  # there is a PV of that name
    ledger.request([Request("T:Long")], WHO)
    ledger.delete(["T:Long"], False, WHO)
    ledger.close()
    return folder


@pytest.fixture
def reader(folder: Path) -> Iterator[Reader]:
    reader = open_reader(folder)
    yield reader
    reader.close()


@pytest.fixture
async def client(reader: Reader, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with inside(reader, ledger=Ledger(folder / "manage.db")) as client:
        yield client


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        ("T:Ramp", "T:Ramp", 0.0),
        ("T:Ramp.VAL", "T:Ramp", 0.0),
        ("ca://T:Ramp", "T:Ramp", 0.0),
        ("pva://T:Ramp.VAL", "T:Ramp", 0.0),
        ("A:Ramp", "T:Ramp", 0.0),
        ("ca://A:Ramp.VAL", "T:Ramp", 0.0),
        ("mean_10(A:Ramp)", "T:Ramp", 2.25),
        ("T:Enum", "T:Enum", 0),
        ("T:Own.VAL", "T:Own.VAL", 9),
        ("T:Ramp.ADEL", "T:Ramp.ADEL", 7.0),
        ("T:Ramp.HIHI", "T:Ramp.HIHI", 10.0),
        ("A:Ramp.HIHI", "T:Ramp.HIHI", 10.0),
        ("T:Ramp.DESC", "T:Ramp.DESC", 'a "ramp" µ'),
        ("T:Long", "T:Long", -(2**31)),
    ],
)
async def test_names_in_data_calls(client: httpx.AsyncClient, asked: str, name: str, value: object):
    # metadata were first seen when the archive was filled, long after the samples
    far = {"from": WINDOW["from"], "to": "2100-01-01T00:00:00Z"} if "." in asked else WINDOW
    reply = await client.get(f"{DATA}/getData.json", params={"pv": asked, **far})
    assert reply.status_code == 200, reply.text
    (pv,) = reply.json()
    assert (pv["meta"]["name"], pv["data"][0]["val"]) == (name, value)
    qw = (await client.get(f"{DATA}/getData.qw", params={"pv": asked, **far})).json()
    assert qw[0]["meta"]["name"] == asked.removeprefix("mean_10(").removesuffix(")")
    chunk = decode((await client.get(f"{DATA}/getData.raw", params={"pv": asked, **far})).content)[0]
    assert (chunk.name, chunk.events[0].value) == (name, value)


@pytest.mark.parametrize(
    "asked", ["A:Nothing", "T:Nope.HIHI", "T:Ramp.NOPE", "T:Ramp.", ".HIHI", "ca://", "T:Ramp.VAL.VAL"]
)
async def test_names_that_mean_nothing(client: httpx.AsyncClient, asked: str):
    for path in (f"{DATA}/getData.json", f"{DATA}/getDataForPVs.raw", f"{BPL}/getMetadata"):
        reply = await client.get(path, params={"pv": asked, **WINDOW})
        assert reply.status_code == 404 and reply.text.startswith("Unable to find typeinfo for pv "), reply.text
    assert (await client.get(f"{BPL}/areWeArchivingPV", params={"pv": asked})).json() == {"status": "false"}
    at = await client.post(f"{DATA}/getDataAtTime", content=json.dumps([asked]))
    assert at.json() == {}


async def test_an_operator_on_a_field(client: httpx.AsyncClient):
    far = {"from": WINDOW["from"], "to": "2100-01-01T00:00:00Z"}
    reply = await client.get(f"{DATA}/getData.json", params={"pv": "lastSample_3600(T:Ramp.HIHI)", **far})
    assert [r["val"] for r in reply.json()[0]["data"]] == [10.0]
    reply = await client.get(f"{DATA}/getData.json", params={"pv": "ncount(T:Ramp.HIHI)", **far})
    assert [r["val"] for r in reply.json()[0]["data"]] == [1]


async def test_at_a_time_under_the_names_asked_for(client: httpx.AsyncClient):
    names = ["A:Ramp", "T:Ramp", "ca://T:Ramp.VAL", "T:Enum", "T:Ramp.HIHI", "A:Ramp.DESC", "T:Nope", "A:Nothing"]
    for body in (json.dumps(names), "\n".join(names), "pv=" + ",".join(names)):
        reply = await client.post(f"{DATA}/getDataAtTime", params={"searchPeriod": "P1D"}, content=body)
        found = reply.json()
        assert list(found) == names[:6]
        assert found["A:Ramp"] == found["T:Ramp"] == found["ca://T:Ramp.VAL"]
        assert (
            found["T:Ramp"]["meta"] | {"EGU": "V", "PREC": "3.0", "DBRType": "DBR_SCALAR_DOUBLE"}
            == (found["T:Ramp"]["meta"])
        )
        assert (found["T:Ramp.HIHI"]["val"], found["A:Ramp.DESC"]["val"]) == (10.0, 'a "ramp" µ')
    reply = await client.get(f"{DATA}/getDataAtTimeForAppliance", params={"pv": "A:Ramp,T:Enum"})
    assert list(reply.json()) == ["A:Ramp", "T:Enum"]


async def test_lists_have_pvs_then_aliases_without_what_was_deleted(client: httpx.AsyncClient):
    everything = (await client.get(f"{BPL}/getMatchingPVs", params={"pv": "*", "limit": -1})).json()
    aliases = everything[-3:]
    pvs = everything[:-3]
    assert aliases == ["A:Nothing", "A:Ramp", "T:Enum"] and pvs == sorted(pvs)
    assert "T:Long" not in pvs and "T:Longs" in pvs
    assert (await client.get(f"{BPL}/getMatchingPVs", params={"regex": "[AT]:Ramp"})).json() == ["T:Ramp", "A:Ramp"]
    assert (await client.get(f"{BPL}/getMatchingPVs", params={"pv": "*:Ramp", "limit": 1})).json() == ["T:Ramp"]
    assert (await client.get(f"{BPL}/searchForPVsRegex", params={"regex": ".*:Ramp"})).text == "T:Ramp\nA:Ramp\n"
    assert (await client.get(f"{BPL}/areWeArchivingPV", params={"pv": "T:Long"})).json() == {"status": "false"}
    assert (await client.get(f"{BPL}/areWeArchivingPV", params={"pv": "A:Ramp"})).json() == {"status": "true"}


async def test_a_new_alias_is_seen_at_once(reader: Reader, folder: Path):
    ledger = Ledger(folder / "manage.db")
    async with inside(reader, ledger=Ledger(folder / "manage.db", writable=False)) as client:
        assert (await client.get(f"{BPL}/getMatchingPVs", params={"pv": "A:Soon"})).json() == []
        ledger.add_alias("A:Soon", "T:Short", WHO)
        assert (await client.get(f"{BPL}/getMatchingPVs", params={"pv": "A:Soon"})).json() == ["A:Soon"]
        assert (await client.get(f"{DATA}/getData.json", params={"pv": "A:Soon"})).status_code == 200
        ledger.remove_alias("A:Soon", WHO)
        assert (await client.get(f"{DATA}/getData.json", params={"pv": "A:Soon"})).status_code == 404
    ledger.close()


async def test_a_retired_pv_with_a_template(client: httpx.AsyncClient):
    params = {"pv": "T:Retired", "retiredPVTemplate": "A:Ramp", **WINDOW}
    (pv,) = (await client.get(f"{DATA}/getData.json", params=params)).json()
    assert pv == {"meta": {"name": "T:Retired", **pv["meta"]}, "data": []} and pv["meta"]["EGU"] == "V"
    (chunk,) = decode((await client.get(f"{DATA}/getData.raw", params=params)).content)
    assert (chunk.name, chunk.kind, chunk.events) == ("T:Retired", "SCALAR_DOUBLE", [])
    (pv,) = (await client.get(f"{DATA}/getData.json", params={**params, "pv": "T:Enum"})).json()
    assert len(pv["data"]) == 5  # it has data of its own
    params["retiredPVTemplate"] = "T:Nope"
    assert (await client.get(f"{DATA}/getData.json", params=params)).status_code == 404


async def test_reduced_by_default_only_when_long(client: httpx.AsyncClient):
    async def rows(**more: str) -> int:
        reply = await client.get(f"{DATA}/getData.json", params={"pv": "T:Day", "from": WINDOW["from"], **more})
        return len(reply.json()[0]["data"])

    week, month = "2026-11-27T08:00:00Z", "2026-12-20T08:00:00Z"
    assert await rows(to=week, usereduced="true") == await rows(to=week) == 76_400
    assert await rows(to=month, usereduced="true") < 200
    assert await rows(to=month, usereduced="true", pp="nth_2") == 38_200


def test_what_candidates_there_are(reader: Reader):
    names = Names(reader)
    aliases = {"A:X": "T:X", "A:X.HIHI": "T:Y"}
    assert list(names.candidates("A:X", aliases)) == [Candidate("A:X"), Candidate("T:X")]
    assert list(names.candidates("A:X.HIHI", aliases)) == [
        *(Candidate("A:X.HIHI"), Candidate("T:Y"), Candidate("A:X", "HIHI")),
        *(Candidate("T:X.HIHI"), Candidate("T:X", "HIHI")),
    ]
    assert list(names.candidates("a b", aliases)) == [Candidate("a b")]


METADATA = ("pvName", "DBRType", "NELM", "EAA_COUNT", "PREC", "EGU", "scalar", "elementCount", "units", "precision")
MANAGED = ("samplingMethod", "samplingPeriod", "paused", "creationTime", "modificationTime", "applianceIdentity")
LIMITS = ("lowerAlarmLimit", "upperAlarmLimit", "lowerWarningLimit", "upperDisplayLimit", "computedEventRate")


def test_metadata_has_what_viewers_look_for(server: Server):
    found = server.get(f"{BPL}/getMetadata", pv="T:Ramp").json()
    assert set(found) >= {*METADATA, *MANAGED, *LIMITS}
    assert all(isinstance(value, str) and value for value in found.values())
    assert (found["pvName"], found["HIHI"], found["upperAlarmLimit"]) == ("T:Ramp", "10.0", "10.0")
    assert (found["samplingMethod"], found["paused"], found["scalar"]) == ("MONITOR", "false", "true")
    field = server.get(f"{BPL}/getMetadata", pv="T:Ramp.HIHI").json()
    assert (field["pvName"], field["DBRType"], field["EGU"]) == ("T:Ramp.HIHI", "DBR_SCALAR_DOUBLE", "V")
