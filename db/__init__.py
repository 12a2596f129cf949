"""The configuration of a stand in SQL: runkeys, their trees of objects, payloads by hash."""

from owlshift.kinds import ServiceKind

SERVICE = ServiceKind(
    name="db",
    title="Runkey database",
    config="db.config:DbConfig",
    processes="db.service:processes",
    summary="db.service:summary",
)
