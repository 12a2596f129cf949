"""Devices, and what connects them in which view and when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from db_servers import KINDS, ready_url

from db.audit import search
from db.database import Database
from db.errors import BadInput, Exists, NotFound
from db.topology import Topology
from db.who import Who

T = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 10)]


@pytest.fixture(params=KINDS)
def topology(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    database = Database.open(ready_url(request.param), name="staging")
    yield Topology(database, Who("tester", "here"))
    database.close()


def test_assets(topology: Topology) -> None:
    made = topology.add("hv", "HV1", "SN17", "tcp://host:1470", "rack 3", {"channels": 8})
    topology.add("hv", "HV2", location="rack 4")
    topology.add("felix", "FLX1")
    assert topology.device("HV1") == made and made.meta == {"channels": 8}
    assert [d.name for d in topology.devices("hv")] == ["HV1", "HV2"]
    assert (
        [d.name for d in topology.devices(text="RACK 4")]
        == ["HV2"]
        == [d.name for d in topology.devices(pattern="*V2")]
    )
    changed = topology.set("HV1", name="HV 1", address="tcp://other:1470", meta={})
    assert (changed.id, changed.name, changed.serial, changed.meta) == (made.id, "HV 1", "SN17", {})
    topology.remove("HV2")
    for change in (
        lambda: topology.device("HV2"),
        lambda: topology.remove("HV2"),
        lambda: topology.set("HV2", serial=""),
    ):
        with pytest.raises(NotFound, match="'HV 1'"):
            change()
    for change in (lambda: topology.add("x", "FLX1"), lambda: topology.set("HV 1", name="FLX1")):
        with pytest.raises(Exists):
            change()
    for change in (
        lambda: topology.add("no kind", "A"),
        lambda: topology.add("x", ""),
        lambda: topology.add("x", " A"),
        lambda: topology.add("x", "A", "\n"),
        lambda: topology.add("x", "A", meta={"a": object()}),
        lambda: topology.set("HV 1", colour="red"),
    ):
        with pytest.raises(BadInput):
            change()
    with topology.database.read() as connection:
        actions = [(e.action, e.subject) for e in reversed(search(connection))]
    assert actions[-2:] == [("device.set", "HV1"), ("device.remove", "HV2")]


def test_paths_in_several_views(topology: Topology) -> None:
    for kind, name in [("felix", "FLX"), ("optoboard", "OB"), ("module", "M1"), ("module", "M2"), ("hv", "HV"),
                       ("chiller", "CO2")]:  # fmt: skip
        topology.add(kind, name)
    topology.link("FLX", "OB", parent_port="fibre 1", cable="trunk 7")
    topology.link("OB", "M1", parent_port="rx 1")
    topology.link("OB", "M2", parent_port="rx 2")
    topology.link("HV", "M1", "power", parent_port="ch 0")
    topology.link("CO2", "M1", "cooling")
    topology.link("M1", "M2", "cooling")
    assert [(k.parent, k.child) for k in topology.path("M1")] == [("FLX", "OB"), ("OB", "M1")]
    assert [(k.parent, k.parent_port) for k in topology.path("M1", "power")] == [("HV", "ch 0")]
    assert [k.parent for k in topology.path("M2", "cooling")] == ["CO2", "M1"]
    assert topology.path("FLX") == [] == topology.path("M2", "power")
    assert [k.child for k in topology.below("FLX")] == ["OB", "M1", "M2"]
    assert topology.neighbours("M1") == ["CO2", "HV", "M2", "OB"]
    assert topology.neighbours("M1", "power") == ["HV"]
    topology.add("hv", "HV b")
    topology.link("HV b", "M1", "power")
    assert [[k.parent for k in way] for way in topology.paths("M1", "power")] == [["HV"], ["HV b"]]
    with pytest.raises(BadInput, match="it has 3 links, for example to "):
        topology.remove("OB")


def test_links_are_valid_for_a_time(topology: Topology) -> None:
    for name in ("A", "B", "C"):
        topology.add("x", name)
    topology.link("A", "B", parent_port="1", since=T[0], until=T[4])
    topology.link("A", "C", parent_port="1", since=T[4])
    assert topology.path("B", at=T[3])[0].parent == "A"
    assert topology.path("B", at=T[4]) == []
    assert [k.child for k in topology.links("A", at=T[0])] == ["B"]
    assert [k.child for k in topology.links("A", at=T[5])] == ["C"]
    assert len(topology.links("A", ever=True)) == 2
    topology.unlink("A", "C", until=T[6])
    assert topology.links("A", at=T[6]) == [] and len(topology.links("A", at=T[5])) == 1
    with pytest.raises(NotFound, match="not linked"):
        topology.unlink("A", "C", until=T[7])
    topology.link("C", "A", since=T[6])  # the other way round, afterwards
    (link,) = topology.links("C", at=T[7])
    topology.drop_link(link.id)
    with pytest.raises(NotFound):
        topology.drop_link(link.id)
    assert topology.links("C", at=T[7]) == []


def test_links_that_can_not_be(topology: Topology) -> None:
    for name in ("A", "B", "C"):
        topology.add("x", name)
    topology.link("A", "B", parent_port="1", child_port="in", since=T[1])
    topology.link("B", "C", since=T[1])
    for reason, change in (
        ("occupied: B", lambda: topology.link("A", "C", parent_port="1", since=T[2])),
        ("occupied: A", lambda: topology.link("C", "B", child_port="in", since=T[2])),
        ("a cycle", lambda: topology.link("C", "A", since=T[2])),
        ("to itself", lambda: topology.link("C", "C")),
        ("already", lambda: topology.link("B", "C", since=T[3])),
        ("before it begins", lambda: topology.link("A", "C", since=T[3], until=T[2])),
        ("time zone", lambda: topology.link("A", "C", since=T[3].replace(tzinfo=None))),
        ("view", lambda: topology.link("A", "C", "no view")),
    ):
        with pytest.raises(BadInput, match=reason):
            change()
    with pytest.raises(NotFound):
        topology.link("A", "D")
    topology.link("C", "A", "power", since=T[2])  # another view
    topology.link("C", "A", since=T[0], until=T[1])  # before
    assert len(topology.links(ever=True)) == 4
