"""What makes an alarm of a value: limits, states, NaN. And the time stamps that go with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from caproto import AlarmStatus

from .declare import Limits, Severity
from .values import Array, State, ValueType

EPICS_EPOCH = 631152000
"""Unix seconds at 1990-01-01, where EPICS time begins."""


class AlarmState(NamedTuple):
    """A status with its severity."""

    status: AlarmStatus
    severity: Severity


GOOD = AlarmState(AlarmStatus.NO_ALARM, Severity.NO_ALARM)
UNDEFINED = AlarmState(AlarmStatus.UDF, Severity.INVALID)
Stamp = tuple[int, int]


def stamp(unix_seconds: float | None = None) -> Stamp:
    """(seconds, nanoseconds) since the EPICS epoch; now when no time is given."""
    total = time.time_ns() if unix_seconds is None else round(unix_seconds * 1e9)
    seconds, nanoseconds = divmod(total, 1_000_000_000)
    return max(0, seconds - EPICS_EPOCH), nanoseconds


Judge = Callable[[Any], AlarmState]
_SEVERITIES = {"HIHI": Severity.MAJOR, "LOLO": Severity.MAJOR, "HIGH": Severity.MINOR, "LOW": Severity.MINOR}


def judge_of(kind: ValueType, limits: Limits, severities: Mapping[Any, Severity]) -> Judge:
    """A function from a value of this type to its alarm."""
    if isinstance(kind, State):
        states = {int(kind.coerce(k)): AlarmState(AlarmStatus.STATE, s) for k, s in severities.items() if s}
        return lambda value: states.get(int(value), GOOD)
    if not kind.numeric:
        return lambda value: GOOD
    alarm, warn = limits.alarm or (None, None), limits.warn or (None, None)
    # as records do: the outer limits come first, and a limit that is reached counts
    bounds = {"HIHI": alarm[1], "LOLO": alarm[0], "HIGH": warn[1], "LOW": warn[0]}
    rules = []
    for name, bound in bounds.items():
        severity = severities.get(name, _SEVERITIES[name])
        if bound is not None and severity:
            rules.append((name.startswith("H"), bound, AlarmState(AlarmStatus[name], severity)))
    judge = _limit_judge(rules)
    return _array_judge(judge) if isinstance(kind, Array) else judge


def _limit_judge(rules: list[tuple[bool, float, AlarmState]]) -> Judge:
    """By (upper, bound, alarm), the first that holds; NaN is nobody's value."""

    def judge(value: float) -> AlarmState:
        if value != value:
            return UNDEFINED
        for upper, bound, state in rules:
            if value >= bound if upper else value <= bound:
                return state
        return GOOD

    return judge


def _array_judge(judge: Judge) -> Judge:
    """The worst of the smallest and the largest element; gaps (NaN) in an array are allowed."""

    def judge_array(value: np.ndarray) -> AlarmState:
        finite = value[~np.isnan(value)] if value.dtype.kind == "f" else value
        if not len(finite):
            return GOOD
        return max(judge(float(finite.min())), judge(float(finite.max())), key=lambda state: state.severity)

    return judge_array
