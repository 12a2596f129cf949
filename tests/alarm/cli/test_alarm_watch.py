"""`owl alarm watch` through restarts, the Python client, completion, and what is said when no server is there."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alarm_stand import PATIENCE, AlarmStand
from support import ROOT, Process, owl, wait_until

from iocs.alarm.client import AlarmClient, AlarmError, NoServerError, NoSuchItemError, RefusedError
from iocs.alarm.follow import Follower
from iocs.alarm.tree.items import ConfigError, Item, LeafConfig

pytestmark = pytest.mark.timeout(300)


def documents(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log if line.startswith("{")]


def last(process: Process, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the last document is as wanted."""
    wanted: list[dict[str, Any]] = []

    def found() -> bool:
        wanted[:] = documents(process)[-1:]
        return bool(wanted) and condition(wanted[0])

    try:
        wait_until(found, PATIENCE)
    except AssertionError as error:
        raise AssertionError(f"{error}: {process.log[-3:]}") from None
    return wanted[0]


def severities(form: dict[str, Any]) -> list[str]:
    """Of what is in a document; none while the server is away."""
    return [row["severity"] for row in form.get("alarms", ())]


class Terminal:
    """A command on a terminal, and all that it has shown."""

    def __init__(self, stand: AlarmStand, *args: str) -> None:
        self._ours, theirs = pty.openpty()
        env = {**os.environ, **stand.environment, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
        env.pop("NO_COLOR", None)
        argv = owl("alarm", *args)
        self.process = subprocess.Popen(argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, f"waited for {text!r}: {self.shown[-3000:]!r}"
            if select.select([self._ours], [], [], 1.0)[0]:
                self.shown += self._decoder.decode(os.read(self._ours, 65536))

    def forget(self) -> None:
        self.shown = ""

    def stop(self) -> int:
        self.process.terminate()
        while select.select([self._ours], [], [], 0.2)[0]:
            try:
                if not os.read(self._ours, 65536):
                    break
            except OSError:  # Linux: the other end is closed
                break
        code = self.process.wait(PATIENCE)
        os.close(self._ours)
        return code


def test_watch_survives_a_restart_of_the_server(stand: AlarmStand):
    env = stand.environment
    as_json = Process(owl("alarm", "watch", "--json"), env)
    lines = Process(owl("alarm", "watch", f"/{stand.name}/HV"), env)
    live = Terminal(stand, "watch")
    try:
        live.until("no alarm")
        last(as_json, lambda form: form["server"] and not severities(form))
        stand.put("L01:IMon", 50.0)
        form = last(as_json, lambda form: severities(form) == ["MAJOR"])
        assert form["alarms"][0]["pv"] == stand.pv("L01:IMon")
        live.until("◆ MAJOR")
        wait_until(lambda: f"MAJOR         {stand.pv('L01:IMon')}" in lines.text(), PATIENCE)
        stand.ok("ack", stand.pv("L01:IMon"))
        last(as_json, lambda form: severities(form) == ["MAJOR_ACK"])
        live.until("1 acknowledged")

        stand.processes.pop("alarms").kill()
        last(as_json, lambda form: form == {"server": False})
        live.until("THE ALARM SERVER IS AWAY")
        live.until("what is above is old")
        wait_until(lambda: "does not answer" in lines.text(), PATIENCE)
        live.forget()
        stand.start_alarms()
        last(as_json, lambda form: severities(form) == ["MAJOR_ACK"])
        live.until("1 acknowledged")
        stand.put("L01:IMon", 0.0)
        last(as_json, lambda form: form["server"] and not severities(form))
        live.until("no alarm")
        wait_until(lambda: f"OK            {stand.pv('L01:IMon')}" in lines.text(), PATIENCE)
    finally:
        codes = [as_json.stop(PATIENCE), lines.stop(PATIENCE), live.stop()]
    assert codes == [0, 0, 0]


def test_watch_ends_by_itself(stand: AlarmStand):
    for seconds in (1.5, 6, 40):  # it may take its time until the server answers
        run = stand.child("watch", "--json", "--for", seconds)
        assert run.code == 0
        if any(json.loads(line)["server"] for line in run.out.splitlines()):
            return
    pytest.fail(f"the server has not answered: {run.out}")


def complete(stand: AlarmStand, *words: str) -> list[str]:
    """What is offered for the last of the words, by what a bash starts."""
    environment = {
        **os.environ,
        **stand.environment,
        "_OWL_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("owl", "alarm", *words)),
        "COMP_CWORD": str(len(words) + 1),
    }
    argv = [sys.executable, "-c", "import sys; sys.argv = ['owl']; from owlshift.cli import main; main()"]
    done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def completes(stand: AlarmStand, *words: str, begin: list[str]) -> None:
    """What is offered begins so; nothing is offered when the server takes too long for somebody who waits."""
    wait_until(lambda: complete(stand, *words)[: len(begin)] == begin, PATIENCE, f"{begin}")


def test_the_tab_key(stand: AlarmStand, nowhere: AlarmStand):
    name = stand.name
    completes(stand, "show", "/", begin=[f"/{name}", f"/{name}/"])
    completes(stand, "ack", f"/{name}/HV/L0", begin=[f"/{name}/HV/L01", f"/{name}/HV/L01/"])
    completes(stand, "ack", stand.pv("L01"), begin=[stand.pv("L01:IMon")])
    assert complete(stand, "log", "--kind", "shel") == ["shelve"]
    assert complete(nowhere, "show", "/") == []


# The client


@pytest.fixture
async def client(stand: AlarmStand) -> AsyncIterator[AlarmClient]:
    async with AlarmClient(f"{stand.prefix}ALM", timeout=PATIENCE) as client:
        yield client


async def test_what_a_script_does(stand: AlarmStand, client: AlarmClient):
    pv, path = stand.pv("L02:IMon"), stand.path("L02:IMon")
    assert await client.find(pv) == await client.find(path) == f"{stand.prefix}ALM:HV:L02:IMon"
    assert await client.find("/") == f"{stand.prefix}ALM" and await client.path_of(pv) == path
    until = datetime.now(UTC) + timedelta(hours=1)
    await client.shelve(pv, "a script", until=until)
    (shelf,) = (await client.shelves())["shelves"]
    assert shelf["until"].startswith(f"{until:%Y-%m-%dT%H:%M}")
    await client.shelve(pv, "a script", seconds=0.0, one_shot=True)
    await client.unshelve(pv)
    assert (await client.shelves())["shelves"] == []
    terms: list[dict[str, Any]] = [{}, {"seconds": 1.0, "one_shot": True}, {"until": datetime(2090, 1, 1)}]
    for wrong in terms:
        with pytest.raises(ValueError):
            await client.shelve(pv, "x", **wrong)
    with pytest.raises(ValueError):
        await client.shelve(pv, "  ", seconds=10)
    with pytest.raises(RefusedError, match="it may be shelved until"):
        await client.shelve(pv, "x", seconds=3e6)
    with pytest.raises(NoSuchItemError) as caught:
        await client.acknowledge(f"{pv}s")
    assert pv in caught.value.near


async def test_what_is_configured_by_a_script(stand: AlarmStand, client: AlarmClient):
    before = await client.items()
    path = f"/{stand.name}/Other/{stand.pv('X:State')}"
    await client.put_items([Item(path, LeafConfig("new"))])
    assert [item.path for item in await client.items(f"/{stand.name}/Other")][-1] == path
    with pytest.raises(RefusedError, match="filter"):
        await client.put_items([Item(f"{path}2", LeafConfig("x")), Item(path, LeafConfig("x", filter="1 +"))])
    with pytest.raises(RefusedError):
        await client.put_items([Item(f"/{stand.name}/Again/{stand.pv('X:State')}", LeafConfig())])
    await client.remove([f"/{stand.name}/Other"])
    assert await client.items() == before
    await client.change([], [])
    status = await client.status()
    assert (status["Role"], status["NTotal"], status["Notify"], status["Problems"]) == ("Active", 4, True, [])


async def test_the_table_is_followed(stand: AlarmStand, client: AlarmClient):
    tables = client.follow()
    first = await asyncio.wait_for(anext(tables), PATIENCE)
    assert first is not None and first["alarms"] == []
    await asyncio.to_thread(stand.put, "L03:IMon", 50.0)
    while not (table := await asyncio.wait_for(anext(tables), PATIENCE)) or not table["alarms"]:
        pass
    assert table["alarms"][0]["pv"] == stand.pv("L03:IMon")
    await tables.aclose()


# Nobody there


def test_no_server(nowhere: AlarmStand, monkeypatch: pytest.MonkeyPatch):
    said = f"owl: no alarm server answers at {nowhere.prefix}ALM: (is the site running? `owl status`)\n"
    assert nowhere.no(1, "active", "--json") == said
    assert "alarms" in nowhere.no(1, "log")
    run = nowhere("check")
    assert run.code == 1 and "WRONG  server: no alarm server answers" in run.out and "database" in run.out
    monkeypatch.setitem(Follower.__init__.__kwdefaults__ or {}, "patience", 0.2)
    for seconds in (1, 10, 60):
        watched = nowhere("watch", "--for", seconds)
        assert watched.code == 0
        if "does not answer" in watched.out:
            return
    pytest.fail(f"nothing was said: {watched.out}")


async def test_no_server_for_a_script(nowhere: AlarmStand):
    async with AlarmClient(f"{nowhere.prefix}ALM:", timeout=0.5) as client:
        with pytest.raises(NoServerError):
            await client.active()
        with pytest.raises(AlarmError):
            await client.acknowledge("/x")


def test_another_site(nowhere: AlarmStand):
    assert "no such alarm IOC (ALM)" in nowhere.no(2, "active", "--system", "XX")
    text = nowhere.site_file.read_text()
    nowhere.site_file.write_text(text.replace('kind = "alarm"', 'kind = "runkey"').partition("[ioc.config]")[0])
    assert "no such alarm IOC (none)" in nowhere.no(2, "active")
    nowhere.site_file.write_text("[site")
    assert "problem in the site file" in nowhere.no(2, "active")


def test_what_the_server_says_can_be_trusted():
    from iocs.alarm.client import _loads

    with pytest.raises(AlarmError, match="is no JSON"):
        _loads("{", "X:Active")
    assert issubclass(ConfigError, ValueError)
