"""Searching the log: every condition, alone and together, page after page, as plain Python finds it."""

from __future__ import annotations

import csv
import fnmatch
import io
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from alarm_history import history
from db_servers import KINDS, ready_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.alarms import ALARMS
from db.alarms import log as log_module
from db.alarms import search as search_module
from db.alarms.event import KINDS as EVENT_KINDS
from db.alarms.event import SEVERITIES, Event, moment, nanoseconds, parent
from db.alarms.log import COLUMNS, AlarmLog
from db.alarms.search import Search
from db.database import Database
from db.errors import BadInput

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
START = nanoseconds(BEGIN)
HOURS = 48


def made() -> list[Event]:
    """Some hundred events, some at one time, some with names that are patterns."""
    rng = random.Random(3)
    events = history(3, 130, 900, START, HOURS * 3600)
    odd = ["/DEMO/S[1]/a*b", "/DEMO/S%/a_b", "/DEMO/S1", "/DEMO/S\\/1/x", "", "/DEMO/S1/O1/Ü", "/DEMO/s1/o1/DEMO:s1"]
    for number in range(60):
        path = rng.choice(odd)
        time = START + rng.randrange(HOURS) * 3_600_000_000_000  # several at the same moment
        who = rng.choice(["", "ada", "Ada", "a*a", "a_a"])
        events.append(
            Event(time, rng.choice(EVENT_KINDS), path, path.rpartition("/")[2], detail=f"50% {number}", user=who)
        )
    return sorted(events, key=lambda e: (e.time_ns, e.id))


EVENTS = made()


@pytest.fixture(scope="module", params=KINDS)
def filled(request: pytest.FixtureRequest) -> Iterator[AlarmLog]:
    log = AlarmLog(Database.open(ready_url(request.param, ALARMS), schema=ALARMS))
    mixed = list(EVENTS)
    random.Random(1).shuffle(mixed)
    log.write(mixed)
    yield log
    log.close()


def like(pattern: str, name: str) -> bool:
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), name) is not None


def plain(search: Search) -> list[Event]:
    """What the search finds, by looking at one event after another."""
    found = []
    for event in EVENTS:
        if search.since and event.time_ns < nanoseconds(search.since):
            continue
        if search.until and event.time_ns >= nanoseconds(search.until):
            continue
        if search.pv is not None and not like(search.pv, event.pv):
            continue
        if search.path is not None and not like(search.path, event.path):
            continue
        if search.person is not None and not like(search.person, event.user):
            continue
        if search.area is not None and event.path != search.area and not event.path.startswith(f"{search.area}/"):
            continue
        if search.severity is not None:
            least = SEVERITIES.index(search.severity) - 4
            if max((s - 4 if s > 4 else s) for s in (event.severity, event.before)) < least:
                continue
        kinds = [search.kind] if isinstance(search.kind, str) else search.kind
        if kinds is not None and event.kind not in kinds:
            continue
        texts = (event.message, event.current_message, event.value, event.detail, event.path)
        if search.text is not None and not any(search.text.lower() in text.lower() for text in texts):
            continue
        if search.raised is not None and event.raised != search.raised:
            continue
        found.append(event)
    return found if search.oldest_first else found[::-1]


