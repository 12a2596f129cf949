"""The tables: one model for the staging area and for the backend.

Objects, their payloads and their connections are immutable, and the database itself sees to it (`db/migrations`): an
object's connections and payloads are inserted before the object, whose row seals them. What moves are heads: the
revision that a runkey's name points to.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    CHAR,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MYSQL = ("mysql", "mariadb")

Id = CHAR(32).with_variant(mysql.CHAR(32, charset="ascii", collation="ascii_bin"), *MYSQL)
"""A UUID (version 7, so that ids of one time lie together) as 32 hexadecimal digits."""
Hash = LargeBinary(32).with_variant(mysql.BINARY(32), *MYSQL)
"""A sha256."""
Name = String(200).with_variant(mysql.VARCHAR(200, charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)
Word = String(40).with_variant(mysql.VARCHAR(40, charset="ascii", collation="ascii_bin"), *MYSQL)
Long = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)
Data = LargeBinary().with_variant(mysql.LONGBLOB(), *MYSQL)


class Moment(TypeDecorator[datetime]):
    """A time in UTC, to the microsecond, the same in all three databases."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """MariaDB keeps fractions of a second only when told to."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in MYSQL else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """With its zone again."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """All tables."""


class Blob(Base):
    """Bytes, once, under the sha256 of what they are (decoded). Immutable."""

    __tablename__ = "blob"

    sha256: Mapped[bytes] = mapped_column(Hash, primary_key=True)
    codec: Mapped[int] = mapped_column(SmallInteger)
    """0: as they are; 1: zstd."""
    size: Mapped[int] = mapped_column(Integer)
    """Bytes, decoded."""
    data: Mapped[bytes] = mapped_column(Data)


class Payload(Base):
    """Content with a type and a format. Immutable."""

    __tablename__ = "payload"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    type: Mapped[str] = mapped_column(Word, index=True)
    """config, pixels, connectivity, scan_config, controller_config, setpoints, conditions, result, mask, log, …"""
    name: Mapped[str] = mapped_column(Name, default="")
    format: Mapped[str] = mapped_column(Word)
    """json, pixels, text or raw."""
    sha256: Mapped[bytes] = mapped_column(Hash, ForeignKey("blob.sha256"), index=True)
    size: Mapped[int] = mapped_column(Integer)
    meta: Mapped[str] = mapped_column(Long, default="{}")
    """JSON."""
    created: Mapped[datetime] = mapped_column(Moment)
    author: Mapped[str] = mapped_column(Name)


class Object(Base):
    """A node of a tree. Immutable: what is changed is a new object of the same `lineage`."""

    __tablename__ = "object"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    lineage: Mapped[str] = mapped_column(Id, index=True)
    """The id of the object that this one descends from by edits: what stays the same of a thing that changes."""
    type: Mapped[str] = mapped_column(Word, index=True)
    """runkey, felix, optoboard, lpgbt, gbcr, vtrx, module, frontend, scan, subsystem, power, …"""
    name: Mapped[str] = mapped_column(Name)
    """Unique among the children of a parent in one view; empty for the root of a runkey."""
    serial: Mapped[str] = mapped_column(Name, default="", index=True)
    meta: Mapped[str] = mapped_column(Long, default="{}")
    """JSON."""
    digest: Mapped[bytes] = mapped_column(Hash)
    """sha256 of all that the object says, with its payloads and, by their digests, its children (`db.digests`)."""
    created: Mapped[datetime] = mapped_column(Moment)
    author: Mapped[str] = mapped_column(Name)


class ObjectPayload(Base):
    """The payloads of an object, each in a role of its own. Immutable; inserted before the object."""

    __tablename__ = "object_payload"

    object_id: Mapped[str] = mapped_column(Id, primary_key=True)
    role: Mapped[str] = mapped_column(Word, primary_key=True)
    payload_id: Mapped[str] = mapped_column(Id, ForeignKey("payload.id"), index=True)


class Connection(Base):
    """An edge of a tree: a child of a parent in a view. Immutable; inserted before the parent, after the child."""

    __tablename__ = "connection"

    parent_id: Mapped[str] = mapped_column(Id, primary_key=True)
    view: Mapped[str] = mapped_column(Word, primary_key=True)
    """daq, power, cooling, …"""
    child_id: Mapped[str] = mapped_column(Id, ForeignKey("object.id"), primary_key=True, index=True)
    pos: Mapped[int] = mapped_column(Integer, default=0)
    """Children are shown in the order of `pos`, then of name."""
    meta: Mapped[str] = mapped_column(Long, default="{}")
    """JSON: what belongs to the place rather than to the thing (rx, tx, enable, locked)."""


class Revision(Base):
    """One state of a runkey. Immutable."""

    __tablename__ = "revision"
    __table_args__ = (UniqueConstraint("runkey", "number"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    runkey: Mapped[str] = mapped_column(Name)
    number: Mapped[int] = mapped_column(Integer)
    """1, 2, 3 … of one runkey."""
    root_id: Mapped[str] = mapped_column(Id, ForeignKey("object.id"), index=True)
    parent_id: Mapped[str | None] = mapped_column(Id, index=True)
    """The revision that it was made from, of this runkey or of another, perhaps in the other database."""
    action: Mapped[str] = mapped_column(Word)
    """create, clone, edit, snapshot, import, commit."""
    comment: Mapped[str] = mapped_column(Long, default="")
    author: Mapped[str] = mapped_column(Name)
    created: Mapped[datetime] = mapped_column(Moment)


class Runkey(Base):
    """A name, and the revision that it means now."""

    __tablename__ = "runkey"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    """At most 39 bytes: it is a Channel Access string."""
    revision_id: Mapped[str] = mapped_column(Id, ForeignKey("revision.id"))
    version: Mapped[int] = mapped_column(Integer)
    """Of the head: it moves only from the version that an editor knew."""
    committed: Mapped[bool] = mapped_column(default=False)
    """It never changes any more. All of the backend are."""
    author: Mapped[str] = mapped_column(Name)
    created: Mapped[datetime] = mapped_column(Moment)


class Tag(Base):
    """A label on objects and payloads."""

    __tablename__ = "tag"
    __table_args__ = (UniqueConstraint("type", "name"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    type: Mapped[str] = mapped_column(Word)
    """LABEL, GROUP, REFERENCE, RUNKEY or VALIDITY."""
    name: Mapped[str] = mapped_column(Name)
    comment: Mapped[str] = mapped_column(Long, default="")
    author: Mapped[str] = mapped_column(Name)
    created: Mapped[datetime] = mapped_column(Moment)


class TagObject(Base):
    """An object that a tag is on. RUNKEY tags: the roots of all revisions of that name."""

    __tablename__ = "tag_object"

    tag_id: Mapped[str] = mapped_column(Id, ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True)
    object_id: Mapped[str] = mapped_column(Id, ForeignKey("object.id"), primary_key=True, index=True)


class TagPayload(Base):
    """A payload that a tag is on."""

    __tablename__ = "tag_payload"

    tag_id: Mapped[str] = mapped_column(Id, ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True)
    payload_id: Mapped[str] = mapped_column(Id, ForeignKey("payload.id"), primary_key=True, index=True)


class TagGroup(Base):
    """A tag that is part of a GROUP."""

    __tablename__ = "tag_group"

    parent_id: Mapped[str] = mapped_column(Id, ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True)
    child_id: Mapped[str] = mapped_column(Id, ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True, index=True)


class Validity(Base):
    """From when to when what a VALIDITY tag is on is to be used; of several that hold, the one made last."""

    __tablename__ = "validity"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tag_id: Mapped[str] = mapped_column(Id, ForeignKey("tag.id", ondelete="CASCADE"), index=True)
    object_id: Mapped[str | None] = mapped_column(Id, ForeignKey("object.id"), index=True)
    payload_id: Mapped[str | None] = mapped_column(Id, ForeignKey("payload.id"), index=True)
    valid_from: Mapped[datetime] = mapped_column(Moment)
    valid_to: Mapped[datetime | None] = mapped_column(Moment)
    """Excluded; None: until further notice."""
    author: Mapped[str] = mapped_column(Name)
    created: Mapped[datetime] = mapped_column(Moment)


class ExternalRef(Base):
    """What another database calls a thing, by its lineage."""

    __tablename__ = "external_ref"

    lineage: Mapped[str] = mapped_column(Id, primary_key=True)
    system: Mapped[str] = mapped_column(Word, primary_key=True)
    """LOCALDB, ITKDB or another."""
    key: Mapped[str] = mapped_column(Name, primary_key=True)


class Alias(Base):
    """Another name of a thing, in a convention."""

    __tablename__ = "alias"

    convention: Mapped[str] = mapped_column(Word, primary_key=True)
    alias: Mapped[str] = mapped_column(Name, primary_key=True)
    lineage: Mapped[str] = mapped_column(Id, index=True)


class Device(Base):
    """An asset: hardware that the experiment has, whether or not a runkey names it."""

    __tablename__ = "device"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(Word, index=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    serial: Mapped[str] = mapped_column(Name, default="", index=True)
    address: Mapped[str] = mapped_column(Name, default="")
    """How it is reached, for example tcp://host:1470."""
    location: Mapped[str] = mapped_column(Name, default="")
    meta: Mapped[str] = mapped_column(Long, default="{}")


