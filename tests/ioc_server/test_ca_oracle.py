"""The same requests to a C IOC of EPICS base (epicscorelibs) and to ours: the answers must be the same."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ca_raw import (
    CLEAR_CHANNEL,
    CLIENT_NAME,
    CREATE_CHAN,
    ECHO,
    ERROR,
    HOST_NAME,
    READ,
    READ_NOTIFY,
    READ_SYNC,
    SEARCH,
    VERSION,
    WRITE,
    WRITE_NOTIFY,
    RawClient,
    Reply,
    event_add,
    request,
    serving,
)
from caproto import ChannelData, ChannelDouble, ChannelEnum, ChannelInteger, ChannelString
from support import free_port

DATABASE = """
record(ao, "T:Double") {field(VAL, "1.5") field(PREC, "2") field(EGU, "V") field(PINI, "YES")}
record(waveform, "T:Empty") {field(FTVL, "DOUBLE") field(NELM, "10")}
record(waveform, "T:Array") {field(FTVL, "DOUBLE") field(NELM, "10")}
record(stringin, "T:String") {field(VAL, "hello") field(PINI, "YES")}
record(longin, "T:Long") {field(VAL, "-7") field(PINI, "YES") field(EGU, "cnt")}
record(mbbo, "T:Enum") {field(ZRST, "Off") field(ONST, "On") field(ZRVL, "0") field(ONVL, "1")
    field(VAL, "1") field(PINI, "YES")}
"""


def our_pvs() -> dict[str, ChannelData]:
    """The database on our side."""
    return {
        "T:Double": ChannelDouble(value=1.5, precision=2, units="V", reported_record_type="ao"),
        "T:Empty": ChannelDouble(value=[], max_length=10),
        "T:Array": ChannelDouble(value=[], max_length=10),
        "T:String": ChannelString(value="hello"),
        "T:Long": ChannelInteger(value=-7, units="cnt"),
        "T:Enum": ChannelEnum(value="On", enum_strings=("Off", "On"), reported_record_type="mbbo"),
    }


NAMES = ("Double", "Empty", "Array", "String", "Long", "Enum")
Sids = dict[str, int]
Request = Callable[[Sids], bytes]


def get(name: str, data_type: int, count: int = 1) -> Request:
    return lambda s: request(READ_NOTIFY, data_type, count, s[name], 5)


def write(name: str, data_type: int, count: int, payload: bytes, command: int = WRITE_NOTIFY) -> Request:
    return lambda s: request(command, data_type, count, s[name], 6, payload)


def monitor(name: str, data_type: int, count: int = 1, mask: int = 1) -> Request:
    return lambda s: event_add(s[name], 7, data_type, count, mask)


def plain(message: bytes) -> Request:
    return lambda s: message


# requests, and how many answers they have
TALKS: dict[str, tuple[list[Request], int]] = {
    "empty": ([get("Empty", 6, 0), get("Empty", 19, 0), get("Empty", 6, 4)], 3),
    "empty event": ([monitor("Empty", 20, 0)], 1),
    "array": ([get("Array", 6, 0), get("Array", 6, 2), get("Array", 6, 5), get("Array", 6, 50), get("Array", 5, 0)], 5),
    "conversions": ([get("Double", t) for t in range(7)] + [get("Long", t) for t in range(7) if t != 3], 13),
    "enum": ([get("Enum", t) for t in (*range(7), 24, 31)], 9),
    "string": ([get("String", t) for t in (0, 4, 6, 21, 28)], 5),
    "class name": ([get("Enum", 38), get("Double", 38)], 2),
    "a type that is only written": ([get("Double", 35)], 1),
    "puts": (
        [
            write("Double", 6, 1, struct.pack(">d", 2.5)),
            write("Double", 0, 1, b"no number\0"),
            write("Double", 20, 1, bytes(24)),
            write("Enum", 0, 1, b"0\0"),
            write("Enum", 0, 1, b"other\0"),
            write("Enum", 0, 1, b"On\0"),
        ],
        6,
    ),
    "a plain write that fails": ([write("Double", 0, 1, b"no number\0", WRITE)], 1),
    "a type that does not exist": ([get("Double", 39)], -1),
    "a put of a type that does not exist": ([write("Double", 39, 1, bytes(8))], -1),
    "a monitor of a type that does not exist": ([monitor("Double", 39)], -1),
    "a monitor of nothing": ([monitor("Double", 6, mask=0)], -1),
    "a channel that does not exist": ([plain(request(READ_NOTIFY, 6, 1, 4711, 5))], -1),
    "clearing it": ([plain(request(CLEAR_CHANNEL, 0, 0, 4711, 5))], -1),
    "a command that does not exist": ([plain(request(77))], -1),
    "an old version": ([plain(request(CREATE_CHAN, 0, 0, 77, 3, b"T:Double\0"))], -1),
    "names that do not exist": ([plain(request(CREATE_CHAN, 0, 0, 78, 13, b"T:Nobody\0"))], 1),
    "search": (
        [plain(request(SEARCH, 10, 13, 8, 8, b"T:Nobody\0")), plain(request(SEARCH, 5, 13, 9, 9, b"T:Long\0"))],
        2,
    ),
    "clear": ([lambda s: request(CLEAR_CHANNEL, 3, 4, s["Long"], 5), plain(request(READ_SYNC, 1, 2, 3, 4))], 2),
    "old read": ([lambda s: request(READ, 6, 1, s["Long"], 5)], 1),
    "echo": ([plain(request(ECHO, 1, 2, 3, 4, b"payload!"))], 1),
}


async def talk(port: int, requests: list[Request], answers: int) -> list[Reply]:
    """The answers, in an order of their own, with ids that differ taken out; the channels' arrays are set before."""
    client = await RawClient.connect(port)
    client.send(request(VERSION, 0, 13), request(HOST_NAME, payload=b"h\0"), request(CLIENT_NAME, payload=b"me\0"))
    sids = {name: await client.open("T:" + name) for name in NAMES}
    client.send(request(WRITE_NOTIFY, 6, 3, sids["Array"], 1, np.arange(1.0, 4.0).astype(">f8").tobytes()))
    client.send(request(WRITE_NOTIFY, 6, 1, sids["Double"], 1, struct.pack(">d", 1.5)))
    for _ in range(2):
        await client.expect(WRITE_NOTIFY)
    client.send(*[make(sids) for make in requests])
    if answers == -1:
        await client.closed()
        replies = []
    else:
        replies = [await client.next() for _ in range(answers)]
    await client.close()
    return sorted(normal(reply, sids) for reply in replies)


