"""Masks: what is a consequence of another alarm does not count, but what came first stays visible."""

from __future__ import annotations

from support_alarm_core import FRED, Stand, leaf_item

from iocs.alarm.tree.items import Extras

CRATE = Extras(masked_by="/DEMO/HV/Crate")
AREA = Extras(masked_by="/DEMO/HV")


def states(at: Stand, *pvs: str) -> list[str]:
    return [at.state(pv).removeprefix("Normal") for pv in pvs]


def crate() -> Stand:
    return Stand([leaf_item("Crate"), *(leaf_item(pv, extras=CRATE) for pv in ("A", "B", "C"))])


def test_consequences_are_masked_and_raised_if_they_stay() -> None:
    at = crate()
    at.set("Crate", "MAJOR")
    assert states(at, "A", "B", "C") == ["Masked"] * 3
    for pv in ("A", "B"):
        at.set(pv, "MAJOR")
    assert at.record.texts == ["MAJOR Alarm: Crate"]
    assert at.counts() == ("MAJOR", 1, 0, 3, 4)
    at.tree.acknowledge("/DEMO", FRED)
    assert states(at, "A") == ["Masked"], "it is known of, but still so"
    at.set("A", "OK")
    at.set("Crate", "OK")
    assert states(at, "Crate", "A", "B", "C") == ["", "", "Active", ""]
    assert at.record.texts == ["MAJOR Alarm: Crate", "MAJOR Alarm: B"]


def test_a_consequence_is_not_said_before_what_waits_for_its_delay() -> None:
    at = Stand([leaf_item("Crate", delay=5), leaf_item("A", extras=CRATE)])
    at.set("Crate", "MAJOR")
    at.clock.advance(1)
    at.set("A", "MAJOR")
    assert states(at, "Crate", "A") == ["OnDelayed", "Masked"]
    at.clock.advance(4)
    assert (states(at, "Crate", "A"), at.record.texts) == (["Active", "Masked"], ["MAJOR Alarm: Crate"])
    at = Stand([leaf_item("Crate", delay=5), leaf_item("A", extras=CRATE)])
    at.set("Crate", "MAJOR")
    at.set("A", "MAJOR")
    at.set("Crate", "OK")
    assert at.record.texts == ["MAJOR Alarm: A"], "that was no reason"


def test_a_lost_connection_is_a_consequence_of_another_whichever_is_noticed_first() -> None:
    at = crate()
    for pv in ("B", "A", "Crate", "C"):
        at.lose(pv)
        at.clock.advance(2)
    assert at.record.texts == ["UNDEFINED Alarm: B", "UNDEFINED Alarm: A", "UNDEFINED Alarm: Crate"]
    assert states(at, "Crate", "A", "B", "C") == ["Active", "Masked", "Masked", "Masked"]
    assert at.counts() == ("UNDEFINED", 1, 0, 3, 4)
    for pv in ("B", "A", "C", "Crate"):
        at.set(pv, "OK")
    at.tree.acknowledge("/DEMO/HV/Crate", FRED)
    assert states(at, "Crate", "C") == ["", ""]
    assert states(at, "A", "B") == ["ActiveLatched", "ActiveLatched"], "these were seen before the mask came"
    at = crate()
    at.set("A", "MAJOR", seconds=-0.5)
    at.lose("Crate")
    assert states(at, "A") == ["Active"], "this one is another matter"


def test_an_ioc_that_is_gone_is_one_alarm_in_whatever_order_its_pvs_are_lost() -> None:
    at = Stand([leaf_item("Crate", delay=5), *(leaf_item(pv, extras=CRATE) for pv in ("A", "B", "C"))])
    for pv in ("B", "A", "Crate", "C"):
        at.lose(pv)
        at.clock.advance(0.01)
    at.clock.advance(1)
    assert states(at, "Crate", "A", "B", "C") == ["OnDelayed", "Masked", "Masked", "Masked"]
    assert [at.alarm(pv) for pv in "ABC"] == ["UNDEFINED"] * 3
    at.clock.advance(10)
    assert at.record.texts == ["UNDEFINED Alarm: Crate"]
    for pv in ("B", "A", "Crate", "C"):
        at.set(pv, "OK")
    at.tree.acknowledge("/DEMO", FRED)
    assert states(at, "Crate", "A", "B", "C") == ["", "", "", ""]
    assert len(at.record.texts) == 1


