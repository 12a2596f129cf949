"""What a status word means for State and its severity, and that every PV is declared as the house wants it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iocs.hv.protocol import Status as Bit
from iocs.hv.pvs import BIT_SEVERITY, ChannelState, HvBoard, HvChannel, HvGroup, HvLine, alarm_of, state_of
from owlshift.ioc import AlarmStatus, Severity


@pytest.mark.parametrize(
    ("word", "state", "severity"),
    [
        (0, ChannelState.Off, None),
        (Bit.ON, ChannelState.On, None),
        (Bit.ON | Bit.RUP, ChannelState.RampUp, None),
        (Bit.ON | Bit.RUP | Bit.UNV, ChannelState.RampUp, None),
        (Bit.ON | Bit.RDW | Bit.OVV, ChannelState.RampDown, None),
        (Bit.RDW, ChannelState.RampDown, None),
        (Bit.ON | Bit.OVV, ChannelState.OverVoltage, Severity.MAJOR),
        (Bit.ON | Bit.UNV, ChannelState.UnderVoltage, Severity.MINOR),
        (Bit.ON | Bit.OVC, ChannelState.OverCurrent, Severity.MINOR),
        (Bit.ON | Bit.OVC | Bit.UNV, ChannelState.OverCurrent, Severity.MINOR),
        (Bit.TRIP, ChannelState.Trip, Severity.MAJOR),
        (Bit.TRIP | Bit.RDW, ChannelState.Trip, Severity.MAJOR),
        (Bit.TRIP | Bit.ILK, ChannelState.Interlock, Severity.MAJOR),
        (Bit.DIS, ChannelState.Disabled, Severity.MINOR),
        (Bit.DIS | Bit.OVP, ChannelState.OverPower, Severity.MAJOR),
        (Bit.ON | Bit.NOCAL, ChannelState.NotCalibrated, Severity.MINOR),
    ],
)
def test_the_gravest_bit_wins(word, state, severity):
    assert state_of(int(word)) is state
    assert alarm_of(int(word)) == (None if severity is None else (AlarmStatus.STATE, severity))


@given(st.integers(0, 2**31 - 1))
def test_any_word_has_a_state(word):
    state_of(word)
    alarm = alarm_of(word)
    if word & (Bit.TRIP | Bit.OVP | Bit.OVT | Bit.KILL | Bit.ILK):
        assert alarm == (AlarmStatus.STATE, Severity.MAJOR)
    assert alarm is None or alarm[1] in BIT_SEVERITY.values()


@pytest.mark.parametrize("device", [HvBoard, HvChannel, HvGroup, HvLine])
def test_every_pv_says_what_it_is(device):
    for name, declaration in device.declarations.items():
        assert 0 < len(declaration.doc) <= 40, f"{name}: a DESC has room for 40 characters"
        if declaration.kind == "setpoint":
            assert declaration.asg in ("OPERATOR", "EXPERT"), f"{name}: who may write?"
            saved_by_device = f"{name}_RBV" in device.declarations and name != "Mult"
            assert declaration.save or saved_by_device, f"{name}: lost in a restart"
