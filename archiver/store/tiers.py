"""Where the segments of each tier go, and for how long, out of the site file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from archiver.config import ArchiverConfig
from archiver.store.manifest import TIERS
from archiver.store.places import URL


@dataclass(frozen=True)
class Tiers:
    """Of each tier its place, as a manifest writes it ("" the archive's folder), and its retention (None: for ever)."""

    places: Mapping[str, str] = field(default_factory=dict)
    retention_days: Mapping[str, float | None] = field(default_factory=dict)

    def place(self, tier: str) -> str:
        """Where the segments of a tier lie."""
        return self.places.get(tier, "")

    @property
    def remote(self) -> list[str]:
        """The object stores among the places."""
        return [spec for spec in dict.fromkeys(self.places.values()) if URL.match(spec)]


def tiers_of(config: ArchiverConfig, engine: str = "") -> Tiers:
    """The tiers of an engine. A named engine has a part of its own in each place, called like the engine."""
    places, retention = {}, {}
    for tier in TIERS:
        wanted = getattr(config.tiers, tier)
        retention[tier] = wanted.retention_days
        if wanted.place:
            places[tier] = place_of_engine(wanted.place, engine)
    return Tiers(places, retention)


def place_of_engine(place: str, engine: str) -> str:
    """The part of a place that belongs to a named engine; folders below the archive's are each engine's own anyway."""
    if URL.match(place):
        url = urlsplit(place)
        path = "/".join(part for part in (url.path.rstrip("/"), engine) if part)
        return urlunsplit(url._replace(path=path if path.startswith("/") or not path else f"/{path}"))
    folder = Path(place).expanduser()
    return str(folder / engine if engine and folder.is_absolute() else folder)
