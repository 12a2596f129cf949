"""Where each key of a TOML text stands, so that an error in a site file can name the line.

`tomllib` keeps no positions. This walks a text that `tomllib` has already accepted, so it need not check syntax.
"""

from __future__ import annotations

from typing import Final

KeyPath = tuple[str | int, ...]

_BARE_END: Final = set("=.]} \t\n\r#,[{")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every table, key and array element of a valid TOML text, by its path."""
    return _Walker(text).walk()


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of its nearest ancestor that the file has; 1 for a path the file lacks altogether."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


class _Walker:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.line = text, 0, 1
        self.lines: dict[KeyPath, int] = {}
        self.array_tables: dict[KeyPath, int] = {}  # path of an array of tables -> index of its newest element

    def walk(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip_blank():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    def _peek(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def _advance(self, count: int = 1) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def _skip_blank(self) -> bool:
        """Skip white space, line ends and comments; False at the end of the text."""
        while self.at < len(self.text):
            char = self._peek()
            if char == "#":
                end = self.text.find("\n", self.at)
                self._advance((end if end >= 0 else len(self.text)) - self.at)
            elif char in " \t\r\n":
                self._advance()
            else:
                return True
        return False

    def _header(self) -> KeyPath:
        is_array = self._peek(2) == "[["
        self._advance(2 if is_array else 1)
        line = self.line
        path = self._through_arrays(self._key())
        self._skip_blank()
        self._advance(2 if is_array else 1)
        if is_array:
            index = self.array_tables[path] = self.array_tables.get(path, -1) + 1
            path = (*path, index)
        self.lines.setdefault(path, line)
        return path

    def _through_arrays(self, key: KeyPath) -> KeyPath:
        """A header's names with the index of the newest element put behind each array of tables it passes."""
        path: KeyPath = ()
        for position, part in enumerate(key):
            path = (*path, part)
            self.lines.setdefault(path, self.line)
            if position < len(key) - 1 and path in self.array_tables:
                path = (*path, self.array_tables[path])
        return path

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while True:
            self._skip_blank()
            quote = self._peek()
            if quote in ("'", '"'):
                start = self.at + 1
                self._string()
                parts.append(self.text[start : self.at - 1])
            else:
                start = self.at
                while self._peek() and self._peek() not in _BARE_END:
                    self._advance()
                parts.append(self.text[start : self.at])
            self._skip_blank()
            if self._peek() != ".":
                return tuple(parts)
            self._advance()

    def _pair(self, table: KeyPath) -> None:
        line = self.line
        path = table
        for part in self._key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._advance()  # the equals sign
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        self.lines.setdefault(path, self.line)
        char = self._peek()
        if char in ("'", '"'):
            self._string()
        elif char == "[":
            self._elements("]", path)
        elif char == "{":
            self._elements("}", path)
        else:
            while self._peek() and self._peek() not in ",]}#\n":
                self._advance()

    def _elements(self, closing: str, path: KeyPath) -> None:
        self._advance()
        index = 0
        while self._skip_blank():
            char = self._peek()
            if char == closing:
                self._advance()
                return
            if char == ",":
                self._advance()
            elif closing == "]":
                self._value((*path, index))
                index += 1
            else:
                self._pair(path)

    def _string(self) -> None:
        quote = self._peek()
        mark = quote * 3 if self._peek(3) == quote * 3 else quote
        self._advance(len(mark))
        while self._peek(len(mark)) != mark:
            self._advance(2 if self._peek() == "\\" and quote == '"' else 1)
        self._advance(len(mark))
        while len(mark) == 3 and self._peek() == quote:  # up to two quotes may stand before the closing three
            self._advance()
