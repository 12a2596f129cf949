"""YARR's own files: connectivity, chip files, controller, scan configurations.

What is read becomes FELIX (its controller) -> optoboard (one per connectivity file) -> front-end (its chip file), and
scans beside the FELIX. Everything keeps its place: the names of the files, relative to the folder, are in the names of
payloads, in the optoboard's meta (`connectivity`) and in the front-end's edge (`config`, `path`). So a runkey is
written as the very files that it was read from, where nothing was changed since (`db.exchange.yarr_export`).

`config` of a chip is looked for beside its connectivity file (relToCon), at its place (abs), or else relative to the
folder that YARR is started in (`base`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from db.chips.chipfile import chip_payloads
from db.chips.connectivity import ChipEntry, Connectivity, parse_connectivity, render_connectivity, shared_rx
from db.chips.controller import parse_controller
from db.chips.scans import parse_scan
from db.errors import BadInput
from db.exchange.files import MAX_OBJECTS, Problems, Reader
from db.exchange.incoming import Incoming, check_shape
from db.exchange.yarr_export import write_yarr
from db.nodes import NewChild, NewObject, NewPayload

__all__ = ["is_connectivity", "read_yarr", "read_yarr_folder", "write_yarr"]

_SMALL = 2**20
"""Bytes; what is larger is no connectivity, controller or scan, and is read only when a connectivity names it."""
_UP = 4
"""Folders above a connectivity file in which YARR may have been started."""
_DEPTH = 12


@dataclass
class _Felix:
    controller: Path | None
    connectivity: list[Path] = field(default_factory=list[Path])


def is_connectivity(file: Path) -> bool:
    """Whether a file looks like a connectivity file."""
    try:
        return file.stat().st_size <= _SMALL and _kind(file.read_bytes()) == "connectivity"
    except (OSError, ValueError):  # no JSON: whoever reads it says where
        return False


def read_yarr(
    connectivity_files: Sequence[Path],
    controller: Path | None = None,
    scans: Sequence[Path] = (),
    base: Path | None = None,
    notes: list[str] | None = None,
) -> NewObject:
    """One FELIX with an optoboard per connectivity file, and scans. BadInput with all that is wrong in all files.

    `base`: the folder that YARR is started in, and that the names of files are kept relative to; without it the one
    that the connectivity files have in common, or the nearest above it where the chip files are. `notes` gets what is
    odd, but no error.
    """
    if not connectivity_files:
        raise BadInput("no connectivity file was given")
    found = _YarrReader([Path(f).absolute() for f in connectivity_files], base)
    felix = _Felix(None if controller is None else Path(controller).absolute(), found.connectivity)
    root = found.read([felix], [Path(f).absolute() for f in scans])
    if notes is not None:
        notes += found.notes
    return root


def read_yarr_folder(folder: Path) -> Incoming:
    """All that a YARR folder holds, found by what is in the files. BadInput.

    A controller is that of all connectivity files in its folder and below it, unless there is another one nearer; each
    is a FELIX. Files that belong to nothing are left out, and noted.
    """
    folder = Path(folder).absolute()
    if folder.is_file():
        notes: list[str] = []
        return Incoming(read_yarr([folder], notes=notes), notes=notes)
    problems = Problems()
    found: dict[str, list[Path]] = {"connectivity": [], "controller": [], "scan": [], "": []}
    for path in _json_files(folder, problems):
        found[_kind_of(path, problems)].append(path)
    felixes: dict[Path | None, _Felix] = {}
    for path in found["connectivity"]:
        controller = _controller_of(path, folder, found["controller"], problems)
        felixes.setdefault(controller, _Felix(controller)).connectivity.append(path)
    if not found["connectivity"]:
        problems.add(folder, "", "has no connectivity file")
    problems.check()
    reader = _YarrReader(found["connectivity"], folder)
    root = reader.read(list(felixes.values()), found["scan"])
    unused = [*(p for p in found["controller"] if p not in felixes), *(p for p in found[""] if p not in reader.files)]
    if unused:
        names = ", ".join(str(path.relative_to(folder)) for path in unused[:5])
        reader.notes.append(
            f"{len(unused)} files belong to nothing and are left out: {names}{', …' * (len(unused) > 5)}"
        )
    return Incoming(root, notes=reader.notes)


class _YarrReader:
    def __init__(self, connectivity: list[Path], base: Path | None) -> None:
        self.connectivity = connectivity
        self.problems = Problems()
        self.reader = Reader(self.problems)
        self.notes: list[str] = []
        self.files: dict[Path, str] = {}
        """Chip file -> the connectivity that has it."""
        self.base = Path(base).absolute() if base is not None else self._guess_base()

    def read(self, felixes: list[_Felix], scans: list[Path]) -> NewObject:
        root = NewObject("runkey", "")
        for number, felix in enumerate(felixes):
            root.children.append(NewChild(self._felix(felix, number), pos=number))
        for number, path in enumerate(scans, len(felixes)):
            scan = self._scan(path, {c.object.name for c in root.children if isinstance(c.object, NewObject)})
            if scan is not None:
                root.children.append(NewChild(scan, pos=number))
        self.reader.finish()
        self.problems.check()
        check_shape(root, lambda item: f"{self.base}: {item.type} {item.name}", self.problems)
        self.problems.check()
        return root

    def _felix(self, felix: _Felix, number: int) -> NewObject:
        made = NewObject("felix", f"FELIX{number + 1}")
        elinks = True
        if felix.controller is not None and (data := self.reader.file(felix.controller)) is not None:
            try:
                controller = parse_controller(data, str(felix.controller))
                elinks = controller.felix
                self.notes += controller.warnings
                name = self._name(felix.controller)
                made.payloads.append(NewPayload("controller", data, "controller_config", "json", name))
            except BadInput as error:
                self.problems.take(error)
        boards: list[tuple[str, Connectivity]] = []
        for place, path in enumerate(felix.connectivity):
            board = NewObject("optoboard", f"OB{place + 1}")
            made.children.append(NewChild(board, pos=place))
            found = self._board(board, path, elinks)
            if found is not None:
                boards.append((str(path), found))
        for problem in shared_rx(boards):
            self.problems.add("", "", problem)
        return made

    def _board(self, board: NewObject, path: Path, elinks: bool) -> Connectivity | None:
        data = self.reader.file(path)
        if data is None:
            return None
        places: dict[int, Path] = {}

        def exists(entry: ChipEntry) -> bool:
            place = places[id(entry)] = self._place(entry, path)
            return os.path.lexists(place)

        try:
            found = parse_connectivity(data, str(path), exists=exists, felix=elinks)
        except BadInput as error:
            self.problems.take(error)
            return None
        self.notes += found.warnings
        meta: dict[str, Any] = {"connectivity": self._name(path), "chipType": found.chip_type}
        board.meta = meta | ({"extra": found.extra} if found.extra else {})
        if render_connectivity(found) != data:
            board.payloads.append(NewPayload("source", data, "connectivity", "raw"))
        for number, entry in enumerate(found.chips):
            chip = self._chip(entry, places[id(entry)], path, found.chip_type, number)
            board.children.append(NewChild(chip, pos=number, meta=edge_of(entry)))
        return found

    def _chip(self, entry: ChipEntry, place: Path, path: Path, chip_type: str, number: int) -> NewObject:
        made = NewObject("frontend", f"FE{number + 1}")
        if entry.path == "db":
            self.problems.add(path, f"chips[{number}].path", "db: the chip file lies in a database of YARR")
            return made
        where = f"{path}: chips[{number}]"
        if entry.enable and self.files.setdefault(place, where) != where:
            self.problems.add(path, f"chips[{number}].config", f"is the file of {self.files[place]}, too")
        self.files.setdefault(place, where)
        data = self.reader.file(place)
        if data is None:
            return made
        try:
            made.payloads += chip_payloads(data, str(place), expected=chip_type)
        except BadInput as error:
            self.problems.take(error)
            return made
        made.serial = _chip_name(made.payloads[0].content)
        return made

    def _scan(self, path: Path, taken: set[str]) -> NewObject | None:
        data = self.reader.file(path)
        if data is None:
            return None
        try:
            self.notes += parse_scan(data, str(path)).warnings
        except BadInput as error:
            self.problems.take(error)
            return None
        name, number = path.stem[:150].strip() or "scan", 1
        while name in taken:
            number += 1
            name = f"{path.stem[:150].strip()} {number}"
        return NewObject("scan", name, payloads=[NewPayload("config", data, "scan_config", "json", self._name(path))])

    def _name(self, path: Path) -> str:
        """Of a file, relative to the folder."""
        try:
            return path.relative_to(self.base).as_posix()
        except ValueError:
            self.notes.append(f"{path} is not below {self.base}; it is kept as {path.name}")
            return path.name

    def _place(self, entry: ChipEntry, connectivity: Path) -> Path:
        """Where a chip file is."""
        above = connectivity.parent if entry.path == "relToCon" else self.base
        return Path(os.path.normpath(above / entry.config.replace("\\", "/")))

    def _guess_base(self) -> Path:
        common = Path(os.path.commonpath([path.parent for path in self.connectivity]))
        try:
            entries = parse_connectivity(self.connectivity[0].read_bytes(), "", felix=False).chips
        except (OSError, BadInput):
            return common  # said when it is read
        names = [entry.config for entry in entries if entry.path not in ("relToCon", "abs")][:1]
        for above in (common, *list(common.parents)[:_UP]):
            if all((above / name).exists() for name in names):
                return above
        return common


def edge_of(entry: ChipEntry) -> dict[str, Any]:
    """The edge of a front-end: its entry in the connectivity file."""
    edge: dict[str, Any] = {"rx": entry.rx, "tx": entry.tx, "enable": int(entry.enable), "locked": int(entry.locked)}
    edge["config"] = entry.config
    if entry.path:
        edge["path"] = entry.path
    return edge | ({"extra": entry.extra} if entry.extra else {})


def _chip_name(config: bytes) -> str:
    """The name in a chip file's parameters, which is that of the hardware; nothing for YARR's John Doe."""
    block = next(iter(orjson.loads(config).values()))
    name = block.get("Parameter", {}).get("Name") or block.get("name") or ""
    return "" if name.startswith("JohnDoe") else name


def _json_files(folder: Path, problems: Problems) -> Iterator[Path]:
    """All files called *.json, in order; what can't be looked into is a problem."""
    count = 0
    for above, folders, names in os.walk(folder, onerror=lambda e: problems.add(e.filename, "", e.strerror or "")):
        folders.sort()
        if len(Path(above).relative_to(folder).parts) > _DEPTH:
            problems.add(above, "", f"lies more than {_DEPTH} folders deep")
            folders.clear()
        for name in sorted(names):
            if name.endswith(".json"):
                count += 1
                if count > MAX_OBJECTS:
                    problems.add(folder, "", f"has more than {MAX_OBJECTS:,} files")
                    return
                yield Path(above, name)


def _kind_of(path: Path, problems: Problems) -> str:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _SMALL:
            return ""
        return _kind(path.read_bytes())
    except orjson.JSONDecodeError as error:
        problems.add(path, f"line {error.lineno}, column {error.colno}", f"no JSON: {error.msg}")
    except OSError as error:
        problems.add(path, "", error.strerror or str(error))
    return ""


def _controller_of(path: Path, folder: Path, controllers: list[Path], problems: Problems) -> Path | None:
    above = path.parent
    while True:
        here = [controller for controller in controllers if controller.parent == above]
        if len(here) > 1:
            names = ", ".join(controller.name for controller in here)
            problems.add(path, "", f"which controller is its own: {names}? Import the files one by one")
        if here or above == folder:
            return here[0] if here else None
        above = above.parent


def _kind(data: bytes) -> str:
    """connectivity, controller, scan, or nothing that we know. ValueError: no JSON."""
    value = orjson.loads(data)
    keys = value.keys() if isinstance(value, dict) else ()
    for key, kind in (
        ("chips", "connectivity"),
        ("chipType", "connectivity"),
        ("ctrlCfg", "controller"),
        ("scan", "scan"),
    ):
        if key in keys:
            return kind
    return ""
