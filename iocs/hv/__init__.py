"""High voltage: CAEN N1470 boards on one line."""

from owlshift.kinds import IocKind

KIND = IocKind(
    name="hv",
    title="CAEN N1470 high-voltage boards",
    config="iocs.hv.config:HvConfig",
    build="iocs.hv.ioc:build",
    simulator_app="iocs.hv.simulator_cli:app",
)
