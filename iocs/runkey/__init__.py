"""Runkeys over Channel Access: snapshot, compare and apply the configuration of the whole stand."""

from owlshift.kinds import IocKind

KIND = IocKind(
    name="runkey",
    title="Runkeys: snapshot, compare and apply the stand's configuration",
    config="iocs.runkey.config:RunkeyConfig",
    build="iocs.runkey.ioc:build",
    needs_device=False,
)
