"""A runkey as lines of a tree, as `tree(1)` draws folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from owlshift.commands.output import count_text

if TYPE_CHECKING:
    from db.nodes import Node

PLACE = ("rx", "tx")
"""What of a place is shown in columns of its own."""


def draw(top: Node, title: str, depth: int | None = None) -> Iterator[str]:
    """Lines for a node and what is below it, `depth` levels at most."""
    yield title + _payloads(top)
    yield from _below(top, "", depth)


def _below(node: Node, lead: str, depth: int | None) -> Iterator[str]:
    children = node.children
    if not children:
        return
    if depth is not None and depth <= 0:
        yield f"{lead}└── … {counts_below(node)}"
        return
    columns = [_cells(child) for child in children]
    widths = [max(len(cells[i]) for cells in columns) for i in range(len(columns[0]))]
    for number, (child, cells) in enumerate(zip(children, columns, strict=True)):
        last = number == len(children) - 1
        row = "  ".join(f"{c:{w}}" for c, w in zip(cells, widths, strict=True) if w)
        yield f"{lead}{'└── ' if last else '├── '}{row}{_payloads(child)}".rstrip()
        yield from _below(child, lead + ("    " if last else "│   "), None if depth is None else depth - 1)


def _cells(node: Node) -> list[str]:
    edge, meta = node.edge, node.meta
    cells = [node.name, node.type, str(meta.get("chip", meta.get("chip_type", ""))), node.serial]
    cells += [f"{key.capitalize()} {edge[key]:>3}" if key in edge else "" for key in PLACE]
    return [*cells, _switch(edge)]


def _switch(edge: dict[str, Any]) -> str:
    words = []
    if "enable" in edge:
        words.append("enabled" if edge["enable"] else "disabled")
    if edge.get("locked"):
        words.append("locked")
    return ", ".join(words)


def _payloads(node: Node) -> str:
    return f"  [{', '.join(node.payloads)}]" if node.payloads else ""


def counts_below(node: Node) -> str:
    """`24 optoboards, 702 frontends`."""
    counts = Counter(inner.type for inner in node.walk() if inner is not node)
    return ", ".join(count_text(n, kind) for kind, n in counts.items())
