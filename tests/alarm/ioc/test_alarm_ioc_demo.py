"""Over-current on a layer of the high voltage, from the hardware to the log, with stock clients."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alarm_ioc_stand import PATIENCE, AlarmStand, alarm_stand, caput

from owlshift.kinds import read_simulator_place

IMON = "HV:L07:IMon:"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlarmStand]:
    # the alarm IOC comes first, and follows by itself
    with alarm_stand(tmp_path_factory.mktemp("demo"), "alm", "sim", "hv", hv=True) as stand:
        yield stand


def sim(stand: AlarmStand, what: str, **arguments: object) -> None:
    """One request to the simulator's control port."""
    host, _, port = read_simulator_place(stand.state, "HV")["control"].removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), 20) as connection, connection.makefile("rb") as replies:
        connection.sendall(json.dumps({"do": what, **arguments}).encode() + b"\n")
        assert json.loads(replies.readline())["ok"]


def epics_put(name: str, value: object) -> None:
    """A put with completion by pyepics, in a process of its own."""
    code = f"import epics, sys; sys.exit(epics.caput({name!r}, {value!r}, wait=True, timeout=30) != 1)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


async def test_over_current_raises_latches_is_acknowledged_shelved_and_logged(demo: AlarmStand) -> None:
    await demo.until("NTotal", lambda number: number > 20)
    await demo.until("Missing", lambda number: number == 0)
    await demo.until("HV:Sevr", lambda severity: severity == "OK")
    await caput(f"{demo.prefix}HV:L07:VSet", 1000.0, wait=True, timeout=PATIENCE)
    await caput(f"{demo.prefix}HV:L07:Pw", 1, wait=True, timeout=PATIENCE)
    sim(demo, "load", target="L07", megohms=10.0)
    # it rises
    await demo.until(f"{IMON}Sevr", lambda severity: severity == "MAJOR")
    await demo.until("HV:L07:Sevr", lambda severity: severity == "MAJOR")
    await demo.until("HV:Sevr", lambda severity: severity == "MAJOR")
    await demo.until("Talk", lambda text: text == "MAJOR Alarm: Measured current, of the range in use")
    # it latches
    sim(demo, "load", target="L07", megohms=1e6)
    await demo.until(f"{IMON}Cur", lambda severity: severity == "OK")
    await demo.shows(f"{IMON}Sevr", "MAJOR")
    # somebody acknowledges it
    await asyncio.to_thread(epics_put, demo.alm(f"{IMON}Ack"), 1)
    await demo.until(f"{IMON}Sevr", lambda severity: severity == "OK")
    # and puts it aside for a while
    await demo.put(f"{IMON}Shelve", "5s the load is being looked at")
    sim(demo, "load", target="L07", megohms=10.0)
    await demo.until(f"{IMON}Cur", lambda severity: severity == "MAJOR")
    await demo.until(f"{IMON}State", lambda state: state == "Active")
    # all of it is in the log
    await demo.until("LogBehind", lambda number: number == 0)
    pv = f"{demo.prefix}HV:L07:IMon"

    def logged() -> list[str]:
        with demo.log() as log:
            return [event.kind for event in log.search(pv=pv, oldest_first=True)]

    async with asyncio.timeout(PATIENCE):
        while not {"transition", "ack", "shelve", "unshelve"} <= set(await asyncio.to_thread(logged)):
            await asyncio.sleep(0.1)


async def test_a_lost_cable_is_one_alarm(demo: AlarmStand) -> None:
    await demo.until("Missing", lambda number: number == 0)
    sim(demo, "load", target="L07", megohms=1e6)
    await demo.put("Shelve", "")
    await demo.until(f"{IMON}Cur", lambda severity: severity == "OK")
    await demo.put("Ack", 1)
    await demo.until("Sevr", lambda severity: severity == "OK")
    before = int(await demo.get("TalkCount"))
    sim(demo, "cable", state="pulled")
    await demo.until("HV:Line:Sevr", lambda severity: severity == "MAJOR")
    await demo.shows("HV:NActive", 1)
    await demo.shows(f"{IMON}State", "NormalMasked")
    sim(demo, "cable", state="plugged")
    await demo.until("NSupp", lambda number: number == 0)
    await demo.until("HV:Line:Connected:Cur", lambda severity: severity == "OK")
    assert int(await demo.get("TalkCount")) == before + 1


def test_the_stand_has_a_folder_of_its_own(demo: AlarmStand) -> None:
    assert (Path(demo.state) / "db" / "alarms.sqlite").is_file()
    assert (Path(demo.state) / "alarm" / "catalogues").is_dir()
