"""The alarm IOC over its life: killed, restarted, doubled, without its database, and with access security."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aioca import CANothing, purge_channel_caches
from alarm_ioc_stand import PATIENCE, AlarmStand, alarm_stand, caget
from epicscorelibs.ca.cadef import CAException

V1, V2, V3 = "SRC:T1:V:", "SRC:T2:V:", "SRC:T3:V:"
ALL = 7
DENIED = (CANothing, CAException)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[AlarmStand]:
    with alarm_stand(tmp_path) as stand:
        yield stand


async def restarted(stand: AlarmStand, name: str = "alm") -> None:
    """Channels of the IOC before are forgotten."""
    purge_channel_caches()
    stand.start(name)
    await stand.watching(ALL)


async def busy(stand: AlarmStand) -> None:
    """One alarm is latched, one acknowledged, one shelved, one disabled; things were configured and put."""
    await stand.watching(ALL)
    for number in (1, 2, 3):
        await stand.tank(number, 25.0)
        await stand.until(f"SRC:T{number}:V:Sevr", lambda severity: severity == "MAJOR")
    await stand.tank(1, 0.0)
    await stand.until(f"{V1}Cur", lambda severity: severity == "OK")
    await stand.put(f"{V2}Ack", 1)
    await stand.put(f"{V3}Shelve", "1h the cable")
    await stand.put("SRC:T3:Slow:Enable", 0)
    await stand.put("Notify", 0)
    await stand.put("Mode", "Cosmics")
    await stand.put("NagPeriod", 77.0)
    item = {"path": stand.path("SRC", "T1"), "config": {"guidance": [{"title": "Who", "details": "x1234"}]}}
    await stand.put("Config", json.dumps(item))


async def as_before(stand: AlarmStand) -> None:
    await stand.shows(f"{V1}Sevr", "MAJOR")
    await stand.shows(f"{V1}State", "ActiveLatched")
    await stand.shows(f"{V2}Sevr", "MAJOR_ACK")
    await stand.until(f"{V2}AckBy", lambda text: "@" in text)
    await stand.shows(f"{V3}State", "NormalContinuousShelved")
    await stand.shows(f"{V3}ShelvedWhy", "the cable")
    await stand.shows("SRC:T3:Slow:State", "NormalDisabled")
    assert (await stand.get("Notify"), await stand.get("Mode"), await stand.get("NagPeriod")) == (
        "Off",
        "Cosmics",
        77.0,
    )
    await stand.until(f"{V1}Guidance", lambda text: "Who: x1234" in text)
    assert [await stand.get(one) for one in ("Sevr", "NActive", "NUnack", "NAck", "NSupp")] == ["MAJOR", 2, 1, 1, 2]


async def test_what_is_known_survives_a_kill_and_a_restart(stand: AlarmStand) -> None:
    await busy(stand)
    stand.kill("alm")
    await restarted(stand)
    await as_before(stand)
    await stand.shows("TalkCount", 1)
    stand.stop("alm")
    await restarted(stand)
    await as_before(stand)
    # the IOC of the alarms is not there, and comes later
    stand.stop("alm", "src")
    purge_channel_caches()
    stand.start("alm")
    await stand.until("NTotal", lambda number: number == ALL)
    await stand.shows(f"{V1}Sevr", "MAJOR")
    stand.start("src")
    await stand.watching(ALL)
    await stand.until(f"{V1}Cur", lambda severity: severity == "OK")
    await stand.shows("SRC:T3:Slow:State", "NormalDisabled")


async def test_an_ioc_that_is_gone_is_one_alarm(stand: AlarmStand) -> None:
    await stand.watching(ALL)
    before = int(await stand.get("TalkCount"))
    stand.kill("src")
    await stand.until("SRC:IOC:HEARTBEAT:Sevr", lambda severity: severity == "UNDEFINED")
    assert [await stand.get(one) for one in ("NActive", "NSupp")] == [1, ALL - 1]
    await stand.shows(f"{V1}State", "NormalMasked")
    await stand.shows(f"{V1}Cur", "UNDEFINED")
    assert int(await stand.get("TalkCount")) == before + 1
    stand.start("src")
    await stand.until("NSupp", lambda number: number == 0)
    await stand.put("Ack", 1)
    await stand.until("Sevr", lambda severity: severity == "OK")
    assert int(await stand.get("TalkCount")) == before + 1


async def test_two_servers_one_stands_by_and_takes_over(stand: AlarmStand) -> None:
    await busy(stand)
    stand.start("alm2")
    assert "stands by" in stand.processes["alm2"].wait_for_line("ready")
    await stand.until("Standby", lambda text: f"process {stand.processes['alm2'].pid}" in str(text))
    await stand.shows("Role", "Active")
    # no name is served twice: every search of libca would complain
    for _ in range(3):
        purge_channel_caches()
        await stand.shows("Sevr", "MAJOR")
    # killed: the other one takes over, and knows everything
    stand.kill("alm")
    purge_channel_caches()
    began = time.monotonic()
    await stand.watching(ALL)
    print(f"taken over after {time.monotonic() - began:.1f} s")
    await as_before(stand)
    assert "takes over" in stand.processes["alm2"].text()
    # stopped: at once
    stand.start("alm3")
    stand.processes["alm3"].wait_for_line("ready")
    await stand.put(f"{V1}Ack", 1)
    await stand.until(f"{V1}Sevr", lambda severity: severity == "OK")
    stand.stop("alm2")
    purge_channel_caches()
    await stand.watching(ALL)
    await stand.shows(f"{V1}Sevr", "OK")
    await stand.shows(f"{V2}Sevr", "MAJOR_ACK")


async def test_a_server_that_slept_begins_anew_when_another_took_over(stand: AlarmStand) -> None:
    await stand.watching(ALL)
    stand.start("alm2")
    sleeper = stand.processes["alm"]
    sleeper.signal(signal.SIGSTOP)
    try:
        await asyncio.to_thread(stand.processes["alm2"].wait_for_line, "ready " + stand.alm("") + " ", PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while "takes over" not in stand.processes["alm2"].text():
                await asyncio.sleep(0.1)
    finally:
        sleeper.signal(signal.SIGCONT)
    assert await asyncio.to_thread(sleeper.wait, PATIENCE) == 85, "asks to be started again"
    assert "begins anew to stand by" in sleeper.text()
    del stand.processes["alm"]
    purge_channel_caches()
    await stand.watching(ALL)


async def test_without_its_database_it_goes_on_and_nothing_is_lost(stand: AlarmStand) -> None:
    await stand.watching(ALL)
    folder, away = stand.state / "db", stand.state / "db-away"
    folder.rename(away)
    folder.write_text("")
    try:
        await stand.tank(1, 25.0)
        await stand.until(f"{V1}Sevr", lambda severity: severity == "MAJOR")
        await stand.put(f"{V1}Ack", 1)
        await stand.shows(f"{V1}Sevr", "MAJOR_ACK")
    finally:
        folder.unlink()
        away.rename(folder)
    await stand.until("StoreState", lambda state: state == "OK")
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(acknowledgements, stand):
            await asyncio.sleep(0.1)
    stand.kill("alm")
    await restarted(stand)
    await stand.shows(f"{V1}Sevr", "MAJOR_ACK")
    assert acknowledgements(stand) == 1


def acknowledgements(stand: AlarmStand) -> int:
    """Of the first tank, as the log has them."""
    with stand.log() as log:
        return len([e for e in log.search(area=stand.path("SRC"), kind="ack") if e.pv.endswith("T1:V")])


ACF = """
UAG(experts) {{ {experts} }}
ASG(DEFAULT) {{ RULE(1, READ) }}
ASG(ALARM_ACK) {{ RULE(1, READ) RULE(1, WRITE) {{ UAG(experts) }} }}
ASG(ALARM_SHELVE) {{ RULE(1, READ) }}
ASG(ALARM_CONFIG) {{ RULE(1, READ) }}
"""


async def test_who_may_what_is_in_the_access_file(tmp_path: Path) -> None:
    import getpass

    with alarm_stand(tmp_path, "alm", acf=ACF.format(experts="nobody")) as stand:
        await stand.until("Sevr", lambda severity: severity == "OK")
        for name, value in (("Ack", 1), ("Shelve", "1h why"), ("Enable", 0), ("Config", "{}"), ("Maint", 1)):
            with pytest.raises(DENIED):
                await stand.put(name, value)
        stand.access(ACF.format(experts=getpass.getuser()))
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await stand.put("Ack", 1)
                    break
                except DENIED:
                    await asyncio.sleep(0.1)
        with pytest.raises(DENIED):
            await stand.put("Shelve", "1h why")
        await stand.shows("NSupp", 0)


XML = """<?xml version="1.0" encoding="UTF-8"?>
<config name="{name}">
  <component name="Files">
    <pv name="{pv}"><description>From a file</description><enabled>true</enabled><latching>true</latching>
      <annunciating>true</annunciating></pv>
  </component>
