"""Names and their revisions: what a runkey is now, and how its head moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, func, insert, literal, select, update
from sqlalchemy.orm import aliased

from db.errors import Busy, Conflict, Exists, Forbidden, NotFound
from db.ids import new_id
from db.models import Object, Revision, Runkey, Tag, TagObject
from db.trees import alike
from db.who import Who

TRIES = 5
"""How often a transaction is begun when the database says that it is busy; each waits as long as the database does."""
SEALED = "the object is sealed"
"""What the triggers say of a row that comes after the object that it belongs to."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunkeyInfo:
    """A runkey as it is now."""

    name: str
    revision: str
    """Id of the head revision."""
    number: int
    root: str
    """Id of the root object."""
    digest: str
    """Hexadecimal, of the root: what Channel Access calls the hash."""
    action: str
    author: str
    """Of the head revision, like `created` and `comment`."""
    created: datetime
    comment: str
    committed: bool
    """It never changes any more."""
    tags: tuple[str, ...] = ()
    """`TYPE:name` of the tags on its root, except its own."""
    where: str = ""
    """staging or backend."""
    version: int = field(default=0, repr=False)
    """Of the head: it grows with every move."""

    def plain(self) -> dict[str, Any]:
        """As JSON has it: what `owl runkey … --json` prints and PVs hold; `created` in ISO 8601, UTC."""
        return {
            "name": self.name,
            "where": self.where,
            "committed": self.committed,
            "revision": self.revision,
            "number": self.number,
            "root": self.root,
            "digest": self.digest,
            "action": self.action,
            "author": self.author,
            "created": self.created.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "comment": self.comment,
            "tags": list(self.tags),
        }


@dataclass(frozen=True, slots=True)
class RevisionInfo:
    """One state of a runkey."""

    id: str
    runkey: str
    """The name that it had then."""
    number: int
    root: str
    digest: str
    parent: str | None
    """The revision that it was made from; of this runkey or of the one that was cloned."""
    action: str
    author: str
    created: datetime
    comment: str
    where: str = ""


def again(function: Callable[[], T]) -> T:
    """The function's result, tried again while the database is busy, or when another writer was quicker.

    What is made is looked for first; when the database itself says that a row is there already, somebody has made it
    in between. The next time it is found: it is used, or refused in words that say what it is.
    """
    for _ in range(TRIES - 1):
        try:
            return function()
        except Busy:
            continue
        except (Exists, Forbidden) as error:
            raced = isinstance(error, Exists) or SEALED in str(error)
            if error.__cause__ is None or not raced:
                raise
    return function()


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def _heads() -> Any:
    return (
        select(Runkey.name, Runkey.version, Runkey.committed, *_REVISION)
        .join(Revision, Revision.id == Runkey.revision_id)
        .join(Object, Object.id == Revision.root_id)
    )


_REVISION = (
    Revision.id,
    Revision.runkey,
    Revision.number,
    Revision.root_id,
    Object.digest,
    Revision.parent_id,
    Revision.action,
    Revision.author,
    Revision.created,
    Revision.comment,
)


def _info(row: Any, where: str, tags: Sequence[str] = ()) -> RunkeyInfo:
    return RunkeyInfo(
        row.name,
        row.id,
        row.number,
        row.root_id,
        row.digest.hex(),
        row.action,
        row.author,
        row.created,
        row.comment,
        bool(row.committed),
        tuple(tags),
        where,
        row.version,
    )


def revision_info(row: Any, where: str = "") -> RevisionInfo:
    """Of a row with the columns of `revisions()`."""
    return RevisionInfo(
        row.id,
        row.runkey,
        row.number,
        row.root_id,
        row.digest.hex(),
        row.parent_id,
        row.action,
        row.author,
        row.created,
        row.comment,
        where,
    )


def revisions() -> Any:
    """Selects revisions."""
    return select(*_REVISION).join(Object, Object.id == Revision.root_id)


def revision_chain(connection: Connection, revision: str, where: str = "") -> list[RevisionInfo]:
    """A revision and all that it descends from, newest first, as far as they are in this database."""
    chain = (
        select(Revision.id, Revision.parent_id, literal(0).label("age"))
        .where(Revision.id == revision)
        .cte("chain", recursive=True)
    )
    older = aliased(Revision)
    chain = chain.union_all(
        select(older.id, older.parent_id, chain.c.age + 1).join(chain, older.id == chain.c.parent_id)
    )
    statement = revisions().join(chain, chain.c.id == Revision.id).order_by(chain.c.age)
    return [revision_info(row, where) for row in connection.execute(statement)]


