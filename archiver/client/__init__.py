"""The reader's side: the Python API, ways to an archive (HTTP or files), times as people write them, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archiver.client.access import ArchiveError, Reading, Sample, UnknownPv
    from archiver.client.archive import Archive, AsyncArchive

_WHERE = {
    "Archive": "archive",
    "AsyncArchive": "archive",
    "ArchiveError": "access",
    "Reading": "access",
    "Sample": "access",
    "UnknownPv": "access",
}

__all__ = ["Archive", "ArchiveError", "AsyncArchive", "Reading", "Sample", "UnknownPv"]


def __getattr__(name: str) -> Any:
    # a command that needs none of this must not wait for pyarrow
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
