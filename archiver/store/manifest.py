"""The manifest: which segments make up the archive. It is replaced at once, so a reader never sees half of a change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from archiver.store.files import StoreError, replace_file
from archiver.store.order import NEVER

FORMAT = "owlshift-archive"
VERSION = 2
"""Version 1 had neither tiers nor places, checksums or drops by PV; it is read, and becomes version 2 when written."""

CHANNELS = np.dtype(
    [
        ("oldest", "<i8"),
        ("newest", "<i8"),
        ("samples", "<u8"),
        ("kinds", "<u4"),
        ("dropped", "<u4"),
        ("kept", "<i8"),
    ]
)
"""What the segments hold of each PV, by id: times (ns; NEVER for none), samples, bits of the segment kinds.

`dropped`: how many of its samples the order rule has dropped (equal or earlier times). `kept`: the newest time that
came through the log, from which on the order rule goes; imports don't move it.
"""

CHANNELS_1 = np.dtype(CHANNELS.descr[:4])
"""The table of an archive of version 1."""

MINUTES, DAYS, MONTHS = "minutes", "days", "months"
TIERS = (MINUTES, DAYS, MONTHS)


@dataclass(frozen=True)
class Segment:
    """A Parquet file with the samples of one kind out of the logs `first_log` to `last_log`.

    `name`: its path in its place. `oldest`, `newest`: times of its samples (ns). `level`: 0 out of a log, 1 out of some
    segments, 2 out of a day's, 3 out of a month's. `day`: when it was received, days since 1970 UTC. `tier`: minutes,
    days or months. `place`: where it lies, as `Layout.place` takes it. `checksum`: SHA-256 of the Parquet file in hex,
    "" when unknown. `summary`: there are summaries beside it. `sidecars`: (ending, bytes, SHA-256) of each file beside
    it; () in archives of version 1, which had an index beside each.
    `imported`: it holds samples of an import, whose times may lie anywhere.
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
    tier: str = MINUTES
    place: str = ""
    checksum: str = ""
    summary: bool = False
    sidecars: tuple[tuple[str, int, str], ...] = ()
    imported: bool = False

    @property
    def stem(self) -> str:
        """The name without its ending: all files of the segment begin with it and a dot."""
        return self.name.removesuffix(".parquet")

    @property
    def files(self) -> list[str]:
        """Names of all files of the segment in its place."""
        endings = [ending for ending, _, _ in self.sidecars] or [".index.npy"]
        return [self.name, *(self.stem + ending for ending in endings)]


@dataclass(frozen=True)
class Manifest:
    """The archive at one moment. Logs from `first_log` on are in no segment yet; earlier ones are done with.

    `totals`: counters of the whole archive: received, stored, dropped by reason (`dropped.REASON`), and so on.
    `archive`: an id that the archive has for good. `serial`: the number that the next file's name gets. `quarantined`:
    what was found damaged and put aside, by name, and why. `forgotten`: ids of PVs whose samples are no longer seen and
    are to go; `forgets`: so many of the registry's were taken up. `replaced`: (place, name) of files that are no longer
    needed and couldn't be deleted yet. `moving`: (place, segment) of copies under way.
    """

    generation: int = 0
    first_log: int = 1
    segments: tuple[Segment, ...] = ()
    channels: str | None = None
    totals: dict[str, int] = field(default_factory=dict)
    archive: str = ""
    serial: int = 1
    quarantined: dict[str, str] = field(default_factory=dict)
    forgotten: tuple[int, ...] = ()
    forgets: int = 0
    replaced: tuple[tuple[str, str], ...] = ()
    moving: tuple[tuple[str, str], ...] = ()

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
    return parse_manifest(content, str(path))


def parse_manifest(content: bytes, source: str) -> Manifest:
    """The manifest that `content` is; StoreError, which names the `source`, when it is none."""
    try:
        data = orjson.loads(content)
        if data["format"] != FORMAT or data["version"] not in (1, VERSION):
            raise ValueError(f"format {data['format']} version {data['version']}")
        return Manifest(
            generation=int(data["generation"]),
            first_log=int(data["first_log"]),
            segments=tuple(_segment(segment) for segment in data["segments"]),
            channels=data["channels"],
            totals={str(k): int(v) for k, v in data["totals"].items()},
            archive=str(data.get("archive", "")),
            serial=int(data.get("serial", 1)),
            quarantined={str(k): str(v) for k, v in data.get("quarantined", {}).items()},
            forgotten=tuple(int(pv) for pv in data.get("forgotten", ())),
            forgets=int(data.get("forgets", 0)),
            replaced=tuple((str(place), str(name)) for place, name in data.get("replaced", ())),
            moving=tuple((str(place), str(name)) for place, name in data.get("moving", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{source} is no manifest of an archive ({error})") from error


def _segment(data: dict[str, Any]) -> Segment:
    sidecars = tuple((str(ending), int(size), str(checksum)) for ending, size, checksum in data.get("sidecars", ()))
    return Segment(**{**data, "sidecars": sidecars})


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Put the manifest in place, durably; OSError when it can't, and then the old one stays."""
    replace_file(path, manifest_json(manifest))


def manifest_json(manifest: Manifest) -> bytes:
    """The content of a manifest's file."""
    return orjson.dumps({"format": FORMAT, "version": VERSION, **asdict(manifest)})


def load_channels(folder: Path, manifest: Manifest) -> np.ndarray:
    """The CHANNELS array of a manifest, by PV id. FileNotFoundError when a later manifest has replaced it."""
    if manifest.channels is None:
        return grow(np.zeros(0, CHANNELS), 1)
    try:
        channels = np.load(folder / manifest.channels, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise StoreError(f"{folder / manifest.channels} is damaged ({error})") from error
    if channels.dtype == CHANNELS_1 and channels.ndim == 1:
        old, channels = channels, np.zeros(len(channels), CHANNELS)
        for field_name in CHANNELS_1.names or ():
            channels[field_name] = old[field_name]
        channels["kept"] = old["newest"]
    if channels.dtype != CHANNELS or channels.ndim != 1:
        raise StoreError(f"{folder / manifest.channels} is no table of channels")
    return channels


def grow(channels: np.ndarray, size: int) -> np.ndarray:
    """`channels` with at least `size` rows; a copy when it must grow."""
    if len(channels) >= size:
        return channels
    larger = np.zeros(max(size, len(channels) * 3 // 2), CHANNELS)
    larger["oldest"] = larger["newest"] = larger["kept"] = NEVER
    larger[: len(channels)] = channels
    return larger
