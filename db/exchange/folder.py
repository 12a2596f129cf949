"""A folder: directory = object, file = payload, and in each directory an `object.json` for what files can't say.

    SR1/object.json                     type, name, serial, meta, edges to its children; what was exported
    SR1/FELIX1/object.json
    SR1/FELIX1/controller.json          a payload in the role "controller"
    SR1/FELIX1/OB1/FE3/object.json
    SR1/FELIX1/OB1/FE3/chip3.json       the front-end's chip file, byte for byte as YARR has it
    SR1/HV/setpoints.json

An `object.json`:

    {"format": "owlshift folder", "version": 1, "export": {…},      in the uppermost only
     "type": "frontend", "name": "FE3", "serial": "…", "meta": {…},
     "payloads": [{"role": "conditions", "file": "conditions.json", "type": …, "format": …, "name": …, "meta": {…}}],
     "chip": "chip3.json",                                           this file holds config and pixels
     "children": [{"directory": "FE3", "view": "daq", "pos": 0, "meta": {"rx": 2, …}},
                  {"same": "FELIX1/OB1/FE3", "view": "power", …}]}   an object with a second place

Names of directories and files are `files.escape` of names and roles; what counts is what object.json says. What no
object.json names is refused, and so is what one names and is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from db.chips.jsontext import check_twice
from db.errors import BadInput
from db.exchange.chip_form import chip_content, chip_file_name, chip_from
from db.exchange.documents import ChildText, ObjectText, check_keys, read_object
from db.exchange.files import (
    MAX_DEPTH,
    MAX_OBJECTS,
    Names,
    Problems,
    Reader,
    check_format,
    load_json,
    new_folder,
    write,
)
from db.exchange.incoming import Incoming, check_shape, digests
from db.exchange.outgoing import Contents, Outgoing, Report, outgoing, too_large
from db.nodes import NewChild, NewObject, NewPayload, Node

if TYPE_CHECKING:
    from db.runkeys import Runkeys
    from db.store import Store

FORMAT = "owlshift folder"
VERSION = 1
OBJECT = "object.json"
_SUFFIX = {"json": ".json", "text": ".txt", "pixels": ".pixels", "raw": ".bin"}
_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
_TOP: dict[str, type] = {"format": str, "version": int, "export": dict}
_EXPORT: dict[str, type] = {"runkey": str, "path": str, "digest": str, "view": str, "pos": int, "meta": dict}


def write_folder(
    store: Store | Runkeys,
    runkey: str,
    folder: Path,
    path: str = "/",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write a runkey, or what is at and below `path` of it. Exists when `folder` does."""
    report = Report()
    with outgoing(store, runkey, path) as source:
        if problems := too_large(source):
            raise BadInput(problems)
        with new_folder(Path(folder)) as temporary:
            writer = _Writer(source, temporary)
            for node, contents in source.contents(progress, report):
                writer.object(node, contents)
    return report


class _Writer:
    def __init__(self, source: Outgoing, folder: Path) -> None:
        self.source = source
        self.folder = folder
        self.places = {source.top.id: ""}
        """Object id -> its directory below the folder."""
        self.names: dict[str, Names] = {}
        for node in source.nodes:
            self.names[node.id] = names = Names(OBJECT)
            for child in node.children:
                if source.first[child.id] is child:
                    self.places[child.id] = f"{self.places[node.id]}/{names.of(child.name)}".lstrip("/")

    def object(self, node: Node, contents: Contents) -> None:
        place = self.places[node.id]
        folder = self.folder / place
        names = self.names.pop(node.id)
        document: dict[str, Any] = {"type": node.type, "name": node.name, "serial": node.serial, "meta": node.meta}
        if node is self.source.top:
            document |= {"format": FORMAT, "version": VERSION, "export": self._export(node)}
        chip = chip_content(contents, node.path)
        if chip is not None:
            document["chip"] = names.of(chip_file_name(node), ".json")
            write(folder / document["chip"], chip.content)
        document["payloads"] = []
        for role, (info, content) in sorted(contents.items()):
            if chip is not None and role in chip.roles:
                continue
            file = names.of(role, _SUFFIX.get(info.format, ".bin"))
            write(folder / file, content)
            entry = {"role": role, "file": file, "type": info.type, "format": info.format}
            entry |= {"name": info.name, "meta": info.meta}
            document["payloads"].append(entry)
        document["children"] = []
        for child in node.children:
            edge = {"view": child.view, "pos": child.pos, "meta": child.edge}
            if self.source.first[child.id] is child:
                directory = self.places[child.id].rpartition("/")[2]
                (folder / directory).mkdir()
                document["children"].append({"directory": directory, **edge})
            else:
                document["children"].append({"same": self.places[child.id], **edge})
        write(folder / OBJECT, orjson.dumps(document, option=_PRETTY))

    def _export(self, node: Node) -> dict[str, Any]:
        said = {"runkey": self.source.runkey, "path": node.path, "digest": node.digest}
        return said if node.parent is None else said | {"view": node.view, "pos": node.pos, "meta": node.edge}


def read_folder(folder: Path, progress: Callable[[int, int], None] | None = None) -> Incoming:
    """The object that a folder holds, with all below. BadInput names every problem with file, place and reason."""
    folder = Path(folder)
    # whoever names a link means what it leads to; within the folder none is followed
    return _FolderReader(folder.resolve() if folder.is_symlink() else folder, progress).read()


