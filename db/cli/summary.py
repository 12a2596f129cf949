"""`owl runkey show`: a runkey on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from db.cli.common import count_text, size_text
from db.cli.drawing import counts_below
from db.cli.marks import Label, ValidSpan, labels_of, spans_of
from db.cli.moments import json_time, local_text
from db.cli.plain import plain_revision

if TYPE_CHECKING:
    from db.cli.names import Target
    from db.nodes import Node
    from db.runkeys import RevisionInfo, RunkeyInfo
    from db.store import Store
    from db.trees import Tree

LINES = 24
"""Of the tree on the page at most; `owl runkey tree` shows the rest."""


@dataclass
class Summary:
    """What the page says."""

    info: RunkeyInfo
    tree: Tree
    others: list[str]
    """Where else the same content lies, for people."""
    revisions: list[RevisionInfo]
    types: Counter[str]
    roles: Counter[str]
    size: int
    setpoints: dict[str, int] = field(default_factory=dict)
    conditions: dict[str, int] = field(default_factory=dict)
    labels: list[Label] = field(default_factory=list)
    spans: list[ValidSpan] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "runkey": self.info.plain(),
            "objects": len(self.tree),
            "payloads": sum(self.roles.values()),
            "bytes": self.size,
            "types": dict(self.types),
            "roles": dict(self.roles),
            "setpoints": self.setpoints,
            "conditions": self.conditions,
            "tags": [label.plain() for label in self.labels],
            "validity": [span.plain() for span in self.spans],
            "revisions": len([r for r in self.revisions if r.runkey == self.info.name]),
            "made_from": next(
                (plain_revision(r, self.info.where) for r in self.revisions if r.runkey != self.info.name), None
            ),
            "time": json_time(self.info.created),
        }


def summary(store: Store, target: Target) -> Summary:
    """What there is to say about a runkey."""
    tree = target.tree(None, payloads=True)
    types: Counter[str] = Counter()
    roles: Counter[str] = Counter()
    size = 0
    seen: set[str] = set()
    setpoints: dict[str, int] = {}
    conditions: dict[str, int] = {}
    for node in tree.walk():
        if node.id in seen:  # in two views
            continue
        seen.add(node.id)
        if node.parent is not None:
            types[node.type] += 1
        for role, payload in node.payloads.items():
            roles[role] += 1
            size += payload.size
        for role, counts in (("setpoints", setpoints), ("conditions", conditions)):
            if role in node.payloads:
                counts[node.name] = _items(target, node, role)
    others = []
    for area in ("staging", "backend"):
        runkeys = getattr(store, area)
        if area != target.info.where and runkeys.exists(target.info.name):
            same = runkeys.info(target.info.name).digest == target.info.digest
            others.append(f"{area} ({'the same' if same else 'another content'})")
    return Summary(
        info=target.info,
        tree=tree,
        others=others,
        revisions=target.log(),
        types=types,
        roles=roles,
        size=size,
        setpoints=setpoints,
        conditions=conditions,
        labels=labels_of(target, tree),
        spans=spans_of(target, tree),
    )


def _items(target: Target, node: Node, role: str) -> int:
    """PVs in a payload of setpoints or conditions; 0 when it is none of ours."""
    import orjson

    try:
        content = orjson.loads(target.runkeys.payload_by_hash(node.payloads[role].sha256))
        return len(content["items"])
    except (ValueError, KeyError, TypeError):
        return 0


def page(content: Summary) -> Iterator[str]:
    """Lines for people."""
    info = content.info
    yield info.name
    kinds = [count_text(n, kind) for kind, n in content.types.items() if kind != "subsystem"]
    subsystems = [f"{name} ({count_text(n, 'setpoint')})" for name, n in content.setpoints.items()]
    payloads = count_text(sum(content.roles.values()), "payload")
    facts = [
        ("what", ", ".join(kinds) or ("" if subsystems else "nothing yet")),
        ("settings", ", ".join(subsystems)),
        ("holds", f"{count_text(len(content.tree), 'object')}, {payloads}, {size_text(content.size)}"),
        ("digest", info.digest),
        ("revision", f"{info.number} ({info.action})"),
        ("who", info.author),
        ("when", local_text(info.created)),
        ("why", info.comment),
        ("made from", _origin(content)),
        ("where", ", ".join([_place(info), *content.others])),
        ("tags", ", ".join(label.text() for label in content.labels)),
        ("valid", "\n".join(span.text() for span in content.spans)),
    ]
    width = max(len(key) for key, _ in facts)
    for key, value in facts:
        first, *more = value.splitlines() or [""]
        if first:
            yield f"  {key:{width}}  {first}"
            yield from (f"  {'':{width}}  {line}" for line in more)
    yield ""
    yield from _short_tree(content.tree.root)


def _place(info: RunkeyInfo) -> str:
    if info.where == "backend":
        return "backend"
    return "staging" + (" (committed: it never changes any more)" if info.committed else " (not committed)")


def _origin(content: Summary) -> str:
    for revision in content.revisions:
        if revision.runkey != content.info.name:
            return f"{revision.runkey}@{revision.number} of {local_text(revision.created)}"
    return ""


def _short_tree(root: Node) -> Iterator[str]:
    """Two levels, or one where two are too many; below them counts."""
    two = sum(1 + len(child.children) for child in root.children) <= LINES
    children = root.children[:LINES]
    for child in children:
        below = counts_below(child) if not two or not child.children else ""
        yield _line(child, below)
        if two:
            for inner in child.children:
                yield "  " + _line(inner, counts_below(inner))
    if len(root.children) > LINES:
        yield f"  … and {count_text(len(root.children) - LINES, 'object')} more (owl runkey tree)"


def _line(node: Node, below: str) -> str:
    roles = f"  [{', '.join(node.payloads)}]" if node.payloads else ""
    return f"  {node.name}  {node.type}{roles}" + (f": {below}" if below else "")
