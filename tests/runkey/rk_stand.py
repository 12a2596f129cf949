"""A small stand as processes: simulated high voltage, its IOC, and a runkey IOC on a database; and stock clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aioca import DBR_CHAR_STR, DBR_ENUM_STR, FORMAT_TIME, CANothing, caget, camonitor, caput
from db_servers import KINDS, fresh_url, server
from sqlalchemy import make_url
from support import Process, owl, start, unique_prefix

from db.config import open_store
from db.store import Store
from db.who import Who
from owlshift.kinds import read_simulator_place
from owlshift.site import Site, load_site

__all__ = ["KINDS", "PATIENCE", "RkStand", "server", "stand_of"]

PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""
CHANNELS = ("L01", "L02", "L03", "L04", "L05", "L06", "L07", "L08")
TEXTS = ("Msg", "Report", "Plan", "SelectedHash", "AppliedHash", "AppliedBy", "AppliedResult", "List", "Found", "Tree",
         "View", "Comment", "SelectedInfo", "Path", "Search", "IOC:Msg", "AppliedValidity")  # fmt: skip
ENUMS = ("State", "DbConn", "Mode", "AppliedValid")
FAR = {f"{alias}_{what}": value for alias in CHANNELS for what, value in (("ISet", 30.0), ("VSet", 40.0))}
HOME = {f"{alias}_{what}": value for alias in CHANNELS for what, value in (("ISet", 50.0), ("VSet", 0.0))}
NAMES = [name.replace("_", ":") for name in HOME]
SLOW = 0.04
"""Seconds a reply takes: a level of puts takes a second or two, and can be interrupted."""


def _site_text(name: str, port: int, urls: Mapping[str, str], config: str, access: str) -> str:
    lines = [
        "[site]",
        f'name = "{name}"',
        "[ca]",
        f"port = {port}",
        *(["[access]", f'file = "{access}"'] if access else []),
        "[[ioc]]",
        'system = "HV"',
        'kind = "hv"',
        "[ioc.config]",
        "ramp_up = 400.0",
        "ramp_down = 400.0",
        'boards = [ { name = "B0", address = 0 }, { name = "B1", address = 1 } ]',
        "channels = [",
        *(
            f'  {{ alias = "{alias}", board = "B{index // 4}", ch = {index % 4}, layer = {index + 1}, vdef = 1000.0 }},'
            for index, alias in enumerate(CHANNELS)
        ),
        "]",
        "[[ioc]]",
        'system = "RK"',
        'kind = "runkey"',
        "[ioc.config]",
        config,
        "[db]",
        *(f'{area} = "{url}"' for area, url in urls.items()),
    ]
    return "\n".join(lines) + "\n"


class RkStand:
    """The processes, each of which a test may kill and start again."""

    def __init__(
        self,
        folder: Path,
        kind: str = "sqlite",
        *,
        config: str = "",
        acf: str = "",
        areas: tuple[str, ...] = ("staging", "backend"),
    ) -> None:
        self.folder = folder
        self.kind = kind
        self.prefix = unique_prefix()
        self.state = folder / "state"
        self.env: dict[str, str] = {}
        urls: dict[str, str] = {}
        if kind != "sqlite":
            for area in areas:
                url = make_url(fresh_url(kind))
                self.env["OWLSHIFT_DB_PASSWORD"] = str(url.password)
                urls[area] = url._replace(password=None).render_as_string()
        if acf:
            (folder / "access.acf").write_text(acf)
        self.site_file = folder / "site.toml"
        self.urls, self._access = urls, "access.acf" if acf else ""
        self.config = ""
        self._configure(config)
        self.processes: dict[str, Process] = {}

    def _configure(self, config: str) -> None:
        port = int(os.environ["EPICS_CA_SERVER_PORT"])
        name = self.prefix.removesuffix(":")
        self.site_file.write_text(_site_text(name, port, self.urls, config, self._access))
        self.config = config

    @property
    def site(self) -> Site:
        return load_site(self.site_file, self.state)

    def start(self, *names: str) -> None:
        """Start these (sim, hv, rk) and wait until each is ready."""
        where = ("--site", str(self.site_file), "--state", str(self.state))
        commands = {
            "sim": owl("sim", "hv", "serve", *where, "--system", "HV"),
            "hv": owl("ioc", "hv", *where),
            "rk": owl("ioc", "runkey", *where),
        }
        for name in names:
            # supervised, so that the HV IOC does not bring a simulator of its own
            self.processes[name] = start(commands[name], timeout=PATIENCE, env={**self.env, "OWLSHIFT_SUPERVISED": "1"})

    def stop(self) -> None:
        """All of them, in reverse order."""
        codes = {}
        for name in ("rk", "hv", "sim"):
            process = self.processes.pop(name, None)
            if process is not None and process.returncode is None:
                codes[name] = process.stop(40)
                print(f"--- {name}\n{process.text()[-8000:]}")
        assert not any(codes.values()), codes

    def restart(self, config: str = "") -> None:
        """The runkey IOC anew, with this configuration."""
        if "rk" in self.processes:
            process = self.processes.pop("rk")
            code = process.stop(40)
            print(f"--- rk\n{process.text()[-8000:]}")
            assert code == 0
        self._configure(config)
        self.start("rk")

    def access(self, rules: str) -> None:
        """Other access security; the IOCs see it within a second or two."""
        file = self.folder / "access.acf"
        new = file.with_suffix(".new")
        new.write_text(rules)
        new.replace(file)

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.processes.pop(name)
        process.kill()
        print(f"--- {name}, killed\n{process.text()[-8000:]}")

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The databases, as another program opens them."""
        before = {name: os.environ.get(name) for name in self.env}
        os.environ.update(self.env)
        try:
            store = open_store(self.site, Who("tester", "testhost"))
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        try:
            yield store
        finally:
            store.close()

    def sim(self, what: str, **arguments: Any) -> dict[str, Any]:
        """One request to the simulator's control port."""
        host, _, port = read_simulator_place(self.state, "HV")["control"].removeprefix("tcp://").rpartition(":")
        with socket.create_connection((host, int(port)), 20) as connection, connection.makefile("rb") as replies:
            connection.sendall(json.dumps({"do": what, **arguments}).encode() + b"\n")
            reply = json.loads(replies.readline())
        assert reply.pop("ok"), reply
        return reply

    def heal(self) -> None:
        self.sim("clear")
        self.sim("cable", state="plugged")

    # Channel Access, by aioca

    def rk(self, name: str) -> str:
        return f"{self.prefix}RK:{name}"

    def hv(self, name: str) -> str:
        return f"{self.prefix}HV:{name}"

    async def get(self, name: str) -> Any:
        """A PV of the runkey IOC: texts as str, enums by label."""
        if name in TEXTS:
            return str(await caget(self.rk(name), datatype=DBR_CHAR_STR, timeout=PATIENCE))
        if name in ENUMS:
            return str(await caget(self.rk(name), datatype=DBR_ENUM_STR, timeout=PATIENCE))
        return await caget(self.rk(name), format=FORMAT_TIME, timeout=PATIENCE)

    async def put(self, name: str, value: Any) -> None:
        """To a PV of the runkey IOC, with completion; CANothing when it is refused."""
        if name in TEXTS:
            await caput(self.rk(name), str(value), datatype=DBR_CHAR_STR, wait=True, timeout=PATIENCE)
        else:
            await caput(self.rk(name), value, wait=True, timeout=PATIENCE)

    async def refused(self, name: str, value: Any = 1) -> str:
        """A put that must be refused; what Msg says."""
        try:
            await self.put(name, value)
        except CANothing:
            return await self.get("Msg")
        raise AssertionError(f"{name} = {value!r} was not refused; {await self.get('Msg')}")

    async def set_hv(self, **values: Any) -> None:
        """`L01_VSet=100.0`: puts to the high voltage, all at once; those of a channel in their order."""
        puts = (caput(self.hv(k.replace("_", ":")), v, wait=True, timeout=PATIENCE) for k, v in values.items())
        await asyncio.gather(*puts)

    async def hv_values(self, *names: str) -> list[float]:
        return [float(str(await caget(self.hv(name), timeout=PATIENCE))) for name in names]

    async def until(self, name: str, condition: Callable[[Any], object], timeout: float = PATIENCE) -> Any:
        """Poll a PV of the runkey IOC until it is so."""
        deadline = time.monotonic() + timeout
        value: Any = None
        while time.monotonic() < deadline:
            with contextlib.suppress(CANothing):
                value = await self.get(name)
                if condition(value):
                    return value
            await asyncio.sleep(0.05)
        raise AssertionError(f"{name} is {value!r} after {timeout} s")

    async def hv_ready(self) -> None:
        """All boards are read: no configuration PV is undefined any more."""
        deadline = time.monotonic() + PATIENCE
        names = [self.hv(f"{alias}:{what}") for alias in CHANNELS for what in ("VSet", "VSet_RBV", "ISet_RBV")]
        found: list[Any] = []
        while time.monotonic() < deadline:
            with contextlib.suppress(CANothing):
                found = await caget(names, format=FORMAT_TIME, timeout=5)
                if all(value.severity < 3 for value in found):
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"the high voltage is not ready: {found}")

    async def until_invalid(self, name: str) -> None:
        """A PV of the high voltage has become INVALID."""
        async with asyncio.timeout(PATIENCE):
            while (await caget(self.hv(name), format=FORMAT_TIME, timeout=PATIENCE)).severity < 3:
                await asyncio.sleep(0.05)

    async def ready(self) -> None:
        await self.hv_ready()
        await self.until("State", lambda state: state == "Idle")

    @contextmanager
    def record(self, *names: str) -> Iterator[list[tuple[str, float]]]:
        """(name, value) of monitors of the high voltage, in the order in which they come."""
        seen: list[tuple[str, float]] = []
        subscriptions = [
            camonitor(self.hv(name), lambda value, n=name: seen.append((n, float(str(value)))), all_updates=True)
            for name in names
        ]
        try:
            yield seen
        finally:
            for subscription in subscriptions:
                subscription.close()


