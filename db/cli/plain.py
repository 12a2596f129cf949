"""What `--json` prints, of what the database gives (`db.cli.forms` says it in words)."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from db.cli.moments import json_time

if TYPE_CHECKING:
    from db.nodes import Node, PayloadInfo
    from db.runkeys import RevisionInfo, RunkeyInfo
    from db.store import Store


def plain_revision(revision: RevisionInfo, where: str) -> dict[str, Any]:
    """REVISION."""
    return {
        "id": revision.id,
        "runkey": revision.runkey,
        "number": revision.number,
        "root": revision.root,
        "digest": revision.digest,
        "parent": revision.parent,
        "action": revision.action,
        "author": revision.author,
        "created": json_time(revision.created),
        "comment": revision.comment,
        "where": where,
    }


def plain_health(store: Store) -> list[dict[str, Any]]:
    """DATABASE of each."""
    return [asdict(state) for state in store.health()]


def plain_payload(info: PayloadInfo) -> dict[str, Any]:
    """PAYLOAD."""
    return asdict(info)


def plain_node(node: Node, depth: int | None = None) -> dict[str, Any]:
    """NODE; with `depth` levels of children below it at most."""
    return _plain_node(node, node.path, depth)


def _plain_node(node: Node, path: str, depth: int | None) -> dict[str, Any]:
    children = node.children
    shown = children if depth is None or depth > 0 else []
    below = None if depth is None else depth - 1
    return {
        "path": path,
        "name": node.name,
        "type": node.type,
        "serial": node.serial,
        "id": node.id,
        "lineage": node.lineage,
        "digest": node.digest,
        "view": node.view,
        "pos": node.pos,
        "meta": node.meta,
        "edge": node.edge,
        "payloads": {role: plain_payload(info) for role, info in node.payloads.items()},
        "children": [_plain_node(c, f"{path.rstrip('/')}/{c.name}", below) for c in shown],
        "more": len(children) - len(shown),
    }


def plain_content(info: RunkeyInfo, node: Node, role: str, content: bytes) -> dict[str, Any]:
    """What `get --json` prints."""
    import orjson

    payload = node.payloads.get(role)
    kind = payload.format if payload is not None else "json"
    shown: Any = None
    if kind == "json":
        shown = orjson.loads(content)
    elif kind == "text":
        shown = content.decode("utf-8", "replace")
    return {
        "runkey": info.plain(),
        "path": node.path,
        "payload": None if payload is None else plain_payload(payload),
        "content": shown,
        "base64": None if shown is not None or kind in ("json", "text") else base64.b64encode(content).decode(),
    }
