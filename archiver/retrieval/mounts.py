"""What is served beside retrieval: management's calls and the page."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute

from archiver.config import ArchiverConfig
from archiver.store import StoreReader

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """An archive to serve: its folder, its `[archiver]` section, and the stores of its engines by their names."""

    folder: Path
    config: ArchiverConfig = field(default_factory=ArchiverConfig)
    folders: dict[str, Path] = field(default_factory=dict)
    site: Any = None
    """The site that it belongs to; None for a folder by itself."""


def open_reader(place: Place) -> Any:
    """The reader over all stores of a place."""
    make = _find("archiver.store.group", "open_reader")
    return StoreReader(place.folder) if make is None else make(place.folder, place.config)


def open_ledger(place: Place) -> Any:
    """Management's ledger."""
    make = _find("archiver.management.ledger", "Ledger")
    return None if make is None else make(place.folder / "manage.db")


def routes(place: Place, reader: Any, ledger: Any, workers: Any) -> list[BaseRoute]:
    """The page's routes and management's."""
    found: list[BaseRoute] = []
    page = _find("archiver.page", "page_routes")
    if page is not None:
        try:
            found += page()
        except (KeyError, OSError) as error:
            log.warning("the page is incomplete: %s", error)
    context = _find("archiver.management.context", "context_of")
    manage = _find("archiver.management.http", "management_routes")
    if context is not None and manage is not None:
        found += manage(context(place, reader, ledger, workers))
    return found


def _find(module: str, name: str) -> Callable[..., Any] | None:
    try:
        return getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if not module.startswith(error.name or "?"):
            raise
        log.debug("%s is not there", module)
        return None
