"""Alarms over Channel Access, with a stock client: what is shown, what is put, and what is refused, and why."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aioca import DBR_CHAR_STR
from alarm_ioc_stand import PATIENCE, AlarmStand, caget, camonitor

V = "SRC:T1:V:"


async def test_an_alarm_rises_latches_is_acknowledged_and_goes(stand: AlarmStand) -> None:
    seen: list[int] = []
    monitor = camonitor(stand.alm(f"{V}Sevr"), lambda value: seen.append(int(value)), all_updates=True)
    async with asyncio.timeout(PATIENCE):
        while not seen:
            await asyncio.sleep(0.01)
    await stand.tank(1, 15.0)
    await stand.until(f"{V}Sevr", lambda severity: severity == "MINOR")
    await stand.tank(1, 25.0)
    await stand.until(f"{V}Sevr", lambda severity: severity == "MAJOR")
    await stand.tank(1, 0.0)
    await stand.until(f"{V}Cur", lambda severity: severity == "OK")
    await stand.shows(f"{V}Sevr", "MAJOR")
    await stand.shows(f"{V}State", "ActiveLatched")
    await stand.shows(f"{V}Msg", "HIHI_ALARM")
    await stand.shows(f"{V}Val", "25.0 V")
    assert (await caget(stand.alm(f"{V}Sevr"), format=1, timeout=PATIENCE)).severity == 2
    for area in ("", "SRC:", "SRC:T1:"):
        await stand.shows(f"{area}Sevr", "MAJOR")
        assert [await stand.get(f"{area}{one}") for one in ("NActive", "NUnack", "NAck", "NSupp")] == [1, 1, 0, 0]
    await stand.shows("SRC:T1:First", stand.path("SRC", "T1", f"{stand.prefix}SRC:T1:V"))
    await stand.shows("SRC:T2:Sevr", "OK")
    await stand.put(f"{V}Ack", 1)
    await stand.until("Sevr", lambda severity: severity == "OK")
    await stand.shows(f"{V}Sevr", "OK")
    async with asyncio.timeout(PATIENCE):
        while seen[-1:] != [0]:
            await asyncio.sleep(0.01)
    monitor.close()
    assert seen == [0, 5, 6, 0]


async def test_an_acknowledged_alarm_shows_who_and_goes_by_itself(stand: AlarmStand) -> None:
    await stand.tank(1, 25.0)
    await stand.until(f"{V}Sevr", lambda severity: severity == "MAJOR")
    await stand.put("SRC:Ack", 1)
    await stand.shows(f"{V}Sevr", "MAJOR_ACK")
    await stand.until(f"{V}AckBy", lambda text: "@" in text)
    await stand.until("SRC:AckBy", lambda text: "@" in text)
    await stand.shows(f"{V}State", "Acknowledged")
    assert [await stand.get(f"{one}") for one in ("NActive", "NUnack", "NAck")] == [1, 0, 1]
    await stand.put(f"{V}Unack", 1)
    await stand.shows(f"{V}Sevr", "MAJOR")
    await stand.put(f"{V}Ack", 1)
    await stand.tank(1, 0.0)
    await stand.until(f"{V}Sevr", lambda severity: severity == "OK")


async def test_what_is_known_of_an_alarm(stand: AlarmStand) -> None:
    await stand.shows(f"{V}Path", stand.path("SRC", "T1", f"{stand.prefix}SRC:T1:V"))
    await stand.shows(f"{V}Desc", "Level of the tank")
    await stand.shows(f"{V}Prio", "high")
    await stand.shows(f"{V}Guidance", "Guidance: Open the valve.")
    form = await stand.json(f"{V}GuidanceJson")
    assert (form["guidance"], form["screen"]) == ([{"title": "Guidance", "details": "Open the valve."}], "tanks")
    items = await stand.json("SRC:T1:Items")
    assert [item["path"].rpartition("/")[2] for item in items[1:]] == [
        f"{stand.prefix}SRC:T1:{n}" for n in ("Slow", "V")
    ]
    assert items[2]["extras"]["masked_by"] == stand.path("SRC", "IOC", f"{stand.prefix}SRC:IOC:HEARTBEAT")
    tree = await stand.json("Tree")
    assert (tree["pv_prefix"], tree["total"]) == (stand.alm("").rstrip(":"), 7)
    area = next(child for child in tree["children"][0]["children"] if child["name"] == "T1")
    assert [child["pv_prefix"] for child in area["children"]] == [stand.alm(f"SRC:T1:{n}") for n in ("Slow", "V")]


async def test_shelving_for_a_time_and_back(stand: AlarmStand) -> None:
    await stand.put(f"{V}Shelve", "1h the valve is being changed")
    await stand.shows(f"{V}ShelvedWhy", "the valve is being changed")
    await stand.until(f"{V}ShelvedBy", lambda text: "@" in text)
    assert str(await stand.get(f"{V}ShelvedUntil")).startswith("20")
    assert (await stand.get(f"{V}Shelve")).endswith("Z the valve is being changed")
    await stand.tank(1, 25.0)
    await stand.until(f"{V}Cur", lambda severity: severity == "MAJOR")
    await stand.shows(f"{V}State", "NormalContinuousShelved")
    await stand.shows("Sevr", "OK")
    await stand.shows("SRC:NSupp", 1)
    shelves = (await stand.json("Shelves"))["shelves"]
    assert [(shelf["path"], shelf["why"]) for shelf in shelves] == [
        (await stand.get(f"{V}Path"), "the valve is being changed")
    ]
    await stand.put(f"{V}Shelve", "")
    await stand.until("Sevr", lambda severity: severity == "MAJOR")
    await stand.shows(f"{V}Shelve", "")
    await stand.put(f"{V}Shelve", "2s short")
    await stand.until(f"{V}State", lambda state: state == "Active")
    await stand.put(f"{V}Shelve", "once until it is normal")
    await stand.shows(f"{V}State", "NormalOneShotShelved")
    await stand.tank(1, 0.0)
    await stand.put(f"{V}Ack", 1)
    await stand.until(f"{V}State", lambda state: state == "Normal")


async def test_the_table_follows(stand: AlarmStand) -> None:
    tables: list[Any] = []
    monitor = camonitor(
        stand.alm("Active"),
        lambda value: tables.append(json.loads(str(value))),
        datatype=DBR_CHAR_STR,
        all_updates=True,
    )
    await stand.tank(1, 25.0)
    await stand.tank(2, 15.0)
    async with asyncio.timeout(PATIENCE):
        while not tables or len(tables[-1]["alarms"]) != 2:
            await asyncio.sleep(0.02)
    monitor.close()
    first = tables[-1]["alarms"][0]
    assert (first["severity"], first["name"], first["message"]) == ("MAJOR", stand.alm("SRC:T1:V"), "HIHI_ALARM")
    assert await stand.json("Active") | {"time": 0} == tables[-1] | {"time": 0}


async def test_disabled_alarms_are_none_until_enabled(stand: AlarmStand) -> None:
    await stand.put("SRC:T1:Enable", 0)
    await stand.shows(f"{V}State", "NormalDisabled")
    await stand.tank(1, 25.0)
    await stand.shows("SRC:T1:NSupp", 2)
    await stand.put(f"{V}Enable", 1)
    await stand.until(f"{V}Sevr", lambda severity: severity == "MAJOR")
    await stand.put("SRC:T1:Enable", 1)


async def test_announcements(stand: AlarmStand) -> None:
    before = await stand.get("TalkCount")
    await stand.tank(3, 25.0)
    await stand.until("Talk", lambda text: text == "MAJOR Alarm: Level of the tank")
    assert await stand.get("TalkCount") > before
    await stand.shows("TalkSevr", "MAJOR")


REFUSED = [
    (f"{V}Shelve", "10m", "there is no reason"),
    (f"{V}Shelve", "10x why", "'10x' is no time"),
    (f"{V}Shelve", "0s why", "is no time at all"),
    (f"{V}Shelve", "2001-01-01T00:00:00Z why", "is over"),
    (f"{V}Shelve", "2100-01-01T00:00:00Z why", "at most"),
    (f"{V}Shelve", "2030-01-01T00:00:00 why", "no time zone"),
    (f"{V}Shelve", "1h " + "x" * 600, "more than 500 characters"),
    ("Config", "{", "it is no JSON"),
    ("Config", "[" * 5000, "it is no JSON"),
    ("Config", "7", "not an object"),
    ("Config", '{"path": "/ELSE/A", "config": {"description": "x"}}', "the tree's root is"),
    ("Config", '{"path": "ELSE", "config": {"description": "x"}}', "does not begin with '/'"),
    ("Config", '{"path": "/%s/SRC/T1", "config": {"description": "x"}}', "it is an area"),
    ("Config", '{"path": "/%s/A/%s:SRC:T1:V", "config": {"description": "x"}}', "in the tree already"),
    ("Config", '{"path": "/%s/A/B:C", "config": {"description": "x", "filter": "1 +"}}', "filter"),
    ("Config", '{"path": "/%s/A", "config": {"actions": [{"title": "t", "details": "rm -rf"}]}}', "action"),
    ("Config", '{"path": "/%s/A/B:C", "config": {"description": "x", "delay": -1}}', "delay"),
    ("Config", '{"path": "/%s/A/B:C", "secret": 1}', "secret is no field"),
    ("Config", '{"path": "/%s/nowhere", "delete": true}', "no such area or alarm"),
    ("Config", '{"path": "/%s", "delete": true}', "the root stays"),
    ("Config", '{"path": "/%s/SRC", "delete": "yes"}', "to delete is"),
    ("NagPeriod", -1.0, "below the limit"),
    ("Mode", "a\nb", "cannot be shown"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "reason"), REFUSED)
async def test_what_makes_no_sense_is_refused_with_the_reason(
    running: AlarmStand, name: str, value: Any, reason: str
) -> None:
    await running.until("NTotal", lambda number: number == 7)
    if isinstance(value, str):
        value = value.replace("%s", running.name)
    assert reason in await running.refused(name, value)
    await running.shows("NTotal", 7)


async def test_items_are_added_changed_and_deleted_all_or_none(stand: AlarmStand) -> None:
    area, pv = stand.path("Extra"), f"{stand.prefix}SRC:T1:Other"
    item: dict[str, Any] = {"path": f"{area}/{pv}", "config": {"description": "Other", "latching": False}}
    bad = {"path": f"{area}/{stand.prefix}SRC:T1:V", "config": {"description": "twice"}}
    assert "in the tree already" in await stand.refused("Config", json.dumps([item, bad]))
    await stand.shows("NTotal", 7)
    await stand.put("Config", json.dumps([item]))
    await stand.watching(8)
    other = "SRC:T1:Other:"
    await stand.shows(f"{other}Path", item["path"])
    item["config"]["description"] = "Something else"
    await stand.put("Config", json.dumps(item))
    await stand.shows(f"{other}Desc", "Something else")
    await stand.shows("Extra:NTotal", 1)
    await stand.shows(f"{other}Ack", 0)
    await stand.put("Config", json.dumps([{"path": area, "delete": True}]))
    await stand.watching(7)
    value = await caget(stand.alm(f"{other}Desc"), format=1, timeout=PATIENCE)
    assert value.severity == 3
    assert "no longer configured" in await stand.refused(f"{other}Ack")


async def test_nobody_dies_of_a_great_put(stand: AlarmStand) -> None:
    forms = [
        {"path": stand.path("Many", f"{stand.prefix}X:{n}"), "config": {"description": f"{n}"}} for n in range(3000)
    ]
    await stand.put("Config", json.dumps(forms))
    await stand.until("Many:NTotal", lambda number: number == 3000)
    assert len(await stand.json("Many:Items")) == 3001
    assert (await stand.json("Tree"))["total"] == 3007
    await stand.put("Config", json.dumps({"path": stand.path("Many"), "delete": True}))
    await stand.watching(7)
