"""Import and export: folders (directory = object, file = payload), YARR's own files, one JSON bundle.

Whatever is read becomes a `NewObject` in memory, with all that is wrong in it said at once (`BadInput`), before the
database is touched; it is then stored in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from db.errors import BadInput, Exists, NotFound
from db.exchange import bundle, folder, yarr
from db.exchange.incoming import Incoming, digests, objects
from db.exchange.outgoing import Report, address, node_at
from db.exchange.update import update
from db.nodes import NewObject

if TYPE_CHECKING:
    from db.runkeys import RunkeyInfo, Runkeys
    from db.store import Store

KINDS = ("folder", "yarr", "bundle")
Progress = Callable[[int, int], None]
"""Called with what is done and what is to be done (objects; 0 when that is not known)."""

__all__ = [
    "KINDS",
    "Incoming",
    "Progress",
    "Report",
    "export_runkey",
    "import_below",
    "import_runkey",
    "kind_of",
    "read",
]


def kind_of(source: Path) -> str:
    """folder, yarr or bundle: what `source` looks like; BadInput."""
    source = Path(source)
    if source.is_dir():
        return "folder" if (source / folder.OBJECT).exists() else "yarr"
    if not source.exists():
        raise BadInput(f"{source}: there is no such file")
    return "yarr" if yarr.is_connectivity(source) else "bundle"


def read(source: Path, kind: str = "", progress: Progress | None = None) -> Incoming:
    """A file or folder as an object with all below; `kind` is found out when empty. BadInput with all problems."""
    source = Path(source)
    match kind or kind_of(source):
        case "folder":
            return folder.read_folder(source, progress)
        case "bundle":
            return bundle.read_bundle(source)
        case "yarr":
            return yarr.read_yarr_folder(source)
        case other:
            raise BadInput(f"{other!r} is none of {', '.join(KINDS)}")


def import_runkey(
    runkeys: Runkeys,
    source: Path,
    name: str,
    comment: str = "",
    kind: str = "",
    progress: Progress | None = None,
    *,
    replace: bool = False,
) -> tuple[RunkeyInfo, Report]:
    """Make the runkey `name` from a file or folder; all or nothing. BadInput, Exists.

    What is in the database already is not stored again: a runkey whose like exists becomes its clone. `replace`: the
    runkey that has the name becomes what is imported, by a new revision, in which all that is equal stays what it is.
    """
    if not replace and runkeys.exists(name):
        raise Exists(f"there is a runkey {name!r} already")
    incoming = read(source, kind, progress)
    root, report = incoming.root, _report(incoming)
    if root.type != "runkey":
        raise BadInput(f"{source}: is {_a(root.type)} {root.name!r} and no runkey; add it to one")
    if replace and runkeys.exists(name):
        with runkeys.edit(name, comment, "import") as edit:
            update(edit, runkeys.tree(edit.base.root, None).root, root)
        return edit.result, report
    try:
        info = runkeys.clone(digests(root)[id(root)].hex(), name, comment)
    except NotFound:
        return runkeys.create(name, root, comment, action="import"), report
    report.notes.append("the database has this configuration already; nothing was stored twice")
    return info, report


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

    `replace`: in the place of the child of that name; that place's edge (rx, tx, …) stays. Of a whole runkey, its
    children are added. BadInput, NotFound, Exists, Conflict.
    """
    incoming = read(source, kind, progress)
    root = incoming.root
    with runkeys.edit(name, comment, "import") as edit:
        above = node_at(runkeys.tree(edit.base.root, None), parent)
        place = address(above)
        if root.type == "runkey":
            if root.payloads or root.meta:
                raise BadInput(f"{source}: is a runkey with payloads or metadata of its own, which have no place here")
            parts = [(c.object, c.view, c.pos, c.meta) for c in root.children if isinstance(c.object, NewObject)]
        else:
            parts = [(root, incoming.view, incoming.pos, incoming.edge)]
        for item, view, pos, edge in parts:
            there = next((c for c in above.children if (c.name, c.view) == (item.name, view)), None)
            if there is None:
                edit.add(place, item, view, pos, edge)
            elif not replace:
                raise Exists(f"{above.path} of {name} has a {item.name!r} already")
            elif there.type != item.type:
                edit.remove(address(there))
                edit.add(place, item, view, there.pos, there.edge)
            else:
                update(edit, there, item)
    return edit.result, _report(incoming)


def export_runkey(
    store: Store | Runkeys, name: str, target: Path, kind: str, path: str = "/", progress: Progress | None = None
) -> Report:
    """Write a runkey (by name, digest or id), or what is at and below `path` of it, to `target`.

    Exists when `target` does; NotFound; BadInput for what this kind can't say.
    """
    match kind:
        case "folder":
            return folder.write_folder(store, name, target, path, progress)
        case "bundle":
            return bundle.write_bundle(store, name, target, path, progress)
        case "yarr":
            return yarr.write_yarr(store, name, target, path, progress)
        case _:
            raise BadInput(f"{kind!r} is none of {', '.join(KINDS)}")


def _report(incoming: Incoming) -> Report:
    report = Report(notes=list(incoming.notes))
    for item in objects(incoming.root):
        report.objects += 1
        report.payloads += len(item.payloads)
        report.size += sum(len(payload.content) for payload in item.payloads)
    return report


def _a(word: str) -> str:
    return f"an {word}" if word[:1] in "aeiou" else f"a {word}"
