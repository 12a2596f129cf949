"""Physics of a simulated N1470, driven with explicit time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iocs.hv.model import Board, BoardAlarm, Line
from iocs.hv.model_channel import Channel, Mask, Noise, Status


def make(megohms: float = 100.0, leakage: float = 0.0, **settings: object) -> tuple[Line, Channel]:
    """One board alone on a line, with its channel 0 set up; TRIP is for ever unless said otherwise."""
    line = Line([Board(0)])
    channel = line.boards[0].channels[0]
    channel.set_load(megohms, leakage)
    channel.rup = channel.rdw = 100.0
    channel.set_trip(1000.0)
    for name, value in settings.items():
        setattr(channel, name, value)
    return line, channel


def bits(channel: Channel) -> Status:
    return Status(channel.status)


def at(volts: float, **settings: object) -> tuple[Line, Channel]:
    """A channel that has arrived at `volts`."""
    line, channel = make(**settings)  # type: ignore[arg-type]
    channel.set_vset(volts)
    channel.switch_on()
    line.advance(volts / channel.rup + 1)
    assert channel.voltage == pytest.approx(min(volts, channel.limit_voltage))
    return line, channel


class TestRamps:
    def test_up_arrives_in_time(self) -> None:
        line, channel = make(vset=1500.0)
        assert bits(channel) == 0
        channel.switch_on()
        assert bits(channel) == Status.ON | Status.RUP
        line.advance(7.5)
        assert channel.vmon == pytest.approx(750.0)
        assert channel.imon == pytest.approx(7.5)
        line.advance(7.4)
        assert bits(channel) == Status.ON | Status.RUP
        line.advance(0.1 + 1e-6)
        assert channel.vmon == 1500.0
        assert bits(channel) == Status.ON

    def test_down_at_the_other_rate(self) -> None:
        line, channel = at(1000.0)
        channel.rdw = 50.0
        channel.set_vset(800.0)
        line.advance(2.0)
        assert channel.vmon == pytest.approx(900.0)
        assert bits(channel) == Status.ON | Status.RDW
        line.advance(2.0 + 1e-6)
        assert bits(channel) == Status.ON
        assert channel.vmon == 800.0

    def test_a_new_target_on_the_way_turns_round(self) -> None:
        line, channel = make(vset=1000.0)
        channel.switch_on()
        line.advance(3.0)
        channel.set_vset(200.0)
        assert Status.RDW in bits(channel)
        line.advance(1.0 + 1e-6)
        assert channel.vmon == 200.0

    def test_off_ramps_or_kills(self) -> None:
        for ramp, after in ((True, 900.0), (False, 0.0)):
            line, channel = at(1000.0, pdwn_ramp=ramp)
            channel.switch_off()
            line.advance(1.0)
            assert channel.vmon == pytest.approx(after)
            assert bits(channel) == (Status.RDW if ramp else Status(0))

    def test_on_while_falling_goes_up_again(self) -> None:
        line, channel = at(1000.0, pdwn_ramp=True)
        channel.switch_off()
        line.advance(3.0)
        channel.switch_on()
        line.advance(1.0)
        assert channel.vmon == pytest.approx(800.0)

    def test_off_does_not_hurry_a_channel_that_is_off(self) -> None:
        line, channel = at(1000.0, pdwn_ramp=True)
        channel.switch_off()
        channel.pdwn_ramp = False
        channel.switch_off()
        line.advance(1.0)
        assert channel.vmon == pytest.approx(900.0)

    @given(
        cuts=st.lists(st.floats(1e-4, 5.0), min_size=1, max_size=12),
        megohms=st.sampled_from([1.0, 20.0, 100.0, math.inf]),
        trip=st.sampled_from([0.0, 0.3, 2.0, 1000.0]),
        ramp=st.booleans(),
        sparks=st.sampled_from([0.0, 0.5]),
    )
    @settings(deadline=None, max_examples=60)
    def test_any_steps_give_the_same(
        self, cuts: list[float], megohms: float, trip: float, ramp: bool, sparks: float
    ) -> None:
        seen = []
        for steps in ([sum(cuts)], cuts):
            line, channel = make(megohms, vset=700.0, iset=30.0, pdwn_ramp=ramp)
            line.noise.sparks = sparks
            line.seed(7)
            channel.set_trip(trip)
            channel.switch_on()
            for step in steps:
                line.advance(step)
            seen.append((channel.on, channel.tripped, channel.alarmed, channel.voltage))
        assert seen[0][:3] == seen[1][:3]
        assert seen[0][3] == pytest.approx(seen[1][3], abs=1e-3)

    @given(data=st.data())
    @settings(deadline=None, max_examples=60)
    def test_nothing_leaves_its_limits(self, data: st.DataObject) -> None:
        line, channel = make()
        line.noise = Noise(volts=0.1, microamps=0.1, sparks=2.0)
        volts, amps = st.floats(0, 8000), st.floats(0, 3000)
        for _ in range(data.draw(st.integers(1, 12))):
            match data.draw(st.sampled_from(["on", "off", "vset", "iset", "maxv", "load", "trip", "heat", "clear"])):
                case "on":
                    channel.switch_on()
                case "off":
                    channel.switch_off()
                case "vset":
                    channel.set_vset(data.draw(volts))
                case "iset":
                    channel.set_iset(data.draw(amps))
                case "maxv":
                    channel.set_maxv(data.draw(volts))
                case "load":
                    channel.set_load(data.draw(st.sampled_from([0.0, 0.01, 1.0, 100.0, math.inf])))
                case "trip":
                    channel.set_trip(data.draw(st.sampled_from([0.0, 0.1, 5.0, 1000.0])))
                case "heat":
                    channel.heat(data.draw(st.floats(-40, 200)))
                case "clear":
                    line.boards[0].clear_alarms()
            line.advance(data.draw(st.floats(0, 20)))
            assert 0.0 <= channel.voltage <= 8000.0
            assert channel.current <= channel.iset * (1 + 1e-9)
            assert 0 <= channel.status < 1 << 14
            assert not (channel.tripped and channel.on)
            assert channel.vmon >= 0.0
            assert channel.imon >= 0.0


class TestCurrent:
    def test_load_and_leakage(self) -> None:
        _, channel = at(2000.0, leakage=0.5)
        assert channel.imon == pytest.approx(21.0)

    def test_nothing_connected(self) -> None:
        _, channel = at(2000.0, megohms=math.inf)
        assert channel.imon == pytest.approx(0.0, abs=1e-4)
        assert bits(channel) == Status.ON

    def test_constant_current_for_ever(self) -> None:
        line, channel = at(1000.0, iset=5.0)
        line.advance(1e5)
        assert bits(channel) == Status.ON | Status.OVC | Status.RUP | Status.UNV
        assert channel.vmon == pytest.approx(500.0)
        assert channel.imon == pytest.approx(5.0)

    def test_a_load_that_grows_drags_the_voltage_down_and_lets_it_back(self) -> None:
        line, channel = at(1000.0, iset=50.0)
        channel.set_load(1.0)
        line.advance(0.1)
        assert channel.vmon == pytest.approx(50.0)
        assert bits(channel) == Status.ON | Status.OVC | Status.UNV
        channel.set_load(100.0)
        line.advance(0.1)
        assert channel.vmon == 1000.0
        assert bits(channel) == Status.ON

    def test_ramp_waits_in_current_limit_and_goes_on(self) -> None:
        line, channel = make(10.0, vset=1000.0, iset=50.0)
        channel.switch_on()
        line.advance(60.0)
        assert channel.vmon == pytest.approx(500.0)
        channel.set_load(100.0)
        line.advance(1.0)
        assert channel.vmon == pytest.approx(600.0)

    def test_more_iset_ends_it(self) -> None:
        line, channel = at(1000.0, iset=5.0)
        channel.set_iset(20.0)
        line.advance(5.0 + 1e-6)
        assert bits(channel) == Status.ON
        assert channel.vmon == 1000.0

    def test_iset_zero_gives_nothing(self) -> None:
        line, channel = make(vset=1000.0, iset=0.0)
        channel.switch_on()
        line.advance(10.0)
        assert channel.vmon == 0.0
        assert Status.OVC in bits(channel)
        channel.set_vset(0.0)
        line.advance(1.0)
        assert bits(channel) == Status.ON  # a reserve channel, on at 0 V, is no alarm

    def test_short_circuit(self) -> None:
        line, channel = at(1000.0)
        channel.set_load(0.0)
        line.advance(0.1)
        assert channel.vmon < 0.001
        assert channel.imon == pytest.approx(channel.iset)

    def test_low_range_saturates(self) -> None:
        _, channel = at(1000.0, megohms=2.0, iset=1000.0)
        assert channel.imon == pytest.approx(500.0)
        channel.set_low_range(True)
        assert channel.imon == 300.0
        channel.set_low_range(False)
        assert channel.imon == pytest.approx(500.0)

    def test_noise(self) -> None:
        line, channel = at(1000.0)
        line.noise.volts, line.noise.microamps = 1.0, 0.1
        values = []
        for _ in range(200):
            line.advance(0.02)
            values.append((channel.vmon, channel.imon))
        mean = sum(v for v, _ in values) / len(values)
        assert 999.5 < mean < 1000.5
        assert len({v for v, _ in values}) > 100
        assert 9.9 < sum(i for _, i in values) / len(values) < 10.1

    def test_a_channel_that_is_off_reads_zero_with_noise(self) -> None:
        line, channel = make()
        line.noise.volts = line.noise.microamps = 1.0
        line.advance(1.0)
        assert (channel.vmon, channel.imon) == (0.0, 0.0)


class TestTrip:
    def over(self, trip: float, **more: object) -> tuple[Line, Channel]:
        """At 1000 V, then a short to 5 MOhm at 50 uA."""
        line, channel = at(1000.0, iset=50.0, **more)
        channel.set_trip(trip)
        channel.set_load(5.0)
        return line, channel

    def test_after_its_time(self) -> None:
        line, channel = self.over(0.5)
        line.advance(0.49)
        assert bits(channel) == Status.ON | Status.OVC | Status.UNV
        line.advance(0.02)
        assert bits(channel) & ~Status.RDW == Status.TRIP
        line.advance(1.0)
        assert bits(channel) == Status.TRIP
        assert channel.vmon == 0.0

    def test_ramps_down_when_told_to(self) -> None:
        line, channel = self.over(0.5, pdwn_ramp=True)
        line.advance(1.5)
        assert bits(channel) == Status.TRIP | Status.RDW
        assert channel.vmon == pytest.approx(150.0)  # from 250 V, one second at 100 V/s

    def test_at_once_with_zero(self) -> None:
        line, channel = self.over(0.0)
        line.advance(1e-3)
        assert channel.tripped

    def test_counter_reloads_when_trip_is_written(self) -> None:
        line, channel = self.over(0.5)
        for _ in range(5):
            line.advance(0.4)
            channel.set_trip(0.5)
        assert not channel.tripped
        line.advance(0.5 + 1e-6)
        assert channel.tripped

    def test_counter_reloads_when_alarms_are_cleared(self) -> None:
        line, channel = self.over(0.5)
        line.advance(0.4)
        line.boards[0].clear_alarms()
        line.advance(0.4)
        assert not channel.tripped

    def test_counter_reloads_when_switched_on(self) -> None:
        line, channel = self.over(0.5)
        line.advance(0.4)
        channel.switch_on()
        line.advance(0.4)
        assert not channel.tripped
        assert channel.trip_left == pytest.approx(0.1)

    def test_counter_reloads_when_the_over_current_ends(self) -> None:
        line, channel = self.over(0.5)
        for _ in range(5):
            line.advance(0.4)
            channel.set_load(100.0)
            line.advance(0.001)
            channel.set_load(5.0)
        assert not channel.tripped
        line.advance(0.5 + 1e-6)
        assert channel.tripped

    def test_latched_until_on(self) -> None:
        line, channel = self.over(0.5)
        line.advance(100.0)
        channel.switch_off()
        channel.set_load(100.0)
        line.advance(100.0)
        assert bits(channel) == Status.TRIP
        channel.switch_on()
        line.advance(10.0 + 1e-6)
        assert bits(channel) == Status.ON
        assert channel.vmon == 1000.0

    def test_latched_until_cleared(self) -> None:
        line, channel = self.over(0.5)
        line.advance(100.0)
        line.boards[0].clear_alarms()
        line.advance(1.0)
        assert bits(channel) == 0
        assert line.boards[0].alarm == 0

    def test_a_spark_shorter_than_the_trip_time(self) -> None:
        line, channel = at(1000.0, iset=50.0)
        channel.set_trip(0.2)
        channel.spark(0.1, factor=10.0)
        line.advance(0.05)
        assert channel.vmon == pytest.approx(500.0)
        assert channel.imon == pytest.approx(50.0)
        line.advance(0.1)
        assert bits(channel) == Status.ON
        assert channel.vmon == 1000.0
        assert channel.alarmed

    def test_a_spark_longer_than_the_trip_time(self) -> None:
        line, channel = at(1000.0, iset=50.0)
        channel.set_trip(0.2)
        channel.spark(0.3)
        line.advance(0.25)
        assert channel.tripped

    def test_random_sparks_come_at_their_rate_and_by_seed(self) -> None:
        def dips(seed: int) -> list[int]:
            line, channel = at(1000.0, iset=50.0)
            line.noise.sparks = 2.0
            line.seed(seed)
            seen = []
            for step in range(5000):
                line.advance(0.01)
                if channel.voltage < 1000.0:
                    seen.append(step)
            return seen

        first = dips(1)
        assert dips(1) == first
        assert dips(2) != first
        starts = [step for step in first if step - 1 not in first]
        assert 50 < len(starts) < 150  # 100 expected in 50 s

    def test_no_sparks_without_voltage(self) -> None:
        line, channel = make(vset=50.0)
        channel.switch_on()
        line.noise.sparks = 50.0
        line.advance(60.0)
        assert not channel.alarmed


class TestVoltageAlarms:
    def test_masks(self) -> None:
        for mask, up, down in ((Mask.NONE, True, True), (Mask.UP, False, True), (Mask.BOTH, False, False)):
            line, channel = make(vset=1000.0)
            line.boards[0].mask = mask
            channel.switch_on()
            line.advance(1.0)
            assert (Status.UNV in bits(channel)) == up, mask
            line.advance(20.0)
            channel.set_vset(100.0)
            line.advance(1.0)
            assert (Status.OVV in bits(channel)) == down, mask
            line.advance(20.0)
            assert bits(channel) == Status.ON

    def test_threshold_is_250_v(self) -> None:
        line, channel = make(vset=1000.0)
        line.boards[0].mask = Mask.NONE
        channel.switch_on()
        line.advance(7.49)
        assert Status.UNV in bits(channel)
        line.advance(0.02)
        assert Status.UNV not in bits(channel)

    def test_none_when_off(self) -> None:
        line, channel = at(1000.0, pdwn_ramp=True)
        channel.set_vset(0.0)
        channel.switch_off()
        line.advance(1.0)
        assert bits(channel) == Status.RDW

    def test_maxv_clamps(self) -> None:
        line, channel = make()
        channel.set_maxv(900.0)
        channel.set_vset(1000.0)
        channel.switch_on()
        line.advance(20.0)
        assert channel.vset == 1000.0
        assert channel.vmon == 900.0
        assert bits(channel) == Status.ON | Status.MAXV
        channel.set_vset(800.0)
        line.advance(2.0)
        assert bits(channel) == Status.ON

    def test_writing_maxv_lowers_vset(self) -> None:
        line, channel = at(1000.0)
        channel.set_maxv(600.0)
        assert channel.vset == 600.0
        line.advance(4.0 + 1e-6)
        assert channel.vmon == 600.0
        assert bits(channel) == Status.ON
        channel.set_maxv(2000.0)
        assert channel.vset == 600.0


class TestPowerAndHeat:
    def test_ovp_above_3_kv(self) -> None:
        line, channel = at(4000.0, megohms=1.6, iset=3000.0)
        assert channel.power == pytest.approx(10.0)
        assert Status.OVP in bits(channel)
        assert line.boards[0].alarm & BoardAlarm.OVP
        channel.set_vset(3500.0)  # 7.7 W
        line.advance(10.0)
        assert Status.OVP not in bits(channel)
        assert line.boards[0].alarm & BoardAlarm.OVP, "latched"
        line.boards[0].clear_alarms()
        assert line.boards[0].alarm == 0

    def test_output_heats_the_channel(self) -> None:
        line, channel = at(3000.0, megohms=1.5, iset=3000.0)  # 6 W
        line.advance(100.0)
        assert channel.temperature == pytest.approx(60.0, abs=1.0)
        assert Status.OVT not in bits(channel)

    def test_over_temperature_switches_off_and_keeps_off(self) -> None:
        line, channel = at(1000.0, pdwn_ramp=True)
        channel.heat(110.0)
        line.advance(0.2)
        assert bits(channel) == Status.OVT
        assert channel.vmon == 0.0
        channel.switch_on()
        line.advance(1.0)
        assert bits(channel) == Status.OVT
        channel.cool()
        line.advance(30.0)
        assert bits(channel) == 0
        channel.switch_on()
        assert channel.on


class TestFrontPanel:
    def test_interlock_drops_fast_and_stays_off(self) -> None:
        line, channel = at(1000.0, pdwn_ramp=True)
        board = line.boards[0]
        board.set_interlock(True)
        line.advance(0.05)
        assert bits(channel) == Status.RDW | Status.ILK
        assert channel.vmon == pytest.approx(500.0)
        line.advance(0.1)
        assert bits(channel) == Status.ILK
        channel.switch_on()
        assert not channel.on
        board.set_interlock(False)
        line.advance(10.0)
        assert bits(channel) == 0
        channel.switch_on()
        assert channel.on
        assert line.boards[0].channels[1].on is False

    def test_interlock_mode_turns_the_contact_round(self) -> None:
        line, channel = at(1000.0)
        board = line.boards[0]
        assert not board.interlocked
        board.set_interlock_mode(closed=False)
        assert board.interlocked
        line.advance(1.0)
        assert bits(channel) == Status.ILK
        board.set_interlock_mode(closed=True)
        assert not board.interlocked

    @pytest.mark.parametrize(("method", "bit"), [("set_disabled", Status.DIS), ("set_killed", Status.KILL)])
    def test_disable_and_kill(self, method: str, bit: Status) -> None:
        line, channel = at(1000.0, pdwn_ramp=True)
        getattr(channel, method)(True)
        line.advance(0.2)
        assert bits(channel) == bit
        assert channel.vmon == 0.0
        channel.switch_on()
        assert not channel.on
        getattr(channel, method)(False)
        line.advance(1.0)
        assert bits(channel) == 0

    def test_no_calibration(self) -> None:
        line, channel = at(1000.0)
        channel.nocal = True
        line.advance(0.1)
        assert bits(channel) == Status.ON | Status.NOCAL
        assert line.boards[0].alarm == 1


class TestBoard:
    def test_channel_alarm_is_latched_until_cleared(self) -> None:
        line, channel = at(1000.0, iset=50.0)
        other = line.boards[0].channels[2]
        other.nocal = True
        assert line.boards[0].alarm == 0b0100
        channel.spark(0.05)
        line.advance(1.0)
        assert line.boards[0].alarm == 0b0101
        other.nocal = False
        assert line.boards[0].alarm == 0b0101
        line.boards[0].clear_alarms()
        assert line.boards[0].alarm == 0

    def test_clear_forgets_no_live_alarm(self) -> None:
        line, channel = at(1000.0)
        channel.nocal = True
        line.boards[0].clear_alarms()
        assert line.boards[0].alarm == 1

    def test_power_fail(self) -> None:
        line, channel = at(1000.0)
        line.boards[0].set_power_fail(True)
        line.advance(0.2)
        assert channel.vmon == 0.0
        assert line.boards[0].alarm == BoardAlarm.PWFAIL
        line.boards[0].set_power_fail(False)
        assert line.boards[0].alarm == BoardAlarm.PWFAIL
        line.boards[0].clear_alarms()
        assert line.boards[0].alarm == 0

    def test_hv_clock(self) -> None:
        board = Board(0)
        for clock, alarm in ((200.0, 0), (190.0, 0), (189.0, BoardAlarm.HVCKFAIL), (211.0, BoardAlarm.HVCKFAIL)):
            board.clock = clock
            assert board.alarm == alarm

    def test_power_cycle_keeps_settings_only(self) -> None:
        line, channel = at(1000.0, iset=42.0)
        channel.nocal = True
        line.advance(0.1)
        board = line.boards[0]
        board.power_off()
        board.power_on(2.0)
        line.advance(1.9)
        assert not board.running
        line.advance(0.2)
        assert board.running
        assert (channel.vset, channel.iset, channel.on, channel.voltage) == (1000.0, 42.0, False, 0.0)

    def test_power_off_is_for_long(self) -> None:
        line, _ = at(1000.0)
        board = line.boards[0]
        board.power_off()
        line.advance(1e6)
        assert not board.running
        board.power_on(0.0)
        assert board.running

    def test_line_refuses_bad_numbers_and_time_that_goes_back(self) -> None:
        for numbers in ((0, 0), (32,), (-1,)):
            with pytest.raises(ValueError, match="board numbers"):
                Line([Board(n) for n in numbers])
        for dt in (-1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match="time"):
                Line([Board(0)]).advance(dt)
