"""Bringing segments to the places of their tiers, deleting what they leave, publishing what lies in object stores.

A copy is noted in the manifest before it is made, so that none is left behind; then the manifest names the copy, and
then the old files go.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.store.checksums import file_sha256
from archiver.store.files import Layout, suspect
from archiver.store.manifest import Segment
from archiver.store.mirror import publish
from archiver.store.mover import Mover, copy_segment
from archiver.store.names import SIDECARS
from archiver.store.places import URL, PlaceError, claim

if TYPE_CHECKING:
    from archiver.store.writer import StoreWriter

log = logging.getLogger(__name__)

RETRY = 60.0
"""Seconds until segments in a place that is away are looked at again."""

LINGER = 60.0
"""Seconds for which files stay in an object store after a manifest without them is published: mirrors may go by the one
before it for some time."""

PUBLISH = 300.0
"""Seconds after which new names and metadata are published, when no segment was."""


class Moves:
    """The part of a `StoreWriter` that knows places. `later`: until when (monotonic) segments are left alone."""

    def __init__(self, store: StoreWriter, later: dict[str, float]) -> None:
        self._store = store
        self._layout = store.layout
        self._later = later
        self._claimed: set[str] = set()
        self._published: tuple[tuple[tuple[str, str], ...], int] = ((), 0)
        self._published_at = -LINGER
        self.mover = Mover(store.layout)
        self.problems: dict[str, str] = {}
        """Folders of tiers that can't be used at present, and why."""

    def move(self) -> bool:
        """Bring segments to the place of their tier: to folders at once, to object stores by the mover."""
        tiers = self._store.tiers
        copies: dict[str, tuple[Segment, str]] = {}
        here: tuple[Segment, str] | None = None
        for segment in self._store.manifest.segments:
            target = tiers.place(segment.tier)
            if segment.place == target or segment.level == 0 or self._later.get(segment.name, 0.0) > time.monotonic():
                continue
            if URL.match(target) and not segment.place:
                copies[segment.name] = (segment, target)
            elif here is None:
                # what lies in one place and should go to an object store comes by the archive's own folder
                here = (segment, "" if URL.match(target) else target)
        self._note_moves([*copies.values(), *([here] if here else [])])
        manifest = self._store.manifest
        deletions = [entry for entry in manifest.replaced if URL.match(entry[0])] if self._nobody_reads() else []
        if copies or deletions or tiers.remote:
            self._ensure_id()
            self.mover.archive = self._store.manifest.archive
            self.mover.in_use = {segment.place for segment in manifest.segments}
        if copies or deletions:
            self.mover.order(copies, deletions)
        return here is not None and self._move_here(*here)

    def _in_stores(self) -> tuple[tuple[str, str], ...]:
        return tuple((s.name, s.place) for s in self._store.manifest.segments if URL.match(s.place))

    def _nobody_reads(self) -> bool:
        """Whether what is no longer needed in object stores isn't named by a published manifest any more."""
        known = self._in_stores() == self._published[0] and time.monotonic() - self._published_at >= LINGER
        return known or not self._store.tiers.remote

    def _note_moves(self, moves: Sequence[tuple[Segment, str]]) -> None:
        """Let the manifest know which copies are made; what earlier ones left that came to nothing is to be deleted."""
        manifest = self._store.manifest
        moving = tuple((place, segment.name) for segment, place in moves)
        if moving == manifest.moving:
            return
        there = {(segment.place, segment.name) for segment in manifest.segments}
        left = [entry for entry in manifest.moving if entry not in moving and entry not in there]
        replaced = [*manifest.replaced, *((place, file) for place, name in left for file in all_files(name))]
        # what goes to a place (again) is no longer to be deleted there
        wanted = {(place, file) for place, name in moving for file in all_files(name)}
        replaced = [entry for entry in replaced if entry not in wanted]
        self._store.commit(manifest.next(moving=moving, replaced=tuple(replaced)), self._store.channels)
        self.delete_replaced()

    def _ensure_id(self) -> None:
        """A place is marked with the archive's id only once the archive knows it for good."""
        if not self._store.manifest.archive:
            self._store.commit(self._store.manifest.next(), self._store.channels)

    def _move_here(self, segment: Segment, target: str) -> bool:
        """Copy a segment out of any place into a local one, which takes it over."""
        self._ensure_id()
        try:
            if target not in self._claimed:
                in_use = {s.place for s in self._store.manifest.segments}
                claim(self._layout.place(target), self._store.manifest.archive, target not in in_use)
                self._claimed.add(target)
            source: Path = self._layout.place_of(segment).local or fetch(self._layout, segment)
            if segment.checksum and file_sha256(source / segment.name) != segment.checksum:
                # a copy of something damaged would cost the original
                suspect(self._layout, segment.name, "its checksum was wrong before it was moved")
                self._later[segment.name] = time.monotonic() + RETRY
                return False
            copy_segment(self._layout, source, segment, target)
        except FileNotFoundError as error:
            suspect(self._layout, segment.name, str(error))
            return False
        except (PlaceError, OSError) as error:
            why = str(error)
            if self.problems.get(target) != why:
                log.error("%s: segments that should go there stay, trying on", why)
            self.problems[target] = why
            self._later[segment.name] = time.monotonic() + RETRY
            return False
        finally:
            with suppress(OSError):
                shutil.rmtree(self._layout.cache / "moving", ignore_errors=True)
        self.problems.pop(target, None)
        self._relocate([(segment, target)])
        return True

    def finish(self) -> bool:
        """Take what the mover has done into the manifest."""
        if not self.mover.news:
            return False
        copied, deleted = self.mover.done()
        gone = set(deleted)
        manifest = self._store.manifest
        self._store.manifest = replace(manifest, replaced=tuple(e for e in manifest.replaced if e not in gone))
        self._relocate(copied)
        return True

    def _relocate(self, copied: Sequence[tuple[Segment, str]]) -> None:
        manifest = self._store.manifest
        present = {segment.name: segment for segment in manifest.segments}
        moved: dict[str, Segment] = {}
        old: list[tuple[str, str]] = []
        for segment, place in copied:
            now = present.get(segment.name)
            unwanted = (place, segment.name) not in manifest.moving
            if now is None or unwanted or now.place != segment.place or now.sidecars != segment.sidecars:
                # merged, deleted, mended or called back meanwhile: the copies are in nobody's way, but of no use
                if now is None or now.place != place:
                    old += [(place, file) for file in segment.files]
                continue
            moved[segment.name] = replace(now, place=place)
            old += [(segment.place, file) for file in segment.files]
        if moved or old:
            segments = tuple(moved.get(s.name, s) for s in manifest.segments)
            self._store.commit(
                manifest.next(segments=segments, replaced=(*manifest.replaced, *old)), self._store.channels
            )
            self.delete_replaced()

    def publish(self) -> bool:
        """Let the mover put the manifest into object stores when what lies there has changed."""
        manifest, tiers = self._store.manifest, self._store.tiers
        if not tiers.remote:
            return False
        mine = self._in_stores()
        state = (mine, self._store.registry.size)
        now = time.monotonic()
        before = self._published[0]
        fresh = mine != before or (state != self._published and now - self._published_at > PUBLISH)
        if set(before) - set(mine) and any(URL.match(place) for place, _ in manifest.moving):
            # what was merged is on its way to a store: until it is there, mirrors read what it was merged of
            return False
        if fresh and (mine or before):
            self._published, self._published_at = state, now
            for place in tiers.remote:
                self.mover.job(place, partial(publish, self._layout, place, manifest))
        return False

    def delete_replaced(self) -> bool:
        """Delete what is in local places and no longer needed; the mover does so in object stores."""
        manifest = self._store.manifest
        rest = []
        for place, name in manifest.replaced:
            if URL.match(place):
                rest.append((place, name))
                continue
            try:
                self._layout.place(place).delete(name)
            except (OSError, PlaceError):
                rest.append((place, name))
        if len(rest) < len(manifest.replaced):
            # the next manifest is without them; until then deleting them once more does no harm
            self._store.manifest = replace(manifest, replaced=tuple(rest))
        return False


def all_files(name: str) -> list[str]:
    """The names of all files that a segment may have, those of copies that were cut off included."""
    files = [name, *(name.removesuffix(".parquet") + ending for ending in SIDECARS)]
    return [*files, *(f"{file}.part" for file in files)]


def fetch(layout: Layout, segment: Segment) -> Path:
    """Bring the files of a segment out of an object store into a folder, which is returned."""
    folder = layout.cache / "moving"
    shutil.rmtree(folder, ignore_errors=True)
    for name in segment.files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            for piece in layout.place_of(segment).chunks(name):
                file.write(piece)
    return folder
