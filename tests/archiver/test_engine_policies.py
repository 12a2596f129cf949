"""Which rule decides how a PV is archived, and which engine does it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from archiver.config import ArchiverConfig, Pin, PolicyRule, Sampling
from archiver.engine.plan import Listed, Planner
from archiver.engine.policies import Facts, Policies, fits
from archiver.engine.share import owner
from archiver.management.ledger import PvEntry
from archiver.store import Dbr

CONFIG = ArchiverConfig.model_validate(
    {
        "policy": [
            {"name": "waves", "array": True, "method": "scan", "period": 30},
            {"name": "fast", "min_rate": 5.0, "method": "scan", "period": 1},
            {"name": "volts", "pv": "T:*", "metadata": {"EGU": "V*"}, "deadband": 0.5, "fields": ["ADEL"]},
            {"name": "states", "type": "enum", "deadband": 0},
            {"name": "numbered", "regex": r"T:[A-Z]\d+", "method": "scan", "period": 7},
            {"name": "junk", "pv": "T:Junk*", "method": "none"},
        ],
        "pv": [{"name": "T:Own", "deadband": 2.0}],
    }
)


def decide(name: str, facts: Facts, declared: Sampling | None = None, **wish: Any) -> tuple[str, str, float]:
    entry = PvEntry(name, requested=True, **wish) if wish or declared is None else None
    sampling, policy = Policies(CONFIG).decide(name, declared, entry, lambda: facts)
    return policy, sampling.method, sampling.period


DOUBLE = Facts(Dbr.DOUBLE, False, 1.0, {})


@pytest.mark.parametrize(
    ("name", "facts", "expected"),
    [
        ("T:Wave", Facts(Dbr.DOUBLE, True, 100.0, {}), ("waves", "scan", 30.0)),
        ("T:Noisy", Facts(Dbr.DOUBLE, False, 5.0, {"EGU": "V"}), ("fast", "scan", 1.0)),
        ("T:Calm", Facts(Dbr.DOUBLE, False, 4.9, {"EGU": "V"}), ("volts", "monitor", 1.0)),
        ("U:Calm", Facts(Dbr.DOUBLE, False, 4.9, {"EGU": "V"}), ("", "monitor", 1.0)),
        ("T:Unknown", Facts(), ("", "monitor", 1.0)),
        ("T:L1", Facts(), ("numbered", "scan", 7.0)),
        ("T:L1", Facts(Dbr.ENUM, False, None, {}), ("states", "monitor", 1.0)),
        ("T:L1x", DOUBLE, ("", "monitor", 1.0)),
        ("T:Junk7", DOUBLE, ("junk", "none", 1.0)),
        ("T:Own", Facts(Dbr.DOUBLE, True, 100.0, {}), ("", "monitor", 1.0)),
    ],
)
def test_the_first_rule_that_fits_decides(name: str, facts: Facts, expected: tuple[str, str, float]) -> None:
    assert decide(name, facts) == expected


def test_what_people_ask_for_comes_first() -> None:
    assert decide("T:L1", DOUBLE, policy="waves") == ("waves", "scan", 30.0)
    assert decide("T:L1", DOUBLE, policy="gone") == ("numbered", "scan", 7.0)
    assert decide("T:L1", DOUBLE, period=2.0) == ("numbered", "scan", 2.0)
    assert decide("T:L1", DOUBLE, method="monitor") == ("numbered", "monitor", 7.0)
    assert decide("T:Junk1", DOUBLE, method="monitor") == ("junk", "monitor", 1.0)
    # nonsense in the ledger is no reason to stop
    assert decide("T:L1", DOUBLE, method="sometimes") == ("numbered", "scan", 7.0)
    assert decide("T:Plain", DOUBLE, Sampling(method="scan", period=9)) == ("", "scan", 9.0)


def test_only_what_is_known_fits() -> None:
    assert not fits(PolicyRule(type=("double",)), Facts())
    assert not fits(PolicyRule(array=False), Facts())
    assert not fits(PolicyRule(max_rate=1.0), Facts(Dbr.DOUBLE))
    assert not fits(PolicyRule(metadata={"EGU": "*"}), Facts(Dbr.DOUBLE))
    assert fits(PolicyRule(max_rate=1.0, array=False, type=("long", "double")), Facts(Dbr.LONG, False, 1.0))


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="another policy is called 'a' too"):
        ArchiverConfig.model_validate({"policy": [{"name": "a", "pv": "A"}, {"name": "a", "pv": "B"}]})


def test_a_plan_of_catalogues_site_and_ledger() -> None:
    planner = Planner(CONFIG)
    listed = {name: Listed(Sampling(), f"the {name}") for name in ("T:A", "T:B", "T:C", "T:Junk")}
    planner.catalogues = {"T:": listed, "U:": {"U:Silent": Listed(None, "")}}
    planner.entries = {
        entry.name: entry
        for entry in (
            PvEntry("T:B", paused=True),
            PvEntry("T:C", deleted=True),
            PvEntry("U:Silent", requested=True, controlling="U:Gate"),
            PvEntry("with blank", requested=True),
            PvEntry("U:Seen"),
        )
    }
    plan = planner.plan()
    assert {name for name, target in plan.items() if target is not None} == {"T:A", "T:B", "T:Own", "U:Silent"}
    paused, gated, plain, own = plan["T:B"], plan["U:Silent"], plan["T:A"], plan["T:Own"]
    assert paused is not None and paused.paused
    assert gated is not None and gated.controlling == "U:Gate"
    assert plain is not None and plain.description == "the T:A"
    assert own is not None and own.sampling.deadband == 2.0
    assert planner.plan(["T:C", "T:A"]) == {"T:C": None, "T:A": plain}


NAMES = st.lists(st.from_regex(r"[A-Z]{1,5}:[a-z]{1,5}\d{0,3}", fullmatch=True), min_size=1, max_size=50)
ENGINES = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True), min_size=1, max_size=5, unique=True)


@given(NAMES, ENGINES, st.from_regex(r"new[0-9]{1,3}", fullmatch=True))
def test_an_added_engine_takes_pvs_and_moves_no_others(names: list[str], engines: list[str], new: str) -> None:
    if new in engines:
        return
    for name in names:
        before, after = owner(name, engines), owner(name, [*engines, new])
        assert before in engines
        assert after in (before, new)
        assert owner(name, list(reversed(engines))) == before


def test_engines_share_evenly_and_pins_hold() -> None:
    engines = ("a", "b", "c", "d")
    shares = Counter(owner(f"DEMO:SYS:L{i:05d}:VMon", engines) for i in range(20_000))
    assert all(4700 < shares[engine] < 5300 for engine in engines)
    pins = (Pin(pv="DEMO:HV:*", engine="d"), Pin(pv="DEMO:*", engine="gone"))
    assert owner("DEMO:HV:L1:VMon", engines, pins) == "d"
    assert owner("DEMO:X", engines, pins) == owner("DEMO:X", engines)
    assert owner("X", ()) == ""


def test_each_pv_has_one_engine() -> None:
    config = ArchiverConfig.model_validate(
        {"engines": ["a", "b"], "pv": [{"name": f"T:{i}"} for i in range(200)], "pin": [{"pv": "T:7", "engine": "b"}]}
    )
    planners = {engine: Planner(config, engine) for engine in config.engines}
    for planner in planners.values():
        planner.entries = {"T:9": PvEntry("T:9", requested=True, engine="b")}
    plans = {engine: planner.plan() for engine, planner in planners.items()}
    for i in range(200):
        assert (plans["a"][f"T:{i}"] is None) != (plans["b"][f"T:{i}"] is None)
    assert plans["b"]["T:7"] is not None
    assert plans["b"]["T:9"] is not None
