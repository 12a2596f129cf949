"""Keeping the archive in shape, one small thing at a time: merging, lifting, moving, deleting, putting aside, adopting.

All of it runs in the thread that keeps the manifest. Each thing is done in an order in which a kill harms nothing: new
files, then the manifest that names them, then the deletion of the old ones, which the manifest remembers until then.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from archiver.store.adoption import adopt, waiting
from archiver.store.checksums import sealed
from archiver.store.compact import Step, choose, expired
from archiver.store.files import reason, suspect
from archiver.store.manifest import TIERS, Segment
from archiver.store.merge import Merged, Source, load_index, merged_tables
from archiver.store.moves import RETRY, Moves
from archiver.store.names import INDEX
from archiver.store.places import PlaceError
from archiver.store.produce import produce
from archiver.store.quarantine import quarantine
from archiver.store.rebuild import DAMAGE, adopted, index_of
from archiver.store.recovery import less
from archiver.store.segment import EVENTS_KIND, Table, save_index
from archiver.store.soundness import problem_of

if TYPE_CHECKING:
    from archiver.store.writer import StoreWriter

log = logging.getLogger(__name__)


class _Interrupted(Exception):  # noqa: N818
    """The engine ends: what is half done is not wanted."""


class Upkeep:
    """The part of a `StoreWriter` that looks after what is stored already."""

    def __init__(self, store: StoreWriter) -> None:
        self._store = store
        self._layout = store.layout
        self._later: dict[str, float] = {}
        self._unmergeable: set[str] = set()
        self._free_of: tuple[tuple[int, ...], set[str]] = ((), set())
        self._interrupted = False
        self._looked_into: set[str] = set()
        self.moves = Moves(store, self._later)

    def interrupt(self) -> None:
        """Let a merge that goes on in another thread come to nothing; it begins anew next time."""
        self._interrupted = True

    def close(self) -> None:
        """End the mover."""
        self.moves.mover.close()

    def step(self, retention_days: float | None, today: int) -> bool:
        """Do the first of the things that there are to do; False for none. OSError: nothing has changed."""
        by_tier = self._store.tiers.retention_days
        return (
            self._take_up_forgotten()
            or self._look_at_suspects()
            or self.moves.finish()
            or self._expire(expired(self._store.manifest.segments, time.time(), retention_days, {}))
            or self._merge(today)
            or self._purge()
            or self._expire(expired(self._store.manifest.segments, time.time(), None, by_tier))
            or self._adopt_next() is not None
            or self.moves.move()
            or self.moves.publish()
            or self._seal()
            or self.moves.delete_replaced()
        )

    def problem(self) -> dict[str, str]:
        """Places that are away or refuse at present, and why."""
        return {**self.moves.problems, **self.moves.mover.problems}

    # committing

    def _commit(
        self, gone: Sequence[Segment], made: Sequence[Segment], channels: np.ndarray | None = None, **totals: int
    ) -> None:
        """Replace the segments `gone` by `made`, in the place of the first; the files of `gone` are to be deleted."""
        manifest = self._store.manifest
        names = {segment.name for segment in gone}
        first = next((i for i, s in enumerate(manifest.segments) if s.name in names), len(manifest.segments))
        kept = [s for s in manifest.segments if s.name not in names]
        counts = Counter(manifest.totals)
        counts.update({key: n for key, n in totals.items() if n})
        stays = {(segment.place, file) for segment in made for file in segment.files}
        old = [(segment.place, file) for segment in gone for file in segment.files]
        self._store.commit(
            manifest.next(
                segments=(*kept[:first], *made, *kept[first:]),
                totals=dict(counts),
                serial=manifest.serial + len(made),
                replaced=(*manifest.replaced, *(entry for entry in old if entry not in stays)),
            ),
            self._store.channels if channels is None else channels,
        )
        self.moves.delete_replaced()

    # forgotten PVs

    def _take_up_forgotten(self) -> bool:
        manifest, registry = self._store.manifest, self._store.registry
        known = list(registry.forgotten)
        if len(known) <= manifest.forgets:
            return False
        fresh = known[manifest.forgets :]
        self._store.commit(
            manifest.next(forgotten=tuple(sorted({*manifest.forgotten, *fresh})), forgets=len(known)),
            self._store.channels,
        )
        return True

    def _purge(self) -> bool:
        """Write a segment anew without the PVs that are forgotten."""
        manifest = self._store.manifest
        if not manifest.forgotten:
            return False
        if self._free_of[0] != manifest.forgotten:
            self._free_of = (manifest.forgotten, set())
        free = self._free_of[1]
        later = False
        for segment in manifest.segments:
            if segment.name in free or segment.name in self._unmergeable:
                continue
            if self._is_later(segment):
                later = True
                continue
            try:
                holds = np.isin(load_index(self._layout, segment)["pv"], manifest.forgotten).any()
            except PlaceError:
                self._postpone([segment])
                later = True
                continue
            except (FileNotFoundError, *DAMAGE) as error:
                suspect(self._layout, segment.name, str(error))
                return self._look_at_suspects()
            if holds:
                return self._rewrite(Step((segment,), segment.tier), segment.day)
            free.add(segment.name)
        if later:
            return False
        self._store.commit(manifest.next(forgotten=()), self._store.channels)
        return True

    # merging

    def _merge(self, today: int) -> bool:
        skip = {*self._unmergeable, *(name for name, when in self._later.items() if when > time.monotonic())}
        if self._imports():
            # what comes in file by file is merged when all of it is there
            skip.update(segment.name for segment in self._store.manifest.segments if segment.imported)
        step = choose(self._store.manifest.segments, today, skip)
        if step is None:
            return False
        if step.rewrite:
            return self._rewrite(step, step.segments[0].day)
        # it goes up a tier as it is
        manifest = self._store.manifest
        lifted = {s.name: replace(s, tier=step.tier, level=TIERS.index(step.tier) + 1) for s in step.segments}
        segments = tuple(lifted.get(s.name, s) for s in manifest.segments)
        self._store.commit(manifest.next(segments=segments), self._store.channels)
        return True

    def _rewrite(self, step: Step, day: int) -> bool:
        """Replace the segments of a step by the merge of them."""
        store, first = self._store, step.segments[0]
        sources: list[Source] = []
        done = Merged()
        forgotten = frozenset(store.registry.forgotten)
        try:
            for segment in step.segments:
                sources.append(Source(self._layout, segment))
            tables = merged_tables(first.kind, sources, store.registry.names, forgotten, done)
            logs = (min(s.first_log for s in step.segments), max(s.last_log for s in step.segments))
            made = produce(
                *(self._layout, first.kind, self._uninterrupted(tables), logs, day),
                *(store.manifest.serial, step.tier, first.imported),
            )
        except _Interrupted:
            return False
        except PlaceError as error:
            log.warning("segments %s to %s stay for now: %s", first.name, step.segments[-1].name, error)
            self._postpone(step.segments)
            self.moves.problems.update({s.place: str(error) for s in step.segments if s.place})
            return False
        except (FileNotFoundError, *DAMAGE) as error:
            return self._blame(step.segments, error)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return self._blame(step.segments, error)
        finally:
            for source in sources:
                source.close()
        for segment in step.segments:
            self.moves.problems.pop(segment.place, None)
        channels = store.channels
        changed = done.forgotten + done.equal
        if changed and first.kind != EVENTS_KIND:
            channels = channels.copy()
            for pv, n in changed.items():
                channels["samples"][pv] -= min(n, int(channels["samples"][pv]))
        counted = first.kind != EVENTS_KIND
        self._commit(
            step.segments,
            [made[0]] if made else [],
            channels,
            forgotten=done.forgotten.total() * counted,
            merged=done.equal.total() * counted,
        )
        return True

    def _uninterrupted(self, tables: Iterable[Table]) -> Iterator[Table]:
        for table in tables:
            if self._interrupted:
                raise _Interrupted
            yield table

    def _blame(self, segments: Sequence[Segment], error: Exception) -> bool:
        """Find out which of the segments is damaged, and put it aside."""
        problems = {}
        for segment in segments:
            try:
                if why := problem_of(self._layout, segment):
                    problems[segment.name] = why
            except PlaceError:
                self._postpone(segments)
                return False
        if problems:
            self._put_aside(problems)
        else:
            self._unmergeable.update(segment.name for segment in segments)
            log.error("segments %s to %s can't be merged and stay: %s", segments[0].name, segments[-1].name, error)
        return True

    def _postpone(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self._later[segment.name] = time.monotonic() + RETRY

    def _is_later(self, segment: Segment) -> bool:
        return self._later.get(segment.name, 0.0) > time.monotonic()

    # damage

    def _look_at_suspects(self) -> bool:
        """Look into segments that a reader, or the mover, couldn't read; what is really damaged is put aside."""
        try:
            notes = sorted(self._layout.suspects.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return False
        problems = {}
        # notes that can't be deleted, for they are somebody else's, are looked into once
        notes = [note for note in notes if note.name not in self._looked_into]
        for note in notes:
            name = note.name.replace(":", "/")
            segment = next((s for s in self._store.manifest.segments if s.name == name), None)
            with suppress(PlaceError):
                if segment is not None and (why := problem_of(self._layout, segment)):
                    if self._healed(segment):
                        continue
                    problems[name] = why
        if problems:
            self._put_aside(problems)
        for note in notes:
            try:
                note.unlink(missing_ok=True)
            except OSError as error:
                self._looked_into.add(note.name)
                log.warning("%s can't be deleted: %s", note, reason(error))
        return bool(problems)

    def _healed(self, segment: Segment) -> bool:
        """Make the index of a local segment anew when only that is damaged."""
        if segment.place or problem_of(self._layout, segment, sidecars=False):
            return False
        folder = self._layout.segments
        place = self._layout.place_of(segment)
        try:
            written_ns = (folder / segment.name).stat().st_mtime_ns
            index = adopted(*index_of(place, segment.name, self._store.registry, written_ns), self._store.registry)
        except (OSError, *DAMAGE):
            return False
        for file in segment.files[1:]:
            (folder / file).unlink(missing_ok=True)
        save_index(folder / (segment.stem + INDEX), index)
        manifest = self._store.manifest
        mended = sealed(segment, place)
        segments = tuple(mended if s.name == segment.name else s for s in manifest.segments)
        self._store.commit(manifest.next(segments=segments), self._store.channels)
        log.warning("the index of %s is made anew", segment.name)
        return True

    def _put_aside(self, problems: dict[str, str]) -> None:
        manifest = self._store.manifest
        gone = [s for s in manifest.segments if s.name in problems]
        channels = less(self._store.channels, gone, self._layout)
        self._store.commit(quarantine(self._layout, manifest.next(), problems), channels)

    # retention

    def _expire(self, gone: list[Segment]) -> bool:
        if not gone:
            return False
        channels = less(self._store.channels, gone, self._layout)
        self._commit(gone, [], channels, expired=sum(s.rows for s in gone if s.kind != EVENTS_KIND))
        self._oldest_anew()
        return True

    def _oldest_anew(self) -> None:
        """Find each PV's oldest sample once more, after old segments have gone."""
        channels = self._store.channels.copy()
        oldest = np.full(len(channels), np.iinfo(np.int64).max)
        for segment in self._store.manifest.segments:
            if segment.kind == EVENTS_KIND:
                continue
            try:
                index = load_index(self._layout, segment)
            except (OSError, PlaceError, *DAMAGE):
                return
            index = index[index["pv"] < len(oldest)]
            oldest[index["pv"]] = np.minimum(oldest[index["pv"]], index["oldest"])
        has = oldest != np.iinfo(np.int64).max
        channels["oldest"][has] = oldest[has]
        self._store.commit(self._store.manifest.next(), channels)

    # imports

    def _imports(self) -> list[Path]:
        """Imports that wait, without those that can't be taken in at present."""
        return [f for f in waiting(self._layout) if self._later.get(f.name, 0.0) <= time.monotonic()]

    def _adopt_next(self) -> bool | None:
        """Take in a part of an import that waits; whether that was all of it, None when there is nothing to take in.

        One that can't be taken in now holds nothing else up.
        """
        for folder in self._imports():
            try:
                return adopt(self._store, folder)
            except (PlaceError, OSError) as error:
                log.warning("the import %s waits: %s", folder.name, error)
                self._later[folder.name] = time.monotonic() + RETRY
        return None

    def adopt_all(self) -> int:
        """Take in all imports that wait; returns how many."""
        count = 0
        while (complete := self._adopt_next()) is not None:
            count += complete
        return count

    def _seal(self) -> bool:
        """Give a checksum to a segment of an archive of version 1."""
        for segment in self._store.manifest.segments:
            if segment.checksum or segment.name in self._unmergeable or self._is_later(segment):
                continue
            try:
                with_sums = sealed(segment, self._layout.place_of(segment))
            except (OSError, PlaceError):
                self._postpone([segment])
                continue
            manifest = self._store.manifest
            segments = tuple(with_sums if s.name == segment.name else s for s in manifest.segments)
            self._store.commit(manifest.next(segments=segments), self._store.channels)
            return True
        return False
