"""Tags of the five types, groups, validity, aliases and keys in other databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from runkey_trees import detector

from db.errors import BadInput, Exists, NotFound
from db.runkeys import Runkeys
from db.store import Store
from db.tags import Target

T = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 10)]


@pytest.fixture
def runkeys(store: Store) -> Runkeys:
    return store.staging


def names(runkeys: Runkeys, target: object) -> list[str]:
    return [f"{tag.type}:{tag.name}" for tag in runkeys.tags(target)]


def test_labels_and_references(runkeys: Runkeys) -> None:
    runkeys.create("tag 1", detector(2))
    node = runkeys.tree("tag 1").node("/FELIX1/OB1/FE1")
    tag = runkeys.tag("LABEL", "good", ["tag 1", node, node.payloads["config"]], "works")
    assert (tag.type, tag.name, tag.comment, tag.author) == ("LABEL", "good", "works", "tester")
    assert set(tag.objects) == {node.id, runkeys.root("tag 1")}
    assert tag.payloads == (node.payloads["config"].id,)
    runkeys.tag("REFERENCE", "map", ["tag 1:/FELIX1/OB1/FE1@pixels", node.id])
    assert runkeys.tag("LABEL", "good", [node]) == tag  # again
    assert runkeys.tag("LABEL", "good", comment="very").comment == "very"
    assert names(runkeys, "tag 1") == ["LABEL:good", "RUNKEY:tag 1"]
    assert names(runkeys, node) == ["LABEL:good", "REFERENCE:map"]
    assert names(runkeys, "tag 1:/FELIX1/OB1/FE1@config") == ["LABEL:good"]
    assert names(runkeys, node.payloads["pixels"].id) == ["REFERENCE:map"]
    assert runkeys.info("tag 1").tags == ("LABEL:good",)
    assert [i.name for i in runkeys.list(tag="good")] == ["tag 1"] == [i.name for i in runkeys.list(tag="LABEL:good")]
    assert "good" in [tag.name for tag in runkeys.tags(type="LABEL")]
    # a tag is on the content: a clone has it, what is changed has it not
    runkeys.clone("tag 1", "tag 2")
    assert runkeys.info("tag 2").tags == ("LABEL:good",)
    with runkeys.edit("tag 2") as edit:
        edit.set_meta("/", a=1)
    assert runkeys.info("tag 2").tags == ()
    runkeys.untag("LABEL", "good", [node])
    assert names(runkeys, node) == ["REFERENCE:map"]
    runkeys.untag("LABEL", "good")
    assert names(runkeys, "tag 1") == ["RUNKEY:tag 1", "RUNKEY:tag 2"]
    with pytest.raises(NotFound):
        runkeys.untag("LABEL", "good")
    with pytest.raises(NotFound):
        runkeys.untag("REFERENCE", "map", ["tag 1"])


def test_runkey_tags_come_with_runkeys(runkeys: Runkeys) -> None:
    first = runkeys.create("auto", detector(1))
    with runkeys.edit("auto") as edit:
        edit.set_meta("/", a=1)
    (tag,) = [tag for tag in runkeys.tags(type="RUNKEY") if tag.name == "auto"]
    assert set(tag.objects) == {first.root, edit.result.root}
    for change in (lambda: runkeys.tag("RUNKEY", "auto", []), lambda: runkeys.untag("RUNKEY", "auto")):
        with pytest.raises(BadInput, match="runkeys"):
            change()
    runkeys.delete("auto")
    assert not [tag for tag in runkeys.tags(type="RUNKEY") if tag.name == "auto"]


def test_groups(runkeys: Runkeys) -> None:
    runkeys.create("group", detector(1))
    runkeys.tag("LABEL", "inner", ["group"])
    runkeys.tag("GROUP", "middle", ["tag:LABEL:inner"])
    outer = runkeys.tag("GROUP", "outer", ["tag:middle", "tag:LABEL:inner"])
    assert outer.members == ("GROUP:middle", "LABEL:inner")
    assert names(runkeys, "group") == ["GROUP:middle", "GROUP:outer", "LABEL:inner", "RUNKEY:group"]
    for members in (["tag:GROUP:outer"], ["tag:GROUP:middle"]):
        with pytest.raises(BadInput, match="a cycle"):
            runkeys.tag("GROUP", "middle", members)
    with pytest.raises(BadInput, match="tag:TYPE:NAME"):
        runkeys.tag("GROUP", "middle", ["group"])
    with pytest.raises(BadInput, match="other tags are on"):
        runkeys.tag("LABEL", "inner", ["tag:LABEL:inner"])
    runkeys.untag("GROUP", "outer", ["tag:GROUP:middle"])
    runkeys.untag("GROUP", "middle")
    assert names(runkeys, "group") == ["GROUP:outer", "LABEL:inner", "RUNKEY:group"]


def test_bad_tags(runkeys: Runkeys) -> None:
    runkeys.create("bad tags", detector(1))
    for type_, name in (("label", "a"), ("LABEL", ""), ("LABEL", " a"), ("LABEL", "a\n"), ("LABEL", "n" * 201)):
        with pytest.raises(BadInput):
            runkeys.tag(type_, name)
    with pytest.raises(BadInput):
        runkeys.tag("LABEL", "a", [3])
    for target in (Target(object="0" * 32), Target(payload="0" * 32), "tag:LABEL:nothing", "bad tags:/FELIX2",
                   "bad tags:/FELIX1/OB1/FE1@nothing", "nothing"):  # fmt: skip
        with pytest.raises(NotFound):
            runkeys.tag("LABEL", "refused whole", ["bad tags", target])
    assert "refused whole" not in [tag.name for tag in runkeys.tags()]
    runkeys.tag("LABEL", "two kinds")
    runkeys.tag("REFERENCE", "two kinds")
    with pytest.raises(BadInput, match="LABEL:two kinds, REFERENCE:two kinds"):
        runkeys.tag("GROUP", "g", ["tag:two kinds"])


def test_validity(runkeys: Runkeys) -> None:
    roots = [runkeys.create(f"valid {i}", detector(i)).root for i in range(1, 4)]
    runkeys.set_validity("cosmics", "valid 1", T[1], T[5])
    runkeys.set_validity("cosmics", "valid 2", T[3])
    runkeys.set_validity("cosmics", "valid 3:/FELIX1/OB1/FE1@config", T[4], T[4] + timedelta(microseconds=1))
    with pytest.raises(NotFound, match="means nothing at 2026-01-01"):
        runkeys.valid("cosmics", T[0])
    assert runkeys.valid("cosmics", T[1]).object == roots[0]
    assert runkeys.valid("cosmics", T[3] - timedelta(microseconds=1)).object == roots[0]
    assert runkeys.valid("cosmics", T[3]).object == roots[1]  # what was set last
    config = runkeys.tree("valid 3").node("/FELIX1/OB1/FE1").payloads["config"].id
    assert runkeys.valid("cosmics", T[4]).payload == config
    assert runkeys.valid("cosmics").object == roots[1]
    found = runkeys.validities("cosmics")
    assert [(v.since, v.until) for v in found] == [(T[1], T[5]), (T[3], None), (T[4], T[4] + timedelta(microseconds=1))]
    assert "VALIDITY:cosmics" in names(runkeys, "valid 1")
    for since, until in ((T[2], T[2]), (T[3], T[2]), (T[2].replace(tzinfo=None), None)):
        with pytest.raises(BadInput):
            runkeys.set_validity("cosmics", "valid 1", since, until)
    with pytest.raises(BadInput):
        runkeys.set_validity("cosmics", "tag:VALIDITY:cosmics", T[2])
    with pytest.raises(BadInput):
        runkeys.valid("cosmics", T[2].replace(tzinfo=None))
    with pytest.raises(NotFound, match="'cosmics'"):
        runkeys.valid("cosmic", T[2])
    assert len(runkeys.validities("cosmics")) == 3


def test_other_names_follow_the_thing(runkeys: Runkeys) -> None:
    runkeys.create("names", detector(2))
    node = runkeys.tree("names").node("/FELIX1/OB1/FE1")
    runkeys.set_alias(node, "PRODUCTION", "M-17")
    runkeys.set_alias(node.lineage, "SHIFT", "left one")
    runkeys.set_alias("names:/FELIX1/OB1/FE2", "SHIFT", "right one")
    with runkeys.edit("names") as edit:
        edit.put("/FELIX1/OB1/FE1", "config", b"1")
        edit.rename("/FELIX1/OB1/FE1", "FE9")
    now = runkeys.tree("names").node("/FELIX1/OB1/FE9")
    assert now.id != node.id
    assert runkeys.find_alias("PRODUCTION", "M-17") == now.lineage
    assert [(a.convention, a.alias) for a in runkeys.aliases(now)] == [("PRODUCTION", "M-17"), ("SHIFT", "left one")]
    runkeys.set_alias(now, "SHIFT", "left one")  # again
    with pytest.raises(Exists, match="another thing"):
        runkeys.set_alias("names:/FELIX1", "SHIFT", "left one")
    with pytest.raises(NotFound, match="'left one'"):
        runkeys.find_alias("SHIFT", "left")
    runkeys.drop_alias("SHIFT", "left one")
    assert len(runkeys.aliases(now)) == 1
    runkeys.add_ref(now, "ITKDB", "20UPGFC1")
    runkeys.add_ref(now, "ITKDB", "20UPGFC1")
    runkeys.add_ref(now, "LOCALDB", "abc")
    assert [(ref.system, ref.key) for ref in runkeys.refs(now)] == [("ITKDB", "20UPGFC1"), ("LOCALDB", "abc")]
    assert [ref.lineage for ref in runkeys.refs(system="LOCALDB", key="abc")] == [node.lineage]
    runkeys.drop_ref(now, "LOCALDB", "abc")
    for change in (
        lambda: runkeys.drop_ref(now, "LOCALDB", "abc"),
        lambda: runkeys.drop_alias("SHIFT", "left one"),
        lambda: runkeys.set_alias("names:/FELIX2", "SHIFT", "x"),
    ):
        with pytest.raises(NotFound):
            change()
    for change in (
        lambda: runkeys.set_alias(now, "no convention", "x"),
        lambda: runkeys.set_alias(now, "SHIFT", ""),
        lambda: runkeys.add_ref(now, "", "x"),
        lambda: runkeys.add_ref(now, "ITKDB", "n" * 201),
        lambda: runkeys.set_alias("names:/FELIX1/OB1/FE9@config", "SHIFT", "x"),
    ):
        with pytest.raises(BadInput):
            change()
