"""Alarms: Phoebus' alarm logic over Channel Access, and what operators need beyond it."""

from owlshift.kinds import IocKind

KIND = IocKind(
    name="alarm",
    title="Alarms: latched, acknowledged, shelved, announced and logged",
    config="iocs.alarm.config:AlarmConfig",
    build="iocs.alarm.ioc:build",
    needs_device=False,
)
