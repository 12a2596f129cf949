"""Archives served from an object store alone: what an engine publishes there, and how another host follows it.

Beside its segments an object store of an archive holds the manifest (with the segments that lie in object stores), the
registry and the table of channels. A mirror is a local folder with copies of these three: an archive like any other,
whose segments are read from the store through the cache.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from archiver.store.files import Layout, StoreError, replace_file
from archiver.store.manifest import Manifest, manifest_json, parse_manifest
from archiver.store.places import URL, PlaceError
from archiver.store.rebuild import channels_of

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
REGISTRY = "registry.log"
TRIES = 3
"""Looks at what is published while it changes."""


def published(manifest: Manifest) -> Manifest:
    """The part of a manifest that other hosts can read: the segments in object stores."""
    segments = tuple(segment for segment in manifest.segments if URL.match(segment.place))
    return replace(manifest, segments=segments, replaced=(), forgotten=(), channels=None)


def publish(layout: Layout, place: str, manifest: Manifest) -> None:
    """Put manifest, registry and table of channels into a place; PlaceError when it is away, and then the old stay."""
    target = layout.place(place)
    manifest = published(manifest)
    channels = channels_of(layout, manifest.segments)
    buffer = io.BytesIO()
    np.save(buffer, channels, allow_pickle=False)
    manifest = replace(
        manifest,
        channels=f"channels-{manifest.generation}.npy",
        segments=tuple(replace(s, place="") if s.place == place else s for s in manifest.segments),
    )
    target.put_bytes(REGISTRY, layout.registry.read_bytes())
    target.put_bytes(str(manifest.channels), buffer.getvalue())
    target.put_bytes(MANIFEST, manifest_json(manifest))
    for name, _ in target.list():
        if re.fullmatch(r"channels-\d+\.npy", name) and name != manifest.channels:
            target.delete(name)


class Mirror:
    """A local folder that follows the archive published at `url`. For one thread at a time.

    `folder`: where mirrors are kept; each has its own folder below it. `cache_limit`: bytes on the local disk.
    """

    def __init__(self, url: str, folder: Path, cache_limit: int = 2048 << 20) -> None:
        self.url = url
        self.folder = Path(folder) / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._layout = Layout(self.folder, cache_limit)
        self._stamp: object = None

    def refresh(self) -> bool:
        """Bring the folder up to date; whether anything was new.

        PlaceError when the store is away or nothing is published there: the folder stays as it was.
        """
        return self._refresh(TRIES)

    def _refresh(self, tries: int) -> bool:
        place = self._layout.place(self.url)
        try:
            stamp = (place.stamp(MANIFEST), place.stamp(REGISTRY))
            if stamp == self._stamp and self._layout.manifest.exists():
                return False
            manifest = parse_manifest(place.read_bytes(MANIFEST), f"{self.url} {MANIFEST}")
            channels = place.read_bytes(str(manifest.channels))
            registry = place.read_bytes(REGISTRY)
        except FileNotFoundError as error:
            if tries > 1:
                # a new table of channels may have taken the place of the one that the manifest names
                return self._refresh(tries - 1)
            raise PlaceError(f"{self.url}: nothing is published there ({error})") from error
        except StoreError as error:
            raise PlaceError(str(error)) from error
        segments = tuple(s if s.place else replace(s, place=self.url) for s in manifest.segments)
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self._layout.registry, registry, durable=False)
        replace_file(self.folder / str(manifest.channels), channels, durable=False)
        replace_file(self._layout.manifest, manifest_json(replace(manifest, segments=segments)), durable=False)
        for path in self.folder.glob("channels-*.npy"):
            if path.name != manifest.channels:
                path.unlink(missing_ok=True)
        self._stamp = stamp
        return True
