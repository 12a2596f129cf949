"""Import and export: folders (directory = object, file = payload), YARR's own files, one JSON bundle.

Whatever is read becomes a `NewObject` in memory, with all that is wrong in it said at once (`BadInput`), before the
database is touched; it is then stored in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.nodes import NewObject
    from db.runkeys import RunkeyInfo, Runkeys
    from db.store import Store

KINDS = ("folder", "yarr", "bundle")
Progress = Callable[[int, int], None]
"""Called with what is done and what is to be done (objects)."""


@dataclass
class Report:
    """What an import or export did: number of objects and payloads, bytes of their content, and remarks for people."""

    objects: int = 0
    payloads: int = 0
    size: int = 0
    notes: list[str] = field(default_factory=list)


def kind_of(source: Path) -> str:
    """folder, yarr or bundle: what `source` looks like; BadInput."""
    raise NotImplementedError


def read(source: Path, kind: str = "", notes: list[str] | None = None) -> NewObject:
    """A file or folder as an object with all below; `kind` is found out when empty. BadInput with all problems."""
    raise NotImplementedError


def import_runkey(
    runkeys: Runkeys, source: Path, name: str, comment: str = "", kind: str = "", progress: Progress | None = None
) -> tuple[RunkeyInfo, Report]:
    """Make the runkey `name` from a file or folder; all or nothing. BadInput, Exists."""
    raise NotImplementedError


def import_below(
    runkeys: Runkeys,
    name: str,
    parent: str,
    source: Path,
    comment: str = "",
    kind: str = "",
    replace: bool = False,
    progress: Progress | None = None,
) -> tuple[RunkeyInfo, Report]:
    """Add what was exported of a subtree below `parent` of the runkey `name`; all or nothing.

    `replace`: in the place of a child of that name; its edge (rx, tx, …) stays. BadInput, NotFound, Exists, Conflict.
    """
    raise NotImplementedError


def export_runkey(
    store: Store | Runkeys, name: str, target: Path, kind: str, path: str = "/", progress: Progress | None = None
) -> Report:
    """Write a runkey, or what is at and below `path` of it, to `target`, which must not exist. Exists, NotFound."""
    raise NotImplementedError
