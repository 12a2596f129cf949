"""Where our logic of one alarm differs from Phoebus', and what it has beyond it: off-delay and suppression."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from iocs.alarm.tree.clock import SECOND, VirtualClock
from iocs.alarm.tree.events import State
from iocs.alarm.tree.items import LeafConfig
from iocs.alarm.tree.logic import DISCONNECTED, AlarmLogic, Context
from iocs.alarm.tree.severity import AlarmSeverity


@dataclass
class One:
    """One alarm; `raised` is what was raised so far."""

    config: LeafConfig = field(default_factory=LeafConfig)
    compatible: bool = False
    off_delay: float = 0.0
    raised: list[str] = field(default_factory=list)
    came: int = 0

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.logic = AlarmLogic(Context(self.clock, self._changed, self.compatible), self.config, None, self.off_delay)

    def _changed(self, logic: AlarmLogic, before: State, raised: bool, came: bool) -> None:
        if raised:
            self.raised.append(logic.alarm.severity.name)
        self.came += came

    def set(self, *names: str) -> str:
        """The PV is so, one after the other; what the alarm is then."""
        for name in names:
            message = DISCONNECTED if name == "UNDEFINED" else f"{name}_ALARM"
            self.logic.on_update(State(AlarmSeverity[name], message, "", self.clock.now_ns()))
            self.clock.advance(0.01)
        return self.alarm

    @property
    def alarm(self) -> str:
        return self.logic.alarm.severity.name

    def wait(self, seconds: float) -> str:
        self.clock.advance(seconds)
        return self.alarm

    def ack(self, on: bool = True) -> str:
        self.logic.acknowledge(on)
        return self.alarm


# -- a delay and a recovery ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_spike_that_recovers_within_the_delay_raises_nothing(acknowledged: bool) -> None:
    one = One(LeafConfig(delay=2))
    assert (one.set("MINOR"), one.wait(3)) == ("OK", "MINOR")
    if acknowledged:
        one.ack()
    one.set("MAJOR")
    assert one.set("OK") == ("OK" if acknowledged else "MINOR")
    one.wait(10)
    assert one.raised == ["MINOR"]
    assert one.clock.pending == 0


def test_compatible_a_recovery_within_the_delay_raises_at_once() -> None:
    one = One(LeafConfig(delay=2), compatible=True)
    one.set("MINOR")
    one.wait(3)
    one.set("MAJOR")
    assert one.set("OK") == "MAJOR"
    assert one.raised == ["MINOR", "MAJOR"]
    assert one.wait(10) == "MAJOR"


def test_a_spike_that_falls_back_to_what_is_shown_raises_nothing() -> None:
    one = One(LeafConfig(delay=2))
    one.set("MINOR")
    one.wait(3)
    one.ack()
    one.set("MAJOR", "MINOR")
    assert one.wait(10) == "MINOR_ACK"
    one.set("MAJOR")
    assert one.wait(1) == "MINOR_ACK"
    assert one.wait(2) == "MAJOR"
    assert one.raised == ["MINOR", "MAJOR"]


def test_compatible_a_spike_that_falls_back_is_raised_after_the_delay() -> None:
    one = One(LeafConfig(delay=2), compatible=True)
    one.set("MINOR")
    one.wait(3)
    one.set("MAJOR", "MINOR")
    assert one.wait(10) == "MAJOR"


@pytest.mark.parametrize(("compatible", "alarm"), [(False, "OK"), (True, "MINOR")])
def test_times_of_a_coarse_clock(compatible: bool, alarm: str) -> None:
    """Phoebus tells a recovery by its time only: one of the same time as what is delayed is none to it."""
    one = One(LeafConfig(delay=2, latching=False), compatible)
    for name in ("MAJOR", "OK"):
        one.set(name)
    states = [State(AlarmSeverity[name], name, "", 5) for name in ("MAJOR", "MINOR", "OK")]
    one.logic.on_update(states[0])
    one.wait(3)
    one.logic.on_update(states[1])
    one.logic.on_update(states[2])
    assert one.alarm == "OK"
    assert one.wait(3) == alarm


def test_a_delay_ends_with_an_acknowledgement_of_what_is_shown_only() -> None:
    one = One(LeafConfig(delay=2))
    one.set("MINOR")
    one.wait(3)
    one.set("MAJOR")
    assert one.ack() == "MINOR_ACK"
    assert one.wait(3) == "MAJOR"
    assert one.raised == ["MINOR", "MAJOR"]


# -- a lost connection -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latching", [True, False])
@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_lost_connection_hides_nothing(latching: bool, acknowledged: bool) -> None:
    one = One(LeafConfig(latching=latching))
    assert one.set("UNDEFINED") == "UNDEFINED"
    if acknowledged:
        one.ack()
    assert one.set("MAJOR") == "MAJOR"
    assert one.raised == ["UNDEFINED", "MAJOR"]
    assert one.ack() == "MAJOR_ACK"


@pytest.mark.parametrize(("latching", "acknowledged", "alarm"), [
    (True, False, "UNDEFINED"), (True, True, "UNDEFINED_ACK"), (False, True, "UNDEFINED_ACK"), (False, False, "MAJOR"),
])  # fmt: skip
def test_compatible_a_lost_connection_hides_a_major(latching: bool, acknowledged: bool, alarm: str) -> None:
    one = One(LeafConfig(latching=latching), compatible=True)
    one.set("UNDEFINED")
    if acknowledged:
        one.ack()
    assert one.set("MAJOR") == alarm
    assert one.raised == ["UNDEFINED"]


def test_what_was_acknowledged_before_a_lost_connection_is_so_after_it() -> None:
    one = One()
    one.set("MAJOR")
    one.ack()
    assert one.set("UNDEFINED") == "UNDEFINED"
    one.ack()
    assert one.set("MAJOR") == "MAJOR_ACK"
    assert one.raised == ["MAJOR", "UNDEFINED"]
    assert one.set("OK") == "OK"


def test_what_was_latched_before_a_lost_connection_is_not_acknowledged_with_it() -> None:
    one = One()
    one.set("MAJOR", "OK")
    assert one.set("UNDEFINED") == "UNDEFINED"
    assert one.ack() == "UNDEFINED_ACK"
    assert one.set("OK") == "MAJOR"
    assert one.raised == ["MAJOR", "UNDEFINED"]
    assert one.ack() == "OK"


def test_a_lost_connection_latches_itself() -> None:
    one = One()
    assert one.set("UNDEFINED", "OK") == "UNDEFINED"
    assert one.ack() == "OK"
    one.set("UNDEFINED")
    one.ack()
    assert one.set("OK") == "OK"
    one.set("MAJOR")
    one.ack()
    assert one.set("UNDEFINED") == "UNDEFINED"
    assert one.set("MINOR") == "UNDEFINED", "nobody has acknowledged that it was lost, and nothing new is hidden by it"
    assert one.ack() == "MINOR_ACK"


def test_a_worse_state_after_a_lost_connection_does_not_wait_for_the_delay() -> None:
    one = One(LeafConfig(delay=5))
    one.set("UNDEFINED")
    assert one.wait(6) == "UNDEFINED"
    assert one.set("MAJOR") == "MAJOR"


# -- acknowledging ---------------------------------------------------------------------------------------------------


def test_an_acknowledgement_that_changes_nothing() -> None:
    one = One()
    assert not one.logic.acknowledge()
    one.set("MAJOR")
    assert one.logic.can_acknowledge()
    assert one.logic.acknowledge()
    assert not one.logic.can_acknowledge()
    assert not one.logic.acknowledge()
    one.logic.disable()
    assert not one.logic.acknowledge()


@pytest.mark.parametrize(("compatible", "alarm"), [(False, "MAJOR"), (True, "OK")])
def test_taking_back_what_nobody_acknowledged_loses_no_latch(compatible: bool, alarm: str) -> None:
    one = One(compatible=compatible)
    one.set("MAJOR", "OK")
    assert one.ack(False) == alarm


def test_taking_back_shows_what_the_pv_is() -> None:
    one = One()
    one.set("MAJOR")
    one.ack()
    one.set("MINOR")
    assert one.alarm == "MAJOR_ACK"
    assert one.ack(False) == "MINOR"


# -- the off-delay ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latching", [True, False])
def test_an_ok_counts_once_it_has_lasted(latching: bool) -> None:
    one = One(LeafConfig(latching=latching), off_delay=5)
    one.set("MAJOR")
    one.ack()
    for _ in range(5):
        assert one.set("OK") == "MAJOR_ACK"
        assert one.wait(4) == "MAJOR_ACK"
        assert one.logic.held is not None
        assert one.set("MAJOR") == "MAJOR_ACK"
    assert one.raised == ["MAJOR"]
    assert one.came == 1
    one.set("OK")
    assert one.wait(5) == "OK"
    assert one.clock.pending == 0
    assert one.set("MAJOR") == "MAJOR"


def test_an_off_delay_keeps_the_latch_and_the_acknowledgement() -> None:
    one = One(off_delay=5)
    one.set("MAJOR", "OK")
    assert one.wait(10) == "MAJOR", "latched"
    assert one.ack() == "OK"
    one.set("MAJOR", "OK")
    assert one.ack() == "MAJOR_ACK", "it does not count as gone yet"
    assert one.wait(5) == "OK"


def test_an_off_delay_and_another_severity_within_it() -> None:
    one = One(LeafConfig(latching=False), off_delay=5)
    one.set("MINOR", "OK", "MAJOR")
    assert one.alarm == "MAJOR"
    assert one.raised == ["MINOR", "MAJOR"]
    one.set("OK", "OK")
    assert one.wait(5) == "OK"
    assert one.clock.pending == 0


def test_both_delays() -> None:
    one = One(LeafConfig(delay=2, latching=False), off_delay=5)
    one.set("MAJOR", "OK")
    assert one.wait(10) == "OK", "it did not last for the delay, whatever the off-delay"
    one.set("MAJOR")
    assert one.wait(2) == "MAJOR"
    one.set("OK")
    one.wait(3)
    one.set("MAJOR")
    assert one.wait(10) == "MAJOR"
    assert one.raised == ["MAJOR"]


# -- suppression -----------------------------------------------------------------------------------------------------


def test_a_suppressed_alarm_follows_its_pv_and_latches_nothing() -> None:
    one = One()
    one.logic.suppress(seen=False)
    assert one.set("MAJOR") == "MAJOR"
    assert one.set("MINOR") == "MINOR"
    assert one.set("OK") == "OK"
    one.logic.resume()
    assert one.alarm == "OK"


def test_an_unacknowledged_latch_survives_what_no_person_did() -> None:
    one = One()
    one.set("MAJOR")
    one.logic.suppress(seen=False)
    assert one.set("OK") == "OK"
    one.logic.resume()
    assert one.alarm == "MAJOR"
    assert one.ack() == "OK"


def test_a_latch_that_somebody_put_aside_does_not_come_back() -> None:
    one = One()
    one.set("MAJOR")
    one.logic.suppress(seen=True)
    assert one.set("OK") == "OK"
    one.logic.resume()
    assert one.alarm == "OK"
    one.set("MAJOR", "OK")
    one.logic.suppress(seen=True)
    assert one.alarm == "OK", "the PV is OK already: whoever shelves it, has seen it"


def test_an_acknowledgement_while_suppressed_takes_the_kept_latch_away() -> None:
    one = One()
    one.set("MAJOR")
    one.logic.suppress(seen=False)
    one.set("OK")
    assert one.logic.can_acknowledge()
    one.ack()
    one.logic.resume()
    assert one.alarm == "OK"


# -- disabling, edits ------------------------------------------------------------------------------------------------


def test_a_disabled_alarm_has_no_timers_and_forgets() -> None:
    one = One(LeafConfig(delay=5), off_delay=5)
    one.set("MAJOR")
    one.logic.disable()
    one.logic.disable()
    assert one.clock.pending == 0
    assert one.wait(10) == "OK"
    one.logic.enable()
    one.logic.enable()
    assert one.alarm == "OK"
    assert one.wait(5) == "MAJOR"
    one.set("OK")
    one.logic.disable()
    assert one.clock.pending == 0
    one.logic.enable()
    assert one.alarm == "OK"


def test_enabled_before_its_pv_has_said_anything() -> None:
    one = One()
    one.logic.disable()
    one.logic.enable()
    assert (one.alarm, one.logic.current.message) == ("OK", "")


@pytest.mark.parametrize("compatible", [False, True])
def test_an_acknowledgement_right_after_the_rise_is_no_rise_but_in_phoebus(compatible: bool) -> None:
    one = One(compatible=compatible)
    assert (one.set("MAJOR"), one.logic.latch) == ("MAJOR", True)
    assert (one.ack(), one.logic.latch) == ("MAJOR_ACK", compatible)
    assert (one.set("MINOR"), one.logic.latch) == ("MAJOR_ACK", False)
    assert (one.ack(False), one.ack(), one.logic.latch) == ("MINOR", "MINOR_ACK", False)


def test_an_edit_keeps_the_latch_and_compatible_begins_anew() -> None:
    one = One()
    one.set("MAJOR", "OK")
    one.logic.config = LeafConfig(delay=3)
    one.logic.reconfigured(LeafConfig())
    assert one.alarm == "MAJOR"
    one.logic.config = LeafConfig(latching=False)
    one.logic.reconfigured(LeafConfig())
    assert one.alarm == "OK", "an alarm that latches no more, of a PV that is OK"
    one = One(compatible=True)
    one.set("MAJOR", "OK")
    one.logic.restart()
    assert one.alarm == "OK"
    one.set("MAJOR")
    one.logic.restart()
    assert one.raised == ["MAJOR", "MAJOR", "MAJOR"]


def test_an_edit_of_delays_while_they_run() -> None:
    one = One(LeafConfig(delay=10))
    one.set("MAJOR")
    one.logic.config = LeafConfig(delay=4)
    one.logic.reconfigured(LeafConfig(delay=10))
    assert one.wait(3.5) == "OK"
    assert one.wait(1) == "MAJOR"
    one = One(LeafConfig(latching=False), off_delay=10)
    one.set("MAJOR", "OK")
    one.logic.off_delay = 0
    one.logic.reconfigured(one.config)
    assert one.alarm == "OK"
    assert one.clock.pending == 0


def test_maintenance_is_over() -> None:
    one = One()
    one.set("INVALID")
    one.logic.set_maintenance(True)
    assert one.alarm == "INVALID_ACK"
    assert one.set("MAJOR") == "MAJOR", "it has left what maintenance explains"
    one.logic.set_maintenance(False)
    assert one.set("INVALID") == "INVALID"
    assert one.raised == ["INVALID", "MAJOR", "INVALID"]
    assert one.clock.now_ns() % SECOND