def normal(reply: Reply, sids: Sids) -> Reply:
    """A reply without what two servers cannot have in common."""
    if reply.command == SEARCH:
        return reply._replace(data_type=0)
    if reply.command == CLEAR_CHANNEL:
        return reply._replace(cid=reply.cid in sids.values())
    if reply.command == ERROR:
        return reply._replace(payload=reply.payload[:2])
    if reply.data_type == 0:
        return reply._replace(payload=reply.payload.split(b"\0")[0])  # what follows is what the C IOC had in memory
    if 7 <= reply.data_type < 35 and reply.command == 1:
        return reply._replace(payload=bytes(len(reply.payload)))  # alarm and time
    if 7 <= reply.data_type < 35:
        return reply._replace(payload=bytes(12) + reply.payload[12:] if reply.data_type < 21 else reply.payload[4:])
    return reply


@pytest.fixture(scope="module")
def c_ioc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A C IOC; its TCP port."""
    pytest.importorskip("epicscorelibs.ioc")
    database: Path = tmp_path_factory.mktemp("oracle") / "oracle.db"
    database.write_text(DATABASE)
    port = free_port()
    environment = {**os.environ, "EPICS_CA_SERVER_PORT": str(port), "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1"}
    argv = [sys.executable, "-W", "ignore", "-m", "epicscorelibs.ioc", "-d", str(database)]
    with subprocess.Popen(
        argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            asyncio.run(reachable(port))
            yield port
        finally:
            process.kill()


async def reachable(port: int) -> None:
    """Wait until somebody listens on the port."""
    for _ in range(600):
        try:
            client = await RawClient.connect(port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            await client.close()
            return
    raise AssertionError("the C IOC does not come up")


@pytest.mark.parametrize("name", TALKS)
async def test_ours_answers_as_epics_base_does(name: str, c_ioc: int):
    requests, answers = TALKS[name]
    theirs = await talk(c_ioc, requests, answers)
    async with serving(our_pvs()) as server:
        ours = await talk(server.port, requests, answers)
    assert ours == theirs
