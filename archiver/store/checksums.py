"""Checksums of a segment's files, and the quick look at them that needs no reading of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from archiver.store.manifest import Segment
from archiver.store.names import INDEX, SIDECARS
from archiver.store.places import Place

MAGIC = b"PAR1"


def sha256(pieces: Iterable[bytes]) -> str:
    """SHA-256 in hex, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a local file in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(segment: Segment, place: Place) -> Segment:
    """The segment with the sizes and checksums of its files, which lie in `place`."""
    sidecars = []
    for ending in SIDECARS:
        name = segment.stem + ending
        try:
            sidecars.append((ending, place.size(name), sha256(place.chunks(name))))
        except FileNotFoundError:
            continue
    return replace(
        segment,
        bytes=place.size(segment.name),
        checksum=sha256(place.chunks(segment.name)),
        sidecars=tuple(sidecars),
        summary=any(ending != INDEX for ending, _, _ in sidecars),
    )


def quick_look(folder: Path, segment: Segment) -> str | None:
    """What is wrong with a local segment at a first look (size, magic, footer), None for nothing."""
    path = folder / segment.name
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(4)
            file.seek(max(0, size - 8))
            tail = file.read(8)
    except FileNotFoundError:
        return "it is missing"
    if size != segment.bytes:
        return f"it has {size} bytes instead of {segment.bytes}"
    if head != MAGIC or tail[4:] != MAGIC:
        return "it is no Parquet file"
    if not 0 < int.from_bytes(tail[:4], "little") <= size - 12:
        return "its footer is damaged"
    return None


def sidecar_problem(place: Place, segment: Segment, ending: str) -> str | None:
    """What is wrong with a file beside a segment at a first look: it isn't there, or has another size."""
    known = {known: size for known, size, _ in segment.sidecars}
    if ending not in known and not (ending == INDEX and not segment.sidecars):
        return None
    try:
        size = place.size(segment.stem + ending)
    except FileNotFoundError:
        return "it is missing"
    if ending in known and size != known[ending]:
        return f"it has {size} bytes instead of {known[ending]}"
    return None
