"""The archiver: Channel Access in, Parquet on disk, the Archiver Appliance's HTTP out."""

from owlshift.kinds import ServiceKind

SERVICE = ServiceKind(
    name="archiver",
    title="Archiver",
    config="archiver.config:ArchiverConfig",
    processes="archiver.service:processes",
    summary="archiver.service:summary",
    prefixes="archiver.service:prefixes",
)
