"""What is said to operators: texts, several alarms in one sentence, and reminders."""

from __future__ import annotations

from collections.abc import Callable

from iocs.alarm.tree.clock import Clock, Timer
from iocs.alarm.tree.events import Annunciation
from iocs.alarm.tree.severity import AlarmSeverity

STARTED = "* Alarm server started. Everything is going to be all right."
RECONNECTED = "* Alarm server re-connected"

FLURRY = 3
"""So many are said one by one within `WINDOW`."""

WINDOW = 5.0
"""Seconds that saying them takes; what comes meanwhile waits."""

FLOOD_WINDOW = 30.0
"""The same while alarms come in a flood."""


def spoken(description: str, severity: AlarmSeverity) -> tuple[str, bool]:
    """What is said of an alarm so described, and whether it stands out.

    `*` in front: without "MAJOR Alarm: "; then `!`: it stands out, that is, it is said even in a flurry.
    """
    bare = description.startswith("*")
    text = description[1:] if bare else description
    standout = text.startswith("!")
    text = text[1:] if standout else text
    return (text if bare else f"{severity.name} Alarm: {text}"), standout


class Announcer:
    """Says one alarm after the other; many of them in one sentence. All of it happens in the clock's loop.

    Within `WINDOW` the first `FLURRY` alarms are said at once. Those that come later in it wait for its end: they are
    said then, in one sentence when they are more than `FLURRY`. What stands out is said at once always.
    While `flood` is True the window is `FLOOD_WINDOW`, and `FLURRY` more are said at once if they are important.
    """

    def __init__(
        self,
        clock: Clock,
        root: str,
        say: Callable[[Annunciation], None],
        state: Callable[[], tuple[AlarmSeverity, int]],
        compatible: bool = False,
    ) -> None:
        """`state`: the root's severity and how many alarms wait for somebody. `compatible`: all are said one by one."""
        self._clock, self._root, self._say, self._state, self._compatible = clock, root, say, state, compatible
        self._waiting: list[Annunciation] = []
        self._said = self._important = 0
        self._window: Timer | None = None
        self._nag: Timer | None = None
        self._nag_period = 0.0
        self.flood = False
        """Alarms come faster than anybody can follow."""

    @property
    def nag_period(self) -> float:
        """Seconds after the last word until somebody is reminded of alarms that wait; 0: never."""
        return self._nag_period

    @nag_period.setter
    def nag_period(self, seconds: float) -> None:
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"{seconds} s is no time between two reminders")
        self._nag_period = seconds
        self._rest()

    def started(self) -> None:
        """Say that the server has started."""
        self.message(STARTED)

    def reconnected(self) -> None:
        """Say that the server is connected again."""
        self.message(RECONNECTED)

    def message(self, text: str, severity: AlarmSeverity = AlarmSeverity.OK) -> None:
        """Say something that is not of one alarm."""
        said, standout = spoken(text, severity)
        said = said if self._compatible else said.strip()
        self._now(Annunciation(self._root, severity, said, standout, self._clock.now_ns()))

    def alarm(self, path: str, description: str, severity: AlarmSeverity, important: bool = False) -> None:
        """Say that an alarm has come. `important`: it is to wait less in a flood."""
        text, standout = spoken(description, severity)
        found = Annunciation(path, severity, text, standout, self._clock.now_ns())
        if self._compatible or standout:
            self._now(found)
            return
        self._open()
        if important and self.flood and self._important < FLURRY:
            self._important += 1
            self._now(found)
        elif self._said < FLURRY:
            self._said += 1
            self._now(found)
        else:
            self._waiting.append(found)

    def stop(self) -> None:
        """Nothing more is said; what waits is dropped."""
        for timer in (self._window, self._nag):
            if timer is not None:
                timer.cancel()
        self._window = self._nag = None
        self._waiting.clear()

    def _open(self) -> None:
        if self._window is None:
            self._window = self._clock.call_later(FLOOD_WINDOW if self.flood else WINDOW, self._over)

    def _over(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._window, self._said, self._important = None, 0, 0
        if not waiting:
            return
        if len(waiting) > FLURRY:
            worst = max(found.severity for found in waiting)
            text = f"There are {len(waiting)} Alarm messages"
            waiting = [Annunciation(self._root, worst, text, False, self._clock.now_ns())]
        self._said = len(waiting)
        self._open()
        for found in waiting:
            self._now(found)

    def _now(self, annunciation: Annunciation) -> None:
        self._rest()
        self._say(annunciation)

    def _rest(self) -> None:
        """The time until the next reminder begins anew."""
        if self._nag is not None:
            self._nag.cancel()
            self._nag = None
        if self._nag_period > 0:
            self._nag = self._clock.call_later(self._nag_period, self._remind)

    def _remind(self) -> None:
        self._nag = None
        severity, count = self._state()
        if count:
            self.message(f"* There {'is 1 active alarm' if count == 1 else f'are {count} active alarms'}", severity)
        else:
            self._rest()