@contextmanager
def stand_of(folder: Path, kind: str = "sqlite", **options: Any) -> Iterator[RkStand]:
    """A stand that runs."""
    stand = RkStand(folder, kind, **options)
    try:
        stand.start("sim", "hv", "rk")
        yield stand
    except BaseException:
        for process in stand.processes.values():
            print(f"--- {process.argv[3:6]}\n{process.text()[-12000:]}")
        raise
    finally:
        stand.stop()


async def prepare(stand: RkStand) -> str:
    """A runkey is selected, and 16 settings are not as it says; its name."""
    await stand.hv_ready()
    await stand.until("State", lambda state: state in ("Idle", "Failed"))
    await stand.set_hv(**HOME)
    await stand.put("Snapshot", 1)
    await stand.set_hv(**FAR)
    return str(await stand.get("Selected"))


async def begin(stand: RkStand) -> asyncio.Future[None]:
    """An apply that is under way: something has been written, and more is to be."""
    stand.sim("slow", seconds=SLOW)
    task = asyncio.ensure_future(stand.put("Apply", 1))
    async with asyncio.timeout(60):
        while not [v for v in await current(stand) if v in (50.0, 0.0)]:
            assert not task.done(), "the apply was over before anything of it was seen"
            await asyncio.sleep(0.01)
    return task


