"""An edit of a runkey: what is to be changed is gathered, and stored in one transaction at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from db.audit import record
from db.checks import meta_problem, payload_problems, text_problem, word_problem
from db.errors import BadInput, Conflict, Forbidden, NotFound
from db.heads import RunkeyInfo, add_revision, again, head, move_head
from db.merge import Touches, merge
from db.nodes import VIEW, NewObject, NewPayload, PayloadInfo, split_path
from db.trees import Tree, alike, read_tree
from db.users import require
from db.worktree import Edge, WorkTree
from db.writer import write_tree

if TYPE_CHECKING:
    from db.runkeys import Runkeys

Step = Callable[[WorkTree], None]


@dataclass
class _Added:
    """What was attached: to make it again in another tree."""

    ids: dict[int, str] = field(default_factory=dict[int, str])
    grafts: dict[str, Tree] = field(default_factory=dict[str, Tree])


class Edit:
    """Changes of one runkey: `with runkeys.edit(name, comment) as edit: edit.put(…)`.

    Paths go along the daq view; `power:/PSU1/CH2` goes along another. An object with places in several views is one
    thing: what is changed of it is changed in all of them. Nothing is written before the end of the block; when
    somebody changed the runkey meanwhile, both changes are kept if they are of different objects, otherwise the end
    of the block raises Conflict and nothing is stored. An exception within the block drops the edit.
    """

    def __init__(self, runkeys: Runkeys, name: str, comment: str, action: str = "edit") -> None:
        self._runkeys = runkeys
        self.name = name
        self.comment = comment
        self.action = action
        self._base: RunkeyInfo | None = None
        self._tree: Tree | None = None
        self._work: WorkTree | None = None
        self._steps: list[Step] = []
        self._touches = Touches()
        self._result: RunkeyInfo | None = None

    def __enter__(self) -> Edit:
        database = self._runkeys.database
        with database.read() as connection:
            self._base = head(connection, self.name, self._runkeys.where)
            require(connection, self._runkeys.who, "operator")
            if self._base.committed:
                raise Forbidden(f"{self.name} is committed: it never changes any more; clone it")
            self._tree = read_tree(connection, self._base.root, None, source=database.read)
        self._work = WorkTree.of(self._tree)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._result = again(self._store)

    @property
    def base(self) -> RunkeyInfo:
        """The runkey as it was when the edit began."""
        if self._base is None:
            raise RuntimeError("an edit begins with `with`")
        return self._base

    @property
    def result(self) -> RunkeyInfo:
        """The runkey as it is after the edit, once the block has ended."""
        if self._result is None:
            raise RuntimeError("the edit has not ended")
        return self._result

    # payloads

    def put(
        self,
        path: str,
        role: str,
        content: bytes,
        type: str | None = None,
        format: str | None = None,
        name: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """New content in a role. What is not given stays, or is config, json, no name, no meta for a new role."""
        lineage, _ = self._find(path)
        old: NewPayload | PayloadInfo | None = None
        if None in (type, format, name, meta):
            old = self._payloads(lineage).get(role)
        new = NewPayload(
            role,
            bytes(content),
            type if type is not None else old.type if old else "config",
            format if format is not None else old.format if old else "json",
            name if name is not None else old.name if old else "",
            dict(meta if meta is not None else old.meta if old else {}),
        )
        _refuse(path, *payload_problems(new))
        self._step(lambda work: work.touch(lineage).puts.update({role: new}), lineage)

    def drop(self, path: str, role: str) -> None:
        """No payload in this role any more."""
        lineage, _ = self._find(path)
        roles = self._payloads(lineage)
        if role not in roles:
            raise NotFound(f"{path} has no payload {role!r}{alike(role, roles)}")
        self._step(lambda work: work.touch(lineage).puts.update({role: None}), lineage)

    # the object itself

    def set_meta(self, path: str, /, **meta: Any) -> None:
        """Set these keys of its metadata; None takes a key away."""
        self.update_meta(path, meta)

    def update_meta(self, path: str, meta: Mapping[str, Any]) -> None:
        """Set these keys of its metadata; None takes a key away."""
        _refuse(path, meta_problem("meta", meta))
        lineage, _ = self._find(path)

        def step(work: WorkTree) -> None:
            item = work.touch(lineage)
            item.meta = _updated(item.meta, meta)

        self._step(step, lineage)

    def set_serial(self, path: str, serial: str) -> None:
        """Set its serial number."""
        _refuse(path, text_problem("serial", serial))
        lineage, _ = self._find(path)

        def step(work: WorkTree) -> None:
            work.touch(lineage).serial = serial

        self._step(step, lineage)

    # its place

    def set_edge(self, path: str, /, **edge: Any) -> None:
        """Set these keys (rx, tx, enable, …) of the connection that the path ends with; None takes a key away."""
        self.update_edge(path, edge)

    def update_edge(self, path: str, edge: Mapping[str, Any], pos: int | None = None) -> None:
        """Set these keys of the connection that the path ends with, and its position; None takes a key away."""
        _refuse(path, meta_problem("edge", edge))
        lineage, parent = self._find(path)
        view, _ = parse_path(path)
        if parent is None:
            raise BadInput(f"{path}: the root has no connection")

        def step(work: WorkTree) -> None:
            found = work.touch(parent).children[view, lineage]
            work.item(parent).children[view, lineage] = Edge(
                view, lineage, found.pos if pos is None else pos, _updated(found.meta, edge)
            )

        self._step(step, lineage)

    def add(
        self,
        parent_path: str,
        new: NewObject | str,
        view: str | None = None,
        pos: int = 0,
        edge: Mapping[str, Any] | None = None,
    ) -> None:
        """A child: a new object with all below it, or the id of a stored one. `view`: that of the parent's path.

        The id of an object of this runkey gives it a place in a further view.
        """
        parent, _ = self._find(parent_path)
        along, names = parse_path(parent_path)
        view = view or along
        edge = dict(edge or {})
        place = "/" + "/".join(names)
        _refuse(parent_path, word_problem("view", view), meta_problem("edge", edge))
        if not -(2**31) <= pos < 2**31:
            raise BadInput(f"{parent_path}: the position {pos!r} is no whole number of 32 bits")
        made = _Added()

        def step(work: WorkTree) -> None:
            grafted: list[str] = []

            def graft(id_: str) -> str:
                lineage = work.known(id_) or work.graft(self._stored(made, id_))
                grafted.append(lineage)
                return lineage

            if isinstance(new, str):
                child = graft(new)
            else:
                child = work.make(new, f"{place.rstrip('/')}/{new.name}", made.ids, graft)
            work.attach(parent, Edge(view, child, pos, edge), place)
            if grafted:
                try:
                    work.check_places(dict.fromkeys([*grafted, child]))
                except BadInput:
                    work.detach(parent, view, child)
                    raise
            self._last = child

        self._last = ""
        self._step(step)
        self._touches.added.add((parent, view, self._last))

    def remove(self, path: str) -> None:
        """Take an object, with all below it, from its place; places that it has in other views stay."""
        lineage, parent = self._find(path)
        view, _ = parse_path(path)
        if parent is None:
            raise BadInput(f"{path}: the root can't be removed; delete the runkey")
        self._touches.below.update(self._current().below(lineage))
        self._step(lambda work: work.detach(parent, view, lineage))
        self._touches.removed.add((parent, view, lineage))

    def rename(self, path: str, name: str) -> None:
        """Another name, in all of its places."""
        lineage, _ = self._find(path)
        self._step(lambda work: work.rename(lineage, name), lineage)

    # how it is done

    def _current(self) -> WorkTree:
        if self._work is None or self._result is not None:
            raise RuntimeError("an edit is changed within its `with` block")
        return self._work

    def _find(self, path: str) -> tuple[str, str | None]:
        view, names = parse_path(path)
        return self._current().resolve(names, view)

    def _payloads(self, lineage: str) -> dict[str, NewPayload | PayloadInfo]:
        work = self._current()
        id_ = work.stored_id(lineage)
        found: dict[str, NewPayload | PayloadInfo] = {}
        if id_ is not None and self._tree is not None:
            found.update(self._tree.payloads_of(id_))
        if lineage in work.items:
            for role, new in work.items[lineage].puts.items():
                found.pop(role, None)
                if new is not None:
                    found[role] = new
        return found

    def _stored(self, made: _Added, id_: str) -> Tree:
        if id_ not in made.grafts:
            with self._runkeys.database.read() as connection:
                made.grafts[id_] = read_tree(connection, id_, None)
        return made.grafts[id_]

    def _step(self, step: Step, *touched: str) -> None:
        step(self._current())
        self._steps.append(step)
        self._touches.touched.update(touched)

    def _store(self) -> RunkeyInfo:
        runkeys = self._runkeys
        with runkeys.database.write() as connection:
            try:
                now = head(connection, self.name, runkeys.where, lock=True)
            except NotFound:
                raise Conflict(f"{self.name}: somebody deleted or renamed it meanwhile") from None
            require(connection, runkeys.who, "operator")
            if now.committed:
                raise Forbidden(f"{self.name} was committed meanwhile: it never changes any more; clone it")
            work = self._current()
            if now.revision != self.base.revision:
                work = self._merged(connection, now)
            root, _ = write_tree(connection, work, runkeys.who)
            if root == now.root:
                return now
            revision = add_revision(connection, self.name, root, now.revision, self.action, self.comment, runkeys.who)
            move_head(connection, now, revision)
            result = head(connection, self.name, runkeys.where)
            record(
                connection,
                runkeys.who,
                f"runkey.{self.action}",
                self.name,
                revision=revision,
                before=now.digest,
                after=result.digest,
                comment=self.comment,
            )
            return result

    def _merged(self, connection: Connection, now: RunkeyInfo) -> WorkTree:
        if self._tree is None:
            raise RuntimeError("an edit begins with `with`")
        return merge(connection, self._tree, self.base, now, self._touches, self._steps)


def parse_path(path: str) -> tuple[str, list[str]]:
    """(view, names) of a path like `/FELIX1/OB1` or `power:/PSU1/CH2`."""
    view, colon, rest = path.partition(":/")
    if colon and "/" not in view and view:
        return view, split_path(rest)
    return VIEW, split_path(path)


def _updated(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def _refuse(where: str, *problems: str) -> None:
    if found := [f"{where}: {problem}" for problem in problems if problem]:
        raise BadInput(found)
