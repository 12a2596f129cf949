"""A folder: directory = object, file = payload, and an `object.json` in each directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.exchange import Progress, Report
    from db.nodes import NewObject
    from db.runkeys import Runkeys
    from db.store import Store


def read_folder(folder: Path) -> NewObject:
    """The object that a folder holds, with all below. BadInput names every problem with file, place and reason."""
    raise NotImplementedError


def write_folder(
    store: Store | Runkeys, runkey: str, folder: Path, path: str = "/", progress: Progress | None = None
) -> Report:
    """Write a runkey, or what is at and below `path` of it. Exists when `folder` does."""
    raise NotImplementedError
