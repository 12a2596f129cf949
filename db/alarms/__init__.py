"""The database of alarms: their log, its figures, what the alarm server remembers, and which server is the active one.

    database = Database.open(url, name="alarms", schema=ALARMS)
    log, store, lease = AlarmLog(database), AlarmStore(database, "DEMO"), Lease(database, "DEMO", Who.me())

It has a history of its own (`migrations`), and tables whose names begin with `alarm_`: it may be one database with
another schema. Everything here blocks: never to be called on an event loop.
"""

from __future__ import annotations

from db.alarms import migrations
from db.config import open_alarms, open_log
from db.schema import Schema

__all__ = ["ALARMS", "open_alarms", "open_log"]

ALARMS = Schema(
    migrations,
    migrations.VERSIONS,
    "the alarm server, when it starts,",
    "start the alarm server, which makes them",
    7_305_420_316_021_977_155,
)
"""For `Database.open`."""
