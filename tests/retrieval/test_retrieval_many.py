"""getDataForPVs: many PVs are read ahead together, and every answer is as if each had been asked for by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archive_fill import NS, T0, fill
from epicsevent import decode
from retrieval_inside import inside

from archiver.management import Identity, Ledger
from archiver.retrieval import ahead
from archiver.retrieval.ahead import Ahead
from archiver.store import Reader, open_reader

DATA = "/retrieval/data"
WINDOW = {"from": "2026-11-20T08:00:01Z", "to": "2026-11-20T09:00:00Z"}
SPAN = (T0 + 1) * NS, (T0 + 3600) * NS


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("ahead") / "store"
    fill(folder)
    reader = open_reader(folder)
    yield reader
    reader.close()


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ahead, "FIRST", 2)
    monkeypatch.setattr(ahead, "MOST", 5)
    monkeypatch.setattr(ahead, "INFOS", 3)


@pytest.mark.parametrize("operator", ["{}", "mean_60({})", "optimized_3({})", "nth_2({})", "firstSample({})"])
@pytest.mark.parametrize("extension", ["raw", "json", "qw", "jplot"])
async def test_as_if_one_by_one(reader: Reader, extension: str, operator: str):
    names = [name for name in reader.names() if name.startswith("T:")]
    pvs = [operator.format(name) for name in [*names, names[3], "T:Ramp.HIHI", "T:Ramp.VAL", "ca://T:Enum"]]
    async with inside(reader) as client:
        single = [await client.get(f"{DATA}/getData.{extension}", params={"pv": pv, **WINDOW}) for pv in pvs]
        whole = await client.get(f"{DATA}/getDataForPVs.{extension}", params={"pv": pvs, **WINDOW})
        posted = await client.post(f"{DATA}/getDataForPVs.{extension}", json=pvs, params=WINDOW)
    assert whole.status_code == posted.status_code == 200 and posted.content == whole.content
    assert all(reply.status_code == 200 for reply in single)
    if extension == "raw":
        # the element count of arrays of several lengths may be that of the first, or the PV's
        wanted = [replace(chunk, count=0) for reply in single for chunk in decode(reply.content)]
        assert repr([replace(chunk, count=0) for chunk in decode(whole.content)]) == repr(wanted)
    else:
        loads: Any = json.loads
        assert repr(loads(whole.text)) == repr([item for reply in single for item in loads(reply.text)])


async def test_ranges_aliases_and_names_that_are_not_there(reader: Reader, tmp_path: Path):
    ledger = Ledger(tmp_path / "manage.db")
    ledger.add_alias("Other", "T:Double", Identity("test", "localhost"))
    async with inside(reader, ledger=ledger) as client:
        pvs = ["T:Ramp", "Other", "T:Double", "T:String"]
        reply = await client.get(f"{DATA}/getDataForPVs.json", params={"pv": pvs, **WINDOW})
        assert [item["meta"]["name"] for item in reply.json()] == ["T:Ramp", "T:Double", "T:Double", "T:String"]
        ranges = "2026-11-20T08:00:01Z,2026-11-20T08:00:03Z,2026-11-20T08:00:03Z,2026-11-20T08:00:04Z"
        reply = await client.get(f"{DATA}/getDataForPVs.json", params={"pv": pvs, "timeranges": ranges})
        assert [len(item["data"]) for item in reply.json()] == [4, 4, 4, 4]
        reply = await client.get(f"{DATA}/getDataForPVs.json", params={"pv": [*pvs, "T:Nope", "T:No"], **WINDOW})
        assert reply.status_code == 404 and "T:Nope" in reply.text
        more = {"pv": [*pvs, "T:Nope"], "usePVNameAsTemplateIfMissing": "x", **WINDOW}
        assert (await client.get(f"{DATA}/getDataForPVs.json", params=more)).status_code == 404
    ledger.close()


async def test_the_limit_counts_all(reader: Reader):
    names = [name for name in reader.names() if name.startswith("T:") and name not in ("T:Day", "T:NewYear")]
    total = sum(len(piece) for name in names for piece in reader.read(name, *SPAN))
    for limit, status in ((total + 200, 200), (total // 2, 413)):
        async with inside(reader, limit=limit) as client:
            reply = await client.get(f"{DATA}/getDataForPVs.json", params={"pv": names, **WINDOW})
        assert reply.status_code == status


class Counting:
    """A reader that says how it was asked."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self.reader, name)


def test_what_is_asked_of_the_archive(reader: Reader):
    names = [name for name in reader.names() if name.startswith("T:")]
    below = Counting(reader)
    reading = Ahead(below, [*names, names[0]], *SPAN)
    for name in names:
        assert reading.info(name) == reader.info(name)
        got, wanted = list(reading.read(name, *SPAN)), list(reader.read(name, *SPAN))
        assert sum(map(len, got)) == sum(map(len, wanted))
        assert reading.connections(name, ahead.EARLIEST, SPAN[1]) == reader.connections(name, ahead.EARLIEST, SPAN[1])
        assert reading.metadata_history(name) == reader.metadata_history(name)
        assert [t.samples for t in reading.infos([name])] == [t.samples for t in reader.infos([name])]
    # twos, then fives
    assert below.asked.count("read_many") <= 2 + len(names) // 5
    assert below.asked.count("info_many") == below.asked.count("infos") == -(-len(names) // 3)
    # what was given is given again, but read anew; and so is what lies outside
    assert len(list(reading.read(names[-1], *SPAN))) == len(list(reader.read(names[-1], *SPAN)))
    assert below.asked.count("read") >= 1
    assert sum(map(len, reading.read(names[0], 0, SPAN[1]))) == sum(map(len, reader.read(names[0], 0, SPAN[1])))
    assert reading.info("absent") is None and reading.infos(["absent"]) == []
