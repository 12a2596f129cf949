"""Made-up histories of alarms, and the figures of such a history by plain Python: what SQL is compared with."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from db.alarms.event import Event, source_id

SECOND = 1_000_000_000
NORMAL, ACTIVE, LATCHED, OFF_DELAYED, DISABLED, SHELVED, ACKNOWLEDGED = 0, 1, 2, 3, 4, 9, 10
UP = {ACTIVE, OFF_DELAYED, ACKNOWLEDGED}
STANDS = {*UP, LATCHED}
NEXT: dict[int, list[tuple[int, int]]] = {
    NORMAL: [(ACTIVE, 8), (SHELVED, 1)],
    ACTIVE: [(ACKNOWLEDGED, 3), (NORMAL, 4), (LATCHED, 3), (OFF_DELAYED, 1), (ACTIVE, 1), (DISABLED, 1)],
    LATCHED: [(NORMAL, 4), (ACTIVE, 2)],
    OFF_DELAYED: [(NORMAL, 2), (ACTIVE, 1)],
    DISABLED: [(NORMAL, 1)],
    SHELVED: [(NORMAL, 2), (ACTIVE, 1)],
    ACKNOWLEDGED: [(NORMAL, 3), (ACTIVE, 1)],
}
"""What comes after each effective state, and how often."""
PEOPLE = ("ada", "bob", "eve", "Übel")


def names(number: int) -> tuple[str, str]:
    """(path, PV) of an alarm."""
    pv = f"DEMO:S{number % 7}:O{number // 7 % 40}:V{number}"
    return f"/DEMO/S{number % 7}/O{number // 7 % 40}/{pv}", pv


def history(seed: int, alarms: int, count: int, begin_ns: int, seconds: float) -> list[Event]:
    """About `count` events of so many alarms within a time, in its order; some alarms chatter, some stand for days."""
    rng = random.Random(seed)
    found: list[Event] = []
    scale = seconds * alarms / count
    for number in range(alarms):
        pace = scale * rng.choices((0.0005, 0.2, 1.0, 5.0), (1, 10, 70, 20))[0]
        most = 20 + 10 * count // alarms
        begin = begin_ns + round(rng.uniform(0, min(seconds, scale * 10)) * SECOND)
        found += _one(rng, number, begin, pace, begin_ns + round(seconds * SECOND), most)
    found.sort(key=lambda event: (event.time_ns, event.id))
    if len(found) > count:
        found = found[:count]
    return found


def _one(rng: random.Random, number: int, time_ns: int, pace: float, end_ns: int, most: int) -> Iterator[Event]:
    path, pv = names(number)
    state, severity, latching = NORMAL, 0, rng.random() < 0.5
    while time_ns < end_ns and most:
        most -= 1
        choices = [c for c in NEXT[state] if latching or c[0] != LATCHED]
        new = rng.choices([c[0] for c in choices], [c[1] for c in choices])[0]
        before, raised, person = severity, False, ""
        if new == ACTIVE:
            worse = rng.choice((5, 5, 6, 6, 7, 8))
            raised = worse > severity or state == SHELVED
            severity = max(severity, worse) if state in (ACTIVE, LATCHED, OFF_DELAYED) else worse
        elif new == ACKNOWLEDGED:
            severity, person = severity - 4, rng.choice(PEOPLE)
        elif new in (NORMAL, DISABLED, SHELVED):
            severity = 0
        yield Event(
            time_ns,
            "transition",
            path,
            pv,
            severity,
            before,
            min(3, severity),
            *(("HIHI_ALARM", "HIGH_ALARM") if severity else ("OK", "NO_ALARM")),
            f"{rng.uniform(0, 99):.3f} V",
            new,
            state,
            raised,
            1 + (number % 20 > 15) + (number % 20 == 19),
            user=person,
            host="console" if person else "",
            time_pv_ns=time_ns - 1000,
        )
        if person:
            yield Event(time_ns + 1, "ack", path, pv, user=person, host="console", detail="seen 100%_|")
        if new in (SHELVED, DISABLED):
            kind = "shelve" if new == SHELVED else "disable"
            yield Event(time_ns + 1, kind, path, pv, user=rng.choice(PEOPLE), host="console", detail="it is known")
        if raised:
            yield Event(time_ns + 1, "announce", path, pv, severity, detail=f"Alarm: {pv}")
        state = new
        time_ns += 2 + round(rng.expovariate(1 / pace) * SECOND)


def plain_figures(events: Iterable[Event], since_ns: int, until_ns: int, area: str = "") -> dict[str, Any]:
    """What `db.alarms.figures` says of events in the order of time, found by looking at one after another."""
    raised: list[Event] = []
    of: defaultdict[tuple[str, str], list[Event]] = defaultdict(list)
    acts: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event.time_ns >= until_ns or (area and event.path != area and not event.path.startswith(f"{area}/")):
            continue
        of[event.path, event.pv].append(event)
        if event.time_ns < since_ns:
            continue
        if event.raised:
            raised.append(event)
        if event.kind not in ("transition", "announce"):
            acts[event.kind, event.user] += 1
    buckets = [0] * -(-(until_ns - since_ns) // (600 * SECOND))
    for event in raised:
        buckets[(event.time_ns - since_ns) // (600 * SECOND)] += 1
    chattering, fleeting, stale, waits = {}, {}, [], []
    for key, some in of.items():
        chats, fleets = _short([e for e in some if e.time_ns >= since_ns])
        if chats:
            chattering[key] = chats
        elif fleets:
            fleeting[key] = fleets
        stale += [(*key, *span) for span in _stale(some, since_ns, until_ns)]
        waits += _waits([e for e in some if e.time_ns >= since_ns])
    kinds: Counter[str] = Counter()
    for (kind, _), times in acts.items():
        kinds[kind] += times
    top = Counter((event.path, event.pv) for event in raised)
    return {
        "buckets": buckets,
        "top": sorted(top.items(), key=lambda item: (-item[1], source_id(*item[0])))[:10],
        "chattering": chattering,
        "fleeting": fleeting,
        "stale": sorted(stale, key=lambda one: (one[2] - (one[3] or until_ns), source_id(one[0], one[1]))),
        "priorities": dict(Counter(event.priority for event in raised)),
        "waits": sorted(waits),
        "areas": dict(Counter(event.area for event in raised)),
        "acts": dict(kinds),
    }


def _short(events: list[Event]) -> tuple[int, int]:
    """(how often it came three times within a minute, how often it was gone within one)."""
    edges = [(e.time_ns, e.effective in UP) for e in events if (e.effective in UP) != (e.effective_before in UP)]
    came = [time for time, up in edges if up]
    chats = sum(came[n] - came[n - 2] <= 60 * SECOND for n in range(2, len(came)))
    fleets = sum(up and not after and then - time <= 60 * SECOND for (time, up), (then, after) in pairwise(edges))
    return chats, fleets


def _stale(events: list[Event], since_ns: int, until_ns: int) -> Iterator[tuple[int, int | None]]:
    """Times of more than a day for which it stood, and which touch the range."""
    begin: int | None = None
    for event in events:
        if begin is None and event.effective in STANDS and event.effective_before not in STANDS:
            begin = event.time_ns
        elif begin is not None and event.effective not in STANDS and event.effective_before in STANDS:
            if event.time_ns >= since_ns and event.time_ns - begin > 86400 * SECOND:
                yield begin, event.time_ns
            begin = None
    if begin is not None and until_ns - begin > 86400 * SECOND:
        yield begin, None


def _waits(events: list[Event]) -> Iterator[int]:
    """From when it was raised until somebody acknowledged it."""
    begin: int | None = None
    for event in events:
        if event.kind != "transition":
            continue
        was_up, is_up = event.before >= 5, event.severity >= 5
        latched = event.severity == 0 and event.effective_before == LATCHED and event.effective == NORMAL
        if is_up and not was_up:
            begin = event.time_ns
        elif was_up and (1 <= event.severity <= 4 or latched) and begin is not None:
            yield event.time_ns - begin
            begin = None
