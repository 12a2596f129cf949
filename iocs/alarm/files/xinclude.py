"""XInclude: parts of alarm files in files of their own, in the same folder or below it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from iocs.alarm.files.xmltree import MAX_BYTES, MAX_ELEMENTS, BadXml, Document, Element, parse

NAMESPACE = "http://www.w3.org/2001/XInclude"
INCLUDE = f"{NAMESPACE}}}include"
MAX_INCLUDES = 1_000
MAX_NESTED = 10
"""Files that include files."""


class Includes:
    """Reads a file and what it includes, from the folder of the first one only.

    `file`: the first one, None when nothing may be included. What is wrong is noted in `problems`, one line each.
    """

    def __init__(self, file: Path | None, problems: list[str]) -> None:
        self._file = file
        self._folder = None if file is None else file.parent.resolve()
        self._problems = problems
        self._documents: dict[Path, Document | None] = {}
        self._left = MAX_INCLUDES
        self._elements = 0

    def resolve(self, root: Element) -> None:
        """Put the included elements in the place of all `xi:include` below `root`, which is that of the first file."""
        here = None if self._file is None else self._file.resolve()
        self._expand(root, here, () if here is None else (here,))

    def _expand(self, element: Element, here: Path | None, within: tuple[Path, ...]) -> None:
        found: list[Element] = []
        for child in element.children:
            if child.tag != INCLUDE:
                self._expand(child, here, within)
                found.append(child)
                continue
            try:
                found.append(self._included(child, here, within))
            except BadXml as error:
                self._problems.append(f"{child.file}:{child.line}: xi:include: {error.reason}")
        element.children = found

    def _included(self, include: Element, here: Path | None, within: tuple[Path, ...]) -> Element:
        path = self._path(include, here)
        if path in within:
            raise BadXml(include.line, f"{path.name} includes itself")
        if len(within) > MAX_NESTED:
            raise BadXml(include.line, f"files that include files, more than {MAX_NESTED} deep")
        self._left -= 1
        if self._left < 0:
            raise BadXml(include.line, f"more than {MAX_INCLUDES} inclusions")
        document = self._document(path, include)
        pointer = include.attributes.get("xpointer", "")
        found = document.ids.get(pointer) if pointer else document.root
        if found is None:
            raise BadXml(include.line, f"{path.name} has no element of the id {pointer!r} (an attribute of type ID)")
        copied = self._copy(found, include.line)
        self._expand(copied, path, (*within, path))
        return copied

    def _path(self, include: Element, here: Path | None) -> Path:
        if self._folder is None or here is None:
            raise BadXml(include.line, "only files can include others")
        if include.attributes.get("parse", "xml") != "xml" or include.children:
            raise BadXml(include.line, 'only XML is included, and parse="text" or a fallback is not known')
        href = include.attributes.get("href", "")
        try:
            parts = urlsplit(href)
        except ValueError:
            raise BadXml(include.line, f"{href!r} is no file of this folder") from None
        name = unquote(parts.path)
        if not name or parts.scheme or parts.netloc or parts.query or parts.fragment or "\0" in name:
            raise BadXml(include.line, f"{href!r} is no file of this folder")
        if PurePosixPath(name).is_absolute():
            raise BadXml(include.line, f"{href!r} is not relative to this file")
        try:
            path = (here.parent / name).resolve()
        except (OSError, RuntimeError) as error:
            raise BadXml(include.line, f"{href!r} can't be read: {error}") from None
        if not path.is_relative_to(self._folder):
            raise BadXml(include.line, f"{href!r} is outside of the folder {self._folder.name}")
        return path

    def _document(self, path: Path, include: Element) -> Document:
        if path not in self._documents:
            self._documents[path] = None
            shown = self._shown(path)
            try:
                if not path.is_file():
                    raise BadXml(include.line, f"there is no file {shown}")
                with path.open("rb") as file:
                    content = file.read(MAX_BYTES + 1)
            except OSError as error:
                raise BadXml(include.line, f"{path.name} can't be read: {error.strerror}") from None
            self._documents[path] = self._parsed(content, shown)
        document = self._documents[path]
        if document is None:
            raise BadXml(include.line, f"{path.name} cannot be included")
        return document

    def _parsed(self, content: bytes, shown: str) -> Document | None:
        try:
            return parse(content, shown)
        except BadXml as error:
            self._problems.append(f"{shown}:{error.line}: {error.reason}")
            return None

    def _shown(self, path: Path) -> str:
        if self._file is None or self._folder is None:
            return path.name
        return str(self._file.parent / path.relative_to(self._folder))

    def _copy(self, element: Element, line: int) -> Element:
        """Each inclusion has elements of its own, and there may not be too many of them."""
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise BadXml(line, f"more than {MAX_ELEMENTS:,} elements are included")
        children = [self._copy(child, line) for child in element.children]
        return Element(element.tag, element.attributes, element.file, element.line, children, element.parts)
