"""Where the Archiver Appliance keeps a PV's files: its default rule for folders and file names."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path


class Partition(StrEnum):
    """How much time a file holds (UTC). An appliance's long-term store has a file a year, by default."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"


def path_of(pv: str) -> Path:
    """A PV's files as far as the colon, below a store's root: `LN/AM/RAD:` for LN:AM:RAD or LN:AM-RAD.

    ValueError for a name that would lie outside of the root.
    """
    *folders, last = re.split("[:/-]", pv)
    if not {".", ".."}.isdisjoint(folders):
        raise ValueError(f"{pv} is no name that has files: it would lie outside of the folder")
    return Path(*filter(None, folders), f"{last}:")
