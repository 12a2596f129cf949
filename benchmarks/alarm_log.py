"""The log of alarms in SQL: writing, searching and the figures of ISA-18.2, beside plain Python on the same events.

    python benchmarks/alarm_log.py [--rows 1000000] [--url URL …] [--servers]

`--servers` starts PostgreSQL and MariaDB of their own, with a disk that is waited for, as in operation.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from alarm_history import history, plain_figures  # noqa: E402

from db.alarms import ALARMS  # noqa: E402
from db.alarms.event import Event, moment  # noqa: E402
from db.alarms.figures import figures  # noqa: E402
from db.alarms.log import AlarmLog  # noqa: E402
from db.database import Database  # noqa: E402

BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 30
ALARMS_WATCHED = 50_000


def timed(work: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """(median seconds, what it gave)."""
    taken = []
    found = None
    for _ in range(times):
        start = time.perf_counter()
        found = work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), found


def measure(url: str, events: list[Event]) -> None:
    database = Database.open(url, name="alarms", schema=ALARMS)
    log = AlarmLog(database)
    taken = []
    for start in range(0, len(events), 10_000):
        taken.append(timed(lambda start=start: log.write(events[start : start + 10_000]))[0])
    print(f"\n{database.dialect}: {len(events):,} events of {len({event.path for event in events}):,} alarms")
    print(f"  10,000 events written: first {taken[0]:.3f} s, median {statistics.median(taken):.3f} s, "
          f"longest {max(taken):.3f} s")  # fmt: skip
    if database.dialect == "postgresql":
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")
    if database.dialect == "sqlite":
        size = Path(str(database.engine.url.database)).stat().st_size
        print(f"  {size / 1e6:.0f} MB: {size / len(events):.0f} bytes an event")
    pv = events[len(events) // 2].pv
    until = BEGIN + timedelta(days=DAYS)

    def by_hand() -> list[Event]:
        return sorted((e for e in events if e.pv == pv), key=lambda e: (e.time_ns, e.id), reverse=True)

    plain, expected = timed(by_hand)
    searches: list[tuple[str, dict[str, Any]]] = [
        ("one PV, all of it", {"pv": pv, "limit": 10_000}),
        ("one PV with *", {"pv": f"*{pv[-6:]}", "limit": 1000}),
        ("an area, newest 200", {"area": "/DEMO/S3/O7", "limit": 200}),
        ("newest 200", {"limit": 200}),
        ("acts of one person, newest 200", {"person": "ada", "limit": 200}),
        ("INVALID or worse, newest 200", {"severity": "INVALID", "limit": 200}),
        ("a text that is nowhere", {"text": "nowhere", "limit": 200}),
        ("an hour of a day long ago", {"since": BEGIN, "until": BEGIN + timedelta(hours=1), "limit": 1000}),
    ]
    for name, search in searches:
        seconds, found = timed(lambda search=search: log.search(**search), 5 if "text" not in search else 1)
        ratio = ""
        if name.startswith("one PV, all"):
            if found != expected:
                raise SystemExit(f"{len(found)} events found, {len(expected)} expected")
            ratio = f"; looking at each event in memory: {plain * 1000:.0f} ms, {plain / seconds:.0f} times that"
        print(f"  search, {name}: {seconds * 1000:.1f} ms ({len(found)} found){ratio}")
    seconds, found = timed(lambda: figures(database, BEGIN, until))
    plain, expected = timed(lambda: plain_figures(events, found.since_ns, found.until_ns))
    if found.buckets != expected["buckets"] or found.chattering_alarms != len(expected["chattering"]):
        raise SystemExit("the figures are not those of plain Python")
    print(f"  figures of {DAYS} days: {seconds:.2f} s; plain Python with all events in memory: {plain:.2f} s, "
          f"ratio {plain / seconds:.2f}")  # fmt: skip
    seconds, _ = timed(lambda: figures(database, until - timedelta(days=1), until), 3)
    print(f"  figures of the last day: {seconds:.2f} s")
    seconds, done = timed(lambda: log.prune(moment(events[len(events) // 10].time_ns)))
    print(f"  {done:,} events pruned: {seconds:.2f} s")
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--url", action="append", help="an empty database (default: SQLite in a temporary folder)")
    parser.add_argument("--servers", action="store_true")
    arguments = parser.parse_args()
    start = int(BEGIN.timestamp()) * 1_000_000_000
    alarms = min(ALARMS_WATCHED, 10 + arguments.rows // 20)
    # somewhat more than is wanted, and only that many: the made-up alarms differ much
    events = history(5, alarms, round(arguments.rows * 1.5), start, DAYS * 86400)[: arguments.rows]
    print(f"{len(events):,} events from {moment(events[0].time_ns):%F %T} to {moment(events[-1].time_ns):%F %T}")
    with ExitStack() as stack:
        urls = arguments.url or []
        if not urls:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            urls = [f"sqlite:///{folder}/alarms.sqlite"]
        if arguments.servers:
            from db_servers import SERVERS

            urls = [*urls, *(stack.enter_context(server(durable=True)).fresh_url() for server in SERVERS.values())]
        for url in urls:
            measure(url, events)


if __name__ == "__main__":
    main()