def test_a_pv_that_does_not_come_back_with_its_ioc() -> None:
    at = crate()
    at.lose("Crate")
    at.lose("A")
    at.lose("B")
    at.set("Crate", "OK")
    at.clock.advance(4.9)
    assert states(at, "A", "B") == ["Masked", "Masked"]
    at.set("B", "MAJOR")
    assert at.record.texts == ["UNDEFINED Alarm: Crate", "MAJOR Alarm: B"]
    at.clock.advance(0.2)
    assert at.record.texts == ["UNDEFINED Alarm: Crate", "MAJOR Alarm: B", "UNDEFINED Alarm: A"]
    at.clock.advance(100)
    assert at.clock.pending == 0


def test_a_pv_that_is_back_at_once_was_not_lost() -> None:
    at = crate()
    at.lose("A")
    at.lose("A")
    at.clock.advance(0.1)
    at.set("A", "MINOR")
    at.clock.advance(10)
    assert at.record.texts == ["MINOR Alarm: A"]
    at.lose("A")
    at.tree.remove("/DEMO/HV/A", FRED)
    at.lose("B")
    at.tree.stop()
    at.clock.advance(10)
    assert at.record.texts == ["MINOR Alarm: A"]
    assert at.clock.pending == 0


def test_an_alarm_that_is_only_latched_masks_nothing() -> None:
    at = crate()
    at.set("Crate", "MAJOR")
    at.set("A", "MAJOR")
    at.set("Crate", "OK")
    assert states(at, "Crate", "A") == ["ActiveLatched", "Active"]


def test_the_first_out_stays_visible() -> None:
    """The channel that broke the crate must not be hidden by the crate."""
    at = crate()
    at.set("C", "MINOR", seconds=-60)
    at.set("B", "MAJOR", seconds=-0.3)
    at.set("A", "MAJOR", seconds=-0.5)
    at.set("Crate", "MAJOR")
    assert states(at, "A", "B", "C") == ["Active", "Masked", "Active"]
    assert at.counts() == ("MAJOR", 3, 0, 1, 4)
    assert at.leaf("A").first_out
    at.tree.acknowledge("/DEMO/HV/A", FRED)
    at.set("A", "OK")
    assert states(at, "A") == ["Masked"], "what comes again is a consequence"


def test_a_source_that_is_disabled_masks_nothing_and_one_that_is_shelved_does() -> None:
    at = crate()
    at.set("Crate", "MAJOR")
    at.set("A", "MAJOR")
    at.tree.shelve("/DEMO/HV/Crate", FRED, "repair", at.after(60))
    assert states(at, "A") == ["Masked"]
    at.tree.disable("/DEMO/HV/Crate", FRED)
    assert states(at, "A") == ["Active"]
    at.tree.enable("/DEMO/HV/Crate", FRED)
    assert states(at, "B") == ["Masked"]


def test_a_chain_of_masks() -> None:
    at = Stand([
        leaf_item("Mains"),
        leaf_item("Crate", extras=Extras(masked_by="/DEMO/HV/Mains")),
        leaf_item("A", extras=CRATE),
    ])  # fmt: skip
    at.set("Mains", "MAJOR")
    at.set("Crate", "MAJOR")
    at.set("A", "MAJOR")
    assert states(at, "Mains", "Crate", "A") == ["Active", "Masked", "Masked"]
    at.set("Mains", "OK")
    assert states(at, "Crate", "A") == ["Active", "Masked"]
    at.set("Crate", "OK")
    assert states(at, "A") == ["Active"]