def root_tags(connection: Connection, roots: Iterable[str]) -> dict[str, list[str]]:
    """Root object -> `TYPE:name` of the tags on it, those that name runkeys excepted."""
    found: dict[str, list[str]] = {}
    statement = (
        select(TagObject.object_id, Tag.type, Tag.name)
        .join(Tag, Tag.id == TagObject.tag_id)
        .where(Tag.type != "RUNKEY")
        .order_by(Tag.type, Tag.name)
    )
    wanted = list(dict.fromkeys(roots))
    for start in range(0, len(wanted), 500):
        for root, type_, name in connection.execute(
            statement.where(TagObject.object_id.in_(wanted[start : start + 500]))
        ):
            found.setdefault(root, []).append(f"{type_}:{name}")
    return found


def all_heads(connection: Connection, where: str) -> list[RunkeyInfo]:
    """All runkeys by name."""
    rows = connection.execute(_heads().order_by(Runkey.name)).all()
    tags = root_tags(connection, [row.root_id for row in rows])
    return [_info(row, where, tags.get(row.root_id, ())) for row in rows]


def head(connection: Connection, name: str, where: str, *, lock: bool = False) -> RunkeyInfo:
    """The runkey; `lock`: no other writer moves it until the end of the transaction. NotFound says what is alike."""
    if lock and connection.dialect.name != "sqlite":
        # before anything is read, so that what is read is what is now
        connection.execute(select(Runkey.name).where(Runkey.name == name).with_for_update()).all()
    row = connection.execute(_heads().where(Runkey.name == name)).one_or_none()
    if row is None:
        names = connection.execute(select(Runkey.name)).scalars()
        raise NotFound(f"there is no runkey {name!r}{f' in {where}' if where else ''}{alike(name, names)}")
    return _info(row, where, root_tags(connection, [row.root_id]).get(row.root_id, ()))


def exists(connection: Connection, name: str) -> bool:
    """Whether there is a runkey of that name."""
    return connection.execute(select(Runkey.name).where(Runkey.name == name)).first() is not None


def next_number(connection: Connection, name: str) -> int:
    """The number of the next revision under that name."""
    last = connection.execute(select(func.max(Revision.number)).where(Revision.runkey == name)).scalar()
    return (last or 0) + 1


def add_revision(
    connection: Connection,
    name: str,
    root: str,
    parent: str | None,
    action: str,
    comment: str,
    who: Who,
    id_: str = "",
) -> str:
    """A new revision; its id. No head moves."""
    id_ = id_ or new_id()
    connection.execute(
        insert(Revision).values(
            id=id_,
            runkey=name,
            number=next_number(connection, name),
            root_id=root,
            parent_id=parent,
            action=action,
            comment=comment,
            author=who.user,
            created=now(),
        )
    )
    mark_root(connection, name, root, who)
    return id_


def mark_root(connection: Connection, name: str, root: str, who: Who) -> None:
    """Put the RUNKEY tag of a name on a root."""
    tag = connection.execute(select(Tag.id).where(Tag.type == "RUNKEY", Tag.name == name)).scalar()
    if tag is None:
        tag = new_id()
        connection.execute(
            insert(Tag).values(id=tag, type="RUNKEY", name=name, comment="", author=who.user, created=now())
        )
    there = select(TagObject.tag_id).where(TagObject.tag_id == tag, TagObject.object_id == root)
    if connection.execute(there).first() is None:
        connection.execute(insert(TagObject).values(tag_id=tag, object_id=root))


def add_head(connection: Connection, name: str, revision: str, who: Who, *, committed: bool = False) -> None:
    """A new name."""
    connection.execute(
        insert(Runkey).values(
            name=name, revision_id=revision, version=1, committed=committed, author=who.user, created=now()
        )
    )


def move_head(connection: Connection, known: RunkeyInfo, revision: str, *, committed: bool = False) -> None:
    """The name means this revision from now on. Conflict when the head is no longer the one that is known."""
    done = connection.execute(
        update(Runkey)
        .where(Runkey.name == known.name, Runkey.version == known.version, Runkey.committed == False)  # noqa: E712
        .values(revision_id=revision, version=known.version + 1, committed=committed)
    )
    if done.rowcount != 1:
        raise Conflict(f"{known.name}: somebody changed it meanwhile")


def drop_head(connection: Connection, name: str) -> None:
    """The name means nothing any more; its revisions stay until gc."""
    connection.execute(delete(Runkey).where(Runkey.name == name))
    connection.execute(delete(Tag).where(Tag.type == "RUNKEY", Tag.name == name))