async def current(stand: RkStand) -> list[float]:
    """What the simulated boards have; no round trip over Channel Access."""
    status = (await asyncio.to_thread(stand.sim, "status"))["boards"]
    found = []
    for index in range(len(CHANNELS)):
        channel = status[index // 4]["channels"][index % 4]
        found += [float(channel["iset"]), float(channel["vset"])]
    return found


async def the_script(stand: RkStand) -> None:
    """Store, compare, apply, commit: what goes on every database."""
    name = await prepare(stand)
    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 16
    await stand.put("Apply", 1)
    assert set(await stand.hv_values(*NAMES)) == {50.0, 0.0}
    await stand.put("Commit", 1)
    with stand.store() as store:
        assert store.backend.info(name).digest == await stand.get("AppliedHash")
        assert store.staging.info(name).committed
    for one in ("it's", 'so "quoted" \\', "Übergröße %_*", "a b  c", "case", "CASE", "Case"):
        await stand.put("SnapshotName", one)
        await stand.put("Snapshot", 1)
        assert str(await stand.get("Selected")) == one
        await stand.put("Compare", 1)
        assert await stand.get("DiffCount") == 0
    assert "is it 'case'" in (await stand.refused("Selected", "cAse")).casefold()
    with stand.store() as store:
        assert {"case", "CASE", "Case"} <= {info.name for info in store.staging.list()}


def differing(report: str) -> set[str]:
    """The PVs, without the site's prefix, that a comparison's report names."""
    return set(re.findall(r"^  \w+:(\S+): is ", report, re.MULTILINE))
