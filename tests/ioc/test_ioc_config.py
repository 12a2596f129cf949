"""Configuration PVs: what is declared wrong is found, names become full, and a circle keeps the IOC from starting."""

from __future__ import annotations

import asyncio
import enum
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from aioca import purge_channel_caches
from hypothesis import given
from hypothesis import strategies as st
from ioc_support import TIMEOUT, caput, text
from support import Process, start

from owlshift.ioc import Array, Config, DeclarationError, Device, Ioc, readback, setpoint
from owlshift.ioc.catalogue import entry
from owlshift.ioc.config import circles


class Control(enum.IntEnum):
    LOCAL = 0
    REMOTE = 1


class Board(Device):
    """A board."""

    Ctrl = readback(Control, initial=Control.REMOTE)


class Channel(Device):
    """A channel."""

    V = setpoint(float, units="V", precision=1, config=Config(
        after=("Max", "/Rate"), lower_first=("Max",), blocked_by={"Ilk": "Yes", "/B0:Ctrl": "LOCAL"}))  # fmt: skip
    V_RBV = readback(float, units="V", precision=1)
    Max = setpoint(float, precision=0, config=True)
    Count = setpoint(int, config=Config(settle=0.5, tolerance=2, relative=0.1))
    Mode = setpoint(Control, config=Config(readback="State"))
    State = readback(Control)
    Bare = setpoint(float, precision=3, config=Config(readback=None))
    Bare_RBV = readback(float)
    Ilk = readback(bool)
    Serial = readback(str, config=True)
    Free = setpoint(float)


class Group(Device):
    """All."""

    Rate = setpoint(float, config=True)


def stand() -> tuple[Ioc, Channel]:
    channel = Channel()
    return Ioc("X:", [("", Group()), ("B0:", Board()), ("L1:", channel)]), channel


def test_the_catalogue_has_full_names_read_backs_and_tolerances():
    ioc, _ = stand()
    ioc.check_config()
    found = {name: entry(pv, "X:")["config"] for name, pv in ioc.pvdb.items() if pv.config}
    assert found == {
        "X:Rate": {"tolerance": 0.5, "settle": 5.0},
        "X:L1:V": {
            "after": ["X:L1:Max", "X:Rate"],
            "lower_first": ["X:L1:Max"],
            "readback": "X:L1:V_RBV",
            "blocked_by": {"X:L1:Ilk": "Yes", "X:B0:Ctrl": "LOCAL"},
            "tolerance": 0.05,
            "settle": 5.0,
        },
        "X:L1:Max": {"tolerance": 0.5, "settle": 5.0},
        "X:L1:Count": {"tolerance": 2.0, "relative": 0.1, "settle": 0.5},
        "X:L1:Mode": {"readback": "X:L1:State", "tolerance": 0.0, "settle": 5.0},
        "X:L1:Bare": {"tolerance": 0.0005, "settle": 5.0},
        "X:L1:Serial": {"tolerance": 0.0, "settle": 5.0},
    }
    assert entry(ioc.pvdb["X:L1:Free"], "X:")["config"] is False


def test_an_instance_has_names_of_its_own():
    ioc, channel = stand()
    other = Channel()
    ioc.add("L2:", other)
    channel.V.set_config(blocked_by={"/B0:Ctrl": "REMOTE"})
    channel.Free.set_config(after=("V",))
    ioc.check_config()
    assert entry(channel.V, "X:")["config"]["blocked_by"] == {"X:B0:Ctrl": "REMOTE"}
    assert entry(other.V, "X:")["config"]["blocked_by"] == {"X:L2:Ilk": "Yes", "X:B0:Ctrl": "LOCAL"}
    assert entry(channel.Free, "X:")["config"]["after"] == ["X:L1:V"]
    with pytest.raises(ValueError, match="settle=-1 must be a number"):
        channel.V.set_config(settle=-1)
    with pytest.raises(TypeError):
        channel.V.set_config(nonsense=1)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (Config(after="Max"), "after='Max' is no tuple"),  # type: ignore[arg-type]
        (Config(lower_first=("Max",)), "lower_first has Max, which `after` has not"),
        (Config(tolerance=float("nan")), "tolerance=nan"),
        (Config(settle=1e6), "settle=1e+06 s is more than"),
        ("yes", "neither a bool nor a Config"),
    ],
)
def test_a_config_that_makes_no_sense_by_itself(config, reason):
    with pytest.raises(DeclarationError, match=r"test_ioc_config\.py"):
        type("Wrong", (Device,), {"V": setpoint(float, config=config)})
    with pytest.raises(DeclarationError) as error:
        type("Wrong", (Device,), {"V": setpoint(float, config=config)})
    assert reason in str(error.value)


