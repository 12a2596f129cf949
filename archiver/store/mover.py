"""Copies segments into object stores and deletes there, in a thread of its own: a slow store holds nothing else up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from archiver.store.checksums import file_sha256
from archiver.store.files import Layout, reason, suspect
from archiver.store.manifest import Segment
from archiver.store.places import PlaceError, claim

log = logging.getLogger(__name__)

RETRY = 30.0
"""Seconds until a store that didn't answer is asked again."""

Name = tuple[str, str]
"""A place and a name in it."""


class Mover:
    """Takes orders from the thread that keeps the manifest, and tells it what is done; touches no manifest itself."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.Condition()
        self._copies: dict[str, tuple[Segment, str]] = {}
        self._deletions: dict[Name, None] = {}
        self._jobs: dict[str, Callable[[], None]] = {}
        self._copied: list[tuple[Segment, str]] = []
        self._deleted: list[Name] = []
        self._away: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False
        self.retry = RETRY
        self.archive = ""
        self.claimed: set[str] = set()
        self.in_use: set[str] = set()
        """Places in which segments of the manifest lie already."""
        self.problems: dict[str, str] = {}
        """Places that are away at present, and why."""

    # for the thread that keeps the manifest

    def order(self, copies: dict[str, tuple[Segment, str]], deletions: list[Name]) -> None:
        """What there is to do now: segments by name with the place that each should go to, and files that should go."""
        with self._lock:
            self._copies = {name: entry for name, entry in copies.items() if entry not in self._copied}
            self._deletions = {entry: None for entry in deletions if entry not in self._deleted}
            self._wake()

    def job(self, place: str, work: Callable[[], None]) -> None:
        """Do something else with a place once; a job for the same place that hasn't begun is replaced."""
        with self._lock:
            self._jobs[place] = work
            self._wake()

    def done(self) -> tuple[list[tuple[Segment, str]], list[Name]]:
        """What was copied and deleted since the last call."""
        with self._lock:
            copied, self._copied = self._copied, []
            deleted, self._deleted = self._deleted, []
            return copied, deleted

    @property
    def news(self) -> bool:
        """Whether `done` has something."""
        return bool(self._copied or self._deleted)

    @property
    def busy(self) -> bool:
        """Whether anything is still to be done."""
        return bool(self._copies or self._deletions or self._jobs)

    @property
    def waiting(self) -> int:
        """How many copies are still to be made."""
        return len(self._copies)

    def close(self) -> None:
        """Let the thread end; what it has not finished begins anew next time."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(10.0)

    def _wake(self) -> None:
        if not (self._copies or self._deletions or self._jobs):
            return
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name="mover", daemon=True)
            self._thread.start()
        self._lock.notify_all()

    # the mover's thread

    def _run(self) -> None:
        while True:
            with self._lock:
                work = self._next()
                while work is None and not self._stopping:
                    self._lock.wait(self._patience())
                    work = self._next()
                if self._stopping:
                    return
            place, act = work or ("", lambda: None)
            try:
                self._claim(place)
                act()
            except PlaceError as error:
                self._lost(place, str(error))
            except OSError as error:
                self._lost(place, f"{place}: {reason(error)}")
            except Exception as error:
                # whatever a store does, what goes elsewhere must go on
                log.exception("%s", place)
                self._lost(place, f"{place}: {type(error).__name__}: {error}")
            else:
                if self.problems.pop(place, None) is not None:
                    log.warning("%s is there again", place)

    def _next(self) -> tuple[str, Callable[[], None]] | None:
        now = time.monotonic()

        def there(place: str) -> bool:
            return self._away.get(place, 0.0) <= now

        for segment, place in self._copies.values():
            if there(place):
                return place, partial(self._copy, segment, place)
        for place, work in self._jobs.items():
            if there(place):
                return place, partial(self._do, place, work)
        for place, name in self._deletions:
            if there(place):
                return place, partial(self._delete, place, name)
        return None

    def _patience(self) -> float | None:
        if not (self._copies or self._deletions or self._jobs):
            return None
        now = time.monotonic()
        return max(0.05, min((when for when in self._away.values() if when > now), default=0.0) - now)

    def _claim(self, place: str) -> None:
        if place not in self.claimed:
            claim(self._layout.place(place), self.archive, place not in self.in_use)
            self.claimed.add(place)

    def _copy(self, segment: Segment, place: str) -> None:
        folder = self._layout.segments
        try:
            if segment.checksum and file_sha256(folder / segment.name) != segment.checksum:
                suspect(self._layout, segment.name, "its checksum was wrong before it was copied")
            else:
                copy_segment(self._layout, folder, segment, place)
        except FileNotFoundError:
            # merged or deleted meanwhile: the next order says so
            pass
        else:
            with self._lock:
                self._copied.append((segment, place))
        with self._lock:
            self._copies.pop(segment.name, None)

    def _delete(self, place: str, name: str) -> None:
        self._layout.place(place).delete(name)
        with self._lock:
            self._deletions.pop((place, name), None)
            self._deleted.append((place, name))

    def _do(self, place: str, work: Callable[[], None]) -> None:
        work()
        with self._lock:
            if self._jobs.get(place) is work:
                del self._jobs[place]

    def _lost(self, place: str, why: str) -> None:
        self._away[place] = time.monotonic() + self.retry
        if place not in self.problems:
            log.error("%s: what should go there stays here, trying on", why)
        self.problems[place] = why


def copy_segment(layout: Layout, folder: Path, segment: Segment, place: str) -> None:
    """Copy all files of a segment from the local `folder` to `place`, the segment itself last."""
    target = layout.place(place)
    for name in reversed(segment.files):
        target.put(name, folder / name)
