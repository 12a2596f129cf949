"""An edit that ends in a new runkey: a clone and its changes in one transaction, never seen half done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from db import tags
from db.audit import record
from db.checks import runkey_name
from db.edit import Edit
from db.errors import Exists
from db.heads import RunkeyInfo, add_head, add_revision, exists, head
from db.trees import read_tree
from db.users import require
from db.worktree import WorkTree
from db.writer import write_tree

if TYPE_CHECKING:
    from db.runkeys import Runkeys


class Branch(Edit):
    """`with Branch(runkeys, source, name, comment) as edit: edit.put(…)`: `name` is made from what `source` is now.

    The source stays as it is, and may be committed. `labels`: LABEL tags on the new root, made where they lack. Exists
    when the name is taken; BadInput when it can't be one.
    """

    def __init__(
        self,
        runkeys: Runkeys,
        source: str,
        name: str,
        comment: str = "",
        action: str = "clone",
        labels: Iterable[str] = (),
    ) -> None:
        runkey_name(name)
        super().__init__(runkeys, source, comment, action)
        self.new = name
        self.labels = list(labels)

    def __enter__(self) -> Branch:
        runkeys = self._runkeys
        with runkeys.database.read() as connection:
            require(connection, runkeys.who, "operator")
            self._base = head(connection, self.name, runkeys.where)
            if exists(connection, self.new):
                raise Exists(f"there is a runkey {self.new!r} already")
            self._tree = read_tree(connection, self._base.root, None, source=runkeys.database.read)
        self._work = WorkTree.of(self._tree)
        return self

    def _store(self) -> RunkeyInfo:
        runkeys = self._runkeys
        with runkeys.database.write() as connection:
            require(connection, runkeys.who, "operator")
            if exists(connection, self.new):
                raise Exists(f"there is a runkey {self.new!r} already")
            root, _ = write_tree(connection, self._current(), runkeys.who)
            revision = add_revision(
                connection, self.new, root, self.base.revision, self.action, self.comment, runkeys.who
            )
            add_head(connection, self.new, revision, runkeys.who)
            for label in self.labels:
                tags.tag(connection, runkeys.who, "LABEL", label, [tags.Target(object=root)], None)
            result = head(connection, self.new, runkeys.where)
            record(
                connection,
                runkeys.who,
                f"runkey.{self.action}",
                self.new,
                revision=revision,
                after=result.digest,
                comment=self.comment,
                source=self.name,
            )
            return result
