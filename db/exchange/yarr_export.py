"""A runkey as YARR reads it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.chips.chipfile import chip_file
from db.chips.connectivity import ChipEntry, Connectivity, parse_connectivity, render_connectivity
from db.chips.registers import chip_type
from db.errors import BadInput
from db.exchange.files import Names, escape, new_folder
from db.exchange.outgoing import Contents, Outgoing, Report, outgoing
from db.nodes import Node
from db.trees import load

if TYPE_CHECKING:
    from db.runkeys import Runkeys
    from db.store import Store

_FRONTEND, _BOARD = "frontend", "optoboard"
_CHIP = ("config", "pixels", "source")


@dataclass
class _Board:
    """What becomes one connectivity file."""

    node: Node
    file: str
    chips: list[tuple[Node, ChipEntry]] = field(default_factory=list[tuple[Node, ChipEntry]])
    source: bytes = b""


def write_yarr(
    store: Store | Runkeys,
    runkey: str,
    folder: Path,
    path: str = "/",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write a runkey, or what is at and below `path` of it, as a folder of YARR's files.

    Byte for byte what was imported, where nothing was changed since; what was not imported gets usual names. What has
    no place in such files is left out, and noted. Exists; BadInput when there are no front-ends.
    """
    report = Report()
    with outgoing(store, runkey, path) as source, new_folder(Path(folder)) as temporary:
        writer = _Writer(source, temporary, report)
        for node, contents in source.contents(progress, report):
            writer.object(node, contents)
        writer.finish()
    return report


class _Writer:
    def __init__(self, source: Outgoing, folder: Path, report: Report) -> None:
        self.source = source
        self.folder = folder
        self.report = report
        self.written: dict[str, bytes] = {}
        """File -> its sha256."""
        self.several = sum(node.type == "felix" for node in source.nodes) > 1
        self.left_out = 0
        self.boards: dict[str, _Board] = {}
        """By the id of the object."""
        self.chips: dict[str, str] = {}
        """Id of a front-end -> its file."""
        self.names = Names()
        taken: set[str] = set()
        for node in source.nodes:
            if node.type == _FRONTEND:
                self._plan(node, taken)
        if not self.boards:
            raise BadInput(f"{source.runkey}: {source.top.path}: there are no front-ends here")

    def _plan(self, node: Node, taken: set[str]) -> None:
        above = _above(node)
        board = self.boards.get(above.id)
        if board is None:
            name = above.meta.get("connectivity")
            file = _inside(name) if isinstance(name, str) else ""
            if not file or file in taken:
                file = self._usual(above, f"connectivity_{escape(above.name)}.json")
            taken.add(file)
            board = self.boards[above.id] = _Board(above, file)
        entry = _entry(node)
        file = _place(entry, board.file)
        if not file:
            if entry.config:
                self.report.notes.append(
                    f"{node.path}: its file {entry.config} would lie elsewhere; it is in configs now"
                )
            usual = self.names.of("_".join(part for part in node.path.split("/") if part), ".json")
            entry.config, entry.path = f"configs/{usual}", "relToCon"
            file = _place(entry, board.file)
        board.chips.append((node, entry))
        self.chips[node.id] = file

    def _usual(self, node: Node, name: str) -> str:
        felix = next((n for n in _line(node) if n.type == "felix"), None)
        return f"{escape(felix.name)}/{name}" if felix is not None and self.several else name

    def object(self, node: Node, contents: Contents) -> None:
        left = dict(contents)
        if node.id in self.chips:
            roles = {role: left.pop(role) for role in _CHIP if role in left}
            data = chip_file({role: (content, info.meta) for role, (info, content) in roles.items()}, node.path)
            self._write(self.chips[node.id], data, node)
        if node.id in self.boards and "source" in left:
            self.boards[node.id].source = left.pop("source")[1]
        for role, (info, content) in list(left.items()):
            if info.type in ("controller_config", "scan_config"):
                self._other(node, info.type, info.name, content)
                left.pop(role)
        self.left_out += len(left)

    def _other(self, node: Node, kind: str, name: str, content: bytes) -> None:
        usual = "controller.json" if kind == "controller_config" else f"scans/{escape(node.name)}.json"
        self._write(_inside(name) or self._usual(node, usual), content, node)

    def finish(self) -> None:
        above = self.source.top.parent
        if above is not None:
            for node, info, content in load(self.source.connection, list(_line(above))):
                if info.type == "controller_config":
                    self._other(node, info.type, info.name, content)
        for board in self.boards.values():
            data = render_connectivity(self._connectivity(board), board.source)
            self._write(board.file, data, board.node)
            try:
                parse_connectivity(data, board.file, felix=False)
            except BadInput as error:
                self.report.notes += error.problems
        if self.left_out:
            self.report.notes.append(f"{self.left_out:,} payloads have no place in files of YARR and are left out")

    def _connectivity(self, board: _Board) -> Connectivity:
        meta = board.node.meta
        kind, extra = meta.get("chipType"), meta.get("extra")
        if not isinstance(kind, str):
            chip = next(
                (p.meta.get("chip") for node, _ in board.chips for p in node.payloads.values() if "chip" in p.meta), ""
            )
            try:
                kind = chip_type(str(chip)).connectivity[0]
            except KeyError:
                raise BadInput(f"{board.node.path}: of what type its chips are, is not said") from None
        return Connectivity(kind, [entry for _, entry in board.chips], extra if isinstance(extra, dict) else {})

    def _write(self, file: str, content: bytes, node: Node) -> None:
        digest = sha256(content).digest()
        if self.written.setdefault(file, digest) != digest:
            raise BadInput(f"{node.path}: its file {file} is also that of another object, with other content")
        target = self.folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _line(node: Node | None) -> list[Node]:
    """A node, its parent, and so on."""
    found = []
    while node is not None:
        found.append(node)
        node = node.parent
    return found


def _above(node: Node) -> Node:
    """The optoboard of a front-end, or whatever it is directly below."""
    line = _line(node)[1:]
    return next((n for n in line if n.type == _BOARD), line[0] if line else node)


def _entry(node: Node) -> ChipEntry:
    edge = node.edge
    config, path, extra = edge.get("config"), edge.get("path"), edge.get("extra")
    return ChipEntry(
        config if isinstance(config, str) else "",
        _number(edge, "tx", node),
        _number(edge, "rx", node),
        bool(edge.get("enable", 1)),
        bool(edge.get("locked", 0)),
        path if isinstance(path, str) else "",
        extra if isinstance(extra, dict) else {},
    )


def _number(edge: Mapping[str, Any], key: str, node: Node) -> int:
    value = edge.get(key)
    if type(value) is not int:
        raise BadInput(f"{node.path}: {key}: is {'not set' if value is None else repr(value)}; YARR wants a number")
    return value


def _place(entry: ChipEntry, connectivity: str) -> str:
    """Where a chip file goes, relative to the folder; empty when that is not in it."""
    if entry.path == "abs" or not entry.config:
        return ""
    config = entry.config.replace("\\", "/")
    if config.startswith("/"):
        return ""
    return _inside(posixpath.join(posixpath.dirname(connectivity), config) if entry.path == "relToCon" else config)


def _inside(name: str) -> str:
    """A relative name without detours; empty when it leads out of the folder, or is none."""
    if not name or name.startswith("/") or not name.isprintable():
        return ""
    found = posixpath.normpath(name)
    return "" if found in (".", "..") or found.startswith("../") else found
