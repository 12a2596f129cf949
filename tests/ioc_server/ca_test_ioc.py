"""The IOC that these tests talk to, on owlshift's server or on stock caproto's.

`python ca_test_ioc.py ours|stock PREFIX PORT RATE` serves PREFIX + NAME for the names in `make_pvs`; `Fast` and `Wave`
change RATE times a second (0: never). It prints `ready TCPPORT` once it serves and `stopped …` at its end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

import numpy as np
import psutil
from caproto import (
    AccessRights,
    ChannelByte,
    ChannelChar,
    ChannelData,
    ChannelDouble,
    ChannelEnum,
    ChannelFloat,
    ChannelInteger,
    ChannelShort,
    ChannelString,
)

from owlshift.ioc.server import CaServer, stop_on_signals


class Slow(ChannelDouble):
    """Its putter takes as many seconds as the value's fraction says, and refuses negative values."""

    async def verify_value(self, data: float) -> float:
        """A putter that takes its time."""
        if data < 0:
            raise ValueError("negative values are refused")
        await asyncio.sleep(float(data) % 1)
        return data


class Locked(ChannelDouble):
    """Readable by all, writable by user `operator`, and by nobody while `shut`; `hidden` to all when set."""

    shut = False
    hidden = False

    def check_access(self, hostname: str | None, username: str | None) -> AccessRights:
        """As the class says."""
        if self.hidden:
            return AccessRights.NO_ACCESS
        if username == "operator" and not self.shut:
            return AccessRights.READ | AccessRights.WRITE
        return AccessRights.READ


def make_pvs() -> dict[str, ChannelData]:
    """The PVs by name without prefix."""
    limits: dict[str, Any] = {
        "upper_disp_limit": 100,
        "lower_disp_limit": -100,
        "upper_alarm_limit": 90,
        "upper_warning_limit": 80,
        "lower_warning_limit": -80,
        "lower_alarm_limit": -90,
        "upper_ctrl_limit": 70,
        "lower_ctrl_limit": -70,
    }
    return {
        "Fast": ChannelDouble(value=0.0, units="V", precision=3),
        "Wave": ChannelDouble(value=np.zeros(1000), max_length=1000),
        "Double": ChannelDouble(value=1.5, units="V", precision=2, **limits),
        "Float": ChannelFloat(value=2.5, units="A", precision=1, **limits),
        "Long": ChannelInteger(value=-7, units="cnt", **limits),
        "Short": ChannelShort(value=12, **limits),
        "Enum": ChannelEnum(value="On", enum_strings=("Off", "On", "Trip")),
        "String": ChannelString(value="hello"),
        "Char": ChannelChar(value="a long text", max_length=1000),
        "Byte": ChannelByte(value=b"\x01\x02\x03", max_length=16, strip_null_terminator=False),
        "Array": ChannelDouble(value=[1.0, 2.0, 3.0], max_length=10),
        "Empty": ChannelDouble(value=[], max_length=10),
        "Units": ChannelDouble(value=1.0, units="far too long µnits"),
        "Text": ChannelString(
            value="ünïcödé and far longer than forty characters \u65e5\u672c", string_encoding="utf-8"
        ),
        "Latin": ChannelString(value="\u65e5\u672c", string_encoding="latin-1"),
        "Huge": ChannelDouble(value=1e300, units="V"),
        "Wide": ChannelInteger(value=2**40),
        "Slow": Slow(value=0.0),
        "Slow2": Slow(value=0.0),
        "Locked": Locked(value=1.0),
    }


async def count_up(pvs: dict[str, ChannelData], rate: float) -> None:
    """`Fast` counts, `Wave` follows."""
    begin, number = time.perf_counter(), 0
    while rate:
        due = int((time.perf_counter() - begin) * rate) - number
        for _ in range(min(due, 500)):
            number += 1
            await pvs["Fast"].write(float(number), flags=3)
            await pvs["Wave"].write(np.full(1000, float(number)), flags=3)
        await asyncio.sleep(0.001)


async def main(kind: str, prefix: str, port: int, rate: float) -> None:
    """Serve until SIGTERM or SIGINT."""
    pvs = make_pvs()
    pvdb = {prefix + name: pv for name, pv in pvs.items()}
    stop = asyncio.Event()
    if kind == "stock":
        os.environ["EPICS_CA_SERVER_PORT"] = str(port)
        from caproto.asyncio.server import Context

        context = Context(pvdb, ["127.0.0.1"])
        counting = asyncio.create_task(count_up(pvs, rate))
        serving = asyncio.create_task(context.run())
        while context.port is None:
            await asyncio.sleep(0.01)
        print("ready", context.port, flush=True)
        await serving
        counting.cancel()
        return
    stop_on_signals(stop)
    server = CaServer(pvdb, port=port)
    counting = asyncio.create_task(count_up(pvs, rate))
    await server.run(stop, lambda: print("ready", server.port, flush=True))
    counting.cancel()
    names = ("clients", "channels", "monitors", "puts", "updates", "dropped_updates", "malformed_circuits")
    counters = {name: getattr(server, name) for name in names}
    counters["rss_mib"] = psutil.Process().memory_info().rss / 2**20
    print("stopped", json.dumps(counters), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
