"""Taking up an archive that another engine left, by whatever end: what is damaged, missing or foreign is put aside.

What a manifest doesn't name is the rest of an attempt that was cut off, and goes; or it was put there by somebody else,
and is kept in the quarantine. Nothing that may hold the only copy of a sample is deleted.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from archiver.store.adoption import clear_abandoned, waiting
from archiver.store.checksums import quick_look
from archiver.store.files import Layout, StoreError, replace_file
from archiver.store.manifest import Manifest, Segment, load_channels, load_manifest, save_manifest
from archiver.store.merge import load_index
from archiver.store.names import SIDECARS, Parsed, parse_name, stem_of
from archiver.store.quarantine import quarantine
from archiver.store.rebuild import channels_of, heal_sidecars, recover_names, salvage
from archiver.store.registry import RegistryWriter
from archiver.store.segment import EVENTS_KIND

log = logging.getLogger(__name__)


def recover(layout: Layout, registry: RegistryWriter, places: Collection[str] = ()) -> tuple[Manifest, np.ndarray]:
    """The manifest and the channels table of the archive, set right; StoreError for a manifest of another kind.

    `places`: of the tiers, beside the archive's own; without a manifest they are needed.
    """
    for path in layout.folder.glob("*.part"):
        path.unlink()
    for path in layout.wal.glob("*.part"):
        path.unlink()
    clear_abandoned(layout)
    before = manifest = salvage(layout, places) or load_manifest(layout.manifest)
    manifest = _sweep(layout, manifest)
    channels: np.ndarray | None = None
    try:
        if manifest.channels is not None or not manifest.segments:
            channels = load_channels(layout.folder, manifest)
    except (OSError, StoreError) as error:
        log.error("the table of channels is made anew: %s", error)
    problems = {}
    for segment in manifest.segments:
        if not segment.place and (why := quick_look(layout.segments, segment)):
            problems[segment.name] = why
    if problems:
        if channels is not None:
            channels = less(channels, [s for s in manifest.segments if s.name in problems], layout)
        manifest = quarantine(layout, manifest, problems)
    recover_names(layout, manifest, registry, channels_of(layout, manifest.segments) if channels is None else channels)
    manifest = heal_sidecars(layout, manifest, registry)
    made = channels is None
    if channels is None:
        channels = channels_of(layout, manifest.segments)
    if made or manifest != before:
        manifest = save(layout, manifest, channels)
    for path in layout.folder.glob("channels-*.npy"):
        if path.name != manifest.channels:
            path.unlink()
    return manifest, channels


def save(layout: Layout, manifest: Manifest, channels: np.ndarray) -> Manifest:
    """Put a manifest and its table of channels in place as the next generation; returns that."""
    manifest = manifest.next(channels=f"channels-{manifest.generation + 1}.npy")
    buffer = io.BytesIO()
    np.save(buffer, channels, allow_pickle=False)
    replace_file(layout.folder / str(manifest.channels), buffer.getvalue())
    save_manifest(layout.manifest, manifest)
    return manifest


def less(channels: np.ndarray, segments: Collection[Segment], layout: Layout) -> np.ndarray:
    """A channels table without the samples of `segments`, as far as indexes can be read; times stay as they are."""
    channels = channels.copy()
    for segment in segments:
        if segment.kind == EVENTS_KIND:
            continue
        try:
            index = load_index(layout, segment)
        except (OSError, ValueError, EOFError):
            continue
        mine = index[index["pv"] < len(channels)]
        ids = mine["pv"]
        channels["samples"][ids] -= np.minimum(channels["samples"][ids], mine["rows"])
    return channels


def _sweep(layout: Layout, manifest: Manifest) -> Manifest:
    """Delete what attempts that were cut off left in the archive's own folder, and put aside what is foreign there."""
    known = {segment.stem for segment in manifest.segments if not segment.place}
    replaced = {stem_of(name) for place, name in manifest.replaced if not place}
    foreign: dict[str, str] = {}
    logs = {number for number, _ in layout.logs(manifest.first_log)}
    for path in sorted(p for p in layout.segments.rglob("*") if p.is_file()):
        name = path.relative_to(layout.segments).as_posix()
        stem = stem_of(name)
        if stem in known:
            if path.suffix == ".part":
                path.unlink()
            continue
        parsed = parse_name(f"{stem}.parquet")
        ours = parsed is not None and any(name == stem + ending for ending in (".parquet", ".part", *SIDECARS))
        ours = ours or (parsed is not None and path.suffix == ".part")
        if parsed is not None and ours:
            if parsed.serial is None:
                # version 1: a merge of what is still there, or out of a log that is still there
                leftover = parsed.first_log in logs or _covered(
                    manifest, parsed.kind, parsed.first_log, parsed.last_log
                )
            else:
                leftover = stem in replaced or (
                    parsed.serial >= manifest.serial and _is_elsewhere(layout, manifest, parsed)
                )
            if leftover:
                path.unlink()
                continue
        foreign[name] = "the manifest doesn't know it"
        path.replace(layout.quarantine / name.replace("/", "-"))
        log.error("%s is put aside: the manifest doesn't know it", name)
    return replace(manifest, quarantined={**manifest.quarantined, **foreign}) if foreign else manifest


def _is_elsewhere(layout: Layout, manifest: Manifest, parsed: Parsed) -> bool:
    """Whether all that a segment newer than the manifest can hold is in logs, segments or imports that are there.

    So it is after a kill. With a manifest that is older than the files, out of a backup, it need not be.
    """
    if parsed.first_log == 0 and waiting(layout):
        return True
    if parsed.first_log and parsed.last_log >= manifest.first_log:
        return parsed.first_log == parsed.last_log and layout.log(parsed.first_log).exists()
    sources = [
        s
        for s in manifest.segments
        if s.kind == parsed.kind and s.first_log <= parsed.last_log and parsed.first_log <= s.last_log
    ]
    gone = [s for s in sources if not s.place and not (layout.segments / s.name).exists()]
    return not gone and bool(sources or parsed.first_log)


def _covered(manifest: Manifest, kind: str, first: int, last: int) -> bool:
    return any(s.kind == kind and s.first_log <= first and last <= s.last_log for s in manifest.segments) or any(
        s.kind == kind and first <= s.first_log and s.last_log <= last for s in manifest.segments
    )
