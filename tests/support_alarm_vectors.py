"""The conformance vectors that Phoebus' own unit tests amount to, for the logic alone and for its records over Kafka.

A step is one of: `SEV` or `SEV/message` (the PV says so), `ack`, `unack`, `disable`, `enable`, `maintenance`, `+s`.
Then `->` what the alarm is, with `A` when it was announced by the step, `=` when nothing was published, `!n` for n
publications.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iocs.alarm.tree.items import LeafConfig

LATCHING, UNLATCHED = LeafConfig(), LeafConfig(latching=False)

VECTORS = {
    "1 latching": (LATCHING, """
        MINOR -> MINOR A; MAJOR -> MAJOR A; MAJOR/other -> MAJOR !1; ack -> MAJOR_ACK; MINOR -> MAJOR_ACK; OK -> OK"""),
    "2 latched": (LATCHING, """
        MINOR -> MINOR A; MAJOR -> MAJOR A; MINOR -> MAJOR; OK -> MAJOR; ack -> OK"""),
    "3 acknowledged and worse": (LATCHING, """
        MAJOR -> MAJOR A; ack -> MAJOR_ACK; INVALID -> INVALID A; MAJOR -> INVALID; ack -> MAJOR_ACK;
        UNDEFINED -> UNDEFINED A; ack -> UNDEFINED_ACK; MAJOR -> UNDEFINED_ACK; OK -> OK"""),
    "4 acknowledgement taken back": (LATCHING, """
        MAJOR -> MAJOR A; UNDEFINED -> UNDEFINED A; ack -> UNDEFINED_ACK; MAJOR -> UNDEFINED_ACK; unack -> MAJOR;
        ack -> MAJOR_ACK; OK -> OK"""),
    "5 acknowledged when better": (LATCHING, """
        MAJOR -> MAJOR A; MINOR -> MAJOR; ack -> MINOR_ACK; MAJOR -> MAJOR A; MINOR -> MAJOR; ack -> MINOR_ACK;
        OK -> OK"""),
    "6 unlatched": (UNLATCHED, """
        MAJOR -> MAJOR A; MINOR -> MINOR; MAJOR -> MAJOR A; ack -> MAJOR_ACK; MINOR -> MAJOR_ACK; OK -> OK"""),
    "7 over before the delay": (LeafConfig(delay=2), """
        MAJOR -> OK; +0.9 -> OK; OK -> OK; +10 -> OK ="""),
    "8 delay, latching": (LeafConfig(delay=2), """
        MINOR -> OK; MAJOR -> OK; MINOR -> OK; +3 -> MAJOR A"""),
    "9 delay, unlatched": (LeafConfig(latching=False, delay=2), """
        MAJOR -> OK; MINOR -> OK; +3 -> MINOR A"""),
    "10 ten short alarms": (
        LeafConfig(delay=2), "; ".join(["MAJOR -> OK; +0.998 -> OK; OK -> OK"] * 10) + "; +9 -> OK"),
    "11 count": (LeafConfig(delay=200, count=3), """
        MINOR -> OK; OK -> OK; MINOR -> OK; OK -> OK; MINOR -> MINOR A; OK -> MINOR; ack -> OK; +300 -> OK ="""),
    "12 messages": (LATCHING, """
        INVALID/Disconnected -> INVALID A; INVALID/Timeout -> INVALID !1; INVALID/Timeout -> INVALID ="""),
    "13 disabled": (LATCHING, """
        disable -> OK !1; MINOR -> OK =; enable -> MINOR A; MAJOR -> MAJOR A; disable -> OK !1; enable -> MAJOR A"""),
    "14 maintenance": (UNLATCHED, """
        maintenance -> OK; MINOR -> MINOR A; INVALID -> INVALID_ACK; MINOR -> MINOR A"""),
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    text: str
    what: str
    severity: str
    """Of the alarm, afterwards."""
    announced: bool
    published: int | None
    """None: not said."""


def steps_of(text: str) -> Iterator[Step]:
    """The steps of a vector."""
    for step in text.split(";"):
        what, _, expected = (part.strip() for part in step.partition("->"))
        severity, *marks = expected.split()
        published = None
        for mark in marks:
            if mark == "=":
                published = 0
            elif mark.startswith("!"):
                published = int(mark[1:])
        yield Step(step.strip(), what, severity, "A" in marks, published)