def test_tolerances_and_limits_are_for_numbers():
    with pytest.raises(DeclarationError, match="tolerance makes sense for numbers"):
        type("Wrong", (Device,), {"V": setpoint(str, config=Config(tolerance=1))})
    with pytest.raises(DeclarationError, match="lower_first makes sense for numbers"):
        type("Wrong", (Device,), {"V": setpoint(bool, config=Config(after=("A",), lower_first=True))})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"after": ("Nothing",), "lower_first": ()}, "comes after X:L1:Nothing, which is no configuration PV"),
        ({"after": ("V_RBV",), "lower_first": ()}, "comes after X:L1:V_RBV, which is no configuration PV"),
        ({"after": ("V",), "lower_first": ()}, "comes after itself"),
        ({"readback": "Gone"}, "its read-back X:L1:Gone does not exist"),
        ({"readback": "State"}, "its read-back X:L1:State is of another type"),
        ({"readback": "Trace"}, "its read-back X:L1:Trace is of another type"),
        ({"blocked_by": {"/B9:Ctrl": "LOCAL"}}, "is blocked by X:B9:Ctrl, which does not exist"),
        ({"blocked_by": {"/B0:Ctrl": "Local"}}, "at 'Local', which is none of its states"),
    ],
)
def test_names_that_are_not_there_are_found_before_anything_is_served(changes, reason):
    class More(Channel):
        Trace = readback(Array(float, 3))

    channel = More()
    ioc = Ioc("X:", [("", Group()), ("B0:", Board()), ("L1:", channel)])
    channel.V.set_config(**changes)
    with pytest.raises(DeclarationError) as error:
        ioc.check_config()
    assert f"test_ioc_config.py:{line_of('    V = setpoint')}: X:L1:V" in str(error.value)
    assert reason in str(error.value)


def line_of(start: str) -> int:
    return next(i for i, line in enumerate(Path(__file__).read_text().splitlines(), 1) if line.startswith(start))


def test_a_circle_is_found_and_shown():
    ioc, channel = stand()
    channel.Max.set_config(after=("Count",))
    channel.Count.set_config(after=("V",))
    with pytest.raises(DeclarationError, match=r"the order of writing goes in a circle: X:L1:.* -> X:L1:.* -> "):
        ioc.check_config()


def test_a_circle_that_only_a_value_on_its_way_down_makes():
    # V down: V before Max; but Rate comes after Max, and V after Rate
    after = {"V": ["Max", "Rate"], "Rate": ["Max"], "Max": []}
    assert circles(after, {"V": set(), "Rate": set(), "Max": set()}) == []
    assert circles(after, {"V": {"Max"}, "Rate": set(), "Max": set()})
    assert circles({**after, "Rate": []}, {"V": {"Max"}, "Rate": set(), "Max": set()}) == []


@given(st.integers(2, 9), st.data())
def test_circles_are_found_exactly_where_they_are(count, data):
    names = [f"P{i}" for i in range(count)]
    after = {name: data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) for name in names}
    after = {name: [one for one in others if one != name] for name, others in after.items()}
    found = circles(after, {name: set() for name in names})
    left = dict(after)
    while free := [name for name, others in left.items() if not set(others) & set(left)]:
        for name in free:
            del left[name]
    assert bool(found) == bool(left)
    for circle in found:
        assert circle[0] == circle[-1] and all(b in after[a] for a, b in pairwise(circle))


def serving(code: str, *arguments: str, ready: str | None = "ready") -> Process:
    return start([sys.executable, "-c", code, *arguments], ready=ready)


CIRCLE = """
import os, sys
from owlshift.ioc import CaServerSettings, Config, Device, Ioc, serve, setpoint
class Wrong(Device):
    A = setpoint(float, initial=0.0, config=Config(after=("B",)))
    B = setpoint(float, initial=0.0, config=Config(after=("A",)))
port = int(os.environ["EPICS_CA_SERVER_PORT"])
sys.exit(serve(Ioc(sys.argv[1], [("L:", Wrong())]), CaServerSettings("127.0.0.1", port)))
"""


def test_an_ioc_with_a_circle_does_not_start(prefix):
    process = serving(CIRCLE, prefix, ready=None)
    assert process.wait(TIMEOUT) == 1
    assert f"the order of writing goes in a circle: {prefix}L:A -> {prefix}L:B -> {prefix}L:A" in process.text()
    assert "Traceback" not in process.text()


WHO = """
import asyncio, os, sys
from owlshift.ioc import CaServerSettings, Device, Ioc, Text, command, readback, serve, setpoint
class Asks(Device):
    Who = readback(Text(1000), initial="")
    A = setpoint(float, initial=0.0)
    B = setpoint(float, initial=0.0)
    Go = command(lane="go")
    seen = ""
    async def note(self, what):
        self.seen += f"{what}={self.ioc.client} "
        await self.post(self.Who, self.seen)
    @A.putter
    async def _(self, value):
        await asyncio.sleep(0.05)
        await self.note("A")
    @B.putter
    async def _(self, value):
        await self.note("B")
    @Go.putter
    async def _(self):
        await self.A.put(1.0)
        await self.note("Go")
class Asking(Ioc):
    async def start(self):
        self.spawn(self.beside(), "beside")
    async def beside(self):
        await asyncio.sleep(0)
        print("outside", self.client, flush=True)
port = int(os.environ["EPICS_CA_SERVER_PORT"])
sys.exit(serve(Asking(sys.argv[1], [("", Asks())]), CaServerSettings("127.0.0.1", port)))
"""


async def test_a_putter_can_ask_who_puts(prefix):
    process = serving(WHO, prefix)
    try:
        await asyncio.gather(*(caput(f"{prefix}{name}", 1, wait=True, timeout=TIMEOUT) for name in "AB"))
        await caput(f"{prefix}Go", 1, wait=True, timeout=TIMEOUT)
        words = dict(word.split("=") for word in (await text(f"{prefix}Who")).split()[:2])
        assert words["A"] == words["B"] and "@" in words["A"] and words["A"] != "ioc@itself"
        assert (await text(f"{prefix}Who")).split()[2:] == ["A=ioc@itself", f"Go={words['A']}"]
        assert "outside ioc@itself" in process.text()
    finally:
        purge_channel_caches()
        assert process.stop(TIMEOUT) == 0