</config>
"""


async def test_files_are_read_and_read_again_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    with alarm_stand(tmp_path, "src", config='files = ["alarms.xml"]') as stand:
        file = tmp_path / "alarms.xml"
        file.write_text(XML.format(name=stand.name, pv=f"{stand.prefix}SRC:T1:V"))
        (tmp_path / "alarms.toml").write_text(
            f'["{stand.path("Files", stand.prefix + "SRC:T1:V")}"]\npriority = "low"\n'
        )
        stand.start("alm")
        await stand.watching(ALL)
        await stand.shows(f"{V1}Path", stand.path("Files", f"{stand.prefix}SRC:T1:V"))
        assert (await stand.get(f"{V1}Desc"), await stand.get(f"{V1}Prio")) == ("From a file", "low")
        file.write_text("<config")
        await stand.put("Restart", 1)
        assert "alarms.xml:1" in (await stand.json("Problems") or [await stand.get("IOC:Msg")])[0]
        await stand.shows(f"{V1}Desc", "From a file")
        stand.stop("alm")
        await restarted(stand)
        await stand.shows(f"{V1}Desc", "From a file")
        file.write_text(XML.format(name=stand.name, pv=f"{stand.prefix}SRC:T1:Other"))
        (tmp_path / "alarms.toml").unlink()
        await stand.put("Restart", 1)
        await stand.watching(ALL + 1)
        await stand.shows("SRC:T1:Other:Desc", "From a file")
        await stand.shows(f"{V1}Desc", "Level of the tank")
        shutil.rmtree(tmp_path / "nothing", ignore_errors=True)
        assert await caget(stand.alm("Files:NTotal"), timeout=PATIENCE) == 1
