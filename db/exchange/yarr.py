"""YARR's own files: connectivity, chip files, controller, scan configurations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.exchange import Progress, Report
    from db.nodes import NewObject
    from db.runkeys import Runkeys
    from db.store import Store


def read_yarr(
    connectivity_files: Sequence[Path],
    controller: Path | None = None,
    scans: Sequence[Path] = (),
    base: Path | None = None,
    notes: list[str] | None = None,
) -> NewObject:
    """FELIX -> optoboard (one per connectivity file) -> front-ends, and the scans beside. BadInput.

    `base` is the folder that the other names are relative to (default: what they have in common).
    """
    raise NotImplementedError


def read_yarr_folder(folder: Path, notes: list[str] | None = None) -> NewObject:
    """All that a YARR folder holds; each folder with a controller of its own is a FELIX. BadInput."""
    raise NotImplementedError


def write_yarr(
    store: Store | Runkeys, runkey: str, folder: Path, path: str = "/", progress: Progress | None = None
) -> Report:
    """Write a runkey as YARR reads it; byte for byte what was imported, where nothing was changed since. Exists."""
    raise NotImplementedError
