"""The manifest: which segments make up the archive. It is replaced at once, so a reader never sees half of a change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from archiver.store.files import StoreError, replace_json
from archiver.store.order import NEVER

FORMAT = "owlshift-archive"
VERSION = 1

CHANNELS = np.dtype([("oldest", "<i8"), ("newest", "<i8"), ("samples", "<u8"), ("kinds", "<u4")])
"""What the segments hold of each PV, by id: times (ns; NEVER for none), samples, bits of the segment kinds."""


@dataclass(frozen=True)
class Segment:
    """A Parquet file with the samples of one kind out of the logs `first_log` to `last_log`.

    `name`: its path in the segments' folder. `oldest`, `newest`: times of its samples (ns). `level`: 0 out of a log, 1
    out of some segments, 2 out of a day's. `day`: when it was received, days since 1970 UTC.
    """

    name: str
    kind: str
    first_log: int
    last_log: int
    rows: int
    bytes: int
    oldest: int
    newest: int
    level: int
    day: int


@dataclass(frozen=True)
class Manifest:
    """The archive at one moment. Logs from `first_log` on are in no segment yet; earlier ones are done with.

    `totals`: counters of the whole archive: received, stored, dropped by reason (`dropped.REASON`), and so on.
    """

    generation: int = 0
    first_log: int = 1
    segments: tuple[Segment, ...] = ()
    channels: str | None = None
    totals: dict[str, int] = field(default_factory=dict)

    def next(self, **changes: Any) -> Manifest:
        """The manifest that follows this one."""
        return replace(self, generation=self.generation + 1, **changes)


def load_manifest(path: Path) -> Manifest:
    """The manifest at `path`, an empty one when there is none; StoreError when it isn't a manifest."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise StoreError(f"the manifest {path} can't be read: {error.strerror}") from error
    try:
        data = orjson.loads(content)
        if data["format"] != FORMAT or data["version"] != VERSION:
            raise ValueError(f"format {data['format']} version {data['version']}")
        return Manifest(
            generation=int(data["generation"]),
            first_log=int(data["first_log"]),
            segments=tuple(Segment(**segment) for segment in data["segments"]),
            channels=data["channels"],
            totals={str(k): int(v) for k, v in data["totals"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} is no manifest of an archive ({error})") from error


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Put the manifest in place, durably; OSError when it can't, and then the old one stays."""
    replace_json(path, {"format": FORMAT, "version": VERSION, **asdict(manifest)})


def load_channels(folder: Path, manifest: Manifest) -> np.ndarray:
    """The CHANNELS array of a manifest, by PV id. FileNotFoundError when a later manifest has replaced it."""
    if manifest.channels is None:
        return grow(np.zeros(0, CHANNELS), 1)
    try:
        channels = np.load(folder / manifest.channels, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise StoreError(f"{folder / manifest.channels} is damaged ({error})") from error
    if channels.dtype != CHANNELS or channels.ndim != 1:
        raise StoreError(f"{folder / manifest.channels} is no table of channels")
    return channels


def grow(channels: np.ndarray, size: int) -> np.ndarray:
    """`channels` with at least `size` rows; a copy when it must grow."""
    if len(channels) >= size:
        return channels
    larger = np.zeros(max(size, len(channels) * 3 // 2), CHANNELS)
    larger["oldest"] = larger["newest"] = NEVER
    larger[: len(channels)] = channels
    return larger
