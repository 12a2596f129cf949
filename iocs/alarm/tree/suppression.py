"""Why alarms are suppressed: people shelve and disable them, filters and operating modes say when they are none.

While it is suppressed, an alarm does not count in the areas above and is not announced; it follows its PV, so that one
sees and logs what it is. When nothing suppresses it any more it is raised and announced if it is up then and nobody has
acknowledged it, however it came to that: before, or meanwhile. What came and went meanwhile stays unsaid.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from iocs.alarm.tree.clock import SECOND, Appointment
from iocs.alarm.tree.core import Core
from iocs.alarm.tree.events import SERVER, Person
from iocs.alarm.tree.items import ConfigError
from iocs.alarm.tree.nodes import DISABLED, FILTERED, OUT_OF_MODE, SHELVED, Leaf, Shelf

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

__all__ = ["Shelf", "Suppression"]


def moment(time_ns: int) -> str:
    """A time as an edit shows it."""
    return datetime.fromtimestamp(time_ns // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def utc_ns(moment: datetime) -> int:
    """UTC nanoseconds since 1970 of a time with a zone."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


class Suppression:
    """Shelves, disabled alarms and operating modes, and when they end."""

    def __init__(self, core: Core, max_shelf: float) -> None:
        """`max_shelf`: seconds that a shelf lasts at most."""
        self._core, self._max_shelf = core, max_shelf
        self._shelves: dict[Leaf, Appointment] = {}
        self._disabled: dict[Leaf, Appointment] = {}
        self.with_modes: dict[Leaf, None] = {}
        """Alarms that are such in some operating modes only."""
        self.mode = ""
        core.cleared = self._cleared

    # -- shelves -----------------------------------------------------------------------------------------------------

    def end_of_shelf(self, path: str, why: str, until_ns: int | None) -> int:
        """When a shelf ends; ConfigError when it may not be."""
        now = self._core.clock.now_ns()
        latest = now + round(self._max_shelf * SECOND)
        problem = ""
        if not why.strip():
            problem = "say why it is shelved"
        elif until_ns is not None and until_ns <= now:
            problem = f"it cannot be shelved until {moment(until_ns)}: that is over"
        elif until_ns is not None and until_ns > latest:
            problem = f"it may be shelved until {moment(latest)} at most"
        if problem:
            raise ConfigError([f"{path}: {problem}"])
        return latest if until_ns is None else until_ns

    def shelve(self, leaf: Leaf, shelf: Shelf) -> None:
        """Put an alarm on a shelf; one that lies there gets the new terms."""
        self._forget_shelf(leaf)
        leaf.shelf = shelf
        self._shelves[leaf] = Appointment(self._core.clock, shelf.until_ns, lambda: self.unshelve(leaf, SERVER, "time"))
        if leaf.reasons & SHELVED:
            self._core.settle(leaf, leaf.alarm, False)
        else:
            self._core.suppress(leaf, SHELVED)

    def restore_shelf(self, leaf: Leaf, shelf: Shelf, earliest_ns: int) -> None:
        """A shelf from before a restart; it ends at `earliest_ns` if that was to be before."""
        self._forget_shelf(leaf)
        leaf.shelf = shelf
        until = max(shelf.until_ns, earliest_ns)
        self._shelves[leaf] = Appointment(self._core.clock, until, lambda: self.unshelve(leaf, SERVER, "time"))

    def unshelve(self, leaf: Leaf, who: Person, detail: str = "") -> bool:
        """Take an alarm off its shelf; False when it lies on none."""
        if leaf.shelf is None:
            return False
        self._forget_shelf(leaf)
        self._core.edited("unshelve", leaf.path, who, detail)
        self._core.resume(leaf, SHELVED)
        return True

    def _cleared(self, leaf: Leaf) -> None:
        if leaf.shelf is not None and leaf.shelf.one_shot:
            self.unshelve(leaf, SERVER, "cleared")

    def _forget_shelf(self, leaf: Leaf) -> None:
        leaf.shelf = None
        appointment = self._shelves.pop(leaf, None)
        if appointment is not None:
            appointment.cancel()

    # -- disabled ----------------------------------------------------------------------------------------------------

    def follow_config(self, leaf: Leaf) -> None:
        """The configuration of the leaf says whether it is enabled, and from when on."""
        config = leaf.config
        appointment = self._disabled.pop(leaf, None)
        if appointment is not None:
            appointment.cancel()
        if config.enabled:
            self._core.resume(leaf, DISABLED)
            return
        if config.disabled_until is not None:
            until_ns = utc_ns(config.disabled_until)
            self._disabled[leaf] = Appointment(self._core.clock, until_ns, lambda: self._enable(leaf))
        self._core.suppress(leaf, DISABLED)

    def _enable(self, leaf: Leaf) -> None:
        leaf.config = replace(leaf.config, enabled=True, disabled_until=None)
        leaf.logic.config = leaf.config
        self._core.edited("enable", leaf.path, SERVER, "time")
        self._core.tell.configured(leaf.item, SERVER)
        self.follow_config(leaf)

    # -- by design ---------------------------------------------------------------------------------------------------

    def set_filter(self, leaf: Leaf, passes: bool) -> None:
        """The filter of an alarm says whether it is one."""
        if passes:
            self._core.resume(leaf, FILTERED)
        else:
            self._core.suppress(leaf, FILTERED)

    def follow_mode(self, leaf: Leaf) -> None:
        """Whether the alarm is one in the present operating mode; while none is known, every alarm is."""
        if not self.mode or not leaf.extras.modes or self.mode in leaf.extras.modes:
            self._core.resume(leaf, OUT_OF_MODE)
        else:
            self._core.suppress(leaf, OUT_OF_MODE)

    def set_mode(self, mode: str) -> None:
        """Another operating mode."""
        self.mode = mode
        for leaf in list(self.with_modes):
            self.follow_mode(leaf)

    def forget(self, leaf: Leaf) -> None:
        """The leaf is no more."""
        self._forget_shelf(leaf)
        appointment = self._disabled.pop(leaf, None)
        if appointment is not None:
            appointment.cancel()
        self.with_modes.pop(leaf, None)

    def stop(self) -> None:
        """No timer runs any more."""
        for appointment in (*self._shelves.values(), *self._disabled.values()):
            appointment.cancel()
