"""An alarm IOC as a process, an IOC with things that can be in alarm, and stock clients of both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aioca
from aioca import DBR_CHAR_STR, DBR_ENUM_STR, FORMAT_TIME, CANothing
from support import Process, owl, start, unique_prefix

from db.alarms.log import AlarmLog
from db.config import open_log
from owlshift.site import Site, load_site

PATIENCE = 60.0
HERE = Path(__file__).parent
TEXTS = ("Path", "Guidance", "GuidanceJson", "Items", "Active", "Tree", "Shelves", "Talk", "Mode", "First", "Desc",
         "ShelvedWhy", "Shelve", "Chattering", "Problems", "Config", "Msg_")  # fmt: skip
ENUMS = ("Sevr", "Cur", "State", "Maint", "Notify", "Enable", "Role", "Flood", "Prio", "TalkSevr")

# what these return is a float, int, str or array with attributes, which aioca's type cannot say
caget: Any = aioca.caget
caput: Any = aioca.caput
camonitor: Any = aioca.camonitor


class AlarmStand:
    """The processes, each of which a test may kill and start again."""

    def __init__(self, folder: Path, *, config: str = "", acf: str = "", tanks: int = 3, hv: bool = False) -> None:
        self.folder = folder
        self.prefix = unique_prefix()
        self.name = self.prefix.removesuffix(":")
        self.state = folder / "state"
        self.site_file = folder / "site.toml"
        self.tanks = tanks
        self.processes: dict[str, Process] = {}
        self._acf, self._hv = acf, hv
        if acf:
            self.access(acf)
        self.configure(config)

    def configure(self, config: str) -> None:
        """Write the site file."""
        high_voltage = [
            "[[ioc]]",
            'system = "HV"',
            'kind = "hv"',
            "[ioc.config]",
            "ramp_up = 400.0",
            'boards = [ { name = "B0", address = 0 }, { name = "B1", address = 1 } ]',
            "channels = [",
            *(
                f'  {{ alias = "L0{n + 5}", board = "B{n // 2}", ch = {n % 2}, layer = {n + 5}, vdef = 1000.0 }},'
                for n in range(4)
            ),
            "]",
            "[ioc.config.init]",
            "iset = 50.0",
            "trip = 1000.0",
            "[ioc.config.alarms]",
            "imon_high = 40.0",
            "imon_hihi = 48.0",
        ]
        lines = [
            "[site]",
            f'name = "{self.name}"',
            "[ca]",
            f"port = {os.environ['EPICS_CA_SERVER_PORT']}",
            *(["[access]", 'file = "access.acf"'] if self._acf else []),
            *(high_voltage if self._hv else []),
            "[[ioc]]",
            'system = "ALM"',
            'kind = "alarm"',
            "[ioc.config]",
            *([] if self._hv else [f'also = ["{self.prefix}SRC:"]']),
            "connection_timeout = 5.0",
            config,
        ]
        self.site_file.write_text("\n".join(lines) + "\n")

    @property
    def site(self) -> Site:
        return load_site(self.site_file, self.state)

    def start(self, *names: str) -> None:
        """Start these (src, sim, hv, alm, alm2 …) and wait until each is ready."""
        where = ("--site", str(self.site_file), "--state", str(self.state))
        for name in names:
            argv = {
                "src": [sys.executable, "-u", str(HERE / "alarm_source_ioc.py"), f"{self.prefix}SRC:", str(self.tanks)],
                "sim": owl("sim", "hv", "serve", *where, "--system", "HV"),
                "hv": owl("ioc", "hv", *where),
            }.get(name, owl("ioc", "alarm", *where))
            self.processes[name] = start(argv, timeout=PATIENCE, env={"OWLSHIFT_SUPERVISED": "1"})

    def stop(self, *names: str) -> None:
        """These, or all of them, in reverse order of the start."""
        codes = {}
        for name in names or tuple(reversed(self.processes)):
            process = self.processes.pop(name)
            if process.returncode is None:
                codes[name] = process.stop(40)
            print(f"--- {name}\n{process.text()[-8000:]}")
        assert not any(codes.values()), codes

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.processes.pop(name)
        process.kill()
        print(f"--- {name}, killed\n{process.text()[-8000:]}")

    def access(self, rules: str) -> None:
        """Other access security; the IOC sees it within a second or two."""
        file = self.folder / "access.acf"
        new = file.with_suffix(".new")
        new.write_text(rules)
        new.replace(file)

    @contextmanager
    def log(self) -> Iterator[AlarmLog]:
        """The log, as another program opens it."""
        log = open_log(self.site)
        try:
            yield log
        finally:
            log.close()

    # Channel Access, by aioca

    def alm(self, name: str) -> str:
        return f"{self.prefix}ALM:{name}"

    def path(self, *names: str) -> str:
        return "/".join(("", self.name, *names))

    async def get(self, name: str) -> Any:
        """A PV of the alarm IOC: texts as str, enums by label, JSON as it is."""
        kind = name.rpartition(":")[2]
        if kind in TEXTS or name == "IOC:Msg":
            return str(await caget(self.alm(name), datatype=DBR_CHAR_STR, timeout=PATIENCE))
        if kind in ENUMS:
            return str(await caget(self.alm(name), datatype=DBR_ENUM_STR, timeout=PATIENCE))
        return await caget(self.alm(name), format=FORMAT_TIME, timeout=PATIENCE)

    async def json(self, name: str) -> Any:
        return json.loads(await self.get(name))

    async def put(self, name: str, value: Any, timeout: float = PATIENCE) -> None:
        """With completion; CANothing when it is refused."""
        kind = name.rpartition(":")[2]
        datatype = DBR_CHAR_STR if kind in TEXTS else None
        await caput(self.alm(name), value, datatype=datatype, wait=True, timeout=timeout)

    async def refused(self, name: str, value: Any = 1) -> str:
        """A put that must be refused; what the IOC says why."""
        try:
            await self.put(name, value)
        except CANothing:
            return await self.get("IOC:Msg")
        raise AssertionError(f"{name} = {value!r} was not refused")

    async def tank(self, number: int, value: float, what: str = "V") -> None:
        """A level, and with it an alarm or none."""
        await caput(f"{self.prefix}SRC:T{number}:{what}", value, wait=True, timeout=PATIENCE)

    async def until(self, name: str, condition: Callable[[Any], object], timeout: float = PATIENCE) -> Any:
        """Poll a PV until it is so."""
        deadline = time.monotonic() + timeout
        value: Any = None
        while time.monotonic() < deadline:
            with contextlib.suppress(CANothing):
                value = await self.get(name)
                if condition(value):
                    return value
            await asyncio.sleep(0.05)
        raise AssertionError(f"{name} is {value!r} after {timeout} s")

    async def shows(self, name: str, wanted: Any) -> None:
        """A PV is, or is soon, what is wanted: PVs of one change are told one after another."""
        await self.until(name, lambda value: value == wanted)

    async def watching(self, alarms: int) -> None:
        """All alarms are there, and their PVs, too."""
        await self.until("NTotal", lambda number: number == alarms)
        await self.until("Watched", lambda number: number == alarms)
        await self.until("Missing", lambda number: number == 0)

    async def quiet(self) -> None:
        """No alarm, nothing shelved, nothing disabled: what a test begins with."""
        for number in range(1, self.tanks + 1):
            await self.tank(number, 0.0)
            await self.tank(number, 0.0, "Slow")
        await self.put("Shelve", "")
        await self.put("Enable", 1)
        await self.put("Maint", 0)
        await self.put("Notify", 1)

        async def rest() -> bool:
            await self.put("Ack", 1)
            return await self.get("NActive") == 0 and await self.get("NSupp") == 0

        async with asyncio.timeout(PATIENCE):
            while not await rest():
                await asyncio.sleep(0.05)


@contextmanager
def alarm_stand(folder: Path, *names: str, **options: Any) -> Iterator[AlarmStand]:
    """A stand that runs."""
    stand = AlarmStand(folder, **options)
    try:
        stand.start(*(names or ("src", "alm")))
        yield stand
    except BaseException:
        for name, process in stand.processes.items():
            print(f"--- {name}\n{process.text()[-12000:]}")
        raise
    finally:
        stand.stop()
