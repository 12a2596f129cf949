"""A made-up detector of any size, that of the whole ITk pixel detector at 33,000 front-ends: for measurements.

Every front-end has a pixel map of its own: TDACs around -2 with a sigma of 4, some pixels masked, 79 kB compressed.
They are few random maps, each rolled by whole columns: cheap to make, different for every hash, and for zstd as hard as
any other, since contents are compressed one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from db.nodes import NewChild, NewObject, NewPayload

if TYPE_CHECKING:
    from db.heads import RunkeyInfo
    from db.runkeys import Runkeys

ITK_FRONT_ENDS, ITK_OPTOBOARDS, ITK_FELIX = 33_000, 1_130, 47
CHIP = "RD53B"
COLUMNS, ROWS = 400, 384
BASES = 128
"""Random maps, from which `BASES * COLUMNS` different ones are rolled."""
_NAME = b"FE_000000"

Progress = Callable[[int, int], None]
"""Called with what is done and what is to be done."""


@dataclass
class Detector:
    """Front-ends on optoboards on FELIX, in the proportions of the ITk."""

    front_ends: int
    distinct: int
    """Front-ends with a pixel map of their own; the others have one of these."""

    def __post_init__(self) -> None:
        from db.chips.chipfile import chip_payloads, render_chip
        from db.chips.make import make_chip

        self.optoboards = max(1, round(self.front_ends * ITK_OPTOBOARDS / ITK_FRONT_ENDS))
        self.felix = max(1, round(self.front_ends * ITK_FELIX / ITK_FRONT_ENDS))
        count = min(BASES, self.front_ends)
        self._maps = [make_chip(CHIP, "", seed).pixels.tobytes() for seed in range(count)]
        file = render_chip(make_chip(CHIP, _NAME.decode(), 0))
        self._config, self._pixels = chip_payloads(file, "made up")[:2]

    def pixel_map(self, number: int) -> bytes:
        """A pixel map for any number below `BASES * COLUMNS`, all different from each other."""
        base = self._maps[number % len(self._maps)]
        at = number // len(self._maps) % COLUMNS * ROWS
        return base[at:] + base[:at]

    def payloads(self, number: int) -> list[NewPayload]:
        """Configuration and pixel map of a front-end."""
        config, pixels = self._config, self._pixels
        name = f"FE_{number:06}"
        return [
            NewPayload("config", config.content.replace(_NAME, name.encode()), "config", "json", "", config.meta),
            NewPayload("pixels", self.pixel_map(number % self.distinct), pixels.type, pixels.format, "", pixels.meta),
        ]

    def parts(self) -> Iterator[NewObject]:
        """Each FELIX with all below it."""
        boards = iter(_spread(self.front_ends, self.optoboards))
        number = 0
        for felix, count in enumerate(_spread(self.optoboards, self.felix), 1):
            below: list[NewChild] = []
            for board in range(count):
                chips: list[NewChild] = []
                for place in range(next(boards)):
                    thing = NewObject(
                        "frontend", f"FE{place + 1}", f"20UPGFC{number:07}", {"chip": CHIP}, self.payloads(number)
                    )
                    edge = {
                        "rx": 64 * board + 4 * (place % 6),
                        "tx": 64 * board + 2 * (place // 6),
                        "enable": 1,
                        "locked": 0,
                    }
                    chips.append(NewChild(thing, "daq", place, edge))
                    number += 1
                optoboard = NewObject("optoboard", f"OB{board + 1}", children=chips)
                below.append(NewChild(optoboard, "daq", board, {}))
            yield NewObject("felix", f"FELIX{felix}", children=below)

    def make(self, runkeys: Runkeys, name: str, progress: Progress) -> RunkeyInfo:
        """Store it as a runkey: a FELIX at a time, so that no more than that is in memory."""
        children: list[NewChild] = []
        for number, felix in enumerate(self.parts()):
            progress(number, self.felix)
            part = f"{name} part {number + 1}"
            runkeys.create(part, NewObject("runkey", "", children=[NewChild(felix)]), "made up for a measurement")
            id_ = runkeys.tree(part).root.children[0].id
            children.append(NewChild(id_, "daq", number, {}))
        info = runkeys.create(name, NewObject("runkey", "", children=children), "made up for a measurement")
        for number in range(len(children)):
            runkeys.delete(f"{name} part {number + 1}")
        return info


def _spread(things: int, over: int) -> list[int]:
    """So many of `things` for each, as evenly as it goes: 10 over 4 is 2, 3, 2, 3."""
    ends = [0, *(round(things * (n + 1) / over) for n in range(over))]
    return [b - a for a, b in pairwise(ends)]