class _FolderReader:
    def __init__(self, folder: Path, progress: Callable[[int, int], None] | None) -> None:
        self.folder = folder
        self.progress = progress
        self.problems = Problems()
        self.reader = Reader(self.problems)
        self.found: dict[str, NewObject] = {}
        """Directory below the folder -> object."""
        self.same: list[tuple[str, NewChild, str]] = []
        """Where, edge, directory of the child that is elsewhere too."""
        self.top: dict[str, Any] = {}

    def read(self) -> Incoming:
        root = self._object("", 1)
        for where, edge, target in self.same:
            if target in self.found:
                edge.object = self.found[target]
            else:
                self.problems.add(
                    self._file(where, OBJECT), "children", f"there is no directory {target!r} to be the same as"
                )
        self.reader.finish()
        self.problems.check()
        if root is None:
            raise BadInput(f"{self.folder}: nothing could be read")
        places = {id(item): place for place, item in self.found.items()}
        check_shape(root, lambda item: self._file(places[id(item)], OBJECT), self.problems)
        self.problems.check()
        export = self.top.get("export", {})
        incoming = Incoming(root, export.get("view", "daq"), export.get("pos", 0), export.get("meta", {}))
        if export.get("digest") and export["digest"] != digests(root)[id(root)].hex():
            incoming.notes.append(f"{self.folder} was changed since it was exported")
        return incoming

    def _file(self, place: str, name: str) -> Path:
        return self.folder / place / name

    def _object(self, place: str, depth: int) -> NewObject | None:
        folder = self.folder / place
        entries = self.reader.folder(folder)
        if entries is None:
            return None
        names = {entry.name for entry in entries}
        if OBJECT not in names:
            self.problems.add(folder, "", f"has no {OBJECT}")
            return None
        if len(self.found) >= MAX_OBJECTS or depth > MAX_DEPTH:
            self.problems.add(folder, "", f"more than {MAX_OBJECTS:,} objects, or {MAX_DEPTH} deep, are refused")
            return None
        said = self._said(place)
        if said is None:
            return None
        text, chip = said
        item = NewObject(text.type, text.name, text.serial, text.meta)
        self.found[place] = item
        if self.progress:
            self.progress(len(self.found), 0)
        used = {OBJECT}
        if chip:
            used.add(chip)
            self._chip(place, chip, names, item)
        for payload in text.payloads:
            if self._take(place, payload.place, names, used):
                content = self.reader.file(self._file(place, payload.place))
                if content is not None:
                    check_format(payload.format, content, self._file(place, payload.place), self.problems)
                    item.payloads.append(
                        NewPayload(payload.role, content, payload.type, payload.format, payload.name, payload.meta)
                    )
        roles = [payload.role for payload in item.payloads]
        for role in {role for role in roles if roles.count(role) > 1}:
            self.problems.add(self._file(place, OBJECT), "payloads", f"the role {role!r} is that of the chip file, too")
        for child in text.children:
            self._child(place, child, names, used, item, depth)
        for name in sorted(names - used):
            self.problems.add(self._file(place, name), "", f"is named in no {OBJECT}")
        return item

    def _said(self, place: str) -> tuple[ObjectText, str] | None:
        file = self._file(place, OBJECT)
        content = self.reader.file(file)
        document = None if content is None else load_json(content, file, self.problems)
        if document is None or content is None:
            return None
        try:
            check_twice(content, str(file))
        except BadInput as error:
            self.problems.take(error)
            return None
        others: dict[str, type] = {"chip": str}
        if not place:
            others |= _TOP
        text = read_object(
            document,
            file,
            "",
            self.problems,
            payload_place="file",
            child_places={"directory": str, "same": str},
            others=others,
        )
        if not place and isinstance(document, dict):
            self.top = document
            if document.get("format") != FORMAT or document.get("version") != VERSION:
                self.problems.add(file, "format", f"is not {FORMAT!r}, version {VERSION}")
                return None
            if not self._check_export(file, document.get("export", {})):
                return None
        return None if text is None else (text, document.get("chip", ""))

    def _check_export(self, file: Path, export: Any) -> bool:
        if not isinstance(export, dict):
            return False
        return check_keys(
            export, {key: kind for key, kind in _EXPORT.items() if key in export}, file, "export", self.problems
        )

    def _take(self, place: str, name: str, names: set[str], used: set[str]) -> bool:
        """Whether a file or directory that object.json names is there, and not yet taken."""
        if name not in names or name in used:
            reason = "is there only once" if name in used else "is not there"
            self.problems.add(self._file(place, OBJECT), "", f"{name!r} {reason}")
            return False
        used.add(name)
        return True

    def _chip(self, place: str, name: str, names: set[str], item: NewObject) -> None:
        if name not in names or name == OBJECT:
            self.problems.add(self._file(place, OBJECT), "chip", f"{name!r} is not there")
            return
        content = self.reader.file(self._file(place, name))
        if content is not None:
            try:
                item.payloads += chip_from(content, str(self._file(place, name)))
            except BadInput as error:
                self.problems.take(error)

    def _child(
        self, place: str, child: ChildText, names: set[str], used: set[str], item: NewObject, depth: int
    ) -> None:
        if child.key == "same":
            edge = NewChild(item, child.view, child.pos, child.meta)
            self.same.append((place, edge, child.place))
            item.children.append(edge)
        elif self._take(place, child.place, names, used):
            below = self._object(f"{place}/{child.place}" if place else child.place, depth + 1)
            if below is not None:
                item.children.append(NewChild(below, child.view, child.pos, child.meta))