def some(values: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.none() | values


moments = st.none() | st.integers(0, HOURS * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes))
searches = st.builds(
    Search,
    since=moments,
    until=moments,
    pv=some(st.sampled_from(["DEMO:S1:O0:V1", "*V1", "DEMO:S?:O1:*", "a*b", "a_b", "x", "", "none", "*[*"])),
    path=some(st.sampled_from(["/DEMO/S1*", "/DEMO/S1", "*", "/DEMO/S[1]/a*b", "/DEMO/S%/*", "/demo/*"])),
    area=some(st.sampled_from(["/DEMO", "/DEMO/S1", "/DEMO/S3/O1", "/DEMO/S[1]", "/DEMO/S%", "/DEMO/S\\/1", "/N"])),
    severity=some(st.sampled_from(SEVERITIES[5:])),
    person=some(st.sampled_from(["ada", "a?a", "*", "", "a_a", "Übel"])),
    kind=st.none() | st.sampled_from(EVENT_KINDS) | st.frozensets(st.sampled_from(EVENT_KINDS)),
    text=some(st.sampled_from(["high", "HIHI_", "100%", "_|", "50% 1", "s1", "nowhere", "known"])),
    raised=st.none() | st.booleans(),
    oldest_first=st.booleans(),
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(search=searches, limit=st.integers(1, 400))
def test_a_search_finds_what_looking_at_each_event_finds(filled: AlarmLog, search: Search, limit: int) -> None:
    expected = plain(search)
    assert filled.find(search, limit=limit) == expected[:limit]
    if len(expected) > limit:
        after = expected[limit - 1].cursor
        assert filled.find(search, limit=limit, after=after) == expected[limit : 2 * limit]


def test_pages_and_csv_give_all_of_it_though_events_are_at_one_time(
    filled: AlarmLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "PAGE", 7)
    for search in (Search(oldest_first=True), Search(area="/DEMO/S1")):
        pages = list(filled.pages(search))
        assert all(len(page) <= 7 for page in pages)
        assert [event for page in pages for event in page] == plain(search)
    assert sum(len(page) for page in filled.pages(Search(), most=17)) == 17
    lines = filled.csv(Search(oldest_first=True))
    first = next(lines)
    assert first.strip().split(",") == list(COLUMNS)
    rows = list(csv.DictReader(io.StringIO("".join([first, *lines]), newline="")))
    assert [row["id"] for row in rows] == [event.id for event in EVENTS]
    for row, event in zip(rows, EVENTS, strict=True):
        said = event.as_dict()
        assert (row["time"], row["severity"], row["user"]) == (said["time"], said["severity"], event.user)
        assert (row["path"], row["detail"], row["effective"]) == (event.path, event.detail, said["state"])


def test_many_places_are_searched_in_the_order_of_time(filled: AlarmLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "FEW", 50)
    assert len({event.path for event in EVENTS if event.path.startswith("/DEMO/S")}) > 50
    search = Search(path="/DEMO/S*")
    assert filled.find(search, limit=33) == plain(search)[:33]


def test_what_no_search_can_be(filled: AlarmLog) -> None:
    naive = datetime(2026, 1, 1)
    for search, why in (
        (Search(since=naive), "has no time zone"),
        (Search(severity="BAD"), "should be MINOR, MAJOR, INVALID or UNDEFINED"),
        (Search(severity="OK"), "should be MINOR"),
        (Search(kind="party"), "should be some of transition"),
        (Search(kind=["ack", "'; --"]), "should be some of"),
    ):
        with pytest.raises(BadInput, match=why):
            filled.find(search)
    for token in ("", "1", "x-y", f"{2**70}-{'0' * 32}", f"1-{'g' * 32}"):
        with pytest.raises(BadInput, match="is not where a search of the log went on"):
            filled.search(after=token)
    for limit in (0, 100_001):
        with pytest.raises(BadInput, match="limit"):
            filled.search(limit=limit)
    with pytest.raises(BadInput, match="time zone"):
        filled.prune(naive)


def test_an_event_is_written_once_whatever_it_says(alarm_log: AlarmLog) -> None:
    hostile = "x\0y\ud800z'; DROP TABLE alarm_event; --"
    event = Event(1, "transition", f"/DEMO/{'long' * 400}", hostile * 9, message=hostile * 90, detail=hostile, host="h")
    alarm_log.write([])
    alarm_log.write([event, event])
    alarm_log.write([event, replace(event, detail="another"), Event(-5, "server", "")])
    late, early = alarm_log.search()
    assert early.time_ns == -5
    assert (late.id, late.time_ns, late.host) == (event.id, 1, "h")
    assert late.detail == "x\ufffdy\ufffdz'; DROP TABLE alarm_event; --"
    assert (len(late.message), late.message[-1], len(late.pv), len(late.path)) == (500, "…", 200, 1000)


@given(names=st.lists(st.text(min_size=1).filter(lambda name: name.strip("/") == name), min_size=1, max_size=4))
def test_the_area_of_a_path_is_the_path_above(names: list[str]) -> None:
    path = "".join("/" + name.replace("/", "\\/") for name in names)
    if "\\" not in "".join(names):
        assert parent(path) == "".join("/" + name.replace("/", "\\/") for name in names[:-1])


@given(st.integers(-(2**60), 2**62))
def test_times_are_kept_to_the_microsecond(time_ns: int) -> None:
    assert nanoseconds(moment(time_ns)) == time_ns // 1000 * 1000


def test_prune_removes_what_is_older_and_nothing_else(alarm_log: AlarmLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "PRUNED", 100)
    alarm_log.write(EVENTS)
    limit = BEGIN + timedelta(hours=20)
    left = [event for event in EVENTS if event.time_ns >= nanoseconds(limit)]
    assert alarm_log.prune(limit) == len(EVENTS) - len(left) > 100
    assert alarm_log.search(oldest_first=True) == left[:1000]
    assert alarm_log.count() == len(left)
    assert alarm_log.prune(limit) == 0
