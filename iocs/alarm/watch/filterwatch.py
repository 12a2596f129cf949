"""Filters at work: their inputs are followed, and alarms are let through or held back when an expression changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from iocs.alarm.tree.clock import Clock, Timer
from iocs.alarm.watch.channels import channel_of
from iocs.alarm.watch.filters import BadFilter, Filter, parse
from iocs.alarm.watch.inputs import Heard, Inputs, OnValue
from iocs.alarm.watch.values import number_of

log = logging.getLogger(__name__)

PERIOD = 0.1
"""Seconds for which changes of inputs gather before filters are evaluated."""
THROTTLE = 0.5
"""Seconds between two evaluations of one filter."""
_INVALID = 3


@dataclass(slots=True, eq=False)
class _Active:
    """One expression, however many alarms have it."""

    filter: Filter
    paths: set[str] = field(default_factory=set)
    followed: list[tuple[str, OnValue]] = field(default_factory=list)
    values: dict[str, float | None] = field(default_factory=dict)
    passes: bool | None = None
    """None until it was evaluated."""
    known: bool = False
    """It was evaluated with all that it needs."""
    not_before_ns: int = 0


class FilterWatch:
    """The filters of all alarms; `apply(path, passes)` is called whenever an alarm's filter says something new.

    `compatible`: an alarm whose filter has no value, because an input is disconnected, is held back as Phoebus does it;
    otherwise it is let through, and an input that is INVALID counts as disconnected.
    """

    def __init__(
        self, inputs: Inputs, clock: Clock, apply: Callable[[str, bool], None], *, compatible: bool = False
    ) -> None:
        self._inputs, self._clock, self._apply, self._compatible = inputs, clock, apply, compatible
        self._by_text: dict[str, _Active] = {}
        self._text_of: dict[str, str] = {}
        self._due: set[str] = set()
        self._timer: Timer | None = None
        self.problems: dict[str, str] = {}
        """Path -> why its filter is not in use."""

    def set(self, path: str, text: str) -> None:
        """Filter the alarm at `path` by the expression `text`, or by none when it is empty."""
        if self._text_of.get(path, "") == text:
            return
        self.drop(path)
        if not text:
            self._apply(path, True)
            return
        active = self._by_text.get(text)
        if active is None:
            try:
                active = self._begin(text)
            except (BadFilter, ValueError) as error:
                self.problems[path] = str(error)
                log.warning("%s: the filter is not used: %s", path, error)
                self._apply(path, True)
                return
        active.paths.add(path)
        self._text_of[path] = text
        if active.passes is not None:
            self._apply(path, active.passes)

    def drop(self, path: str) -> None:
        """The alarm at `path` has no filter any more."""
        self.problems.pop(path, None)
        text = self._text_of.pop(path, None)
        if text is None:
            return
        active = self._by_text[text]
        active.paths.discard(path)
        if not active.paths:
            for name, on_value in active.followed:
                self._inputs.leave(name, on_value)
            del self._by_text[text]
            self._due.discard(text)

    def known(self, path: str) -> bool:
        """Whether the alarm at `path` has no filter, or one that had all its inputs at least once."""
        text = self._text_of.get(path)
        return text is None or self._by_text[text].known

    def close(self) -> None:
        """Evaluate nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def missing(self) -> list[str]:
        """The inputs that have no value, sorted."""
        return sorted({name for a in self._by_text.values() for name, value in a.values.items() if value is None})

    def _begin(self, text: str) -> _Active:
        parsed = parse(text)
        channels = {name: channel_of(name) for name in parsed.names}
        active = self._by_text[text] = _Active(parsed, values=dict.fromkeys(parsed.names))
        for name, channel in sorted(channels.items()):
            on_value = partial(self._heard, text, name)
            active.followed.append((channel, on_value))
            self._inputs.follow(channel, on_value)
        if not channels:
            self._want(text)
        return active

    def _heard(self, text: str, name: str, heard: Heard | None) -> None:
        active = self._by_text.get(text)
        if active is None:
            return
        value = None
        if heard is not None and (self._compatible or heard.severity < _INVALID):
            value = number_of(heard.value, heard.dbr)
        if value != active.values[name] or active.passes is None:
            active.values[name] = value
            self._want(text)

    def _want(self, text: str) -> None:
        self._due.add(text)
        if self._timer is None:
            self._timer = self._clock.call_later(PERIOD, self._evaluate)

    def _evaluate(self) -> None:
        self._timer = None
        now = self._clock.now_ns()
        for text in list(self._due):
            active = self._by_text[text]
            if now < active.not_before_ns:
                continue
            self._due.discard(text)
            active.not_before_ns = now + int(THROTTLE * 1e9)
            self._tell(active)
        if self._due:
            self._timer = self._clock.call_later(PERIOD, self._evaluate)

    def _tell(self, active: _Active) -> None:
        value = active.filter.evaluate(active.values, self._compatible)
        passes = True if value is None else value
        complete = value is not None and (not self._compatible or None not in active.values.values())
        first = complete and not active.known
        active.known |= complete
        if first or passes is not active.passes:
            active.passes = passes
            for path in list(active.paths):
                self._apply(path, passes)
