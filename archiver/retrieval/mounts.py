"""What is served beside retrieval: management's calls and the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from archiver.config import ArchiverConfig
from archiver.management import Ledger
from archiver.management.context import Context, context_of
from archiver.management.http import management_routes
from archiver.management.status import type_info
from archiver.page import page_routes
from archiver.retrieval.accesslog import AccessLog
from archiver.retrieval.app import create_app
from archiver.retrieval.workers import Workers
from archiver.store import open_reader
from owlshift.site import Site


@dataclass(frozen=True)
class Place:
    """An archive to serve: its folder, its `[archiver]` section, and the stores of its engines by their names."""

    folder: Path
    config: ArchiverConfig = field(default_factory=ArchiverConfig)
    folders: dict[str, Path] = field(default_factory=dict)
    site: Site | None = None
    """The site that it belongs to; None for a folder by itself."""
    access_log: Path | None = None
    """A file to log requests in."""


def application(place: Place) -> ASGIApp:
    """Retrieval, management and the page of one archive."""
    reader = open_reader(place.folder, place.config)
    ledger = Ledger(place.folder / "manage.db")
    workers = Workers()
    context = context_of(place, reader, ledger, workers)
    routes = [*page_routes(), *management_routes(context)]

    def describe(name: str) -> dict[str, Any]:
        return _type_info(context, name)

    app = create_app(reader, routes, ledger, place.config.limit, workers, describe)
    return app if place.access_log is None else AccessLog(app, place.access_log)


def _type_info(context: Context, name: str) -> dict[str, Any]:
    """What management knows of a PV; nothing of one that was never archived here."""
    census = context.census.snapshot()
    row = census.row.get(name)
    return {} if row is None else type_info(context, census, row)
