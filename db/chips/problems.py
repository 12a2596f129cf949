"""What is wrong with a file, collected, so that all of it can be said at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator

from db.errors import BadInput

MOST = 19
"""So many problems of one file are said in full, the others are counted."""


class Problems:
    """The problems of one file: "FILE: PATH INSIDE: reason"."""

    def __init__(self, file: str, most: int = MOST) -> None:
        self.file = file
        self.most = most
        self.said: list[str] = []
        self.more = 0

    def add(self, inside: str, reason: str) -> None:
        """Note one; `inside` is the place in the file, empty for the whole of it."""
        if self.full:
            self.more += 1
        else:
            self.said.append(_line(self.file, inside, reason))

    @property
    def full(self) -> bool:
        """Whether further problems are only counted, so that no words need be found for them."""
        return len(self.said) >= self.most

    def take(self, other: Problems) -> None:
        """Those of `other`, too."""
        room = self.most - len(self.said)
        self.said += other.said[:room]
        self.more += other.more + max(0, len(other.said) - room)

    def __bool__(self) -> bool:
        return bool(self.said or self.more)

    def __iter__(self) -> Iterator[str]:
        yield from self.said
        if self.more:
            yield f"{self.file}: and {self.more:,} more"

    def stop(self) -> None:
        """BadInput when there are any."""
        if self:
            raise BadInput(list(self))


def bad(file: str, inside: str, reason: str) -> BadInput:
    """A BadInput of one problem, to be raised."""
    return BadInput([_line(file, inside, reason)])


def _line(file: str, inside: str, reason: str) -> str:
    """Names come from files, so they may be long, or hold what a terminal takes for orders."""
    inside = inside if len(inside) <= 200 else f"{inside[:190]} …"
    text = ": ".join(part for part in (file, inside, reason) if part)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shown(value: object) -> str:
    """A value of a JSON file for people: as JSON writes it, and short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value) if isinstance(value, int | float) else f'"{value}"'
    return text if len(text) <= 40 else f"{text[:36]} …"


_LOOKS = str.maketrans({"o": "0", "i": "1", "l": "1", "s": "5", "b": "8", "z": "2"})


def nearest(word: str, known: Iterable[str], preferred: Collection[str] = ()) -> str:
    """The known name that `word` was probably meant to be, or an empty string.

    What scanned text mixes up (O and 0, I and 1, upper and lower case) counts as equal; among names that are equally
    near, one of `preferred` wins (those that the file lacks).
    """
    names = list(known)
    same = [name for name in names if _looks(name) == _looks(word)]
    if not same:
        same = difflib.get_close_matches(word, names, n=3, cutoff=0.7)
        if same:
            best = _ratio(word, same[0])
            same = [name for name in same if best - _ratio(word, name) < 0.02]
    return next((name for name in same if name in preferred), same[0] if same else "")


def _looks(word: str) -> str:
    return word.lower().translate(_LOOKS)


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def several(names: Collection[str], most: int = 5) -> str:
    """Names for people, at most `most` of them."""
    listed = ", ".join(list(names)[:most])
    return listed if len(names) <= most else f"{listed}, …"
