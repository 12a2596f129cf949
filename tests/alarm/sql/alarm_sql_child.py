"""What tests kill: alarm_sql_child.py WHAT URL [SPOOL]. It says on its output what it has done."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from db.alarms import ALARMS
from db.alarms.event import Event
from db.alarms.lease import Lease
from db.alarms.log import AlarmLog
from db.alarms.store import AlarmStore
from db.alarms.writer import EventWriter
from db.database import Database
from db.who import Who


def lease(url: str) -> None:
    """Take it, look whether it stays one's own, give it up, again and again."""
    database = Database.open(url, schema=ALARMS)
    mine = Lease(database, "RACE", Who.me(), expiry=300.0)
    while True:
        if not mine.try_take():
            time.sleep(0.005)
            continue
        holder = mine.holder()
        store = AlarmStore(database, "RACE", mine)
        if holder is None or not holder.mine:
            print(f"broken: {holder}")
        store.save_states({"": {"by": mine.token}})
        if store.load().states != {"": {"by": mine.token}}:
            print("broken: another one wrote")
        print("had")
        mine.release()


def states(url: str) -> None:
    """Save states of 200 alarms at a time, all with the same number."""
    store = AlarmStore(Database.open(url, schema=ALARMS), "DEMO")
    number = 0
    while True:
        number += 1
        store.save_states({f"/DEMO/{place}": {"n": number} for place in range(200)})
        print(number)


def write(url: str, spool: Path) -> None:
    """Write events as fast as the writer takes them; say, from time to time, how many are accepted."""
    writer = EventWriter(lambda: AlarmLog(Database.open(url, create=False, schema=ALARMS)), spool)
    writer.start()
    number = 0
    begin = time.time_ns()
    while True:
        events = [
            Event(begin + number + i, "transition", f"/DEMO/{i}", str(i), detail=str(number + i)) for i in range(50)
        ]
        writer.put(events)
        number += len(events)
        deadline = time.monotonic() + 60
        # accepted: neither in memory nor on the way
        while writer.unsafe and time.monotonic() < deadline:
            time.sleep(0.005)
        print(f"{number} {writer.state}")


if __name__ == "__main__":
    what, url, *more = sys.argv[1:]
    if what == "write":
        write(url, Path(more[0]))
    else:
        {"lease": lease, "states": states}[what](url)
