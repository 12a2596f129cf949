"""XML read so that every element knows its line, and nothing in a file can make us open another one.

Entities, and DTDs of other files, are refused. An internal DTD may declare elements and attributes: XInclude needs it
for the ids of elements.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from xml.parsers import expat

MAX_BYTES = 64 << 20
"""Of one file."""
MAX_ELEMENTS = 2_000_000
"""Of a file with all that it includes."""
MAX_DEPTH = 60
_SEPARATOR = "}"
_DECLARED = re.compile(rb"""^<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


class BadXml(Exception):  # noqa: N818  (what it is)
    """A text that is no XML, or none that we read: `line` from 1, and `reason`."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(slots=True)
class Element:
    """An element. Names of a namespace are `uri}name`."""

    tag: str
    attributes: dict[str, str]
    file: str
    line: int
    children: list[Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its own text, as it stands."""
        return "".join(self.parts)


@dataclass(slots=True)
class Document:
    """A file: its root, and elements by the attribute that the DTD (or `xml:id`) makes their id."""

    root: Element
    ids: dict[str, Element]
    elements: int


def parse(content: bytes, file: str) -> Document:
    """Read XML; BadXml when it is none. `file` is what the elements say of their origin."""
    if len(content) > MAX_BYTES:
        raise BadXml(1, f"larger than {MAX_BYTES >> 20} MiB")
    return _Reader(file).read(content)


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Element | None = None
        self.open: list[Element] = []
        self.ids: dict[str, Element] = {}
        self.id_attributes: set[tuple[str, str]] = set()
        self.count = 0

    def read(self, content: bytes) -> Document:
        parser = expat.ParserCreate(_encoding(content), _SEPARATOR)
        self.parser = parser
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartDoctypeDeclHandler = self.doctype
        parser.EntityDeclHandler = self.entity
        parser.AttlistDeclHandler = self.attribute
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.SkippedEntityHandler = self.skipped
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise BadXml(error.lineno, f"no XML: {expat.ErrorString(error.code)}") from None
        except (ValueError, LookupError) as error:  # an encoding that Python does not know, or that expat cannot use
            raise BadXml(1, f"no XML: {error}") from None
        finally:
            del self.parser
        if self.root is None:
            raise BadXml(1, "no XML: no element found")
        return Document(self.root, self.ids, self.count)

    def refuse(self, reason: str) -> None:
        raise BadXml(self.parser.CurrentLineNumber, reason)

    def doctype(self, _name: str, system: str | None, public: str | None, _internal: int) -> None:
        if system is not None or public is not None:
            self.refuse("a DTD of another file is not read")

    def entity(self, name: str, *_: object) -> None:
        self.refuse(f"entities are not taken, and {name!r} is one")

    def skipped(self, name: str, _parameter: int) -> None:
        self.refuse(f"the entity {name!r} is not known")

    def attribute(self, element: str, attribute: str, kind: str, default: str | None, _required: int) -> None:
        if default is not None:  # a long one in many elements would be a bomb, too
            self.refuse(f"attributes with a default are not taken, and {attribute!r} of <{element}> is one")
        if kind == "ID":
            self.id_attributes.add((element, attribute))

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS:
            self.refuse(f"more than {MAX_ELEMENTS:,} elements")
        if len(self.open) >= MAX_DEPTH:
            self.refuse(f"elements within each other deeper than {MAX_DEPTH}")
        element = Element(tag, attributes, self.file, self.parser.CurrentLineNumber)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)
        for name, value in attributes.items():
            if name.endswith("/namespace}id") or (tag, name) in self.id_attributes:
                self.ids.setdefault(value, element)

    def end(self, _tag: str) -> None:
        self.open.pop()

    def text(self, text: str) -> None:
        self.open[-1].parts.append(text)


def _encoding(content: bytes) -> str | None:
    """Python's names of UTF-8 (`utf8`) are not those of XML; others are left to expat."""
    declared = _DECLARED.match(content[:200])
    try:
        known = declared and codecs.lookup(declared.group(1).decode()).name == "utf-8"
    except LookupError:
        known = None
    return "utf-8" if known else None
