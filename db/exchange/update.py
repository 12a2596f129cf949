"""An object of a runkey made equal to one that is imported, by the fewest changes: what is equal stays what it is."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from db.errors import BadInput
from db.exchange.incoming import digests, objects
from db.exchange.outgoing import address
from db.nodes import VIEW, NewChild, NewObject, NewPayload, Node, PayloadInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.edit import Edit


def update(edit: Edit, node: Node, new: NewObject) -> None:
    """Changes of `edit` that make the object at `node` (of a tree of all views), and all below it, equal to `new`.

    BadInput when it is the root of a runkey and can't be reached so.
    """
    found = digests(new)
    if found[id(new)].hex() == node.digest:
        return
    if _simple(node, new):
        _object(edit, node, new, found)
    elif node.parent is None:
        raise BadInput("/: a runkey with several views can't be replaced; import it under a new name")
    else:
        edit.remove(address(node))
        edit.add(address(node.parent), new, node.view, node.pos, node.edge)


def _simple(node: Node, new: NewObject) -> bool:
    """Whether a path of the usual view leads to everything, and metadata can be set key by key."""
    if node.view not in ("", VIEW) or node.path != address(node):
        return False
    if any(n.view not in ("", VIEW) or _has_none(n.edge) for n in node.walk() if n is not node):
        return False
    return all(
        not _has_none(item.meta) and all(c.view == VIEW and not _has_none(c.meta) for c in item.children)
        for item in objects(new)
    )


def _has_none(meta: Mapping[str, Any]) -> bool:
    return any(value is None for value in meta.values())


def _object(edit: Edit, node: Node, new: NewObject, found: dict[int, bytes]) -> None:
    path = node.path
    if node.serial != new.serial:
        edit.set_serial(path, new.serial)
    if gone := {key: None for key in node.meta if key not in new.meta}:
        edit.update_meta(path, gone)
    if node.meta != dict(new.meta):
        edit.update_meta(path, new.meta)
    roles = {payload.role for payload in new.payloads}
    for role in node.payloads:
        if role not in roles:
            edit.drop(path, role)
    for payload in new.payloads:
        if not _same(payload, node.payloads.get(payload.role)):
            edit.put(path, payload.role, payload.content, payload.type, payload.format, payload.name, payload.meta)
    wanted = {child.object.name: child for child in new.children if isinstance(child.object, NewObject)}
    for child in node.children:
        if child.name not in wanted:
            edit.remove(child.path)
    there = {child.name: child for child in node.children}
    for name, child in wanted.items():
        _child(edit, path, there.get(name), child, found)


def _same(new: NewPayload, old: PayloadInfo | None) -> bool:
    return old is not None and (new.type, new.format, new.name, dict(new.meta), sha256(new.content).hexdigest()) == (
        old.type,
        old.format,
        old.name,
        old.meta,
        old.sha256,
    )


def _child(edit: Edit, parent: str, old: Node | None, child: NewChild, found: dict[int, bytes]) -> None:
    new = child.object
    if not isinstance(new, NewObject):
        return
    if old is None or old.type != new.type:
        if old is not None:
            edit.remove(old.path)
        edit.add(parent, new, child.view, child.pos, child.meta)
        return
    if old.edge != dict(child.meta) or old.pos != child.pos:
        gone = {key: None for key in old.edge if key not in child.meta}
        edit.update_edge(old.path, {**gone, **child.meta}, child.pos)
    if old.digest != found[id(new)].hex():
        _object(edit, old, new, found)
