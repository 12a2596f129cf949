"""What differs between two runkeys, by content: registers, pixel maps, setpoints, connectivity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from db.diff import TreeDiff
    from db.runkeys import Runkeys
    from db.store import Store


@dataclass
class RunkeyDiff:
    """The differences, described."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        raise NotImplementedError

    def as_text(self, path: str = "/", full: bool = False, width: int = 100) -> str:
        """For terminals: counts per parent first; details of what is at and below `path`; all of them when `full`."""
        raise NotImplementedError

    def as_dict(self, path: str = "/", full: bool = False) -> dict[str, Any]:
        """For `--json`."""
        raise NotImplementedError

    def write_pictures(self, folder: Path) -> list[Path]:
        """A PNG per changed pixel map, and an index.html that shows them."""
        raise NotImplementedError


def describe(diff: TreeDiff, before: Runkeys, after: Runkeys) -> RunkeyDiff:
    """What a tree diff means; `before` and `after` hold the contents."""
    raise NotImplementedError


def compare_runkeys(store: Store, a: str, b: str, view: str | None = None) -> RunkeyDiff:
    """What changed from runkey `a` to `b` (names or digests, in either database)."""
    raise NotImplementedError
