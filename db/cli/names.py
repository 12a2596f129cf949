"""Which runkey a word of the command line means.

A name (`cosmics 12`), one of its revisions (`cosmics 12@3`), the one of a database (`backend:cosmics 12`), or the
beginning of a digest or of an id, at least six digits of it, where that is of one alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from db.errors import NotFound

if TYPE_CHECKING:
    from db.nodes import Node
    from db.runkeys import RevisionInfo, RunkeyInfo, Runkeys
    from db.store import Store
    from db.trees import Tree

WHERE = ("staging", "backend")
_HEX = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Target:
    """A runkey, or an earlier revision of one: `info` is that revision's."""

    runkeys: Runkeys
    info: RunkeyInfo
    past: bool = False
    """An earlier revision, not the head."""

    @property
    def key(self) -> str:
        """What `Runkeys` and `Store` know it by: its name, or the id of an earlier revision."""
        return self.info.revision if self.past else self.info.name

    def log(self) -> list[RevisionInfo]:
        """Its revision and those that it descends from, newest first, across clones."""
        from db.heads import revision_chain

        with self.runkeys.database.read() as connection:
            return revision_chain(connection, self.info.revision, self.runkeys.where)

    def tree(self, view: str | None = "daq", payloads: bool = False) -> Tree:
        """All of it, without contents; payload infos at once, or when they are looked at."""
        from db.trees import read_tree

        database = self.runkeys.database
        with database.read() as connection:
            return read_tree(connection, self.info.root, view, payloads=payloads, source=database.read)

    def node(self, path: str) -> Node:
        """The object at a path; `power:/PSU1/CH2` goes along another view. NotFound says what is alike."""
        from db.edit import parse_path

        view, names = parse_path(path)
        explicit = not path.startswith("/") and ":/" in path
        return self.tree(view if explicit else None).node("/".join(names))


def place(node: Node) -> str:
    """The node's path as `db.edit` and `db.runkeys` understand it: with its view, when that is not daq."""
    return node.path if node.view in ("", "daq") else f"{node.view}:{node.path}"


def resolve(store: Store, word: str, backend: bool = False) -> Target:
    """What `word` means; NotFound, with names that are alike."""
    areas = {"staging": store.staging, "backend": store.backend}
    if backend:
        del areas["staging"]
    for runkeys in areas.values():
        if runkeys.exists(word):
            return Target(runkeys, runkeys.info(word))
    area, colon, rest = word.partition(":")
    if colon and area in areas:
        return _in_one(areas[area], rest) or _lost(store, areas[area], rest, area)
    for runkeys in areas.values():
        if (found := _in_one(runkeys, word)) is not None:
            return found
    if _HEX.fullmatch(word.lower()) and (found := _by_digits(list(areas.values()), word.lower())) is not None:
        return found
    name = word.rpartition("@")[0] or word
    return _lost(store, store.backend, name, "backend") if backend else Target(*_search(store, name))


def _search(store: Store, name: str) -> tuple[Runkeys, RunkeyInfo]:
    runkeys = store.find(name)  # NotFound says what is alike
    return runkeys, runkeys.info(name)


def _lost(store: Store, runkeys: Runkeys, name: str, area: str) -> Any:
    other = store.backend if runkeys is store.staging else store.staging
    hint = f"; the {'backend' if area == 'staging' else 'staging area'} has it" if other.exists(name) else ""
    raise NotFound(f"there is no runkey {name!r} in the {'staging area' if area == 'staging' else 'backend'}{hint}")


def _in_one(runkeys: Runkeys, word: str) -> Target | None:
    """By name, or by name and number of a revision."""
    if runkeys.exists(word):
        return Target(runkeys, runkeys.info(word))
    name, at, number = word.rpartition("@")
    if not at or not number.isdigit():
        return None
    if not runkeys.exists(name):
        return _numbered(runkeys, name, int(number), None)
    info = runkeys.info(name)
    if int(number) == info.number:
        return Target(runkeys, info)
    if (found := _numbered(runkeys, name, int(number), info)) is not None:
        return found
    raise NotFound(f"{name!r} has no revision {number}; its last is {info.number}")


def _numbered(runkeys: Runkeys, name: str, number: int, info: RunkeyInfo | None) -> Target | None:
    """A revision of a name, even of one that is not there any more (None) but in the history of others."""
    from db.heads import RunkeyInfo, revision_info, revisions
    from db.models import Revision

    wanted = revisions().where(Revision.runkey == name, Revision.number == number)
    with runkeys.database.read() as connection:
        row = connection.execute(wanted).first()
    if row is None:
        return None
    past = revision_info(row, runkeys.where)
    if info is None:
        said = (past.action, past.author, past.created, past.comment)
        info = RunkeyInfo(name, past.id, number, past.root, past.digest, *said, False, (), runkeys.where)
        return Target(runkeys, info, past=True)
    return _at(runkeys, info, past)


def _at(runkeys: Runkeys, info: RunkeyInfo, revision: RevisionInfo) -> Target:
    past = replace(
        info,
        name=revision.runkey,
        revision=revision.id,
        number=revision.number,
        root=revision.root,
        digest=revision.digest,
        action=revision.action,
        author=revision.author,
        created=revision.created,
        comment=revision.comment,
        tags=(),
    )
    return Target(runkeys, past, past=revision.id != info.revision)


def _by_digits(areas: list[Runkeys], digits: str) -> Target | None:
    """By the beginning of a digest, or of the id of a revision or root; NotFound when that is of several."""
    found: dict[str, Target] = {}
    for runkeys in areas:
        for info in runkeys.list():
            if any(text.startswith(digits) for text in (info.digest, info.revision, info.root)):
                found.setdefault(info.digest, Target(runkeys, info))
    if not found:
        for runkeys in areas:
            for info in runkeys.list():
                for revision in runkeys.log(info.name):
                    if any(text.startswith(digits) for text in (revision.digest, revision.id, revision.root)):
                        found.setdefault(revision.digest, _at(runkeys, info, revision))
    if len(found) > 1:
        names = ", ".join(sorted(f"{t.info.name}@{t.info.number} {t.info.digest[:12]}" for t in found.values())[:5])
        raise NotFound(f"{digits} begins {len(found)} of them: {names}; write more digits")
    return next(iter(found.values()), None)
