"""A bundle: one JSON file with everything, for mail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.exchange import Progress, Report
    from db.nodes import NewObject
    from db.runkeys import Runkeys
    from db.store import Store


def parse_bundle(data: bytes, file: str = "bundle") -> NewObject:
    """The object in a bundle, with all below. BadInput when anything in it does not fit its hash."""
    raise NotImplementedError


def read_bundle(file: Path) -> NewObject:
    """`parse_bundle` of a file."""
    raise NotImplementedError


def write_bundle(
    store: Store | Runkeys, runkey: str, file: Path, path: str = "/", progress: Progress | None = None
) -> Report:
    """Write a runkey, or what is at and below `path` of it, as one file. Exists when `file` does."""
    raise NotImplementedError
