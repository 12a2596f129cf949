"""The PVs of one archive engine, or of all of them together, and how they come from `engine.json`."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from owlshift.ioc import Alarm, Archive, Device, Pv, Severity, Text, readback

QUARANTINE_BYTES = 2000
FOREVER_DAYS = 36500.0
"""What is shown as days left while nothing is written."""
SLOWLY = Archive.scan(10.0)
START = 10.0
"""Seconds after which a problem is an alarm: at the start nothing is known for a moment."""
ASKED_FOR = ("scan", "deadband")
"""Reasons for which samples are dropped because somebody wants it so."""
NO_ROOM = ("overflow", "disk_full", "unwritable")


class EngineState(enum.IntEnum):
    """What an engine does."""

    Recording = 0
    DiskFull = 1
    """Nothing can be written, since the disk is full; the queue takes what it can."""
    Unwritable = 2
    """Nothing can be written for another reason: the folder is gone, a permission is missing."""
    Stopped = 3


STATES = {"recording": 0, "disk_full": 1, "unwritable": 2, "stopped": 3}
NOT_RECORDING = {state: Severity.MAJOR for state in EngineState if state is not EngineState.Recording}


class EngineHealth(Device):
    """What an archive engine says of itself."""

    State = readback(
        EngineState, severities=NOT_RECORDING, archive=Archive.MONITOR, doc="What the engine does",
        alarm_info=Alarm("Nothing is archived: see the log of archiver-engine, the disk and the folder", "high", START),
    )  # fmt: skip
    PVs = readback(int, archive=SLOWLY, doc="PVs that are to be archived, paused ones included")
    Connected = readback(int, archive=SLOWLY, doc="PVs that are connected")
    Disconnected = readback(int, archive=SLOWLY, doc="PVs that are wanted and not connected")
    NeverConnected = readback(int, archive=SLOWLY, doc="PVs of those that no server had since the engine started")
    Paused = readback(int, archive=SLOWLY, doc="PVs that somebody has paused")
    Off = readback(int, archive=SLOWLY, doc="PVs that are switched off by their controlling PV")
    EventRate = readback(float, units="1/s", precision=1, archive=SLOWLY, doc="Events that come in")
    StoreRate = readback(float, units="1/s", precision=1, archive=SLOWLY, doc="Samples that are logged")
    WriteRate = readback(
        float, units="B/s", archive=SLOWLY, doc="Bytes on the disk that the samples of now will take in segments"
    )  # fmt: skip
    BytesPerDay = readback(float, units="byte", archive=SLOWLY, doc="The same in a day, at the rate of the last minute")
    DiskFree = readback(float, units="byte", archive=SLOWLY, doc="Free room on the archive's disk")
    DiskLeftDays = readback(
        float, units="d", precision=1, display=(0, 365), warn=(7, None), alarm=(1, None), archive=SLOWLY,
        doc="Days until the disk is full, at the rate of the last minute",
        alarm_info=Alarm("The archive's disk fills up: make room, or move segments to another tier", delay=START),
    )  # fmt: skip
    Lag = readback(
        float, units="s", precision=1, warn=(None, 5), alarm=(None, 60), archive=SLOWLY,
        doc="How long the oldest sample has waited for the log",
        alarm_info=Alarm("The disk takes less than comes in", delay=START),
    )  # fmt: skip
    Waiting = readback(float, archive=SLOWLY, doc="Samples that wait for the log")
    QueueUsed = readback(
        float, units="%", precision=1, display=(0, 100), warn=(None, 50), alarm=(None, 90), archive=SLOWLY,
        doc="How full the queue of samples is; at 100 % samples are dropped",
    )  # fmt: skip
    HeldBack = readback(
        bool, severities={True: Severity.MINOR}, archive=Archive.MONITOR,
        doc="Servers are asked to hold events back, since the queue fills up",
    )  # fmt: skip
    LossRate = readback(
        float, units="1/s", precision=1, alarm=(None, 1e-3), archive=SLOWLY,
        doc="Samples dropped because there was no room for them",
        alarm_info=Alarm("Samples are lost: the disk takes less than comes in, or nothing", "high", delay=START),
    )  # fmt: skip
    Received = readback(float, archive=SLOWLY, doc="Samples received since the archive was made")
    Stored = readback(float, archive=SLOWLY, doc="Samples in segments since the archive was made")
    InLog = readback(float, archive=SLOWLY, doc="Samples in the log, not in segments yet")
    Dropped = readback(
        float, archive=SLOWLY,
        doc="Samples dropped since the archive was made, but for periods and dead-bands; a restart adds values re-sent",
    )  # fmt: skip
    DroppedBadTime = readback(float, archive=SLOWLY, doc="Dropped: time stamp before 1991")
    DroppedFuture = readback(float, archive=SLOWLY, doc="Dropped: time stamp too far ahead")
    DroppedDuplicate = readback(float, archive=SLOWLY, doc="Dropped: time stamp of the newest sample")
    DroppedOutOfOrder = readback(float, archive=SLOWLY, doc="Dropped: time stamp before the newest sample's")
    DroppedScan = readback(float, archive=SLOWLY, doc="Dropped: a newer one within the sampling period")
    DroppedDeadband = readback(float, archive=SLOWLY, doc="Dropped: within the dead-band")
    DroppedNoRoom = readback(float, archive=SLOWLY, doc="Dropped: the queue was full, whatever the reason")
    DroppedUnsubscribed = readback(float, archive=SLOWLY, doc="Dropped: on its way while its PV was taken off")
    DroppedDamaged = readback(float, archive=SLOWLY, doc="Dropped: in a damaged part of the log")
    Damaged = readback(
        int, alarm=(None, 1), archive=SLOWLY,
        doc="Pieces of damaged files in quarantine; moving them away ends the alarm",
        alarm_info=Alarm("Files of the archive were damaged: `owl archive verify` says what is missing", delay=START),
    )  # fmt: skip
    Quarantine = readback(Text(QUARANTINE_BYTES), archive=Archive.MONITOR, doc="What is in quarantine")
    PlacesGood = readback(
        bool, severities={False: Severity.MINOR}, archive=Archive.MONITOR,
        doc="Every tier's folder or object store can be used; else segments stay where they are",
        alarm_info=Alarm("A tier's place is away: engine.json says which and why", delay=START),
    )  # fmt: skip
    LogsWaiting = readback(
        int, warn=(None, 20), archive=SLOWLY, doc="Ended logs that are not segments yet",
        alarm_info=Alarm("Logs don't become segments: see the log of archiver-engine", delay=START),
    )  # fmt: skip
    Segments = readback(int, archive=SLOWLY, doc="Files of segments")
    SegmentBytes = readback(float, units="byte", archive=SLOWLY, doc="Bytes in segments")
    Malformed = readback(int, archive=SLOWLY, doc="Connections dropped since the server sent no proper Channel Access")
    Ignored = readback(float, archive=SLOWLY, doc="Messages of servers that were left out, for reasons in engine.json")
    LedgerGood = readback(
        bool, severities={False: Severity.MINOR}, archive=Archive.MONITOR,
        doc="What people ask for (manage.db) can be read; else what was asked last still holds",
    )  # fmt: skip

    def figures(self, status: Mapping[str, Any], loss_rate: float) -> list[tuple[Pv[Any], Any]]:
        """Every PV with its value out of an `engine.json` or a sum of several; KeyError, … for a strange one."""
        dropped, client = Counter(status["dropped"]), status["client"]
        per_day, free = float(status["bytes_per_day"]), float(status["disk_free"])
        quarantined = status["quarantined"]
        return [
            (self.State, EngineState(STATES.get(status["state"], EngineState.Stopped))),
            (self.PVs, status["pvs"]),
            (self.Connected, status["connected"]),
            (self.Disconnected, status["disconnected"]),
            (self.NeverConnected, status["never_connected"]),
            (self.Paused, status["paused_pvs"]),
            (self.Off, status["off_pvs"]),
            (self.EventRate, float(status["event_rate"])),
            (self.StoreRate, float(status["store_rate"])),
            (self.WriteRate, per_day / 86400),
            (self.BytesPerDay, per_day),
            (self.DiskFree, free),
            (self.DiskLeftDays, min(FOREVER_DAYS, free / per_day if per_day > 0 else FOREVER_DAYS)),
            (self.Lag, float(status["lag"])),
            (self.Waiting, float(status["waiting"])),
            (self.QueueUsed, 100.0 * status["queue_bytes"] / max(1, status["queue_limit"])),
            (self.HeldBack, bool(status["paused"])),
            (self.LossRate, loss_rate),
            (self.Received, float(status["received"])),
            (self.Stored, float(status["stored"])),
            (self.InLog, float(status["in_log"])),
            (self.Dropped, float(sum(n for why, n in dropped.items() if why not in ASKED_FOR))),
            (self.DroppedBadTime, float(dropped["bad_time"])),
            (self.DroppedFuture, float(dropped["future"])),
            (self.DroppedDuplicate, float(dropped["duplicate"])),
            (self.DroppedOutOfOrder, float(dropped["out_of_order"])),
            (self.DroppedScan, float(dropped["scan"])),
            (self.DroppedDeadband, float(dropped["deadband"])),
            (self.DroppedNoRoom, float(no_room(status))),
            (self.DroppedUnsubscribed, float(dropped["unsubscribed"])),
            (self.DroppedDamaged, float(dropped["damaged"])),
            (self.Damaged, len(quarantined)),
            (self.Quarantine, cut_list(quarantined, QUARANTINE_BYTES)),
            (self.PlacesGood, not status["places"]),
            (self.LogsWaiting, status["logs_waiting"]),
            (self.Segments, status["segments"]),
            (self.SegmentBytes, float(status["segment_bytes"])),
            (self.Malformed, client["malformed"]),
            (self.Ignored, float(sum(client["ignored"].values()))),
            (self.LedgerGood, not status["ledger"]["problem"]),
        ]


def no_room(status: Mapping[str, Any]) -> int:
    """Samples that were dropped for want of room."""
    return sum(status["dropped"].get(why, 0) for why in NO_ROOM)


def cut_list(names: Sequence[str], room: int) -> str:
    """The names in one text of at most `room` bytes; what finds no room is counted."""
    text = ""
    for number, name in enumerate(names):
        more = f"… and {len(names) - number} more"
        if len(f"{text}{name}, {more}".encode()) > room:
            return f"{text}{more}"
        text += f"{name}, "
    return text.removesuffix(", ")


_SUMS = (
    *("pvs", "connected", "disconnected", "never_connected", "paused_pvs", "off_pvs", "event_rate", "store_rate"),
    *("bytes_per_day", "waiting", "received", "stored", "in_log", "queue_bytes", "queue_limit", "logs_waiting"),
    *("segments", "segment_bytes"),
)


def together(statuses: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The `engine.json` of several engines as one; the worst of them gives state, lag and free room."""
    each = list(statuses.values())
    result: dict[str, Any] = {key: sum(status[key] for status in each) for key in _SUMS}
    result["state"] = max((status["state"] for status in each), key=lambda state: STATES.get(state, len(STATES)))
    result["lag"] = max(status["lag"] for status in each)
    result["disk_free"] = min(status["disk_free"] for status in each)
    result["paused"] = any(status["paused"] for status in each)
    result["dropped"] = sum((Counter(status["dropped"]) for status in each), Counter())
    result["quarantined"] = [
        f"{name}/{piece}" if name else piece for name, status in statuses.items() for piece in status["quarantined"]
    ]
    result["places"] = {place: why for status in each for place, why in status["places"].items()}
    result["client"] = {
        "malformed": sum(status["client"]["malformed"] for status in each),
        "ignored": sum((Counter(status["client"]["ignored"]) for status in each), Counter()),
    }
    result["ledger"] = {"problem": "; ".join(filter(None, (status["ledger"]["problem"] for status in each)))}
    return result
