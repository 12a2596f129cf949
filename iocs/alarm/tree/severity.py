"""The nine alarm severities of Phoebus, and how those of Channel Access become such.

Order and names are the wire's: `sevrpv:` actions write the number, Kafka records the name.
"""

from __future__ import annotations

import enum


class AlarmSeverity(enum.IntEnum):
    """Severities of alarms in the order in which an area shows the worst of its alarms."""

    OK = 0
    MINOR_ACK = 1
    MAJOR_ACK = 2
    INVALID_ACK = 3
    UNDEFINED_ACK = 4
    MINOR = 5
    MAJOR = 6
    INVALID = 7
    UNDEFINED = 8

    @property
    def active(self) -> bool:
        """It waits for somebody: neither OK nor acknowledged."""
        return self >= AlarmSeverity.MINOR

    @property
    def acknowledged(self) -> AlarmSeverity:
        """The same once somebody has acknowledged it."""
        return AlarmSeverity(self - 4) if self.active else self

    @property
    def unacknowledged(self) -> AlarmSeverity:
        """The same before anybody acknowledged it."""
        return AlarmSeverity(self + 4) if AlarmSeverity.OK < self < AlarmSeverity.MINOR else self

    @property
    def priority(self) -> int:
        """Which of two alarm states wins: MINOR above OK, its acknowledgement above that, then MAJOR …, up to 8."""
        level = self.acknowledged.value
        return 0 if not level else 2 * level - (1 if self.active else 0)

    @property
    def epics(self) -> int:
        """The EPICS severity of a PV that shows it: 0 unless it is active; UNDEFINED shows as INVALID."""
        return min(self - 4, 3) if self.active else 0


FROM_EPICS = (AlarmSeverity.OK, AlarmSeverity.MINOR, AlarmSeverity.MAJOR, AlarmSeverity.INVALID)
"""By the severity of Channel Access (0 to 3); anything else is UNDEFINED."""

STATUS = (
    "NO_ALARM", "READ_ALARM", "WRITE_ALARM", "HIHI_ALARM", "HIGH_ALARM", "LOLO_ALARM", "LOW_ALARM", "STATE_ALARM",
    "COS_ALARM", "COMM_ALARM", "TIMEOUT_ALARM", "HW_LIMIT_ALARM", "CALC_ALARM", "SCAN_ALARM", "LINK_ALARM",
    "SOFT_ALARM", "BAD_SUB_ALARM", "UDF_ALARM", "DISABLE_ALARM", "SIMM_ALARM", "READ_ACCESS_ALARM",
    "WRITE_ACCESS_ALARM",
)  # fmt: skip
"""Messages by the alarm status of Channel Access, as the Java client of Phoebus names them."""


def from_epics(severity: int) -> AlarmSeverity:
    """The alarm severity of a PV's severity."""
    return FROM_EPICS[severity] if 0 <= severity < len(FROM_EPICS) else AlarmSeverity.UNDEFINED


def status_message(status: int) -> str:
    """The message of a PV's alarm status."""
    return STATUS[status] if 0 <= status < len(STATUS) else f"STATUS_{status}"
