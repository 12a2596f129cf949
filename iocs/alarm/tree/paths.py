r"""Paths of the alarm tree as Phoebus writes them: `/root/area/PV`; a `/` inside a name is `\/`."""

from __future__ import annotations

import re

_SEPARATOR = re.compile(r"(?<!\\)/+")


def escaped(name: str) -> str:
    """A name as it stands in a path."""
    return name.replace("/", "\\/")


def make_path(parent: str, name: str) -> str:
    """`name` below `parent` ("" above the root).

    One leading slash of the name is dropped; ValueError when more are there, or when nothing is left.
    """
    found = name.removeprefix("/")
    if not found or found.startswith("/"):
        raise ValueError(f"{name!r} cannot be a name in the alarm tree")
    return f"{parent}/{escaped(found)}"


def split_path(path: str) -> list[str]:
    """The names along a path, the root's first; ValueError when it is none."""
    if not path.startswith("/"):
        raise ValueError(f"the path {path!r} does not begin with '/'")
    if "\\" in path:
        names = [name.replace("\\/", "/") for name in _SEPARATOR.split(path) if name]
    else:
        names = [name for name in path.split("/") if name]
    if not names:
        raise ValueError(f"the path {path!r} names nothing")
    return names


def join_path(names: list[str]) -> str:
    """The path along names, the root's first."""
    path = ""
    for name in names:
        path = make_path(path, name)
    return path


def parent_path(path: str) -> str:
    """The path above; "" above the root."""
    names = split_path(path)
    return join_path(names[:-1]) if len(names) > 1 else ""


def natural(name: str) -> list[tuple[int, int | str]]:
    """A sort key: digits compare by their number (L9 before L10)."""
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in re.split(r"(\d+)", name) if part]
