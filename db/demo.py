"""The demo's runkey: one FELIX, one optoboard, four RD53B front-ends, a controller and a digital scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.nodes import NewObject
    from db.runkeys import RunkeyInfo, Runkeys

NAME = "mmsetup sr1"


def yarr_files() -> dict[str, bytes]:
    """The setup as YARR has it: name of a file, relative to the folder -> its bytes."""
    raise NotImplementedError


def demo_runkey() -> NewObject:
    """The setup as a tree."""
    raise NotImplementedError


def make_demo(runkeys: Runkeys, name: str = NAME) -> RunkeyInfo:
    """Store it, unless it is there already."""
    raise NotImplementedError