class DeviceLink(Base):
    """A cable, pipe or fibre between two devices, in a view; valid for a time."""

    __tablename__ = "device_link"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    view: Mapped[str] = mapped_column(Word)
    parent_id: Mapped[str] = mapped_column(Id, ForeignKey("device.id", ondelete="CASCADE"), index=True)
    child_id: Mapped[str] = mapped_column(Id, ForeignKey("device.id", ondelete="CASCADE"), index=True)
    parent_port: Mapped[str] = mapped_column(Name, default="")
    child_port: Mapped[str] = mapped_column(Name, default="")
    cable: Mapped[str] = mapped_column(Name, default="")
    valid_from: Mapped[datetime] = mapped_column(Moment)
    valid_to: Mapped[datetime | None] = mapped_column(Moment)


class User(Base):
    """Somebody who may do something. While there are none, everybody may do everything."""

    __tablename__ = "user"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    full_name: Mapped[str] = mapped_column(Name, default="")
    disabled: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime] = mapped_column(Moment)


class UserRole(Base):
    """observer, operator, expert or admin; each may do what those before it may."""

    __tablename__ = "user_role"

    user: Mapped[str] = mapped_column(Name, ForeignKey("user.name", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(Word, primary_key=True)


class Audit(Base):
    """Who did what. Immutable."""

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    time: Mapped[datetime] = mapped_column(Moment, index=True)
    user: Mapped[str] = mapped_column(Name)
    host: Mapped[str] = mapped_column(Name)
    action: Mapped[str] = mapped_column(Word)
    subject: Mapped[str] = mapped_column(Name, index=True)
    """A runkey, tag, user, device or PV."""
    detail: Mapped[str] = mapped_column(Long, default="{}")
    """JSON: old and new values, reasons, results."""


class Application(Base):
    """One apply of a runkey to the stand; written before the first put, so that a crash can be explained."""

    __tablename__ = "application"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    runkey: Mapped[str] = mapped_column(Name, index=True)
    root_id: Mapped[str] = mapped_column(Id)
    digest: Mapped[bytes] = mapped_column(Hash)
    state: Mapped[str] = mapped_column(Word)
    """running, applied, refused, failed, rolled_back, rollback_failed, aborted, interrupted."""
    user: Mapped[str] = mapped_column(Name)
    host: Mapped[str] = mapped_column(Name)
    comment: Mapped[str] = mapped_column(Long, default="")
    started: Mapped[datetime] = mapped_column(Moment, index=True)
    finished: Mapped[datetime | None] = mapped_column(Moment)
    report: Mapped[str] = mapped_column(Long, default="")
    """Text for people."""


class ApplicationItem(Base):
    """One PV of an apply."""

    __tablename__ = "application_item"
    __table_args__ = (Index("application_item_state", "application_id", "state"),)

    application_id: Mapped[str] = mapped_column(Id, ForeignKey("application.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """In the order of writing."""
    pv: Mapped[str] = mapped_column(Name)
    old: Mapped[str] = mapped_column(Long)
    """JSON: the value before."""
    new: Mapped[str] = mapped_column(Long)
    state: Mapped[str] = mapped_column(Word)
    """planned, writing, verified, failed, rolling_back, rolled_back, rollback_failed."""
    message: Mapped[str] = mapped_column(Long, default="")
