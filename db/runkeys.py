"""The runkeys of one database: found, made, cloned, edited; their history, tags, validity and names elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, select

from db import history, references, tags
from db.audit import record
from db.blobs import get_blobs
from db.checks import runkey_name, text_problem
from db.database import Database
from db.edit import Edit, parse_path
from db.errors import BadInput, Exists, Forbidden, NotFound
from db.heads import (
    RevisionInfo,
    RunkeyInfo,
    add_head,
    add_revision,
    again,
    all_heads,
    drop_head,
    exists,
    head,
)
from db.ids import is_id
from db.models import Object, Revision
from db.nodes import VIEW, NewObject, Node
from db.tags import TagInfo, Target, ValidityInfo
from db.trees import Tree, alike, read_tree
from db.users import require
from db.who import Who
from db.worktree import WorkTree
from db.writer import write_tree

__all__ = ["RevisionInfo", "RunkeyInfo", "Runkeys", "TagInfo", "Target", "ValidityInfo"]


class Runkeys:
    """Runkeys of one database, as one user sees and changes them. Thread safe."""

    def __init__(self, database: Database, who: Who, *, frozen: bool = False) -> None:
        self.database = database
        self.who = who
        self.frozen = frozen
        """The backend: what is in it stays as it is."""
        self.where = database.name

    # reading

    def list(self, pattern: str = "*", tag: str | None = None, text: str = "") -> list[RunkeyInfo]:
        """Runkeys by name: those whose name fits a pattern, with a tag (`NAME` or `TYPE:NAME`) on their root, and with
        a text in name, comment or author (capitals do not matter)."""
        with self.database.read() as connection:
            found = all_heads(connection, self.where)
        if tag is not None:
            found = [info for info in found if any(tag in (t, t.partition(":")[2]) for t in info.tags)]
        word = text.casefold()
        return [
            info
            for info in found
            if fnmatchcase(info.name, pattern)
            and (not word or any(word in said.casefold() for said in (info.name, info.comment, info.author)))
        ]

    def info(self, name: str) -> RunkeyInfo:
        """The runkey as it is now. NotFound says what is alike."""
        with self.database.read() as connection:
            return head(connection, name, self.where)

    def exists(self, name: str) -> bool:
        """Whether there is one of that name."""
        with self.database.read() as connection:
            return exists(connection, name)

    def root(self, name: str) -> str:
        """The id of the root object of a runkey, by its name, by a digest or by an id (of a root or a revision)."""
        with self.database.read() as connection:
            return self._root(connection, name)

    def _root(self, connection: Connection, name: str) -> str:
        if not exists(connection, name):
            for statement in _by_digits(name):
                if (found := connection.execute(statement).scalar()) is not None:
                    return found
        return head(connection, name, self.where).root

    def tree(self, name: str, view: str | None = VIEW, *, payloads: bool = False) -> Tree:
        """Its tree in one view or (None) in all, by name, digest or id. Payload infos: at once, or when looked at."""
        with self.database.read() as connection:
            root = self._root(connection, name)
            return read_tree(connection, root, view, payloads=payloads, source=self.database.read)

    def payload(self, name: str, path: str, role: str) -> bytes:
        """The content of one payload. NotFound; Damaged when it does not fit its hash."""
        with self.database.read() as connection:
            view, names = parse_path(path)
            node = history.node_at(connection, self._root(connection, name), names, view)
            info = node.payloads.get(role)
            if info is None:
                raise NotFound(f"{node.path} of {name} has no payload {role!r}{alike(role, node.payloads)}")
            return next(content for _, content in get_blobs(connection, [bytes.fromhex(info.sha256)]))

    def payload_by_hash(self, sha256: str) -> bytes:
        """The content with that sha256 (hexadecimal). NotFound, Damaged."""
        try:
            wanted = bytes.fromhex(sha256)
        except ValueError:
            raise BadInput(f"{sha256!r} is no sha256 in hexadecimal digits") from None
        with self.database.read() as connection:
            return next(content for _, content in get_blobs(connection, [wanted]))

    def log(self, name: str) -> list[RevisionInfo]:
        """Its revisions, newest first, with those of the runkeys that it was cloned from."""
        with self.database.read() as connection:
            return history.log(connection, name, self.where)

    def blame(self, name: str, path: str, role: str, key: Callable[[bytes], Any] | None = None) -> RevisionInfo:
        """The revision that last changed a payload, or what `key` makes of its content. NotFound."""
        with self.database.read() as connection:
            return history.blame(connection, name, self.where, parse_path(path), role, key)

    def blame_node(self, name: str, path: str, value: Callable[[Node], Any]) -> RevisionInfo:
        """The revision that last changed what `value` makes of the object at a path (its edge, meta, serial, …)."""
        with self.database.read() as connection:
            return history.blame_node(connection, name, self.where, parse_path(path), value)

    # changing

    def create(
        self, name: str, root: NewObject, comment: str = "", action: str = "create", labels: Iterable[str] = ()
    ) -> RunkeyInfo:
        """A runkey from nothing. Exists; BadInput with all that is wrong in it. The root's own name does not count.

        `labels`: LABEL tags on its root, made where they lack.
        """
        runkey_name(name)
        labels = tuple(labels)
        root = NewObject(root.type, "", root.serial, root.meta, root.payloads, root.children)
        problems = [] if root.type == "runkey" else [f"/: the root's type is {root.type!r} and not 'runkey'"]
        if problem := text_problem("action", action):
            problems.append(problem)
        work = WorkTree()
        try:
            work.root = work.make(root, "/", {}, lambda id_: work.known(id_) or work.graft(self._stored(id_)))
        except BadInput as error:
            problems += error.problems
        if problems:
            raise BadInput([f"{name}: {problem}" for problem in problems])
        if work.grafted:
            work.check_places(work.grafted)

        def store() -> RunkeyInfo:
            with self._writing("operator") as connection:
                self._refuse_taken(connection, name)
                id_, _ = write_tree(connection, work, self.who)
                revision = add_revision(connection, name, id_, None, action, comment, self.who)
                add_head(connection, name, revision, self.who)
                for label in labels:
                    tags.tag(connection, self.who, "LABEL", label, [tags.Target(object=id_)], None)
                return self._done(connection, f"runkey.{action}", name, comment=comment)

        return again(store)

    def clone(self, source: str, name: str, comment: str = "") -> RunkeyInfo:
        """A new name for what a runkey (name, digest, or id of a revision or root) is now. Nothing is copied."""
        runkey_name(name)

        def store() -> RunkeyInfo:
            with self._writing("operator") as connection:
                self._refuse_taken(connection, name)
                root, parent = self._source(connection, source)
                revision = add_revision(connection, name, root, parent, "clone", comment, self.who)
                add_head(connection, name, revision, self.who)
                return self._done(connection, "runkey.clone", name, comment=comment, source=source)

        return again(store)

    def rename(self, name: str, new: str) -> RunkeyInfo:
        """Another name. NotFound, Exists; Forbidden when it is committed."""
        runkey_name(new)

        def store() -> RunkeyInfo:
            with self._writing("operator") as connection:
                info = head(connection, name, self.where, lock=True)
                if info.committed:
                    raise Forbidden(f"{name} is committed: it never changes any more")
                self._refuse_taken(connection, new)
                revision = add_revision(connection, new, info.root, info.revision, "rename", "", self.who)
                add_head(connection, new, revision, self.who)
                drop_head(connection, name)
                record(connection, self.who, "runkey.rename", name, to=new)
                return self._done(connection, "runkey.rename", new, source=name)

        return again(store)

    def delete(self, name: str) -> None:
        """Take the name away. What it was stays until gc, and as long as clones need it."""

        def store() -> None:
            with self._writing("admin") as connection:
                info = head(connection, name, self.where, lock=True)
                drop_head(connection, name)
                record(connection, self.who, "runkey.delete", name, revision=info.revision, before=info.digest)

        again(store)

    def edit(self, name: str, comment: str = "", action: str = "edit") -> Edit:
        """Changes, gathered in a `with` block and stored at its end. NotFound, Forbidden, BadInput, Conflict."""
        if self.frozen:
            raise Forbidden(f"{self.database.label} keeps what was committed: clone {name} and edit that")
        return Edit(self, name, comment, action)

    # tags, validity, other names: see db.tags and db.references

    def tag(self, type: str, name: str, targets: Iterable[Any] = (), comment: str | None = None) -> TagInfo:
        """Make a tag, or put it on more. See `db.tags.tag`."""
        return self._change(lambda c: tags.tag(c, self.who, type, name, self._targets(c, targets), comment))

    def untag(self, type: str, name: str, targets: Iterable[Any] | None = None) -> None:
        """Take a tag from targets, or (None) away altogether. NotFound."""
        self._change(
            lambda c: tags.untag(c, self.who, type, name, None if targets is None else self._targets(c, targets))
        )

    def tags(self, target: Any = None, type: str | None = None) -> list[TagInfo]:
        """The tags, of a type, on a target (with those of groups that hold them), or all."""
        with self.database.read() as connection:
            return tags.tags(connection, None if target is None else self._target(connection, target), type)

    def set_validity(self, tag: str, target: Any, since: datetime, until: datetime | None = None) -> ValidityInfo:
        """From when to when (excluded; None: until further notice) a VALIDITY tag means a target."""
        return self._change(lambda c: tags.set_validity(c, self.who, tag, self._target(c, target), since, until))

    def valid(self, tag: str, at: datetime | None = None) -> ValidityInfo:
        """What a VALIDITY tag means at a time (now); of several, what was set last. NotFound."""
        with self.database.read() as connection:
            return tags.valid(connection, tag, at)

    def validities(self, tag: str) -> list[ValidityInfo]:
        """All intervals of a VALIDITY tag, by their beginning."""
        with self.database.read() as connection:
            return tags.validities(connection, tag)

    def target(self, target: Any) -> Target:
        """What a word means as a target: see `db.tags.resolve`."""
        with self.database.read() as connection:
            return self._target(connection, target)

    def set_alias(self, target: Any, convention: str, alias: str) -> None:
        """Another name of a thing (node, path as in `target`, or lineage). Exists when another thing has it."""
        self._change(lambda c: references.set_alias(c, self.who, self._lineage(c, target), convention, alias))

    def drop_alias(self, convention: str, alias: str) -> None:
        """NotFound."""
        self._change(lambda c: references.drop_alias(c, self.who, convention, alias))

    def find_alias(self, convention: str, alias: str) -> str:
        """The lineage of the thing. NotFound says what is alike."""
        with self.database.read() as connection:
            return references.find_alias(connection, convention, alias)

    def aliases(self, target: Any = None) -> list[references.AliasInfo]:
        """Of a thing, or all."""
        with self.database.read() as connection:
            return references.aliases(connection, None if target is None else self._lineage(connection, target))

    def add_ref(self, target: Any, system: str, key: str) -> None:
        """What another database (LOCALDB, ITKDB, …) calls a thing."""
        self._change(lambda c: references.add_ref(c, self.who, self._lineage(c, target), system, key))

    def drop_ref(self, target: Any, system: str, key: str) -> None:
        """NotFound."""
        self._change(lambda c: references.drop_ref(c, self.who, self._lineage(c, target), system, key))

    def refs(self, target: Any = None, system: str | None = None, key: str | None = None) -> list[references.RefInfo]:
        """Of a thing; or by system and key: whose they are."""
        with self.database.read() as connection:
            lineage = None if target is None else self._lineage(connection, target)
            return references.refs(connection, lineage, system, key)

    # how

    @contextmanager
    def _writing(self, role: str) -> Iterator[Connection]:
        """A transaction that changes what is there already: no backend has any."""
        if self.frozen:
            raise Forbidden(f"{self.database.label} keeps what was committed")
        with self._allowed(role) as connection:
            yield connection

    @contextmanager
    def _allowed(self, role: str) -> Iterator[Connection]:
        with self.database.write() as connection:
            require(connection, self.who, role)
            yield connection

    def _change(self, function: Callable[[Connection], Any]) -> Any:
        def store() -> Any:
            with self._allowed("operator") as connection:
                return function(connection)

        return again(store)

    def _stored(self, id_: str) -> Tree:
        with self.database.read() as connection:
            return read_tree(connection, id_, None)

    def _refuse_taken(self, connection: Connection, name: str) -> None:
        if exists(connection, name):
            raise Exists(f"there is a runkey {name!r} already")

    def _done(self, connection: Connection, action: str, name: str, **detail: Any) -> RunkeyInfo:
        info = head(connection, name, self.where)
        record(connection, self.who, action, name, revision=info.revision, after=info.digest, **detail)
        return info

    def _source(self, connection: Connection, source: str) -> tuple[str, str | None]:
        """(id of the root, id of the revision) of a name, of an id (of a revision or a root) or of a digest."""
        if not exists(connection, source):
            row = connection.execute(select(Revision.root_id, Revision.id).where(Revision.id == source)).first()
            if row is not None:
                return row.root_id, row.id
            for statement in _by_digits(source):
                if (root := connection.execute(statement).scalar()) is not None:
                    return root, connection.execute(
                        select(Revision.id).where(Revision.root_id == root).order_by(Revision.id.desc())
                    ).scalars().first()
        info = head(connection, source, self.where)
        return info.root, info.revision

    def _targets(self, connection: Connection, targets: Iterable[Any]) -> list[Target]:
        if isinstance(targets, str):
            targets = [targets]
        return [self._target(connection, target) for target in targets]

    def _target(self, connection: Connection, target: Any) -> Target:
        return tags.resolve(connection, target, self._root)

    def _lineage(self, connection: Connection, target: Any) -> str:
        return references.lineage(connection, target, self._root)


def _by_digits(name: str) -> list[Any]:
    """Statements that find a root by what is no name."""
    if is_id(name):
        return [
            select(Revision.root_id).where(Revision.id == name),
            select(Object.id).where(Object.id == name, Object.type == "runkey"),
        ]
    if len(name) == 64 and set(name) <= set("0123456789abcdef"):
        return [
            select(Revision.root_id)
            .join(Object, Object.id == Revision.root_id)
            .where(Object.digest == bytes.fromhex(name))
            .order_by(Revision.id.desc())
            .limit(1)
        ]
    return []
