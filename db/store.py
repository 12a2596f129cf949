"""The staging area, where runkeys are made and edited, and the backend, which keeps what was committed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from db.audit import record
from db.copying import Progress, copy_in_parts
from db.database import Database
from db.errors import Conflict, DbError, Exists, NotFound
from db.heads import RunkeyInfo, add_head, add_revision, again, exists, head, move_head
from db.models import Revision, Runkey
from db.runkeys import Runkeys
from db.transfer import blobs_of, lacking, transfer
from db.trees import alike
from db.users import require
from db.who import Who


@dataclass(frozen=True, slots=True)
class Health:
    """How a database is."""

    where: str
    """staging or backend."""
    url: str
    """Without the password."""
    ok: bool
    seconds: float
    """That an answer took."""
    reason: str
    """Why it is not ok."""


class Store:
    """Both databases."""

    def __init__(self, staging: Database, backend: Database, who: Who) -> None:
        self.who = who
        self.staging = Runkeys(staging, who)
        self.backend = Runkeys(backend, who, frozen=True)

    @classmethod
    def open(cls, staging_url: str, backend_url: str, who: Who | None = None, *, create: bool = True) -> Store:
        """Open both, and finish commits that were cut off at their last step. `create`: see `Database.open`."""
        staging = Database.open(staging_url, create=create, name="staging")
        try:
            backend = Database.open(backend_url, create=create, name="backend")
        except BaseException:
            staging.close()
            raise
        store = cls(staging, backend, who or Who.me())
        try:
            store.recover()
        except DbError:
            pass  # the next commit of those runkeys does it; reading works without
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.staging.database.close()
        self.backend.database.close()

    def health(self) -> list[Health]:
        """Of staging and backend."""
        found = []
        for runkeys in (self.staging, self.backend):
            start = time.perf_counter()
            reason = ""
            try:
                seconds = runkeys.database.ping()
            except DbError as error:
                seconds, reason = time.perf_counter() - start, str(error)
            found.append(Health(runkeys.where, runkeys.database.url, not reason, seconds, reason))
        return found

    def find(self, name: str) -> Runkeys:
        """Where a runkey is: in staging, or else in the backend. By name, digest or id. NotFound says what is alike."""
        for runkeys in (self.staging, self.backend):
            if runkeys.exists(name):
                return runkeys
        for runkeys in (self.staging, self.backend):
            try:
                runkeys.root(name)
            except NotFound:
                continue
            return runkeys
        names = {info.name for info in self.list()}
        raise NotFound(f"there is no runkey {name!r}{alike(name, names)}")

    def list(self, pattern: str = "*", tag: str | None = None, text: str = "") -> list[RunkeyInfo]:
        """Those of staging, then those of the backend (`where`); see `Runkeys.list`."""
        return self.staging.list(pattern, tag, text) + self.backend.list(pattern, tag, text)

    def commit(self, name: str, comment: str = "", progress: Progress | None = None) -> RunkeyInfo:
        """Copy a runkey of staging, with its history, to the backend, where it never changes any more.

        In the backend it is there whole or not at all. When it was cut off, the same again finishes it. Exists: the
        backend has another one of that name; Conflict: somebody edited it meanwhile.
        """
        staging, backend = self.staging.database, self.backend.database
        revision = again(lambda: self._mark_commit(name, comment))
        with staging.read() as source:
            with backend.read() as target:
                self._refuse_taken(target, name, revision)
                hashes = blobs_of(source, target, lacking(source, target, revision))
            copy_in_parts(source, backend.write, hashes, progress)
        again(lambda: self._publish(name, revision))
        return self.backend.info(name)

    def _mark_commit(self, name: str, comment: str) -> str:
        """The revision that is to be committed, which is the same when it is tried again."""
        with self.staging.database.write() as connection:
            info = head(connection, name, self.staging.where, lock=True)
            require(connection, self.who, "expert")
            with self.backend.database.read() as target:
                require(target, self.who, "expert")
                self._refuse_taken(target, name, info.revision)
                published = exists(target, name)
            if published or info.committed or (info.action == "commit" and comment in ("", info.comment)):
                return info.revision
            revision = add_revision(
                connection, name, info.root, info.revision, "commit", comment or info.comment, self.who
            )
            move_head(connection, info, revision)
            return revision

    def _publish(self, name: str, revision: str) -> None:
        # staging is held, so that nobody edits what is being committed; if this ends between the two commits, the
        # backend has it, staging does not know yet, and the next try, or the next start, tells it
        with self.staging.database.write() as source:
            info = head(source, name, self.staging.where, lock=True)
            if info.revision != revision:
                raise Conflict(f"{name}: {info.author} changed it while it was committed ({info.action}): try again")
            with self.backend.database.write() as target:
                self._refuse_taken(target, name, revision)
                if not exists(target, name):
                    transfer(source, target, revision, self.who)
                    add_head(target, name, revision, self.who, committed=True)
                    record(target, self.who, "runkey.commit", name, revision=revision, after=info.digest)
            if not info.committed:
                self._mark_committed(source, info)

    def _mark_committed(self, connection: Connection, info: RunkeyInfo) -> None:
        connection.execute(
            update(Runkey).where(Runkey.name == info.name).values(committed=True, version=info.version + 1)
        )
        record(connection, self.who, "runkey.commit", info.name, revision=info.revision, after=info.digest)

    def _refuse_taken(self, target: Connection, name: str, revision: str) -> None:
        if exists(target, name) and (taken := head(target, name, self.backend.where)).revision != revision:
            raise Exists(
                f"the backend has a runkey {name!r} already, committed by {taken.author} at "
                f"{taken.created:%Y-%m-%d %H:%M:%S} UTC: rename yours"
            )

    def recover(self) -> list[str]:
        """Finish commits that the backend has and staging does not know of; their names."""
        with self.staging.database.read() as connection:
            waiting = connection.execute(
                select(Runkey.name, Revision.id)
                .join(Revision, Revision.id == Runkey.revision_id)
                .where(Runkey.committed == False, Revision.action == "commit")  # noqa: E712
            ).all()
        found = []
        for name, revision in waiting:
            with self.backend.database.read() as connection:
                done = exists(connection, name) and head(connection, name, "").revision == revision
            if not done:
                continue
            with self.staging.database.write() as connection:
                info = head(connection, name, self.staging.where, lock=True)
                if info.revision == revision and not info.committed:
                    self._mark_committed(connection, info)
                    found.append(name)
        return found

    def fetch(self, name: str, as_name: str | None = None, progress: Progress | None = None) -> RunkeyInfo:
        """Copy a runkey of the backend, with its history, to staging.

        As it is and committed; or, under another name, as a clone that can be edited. The same again does nothing.
        Exists: staging has another one of that name.
        """
        staging, backend = self.staging.database, self.backend.database
        with backend.read() as source:
            info = head(source, name, self.backend.where)
            with staging.read() as target:
                require(target, self.who, "operator")
                if self._fetched(target, info, as_name) is not None:
                    return head(target, as_name or name, self.staging.where)
                hashes = blobs_of(source, target, lacking(source, target, info.revision))
            copy_in_parts(source, staging.write, hashes, progress)
            return again(lambda: self._receive(source, info, as_name))

    def _fetched(self, target: Connection, info: RunkeyInfo, as_name: str | None) -> RunkeyInfo | None:
        name = as_name or info.name
        if not exists(target, name):
            return None
        there = head(target, name, self.staging.where)
        if as_name in (None, info.name):
            same = there.revision == info.revision
        else:
            parent = target.execute(select(Revision.parent_id).where(Revision.id == there.revision)).scalar()
            same = there.action == "clone" and parent == info.revision
        if not same:
            raise Exists(f"staging has a runkey {name!r} already")
        return there

    def _receive(self, source: Connection, info: RunkeyInfo, as_name: str | None) -> RunkeyInfo:
        name = as_name or info.name
        with self.staging.database.write() as target:
            require(target, self.who, "operator")
            if (there := self._fetched(target, info, as_name)) is not None:
                return there
            transfer(source, target, info.revision, self.who)
            if name == info.name:
                add_head(target, name, info.revision, self.who, committed=True)
            else:
                revision = add_revision(target, name, info.root, info.revision, "clone", "", self.who)
                add_head(target, name, revision, self.who)
            record(target, self.who, "runkey.fetch", name, source=info.name, revision=info.revision, after=info.digest)
            return head(target, name, self.staging.where)
