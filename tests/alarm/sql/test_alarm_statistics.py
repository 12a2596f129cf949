"""The figures of ISA-18.2: those that SQL finds are those that plain Python finds by looking at each event."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from alarm_history import history, plain_figures
from db_servers import KINDS, ready_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.alarms import ALARMS
from db.alarms.event import PRIORITIES, Event, moment
from db.alarms.figures import BARS, Figures, figures
from db.alarms.log import AlarmLog
from db.database import Database
from db.errors import BadInput

BEGIN_NS = 1_800_000_000_000_000_000
BEGIN = moment(BEGIN_NS)
MINUTE = 60 * 1_000_000_000
DAYS = 6
EVENTS = history(11, 60, 2500, BEGIN_NS, DAYS * 86400)


@pytest.fixture(scope="module", params=KINDS)
def filled(request: pytest.FixtureRequest) -> Iterator[Database]:
    database = Database.open(ready_url(request.param, ALARMS), schema=ALARMS)
    AlarmLog(database).write(EVENTS)
    yield database
    database.close()


def same(found: Figures) -> dict[str, object]:
    """What `plain_figures` says, of the figures that SQL has found."""
    names = {number: found.priorities[name] for number, name in enumerate(PRIORITIES) if name}
    return {
        "buckets": found.buckets,
        "top": [((one.path, one.pv), one.count) for one in found.top],
        "chattering": {(one.path, one.pv): one.count for one in found.chattering},
        "fleeting": {(one.path, one.pv): one.count for one in found.fleeting},
        "stale": [(one.path, one.pv, one.begin_ns, one.end_ns) for one in found.stale],
        "priorities": {number: count for number, count in names.items() if count},
        "areas": dict(found.areas),
        "acts": found.acts,
    }


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    begin=st.integers(-600, DAYS * 86400),
    seconds=st.integers(1, DAYS * 86400),
    area=st.sampled_from(["", "/DEMO", "/DEMO/S3", "/DEMO/S3/O1", "/NONE"]),
)
def test_figures_are_those_of_plain_python(filled: Database, begin: int, seconds: int, area: str) -> None:
    since = BEGIN + timedelta(seconds=begin)
    found = figures(filled, since, since + timedelta(seconds=seconds), area=area or None)
    expected = plain_figures(EVENTS, found.since_ns, found.until_ns, area)
    waits = [wait / 1e9 for wait in expected.pop("waits")]
    assert same(found) == expected
    acked = found.acknowledged
    assert acked.count == len(waits)
    if waits:
        assert acked.longest == pytest.approx(max(waits))
        assert acked.mean == pytest.approx(sum(waits) / len(waits))
        assert sum(wait <= acked.median for wait in waits) >= len(waits) / 2
        assert sum(wait < acked.p90 for wait in waits) <= 0.9 * len(waits)


def test_the_history_has_all_that_figures_are_about(filled: Database) -> None:
    found = figures(filled, BEGIN, BEGIN + timedelta(days=DAYS)).as_dict()
    assert found["alarms"] > 300
    for name in ("chattering", "fleeting", "stale"):
        assert found[name]["value"] > 0
        assert found[name]["alarms"]
    assert found["acknowledged"]["count"] > 50
    assert all(one["count"] for one in found["priorities"].values())
    assert {one["person"] for one in found["people"]} == {"ada", "bob", "eve", "Übel"}
    assert sum(one["count"] for one in found["areas"]) == found["alarms"]
    assert sum(found["series"]["counts"]) == found["alarms"]
    assert len(found["series"]["counts"]) <= BARS
    assert found["per_hour"]["value"] == pytest.approx(found["alarms"] / (DAYS * 24))
    assert found["top_share"]["value"] == pytest.approx(sum(one["share"] for one in found["top"]))


def raised(minute: float, number: int = 0) -> Event:
    path = f"/DEMO/A/{number}"
    return Event(BEGIN_NS + round(minute * MINUTE), "transition", path, str(number), 6, effective=1, raised=True)


@pytest.fixture
def quiet() -> Iterator[AlarmLog]:
    log = AlarmLog(Database.open(ready_url("sqlite", ALARMS), schema=ALARMS))
    yield log
    log.close()


def test_a_flood_begins_above_ten_and_lasts_until_there_are_fewer_than_five(quiet: AlarmLog) -> None:
    counts = [0, 10, 11, 5, 30, 4, 0, 12, 20]
    quiet.write([raised(10 * place + i / 100, i) for place, count in enumerate(counts) for i in range(count)])
    found = figures(quiet.database, BEGIN, BEGIN + timedelta(minutes=85))
    assert found.buckets == counts
    first, second = found.floods
    assert (first.begin_ns, first.end_ns) == (BEGIN_NS + 20 * MINUTE, BEGIN_NS + 50 * MINUTE)
    assert (first.alarms, first.peak, second.alarms, second.peak) == (46, 30, 32, 20)
    assert second.end_ns == BEGIN_NS + 85 * MINUTE
    said = found.as_dict()
    flood = said["flood"]
    assert (flood["count"], flood["seconds"], flood["alarms"], flood["peak"]) == (2, 45 * 60, 78, 30)
    assert flood["share"] == {"value": pytest.approx(45 / 85), "target": 0.01, "ok": False}
    assert said["max_10_min"] == {"value": 30, "target": 10, "ok": False}
    assert said["share_above_2"]["value"] == pytest.approx(7 / 9)
    assert said["share_above_10"]["value"] == pytest.approx(4 / 9)
    # shared among three it is not so bad
    shared = figures(quiet.database, BEGIN, BEGIN + timedelta(minutes=85), operators=3)
    assert shared.floods == []
    assert shared.as_dict()["per_10_min"]["value"] == pytest.approx(92 / 8.5 / 3)


def test_figures_of_nothing(quiet: AlarmLog) -> None:
    found = figures(quiet.database, BEGIN, BEGIN + timedelta(hours=1)).as_dict()
    assert found["alarms"] == 0
    assert found["per_hour"] == {"value": 0, "target": 6, "ok": True, "limit": 12, "manageable": True}
    assert found["flood"]["count"] == found["stale"]["value"] == 0
    assert found["top"] == found["areas"] == []
    assert all(one["ok"] for one in found["priorities"].values())
    assert found["series"] == {"begin": "2027-01-15T08:00:00.000000+00:00", "seconds": 600, "counts": [0] * 6}


def test_ranges_that_cannot_be(quiet: AlarmLog) -> None:
    for since, until, operators, why in (
        (BEGIN, BEGIN, 1, "is empty"),
        (BEGIN.replace(tzinfo=None), BEGIN, 1, "time zone"),
        (BEGIN, BEGIN + timedelta(hours=1), 0, "operators 0"),
        (BEGIN, BEGIN + timedelta(days=30_000), 1, "longer than 19 years"),
    ):
        with pytest.raises(BadInput, match=why):
            figures(quiet.database, since, until, operators=operators)
