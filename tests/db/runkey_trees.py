"""Small detectors for the tests of runkeys, and trees as plain dicts."""

from __future__ import annotations

from typing import Any

from db.blobs import get_blobs
from db.nodes import NewChild, NewObject, NewPayload
from db.runkeys import Runkeys
from db.trees import Tree


def frontend(number: int, **edge: Any) -> NewChild:
    payloads = [
        NewPayload("config", b'{"chip":%d}' % number),
        NewPayload("pixels", bytes([number]) * 64, "pixels", "pixels", meta={"cols": 8, "rows": 8}),
    ]
    serial = f"20UPGFC{number:07}"
    return NewChild(
        NewObject("frontend", f"FE{number}", serial, {"wafer": number}, payloads), meta={"rx": number, **edge}
    )


def detector(frontends: int = 4, optoboards: int = 1) -> NewObject:
    """A FELIX with optoboards, the front-ends shared out among them; a scan beside."""
    boards = [NewObject("optoboard", f"OB{i + 1}") for i in range(optoboards)]
    for number in range(1, frontends + 1):
        boards[(number - 1) % optoboards].children.append(frontend(number))
    felix = NewObject("felix", "FELIX1", children=[NewChild(board) for board in boards])
    scan = NewObject("scan", "std_digitalscan", payloads=[NewPayload("scan_config", b"{}", "scan_config")])
    return NewObject("runkey", "", children=[NewChild(felix), NewChild(scan, pos=1)])


def said(runkeys: Runkeys, name: str, view: str | None = "daq") -> dict[str, Any]:
    """Path -> all that the object there says."""
    return contents(runkeys, runkeys.tree(name, view, payloads=True))


def contents(runkeys: Runkeys, tree: Tree) -> dict[str, Any]:
    nodes = list(tree.walk())
    hashes = [bytes.fromhex(info.sha256) for node in nodes for info in node.payloads.values()]
    with runkeys.database.read() as connection:
        blobs = {sha.hex(): content for sha, content in get_blobs(connection, hashes)}
    return {
        node.path if node.view in ("", "daq") else f"{node.view}:{node.path}": {
            "type": node.type,
            "serial": node.serial,
            "meta": node.meta,
            "edge": node.edge,
            "payloads": {role: blobs[info.sha256] for role, info in node.payloads.items()},
        }
        for node in nodes
    }