def test_of_alarms_that_mask_each_other_one_is_visible() -> None:
    at = Stand([
        leaf_item("A", extras=Extras(masked_by="/DEMO/HV/B")),
        leaf_item("B", extras=Extras(masked_by="/DEMO/HV/C")),
        leaf_item("C", extras=Extras(masked_by="/DEMO/HV/A")),
    ])  # fmt: skip
    for order in ("ABC", "CBA", "BCA"):
        for pv in order:
            at.set(pv, "MAJOR")
        assert "Active" in states(at, *order)
        for pv in order:
            at.set(pv, "OK")
            if pv != order[-1]:
                assert "Active" in states(at, *order)
        at.tree.acknowledge("/DEMO", FRED)
        assert states(at, *order) == ["", "", ""]


def test_an_area_masks_others_and_its_own() -> None:
    at = Stand([leaf_item("A", extras=AREA), leaf_item("B", extras=AREA), leaf_item("X", "TEMP", extras=AREA)])
    at.set("A", "MINOR")
    assert states(at, "A", "B", "X") == ["Active", "Masked", "Masked"]
    at.set("B", "MAJOR")
    at.set("X", "MAJOR")
    assert at.counts() == ("MINOR", 1, 0, 2, 3)
    at.set("A", "OK")
    assert states(at, "A", "B", "X") == ["ActiveLatched", "Active", "Masked"], "B is what the area is in alarm by now"
    assert at.record.texts[-1] == "MAJOR Alarm: B"
    at.tree.acknowledge("/DEMO/HV", FRED)
    at.set("A", "MAJOR")
    assert states(at, "A", "B", "X") == ["Masked", "Acknowledged", "Masked"]
    at.set("B", "OK")
    assert states(at, "A", "B", "X") == ["Active", "Masked", "Masked"], "one after the other is unmasked"
    at.set("A", "OK")
    assert states(at, "A", "B", "X") == ["ActiveLatched", "", "Active"]


def test_an_area_of_masked_alarms_masks_no_further() -> None:
    at = Stand([
        leaf_item("Crate", "POWER"), leaf_item("A", extras=Extras(masked_by="/DEMO/POWER")),
        leaf_item("X", "TEMP", extras=AREA),
    ])  # fmt: skip
    at.set("Crate", "MAJOR")
    at.set("A", "MAJOR")
    at.set("X", "MAJOR")
    assert states(at, "A", "X") == ["Masked", "Active"]


def test_edits_of_masks() -> None:
    at = crate()
    at.set("Crate", "MAJOR")
    at.set("A", "MAJOR")
    at.tree.put(leaf_item("A"), FRED)
    assert states(at, "A") == ["Active"]
    at.tree.put(leaf_item("A", extras=Extras(masked_by="/DEMO/HV/B")), FRED)
    at.tree.remove("/DEMO/HV/Crate", FRED)
    assert states(at, "A", "B", "C") == ["Active", "", ""]
    at.tree.put(leaf_item("Crate"), FRED)
    at.set("Crate", "MAJOR")
    assert states(at, "A", "B", "C") == ["Active", "Masked", "Masked"]
    at.tree.remove("/DEMO/HV", FRED)
    assert at.counts() == ("OK", 0, 0, 0, 0)
    at.tree.put(leaf_item("A", extras=CRATE), FRED)
    assert states(at, "A") == [""], "what would mask it is not there"


def test_an_alarm_put_below_its_mask_is_masked_at_once() -> None:
    at = crate()
    at.set("Crate", "MAJOR")
    at.tree.put(leaf_item("D", extras=CRATE), FRED)
    assert states(at, "D") == ["Masked"]
    at.set("D", "MAJOR")
    assert at.record.texts == ["MAJOR Alarm: Crate"]
