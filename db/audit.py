"""Who did what, when: rows that nobody changes and gc never takes away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select

from db.digests import canonical
from db.ids import new_id
from db.models import Audit
from db.who import Who

SUBJECT = 200
"""Characters of a subject; of a longer one the detail keeps all ("subject")."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did."""

    id: str
    time: datetime
    user: str
    host: str
    action: str
    subject: str
    detail: dict[str, Any]


def record(connection: Connection, who: Who, action: str, subject: str, **detail: Any) -> str:
    """Write an entry, in the transaction of what it tells; its id. BadInput for detail that JSON can't say."""
    if len(subject) > SUBJECT:
        detail.setdefault("subject", subject)
        subject = subject[: SUBJECT - 1] + "…"
    id_ = new_id()
    connection.execute(
        insert(Audit).values(
            id=id_,
            time=datetime.now(UTC),
            user=who.user,
            host=who.host,
            action=action,
            subject=subject,
            detail=canonical(detail),
        )
    )
    return id_


def search(
    connection: Connection,
    subject: str | None = None,
    user: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> list[AuditEntry]:
    """Entries, newest first, at most `limit`.

    `subject`, `user` and `action` may hold `*` and `?`; `since` is included, `until` is not (both with a time zone).
    """
    query = select(Audit).order_by(Audit.time.desc(), Audit.id.desc()).limit(limit)
    for column, wanted in ((Audit.subject, subject), (Audit.user, user), (Audit.action, action)):
        if wanted is not None:
            query = query.where(column.like(_like(wanted), escape="|") if set("*?") & set(wanted) else column == wanted)
    if since is not None:
        query = query.where(Audit.time >= since)
    if until is not None:
        query = query.where(Audit.time < until)
    return [
        AuditEntry(row.id, row.time, row.user, row.host, row.action, row.subject, orjson.loads(row.detail))
        for row in connection.execute(query)
    ]


def _like(pattern: str) -> str:
    for special in "|%_":
        pattern = pattern.replace(special, "|" + special)
    return pattern.replace("*", "%").replace("?", "_")
