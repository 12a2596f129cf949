"""Catalogues of real IOCs, followed: what they declare comes into the tree, and what they don't any more goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support import unique_prefix
from watch_bench import put, running, until

from iocs.alarm.tree.clock import LoopClock
from iocs.alarm.tree.events import Listener, Person
from iocs.alarm.tree.items import Item, LeafConfig
from iocs.alarm.tree.tree import AlarmTree
from iocs.alarm.watch.catalogue_watch import CATALOGUE, Catalogues

WHO = Person("tester", "here")


class Follower(Listener):
    def __init__(self) -> None:
        self.said: list[tuple[str, str, Person]] = []

    def configured(self, item: Item, who: Person) -> None:
        self.said.append(("put", item.path, who))

    def removed(self, path: str, who: Person) -> None:
        self.said.append(("removed", path, who))


class Following:
    def __init__(self, tree: AlarmTree, catalogues: Catalogues, follower: Follower) -> None:
        self.tree, self.catalogues, self.follower = tree, catalogues, follower

    def pvs(self) -> list[str]:
        return sorted(leaf.pv for leaf in self.tree.leaves() if ":IOC:" not in leaf.pv)


@asynccontextmanager
async def following(prefix: str, cache: Path | None = None, claimed: tuple[str, ...] = ()) -> AsyncIterator[Following]:
    tree = AlarmTree("T", LoopClock())
    catalogues = Catalogues([prefix], "T", cache=cache, claimed=claimed.__contains__)
    tree.load(catalogues.cached())
    follower = Follower()
    tree.listeners.append(follower)
    task = asyncio.create_task(catalogues.follow(tree))
    try:
        yield Following(tree, catalogues, follower)
        assert not task.done(), task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_ioc_changes_its_catalogue_and_goes(tmp_path) -> None:
    prefix = unique_prefix()
    system = prefix.rstrip(":")
    two = [f"{prefix}L01:IMon", f"{prefix}L02:IMon"]
    with running(prefix, 2) as ioc:
        async with following(prefix, tmp_path) as bench:
            await until(lambda: bench.pvs() == two, "the alarms of the catalogue")
            leaf = bench.tree.leaf_of(two[0])
            assert leaf is not None
            assert leaf.path == f"/T/{system}/L01/{two[0]}"
            assert (leaf.config.description, leaf.extras.priority, leaf.extras.screen) == ("Current", "high", "hv")
            assert bench.follower.said[0][2] == Person(CATALOGUE, prefix)
            await until(lambda: bench.catalogues.read == {prefix})
            ioc.kill()
            with running(prefix, 3):
                three = [*two, f"{prefix}L03:IMon"]
                await until(lambda: bench.pvs() == three, "the new alarm")
                said = [one[:2] for one in bench.follower.said if one[1].endswith("IMon")]
                assert said.count(("put", leaf.path)) == 1, "what is as it was is left alone"
            with running(prefix, 1):
                await until(lambda: bench.pvs() == two[:1], "two alarms less")
                assert bench.tree.find(f"/T/{system}/L02") is None, "an area that is empty goes"
    # the IOC is gone, and this is the next life of the server
    async with following(prefix, tmp_path) as bench:
        assert bench.pvs() == two[:1]
        assert bench.follower.said == []


async def test_what_somebody_else_configures_is_left_alone() -> None:
    prefix = unique_prefix()
    mine, other = f"{prefix}L01:IMon", f"{prefix}L02:IMon"
    with running(prefix, 3) as ioc:
        async with following(prefix, claimed=(mine,)) as bench:
            bench.tree.put(Item(f"/T/elsewhere/{mine}", LeafConfig(description="mine")), WHO)
            bench.tree.put(Item(f"/T/elsewhere/{other}", LeafConfig(description="moved by hand")), WHO)
            await until(lambda: len(bench.pvs()) == 3, "the third alarm")
            await until(lambda: bench.catalogues.read == {prefix})
            ioc.kill()
            with running(prefix, 0):
                await until(lambda: len(bench.pvs()) == 2, "the third to go")
                assert [leaf.path for leaf in bench.tree.leaves("/T/elsewhere")] == [
                    f"/T/elsewhere/{mine}",
                    f"/T/elsewhere/{other}",
                ]


@pytest.mark.parametrize("bad", ["{", json.dumps({"pvs": [{"name": "A B", "alarm_info": {"guidance": ""}}]}), "[]"])
async def test_a_catalogue_that_is_none_changes_nothing(soft, bad) -> None:
    prefix = f"{soft}FREE:"
    good = json.dumps({"pvs": [{"name": f"{prefix}A:B", "alarm_info": {"priority": "low"}}]})
    await put(f"{prefix}IOC:Catalogue", good)
    async with following(prefix) as bench:
        await until(lambda: bench.pvs() == [f"{prefix}A:B"])
        await put(f"{prefix}IOC:Catalogue", bad)
        await until(lambda: prefix in bench.catalogues.problems, "the problem")
        assert bench.pvs() == [f"{prefix}A:B"]
        await put(f"{prefix}IOC:Catalogue", good.replace("A:B", "A:C"))
        await until(lambda: bench.pvs() == [f"{prefix}A:C"])
        await until(lambda: bench.catalogues.problems == {})


async def test_what_the_tree_refuses_is_told_and_the_rest_is_taken(soft) -> None:
    prefix = f"{soft}FREE:"
    system = "FREE"
    entries = [{"name": f"{prefix}{name}", "alarm_info": {"priority": "low"}} for name in ("A:B", "C")]
    await put(f"{prefix}IOC:Catalogue", json.dumps({"pvs": entries}))
    tree = AlarmTree("T", LoopClock())
    tree.put(Item(f"/T/{system}/A", LeafConfig()), WHO)  # an alarm where the catalogue has an area
    catalogues = Catalogues([prefix], "T")
    task = asyncio.create_task(catalogues.follow(tree))
    await until(lambda: prefix in catalogues.problems, "what is refused")
    assert f"/T/{system}/A" in catalogues.problems[prefix]
    assert tree.leaf_of(f"{prefix}C") is not None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_cache_that_is_damaged_is_left_out(tmp_path, caplog) -> None:
    (tmp_path / "T-HV.json").write_text("{")
    assert Catalogues(["T:HV:", "T:RK:"], "T", cache=tmp_path).cached() == []
    assert "cannot be read" in caplog.text
