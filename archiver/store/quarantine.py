"""Putting damaged segments aside, so that everything else goes on; the manifest keeps their names and the reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from archiver.store.files import Layout
from archiver.store.manifest import Manifest
from archiver.store.segment import EVENTS_KIND

log = logging.getLogger(__name__)


def quarantine(layout: Layout, manifest: Manifest, problems: Mapping[str, str]) -> Manifest:
    """The manifest without the segments named in `problems` (name: what is wrong); their files are put aside."""
    lost = 0
    for segment in manifest.segments:
        if segment.name not in problems:
            continue
        log.error("segment %s is put aside: %s", segment.name, problems[segment.name])
        if segment.kind != EVENTS_KIND:
            lost += segment.rows
        if not segment.place:
            put_aside(layout, segment.stem)
    totals = Counter(manifest.totals)
    totals.update({"quarantined": lost})
    return replace(
        manifest,
        segments=tuple(s for s in manifest.segments if s.name not in problems),
        totals=dict(totals),
        quarantined={**manifest.quarantined, **problems},
    )


def put_aside(layout: Layout, stem: str) -> None:
    """Move the files of the archive's own folder whose name begins with `stem` into the quarantine."""
    folder, _, name = stem.rpartition("/")
    layout.quarantine.mkdir(exist_ok=True)
    for path in (layout.segments / folder).glob(f"{name}.*"):
        path.replace(layout.quarantine / f"{folder}-{path.name}")
