"""The tables of alarms. Columns have names that need no quotes in any dialect, for those who write SQL by hand."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, SmallInteger, String, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.models import MYSQL, Hash, Id, Long, Name, Word

Path = String(1000).with_variant(mysql.VARCHAR(1000, charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)
Text = String(500).with_variant(mysql.VARCHAR(500, charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)


class Base(DeclarativeBase):
    """All tables."""


class Source(Base):
    """A place in the alarm tree that events are of. Immutable, and never removed."""

    __tablename__ = "alarm_source"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """The first 63 bits of the sha256 of path and PV (`db.alarms.event.source_id`): the same in every database."""
    path: Mapped[str] = mapped_column(Path)
    area: Mapped[str] = mapped_column(Path)
    """The path above."""
    pv: Mapped[str] = mapped_column(Name, index=True)
    """Empty for an area."""


class EventRow(Base):
    """One thing that happened. Immutable; prune removes what is old."""

    __tablename__ = "alarm_event"

    time_ns: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """UTC nanoseconds since 1970, by the alarm server's clock. First in the primary key: rows lie in its order."""
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    time_pv_ns: Mapped[int] = mapped_column(BigInteger)
    """Of the PV's state, by the PV's clock; 0: not of a PV."""
    kind: Mapped[str] = mapped_column(Word)
    source: Mapped[int] = mapped_column(BigInteger)
    """Of `alarm_source`."""
    severity: Mapped[int] = mapped_column(SmallInteger)
    """0 OK, 1 MINOR_ACK, 2 MAJOR_ACK, 3 INVALID_ACK, 4 UNDEFINED_ACK, 5 MINOR, 6 MAJOR, 7 INVALID, 8 UNDEFINED."""
    severity_before: Mapped[int] = mapped_column(SmallInteger)
    severity_pv: Mapped[int] = mapped_column(SmallInteger)
    """Of the PV itself, now."""
    effective: Mapped[int] = mapped_column(SmallInteger)
    """0 Normal, 1 Active, 2 ActiveLatched, … (`db.alarms.event.EFFECTIVE`)."""
    effective_before: Mapped[int] = mapped_column(SmallInteger)
    raised: Mapped[int] = mapped_column(SmallInteger)
    """1: the alarm went up, and is not suppressed: what the figures count."""
    priority: Mapped[int] = mapped_column(SmallInteger)
    """1 low, 2 medium, 3 high; 0: not of an alarm."""
    first_out: Mapped[int] = mapped_column(SmallInteger)
    """1: the first of its burst."""
    burst: Mapped[str] = mapped_column(Word)
    message: Mapped[str] = mapped_column(Text)
    message_pv: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)
    person: Mapped[str] = mapped_column(Name)
    host: Mapped[str] = mapped_column(Name)
    detail: Mapped[str] = mapped_column(Long)

    __table_args__ = (
        Index("alarm_event_source", "source", "time_ns"),
        Index(
            "alarm_event_raised",
            *("raised", "time_ns", "source", "priority"),
            sqlite_where=text("raised = 1"),
            postgresql_where=text("raised = 1"),
        ),
        Index(
            "alarm_event_kind",
            *("kind", "time_ns"),
            sqlite_where=text("kind <> 'transition'"),
            postgresql_where=text("kind <> 'transition'"),
        ),
        Index(
            "alarm_event_person",
            *("person", "time_ns"),
            sqlite_where=text("person <> ''"),
            postgresql_where=text("person <> ''"),
        ),
        {"sqlite_with_rowid": False},
    )


class ItemRow(Base):
    """What was configured by people: an item of the tree as a document."""

    __tablename__ = "alarm_item"

    tree: Mapped[str] = mapped_column(Name, primary_key=True)
    hash: Mapped[bytes] = mapped_column(Hash, primary_key=True)
    """sha256 of the path, which may be longer than a key."""
    path: Mapped[str] = mapped_column(Long)
    document: Mapped[str] = mapped_column(Long)
    """JSON."""
    person: Mapped[str] = mapped_column(Name)
    host: Mapped[str] = mapped_column(Name)
    time_ns: Mapped[int] = mapped_column(BigInteger)


class StateRow(Base):
    """What the server must know again after a restart, by path; "" is the server itself."""

    __tablename__ = "alarm_state"

    tree: Mapped[str] = mapped_column(Name, primary_key=True)
    hash: Mapped[bytes] = mapped_column(Hash, primary_key=True)
    path: Mapped[str] = mapped_column(Long)
    document: Mapped[str] = mapped_column(Long)
    """JSON."""


class LeaseRow(Base):
    """Which server is the active one of a tree."""

    __tablename__ = "alarm_lease"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    token: Mapped[str] = mapped_column(Id)
    """Of the `Lease` that has it; empty: nobody's."""
    person: Mapped[str] = mapped_column(Name)
    host: Mapped[str] = mapped_column(Name)
    pid: Mapped[int] = mapped_column(Integer)
    since_us: Mapped[int] = mapped_column(BigInteger)
    """Microseconds since 1970 by the database's clock."""
    seen_us: Mapped[int] = mapped_column(BigInteger)
