"""What the databases have, as text that fits a PV. Everything here blocks: it runs on a thread.

Lists and trees are JSON in the forms of `owl runkey list --json` and `owl runkey tree --json`. What does not fit is
left out, and counted in `more`; programs that want all of it use `owl runkey`, or the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from db.errors import NotFound

if TYPE_CHECKING:
    from db.nodes import Node
    from db.runkeys import RunkeyInfo
    from db.store import Store

MAX_NODES = 2000
"""Objects of a tree that a PV shows at most."""
HEX_BYTES = 4096
"""Bytes of raw content that `View` shows."""


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second: it fits a Channel Access string."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def form_text(info: RunkeyInfo) -> str:
    """A runkey as JSON."""
    return orjson.dumps(info.plain()).decode()


def newest_first(store: Store, text: str = "") -> list[RunkeyInfo]:
    """All runkeys, or those that `text` finds: `tag:NAME`, a pattern with * or ?, or a part of a name or comment."""
    text = text.strip()
    if text.startswith("tag:"):
        found = store.list(tag=text.removeprefix("tag:"))
    elif set("*?[") & set(text):
        found = store.list(text)
    else:
        found = store.list(text=text)
    # what is committed is in both
    once = {(info.name, info.revision): info for info in reversed(found)}
    return sorted(once.values(), key=lambda info: info.created, reverse=True)


def list_text(found: Sequence[RunkeyInfo], room: int) -> str:
    """`{"runkeys": [...], "more": 0}` in at most `room` bytes."""
    parts: list[bytes] = []
    left = room - 64
    for info in found:
        part = orjson.dumps(info.plain())
        left -= len(part) + 1
        if left < 0:
            break
        parts.append(part)
    return f'{{"runkeys":[{b",".join(parts).decode()}],"more":{len(found) - len(parts)}}}'


def tree_text(store: Store, name: str, path: str, room: int) -> str:
    """The objects of a runkey below `path`, as deep as fits; NotFound."""
    tree = store.find(name).tree(name)
    top = tree.node(path)
    info = store.find(name).info(name)
    text = b""
    for depth in (None, 4, 3, 2, 1, 0):
        if depth != 0 and _count(top, depth, MAX_NODES) > MAX_NODES:
            continue
        document = {"runkey": info.plain(), "path": top.path, "objects": len(tree), "root": _node(top, depth)}
        text = orjson.dumps(document)
        if len(text) <= room:
            break
    return text.decode() if len(text) <= room else "{}"


def _count(node: Node, depth: int | None, most: int) -> int:
    """Nodes within `depth` levels below, or anything over `most`."""
    count = 1
    if depth is None or depth > 0:
        for child in node.children:
            count += _count(child, None if depth is None else depth - 1, most - count)
            if count > most:
                break
    return count


def _node(node: Node, depth: int | None) -> dict[str, Any]:
    children = node.children if depth is None or depth > 0 else []
    below = None if depth is None else depth - 1
    return {
        "path": node.path,
        "name": node.name,
        "type": node.type,
        "serial": node.serial,
        "id": node.id,
        "digest": node.digest,
        "meta": node.meta,
        "edge": node.edge,
        "payloads": {
            role: {"format": p.format, "size": p.size, "sha256": p.sha256} for role, p in node.payloads.items()
        },
        "children": [_node(child, below) for child in children],
        "more": len(node.children) - len(children),
    }


def view_text(store: Store, name: str, path: str, role: str, room: int) -> str:
    """A payload as people read it, cut to `room` bytes; NotFound."""
    runkeys = store.find(name)
    node = runkeys.tree(name).node(path)
    if not role:
        if not node.payloads:
            return f"{node.path}: {node.type}, no payloads, {len(node.children)} children"
        role = next(iter(node.payloads))
    info = node.payloads.get(role)
    if info is None:
        raise NotFound(f"{node.path} has no {role!r}; it has {', '.join(node.payloads) or 'no payloads'}")
    content = runkeys.payload(name, path, role)
    if info.format == "json":
        text = orjson.dumps(orjson.loads(content), option=orjson.OPT_INDENT_2).decode()
    elif info.format == "pixels":
        text = _pixels(content, info.meta)
    elif info.format == "text":
        text = content.decode("utf-8", "replace")
    else:
        text = f"{info.size} bytes, sha256 {info.sha256}\n{content[:HEX_BYTES].hex(' ', 4)}"
    return text if len(text.encode()) <= room else text.encode()[: room - 40].decode(errors="ignore") + "\n… cut here"


def _pixels(content: bytes, meta: dict[str, Any]) -> str:
    """A pixel map in counts; bits as in `db.chips.pixels`."""
    enabled = sum(1 for byte in content if byte & 1)
    injected = sum(1 for byte in content if byte & 2)
    hitbus = sum(1 for byte in content if byte & 4)
    size = f"{meta.get('chip', 'chip')}, {meta.get('cols', '?')} columns x {meta.get('rows', '?')} rows"
    return f"{size}\nEnable {enabled}\nInjEn {injected}\nHitbus {hitbus}\nof {len(content)} pixels"
