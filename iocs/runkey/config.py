"""`[ioc.config]` of a runkey IOC. The databases are in the site file's `[db]` section."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class RunkeyConfig(BaseModel):
    """How the stand is read and written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    incomplete: Literal["keep", "refuse"] = "keep"
    """A snapshot in which some PVs could not be read: kept, and marked as such, or refused."""
    also: tuple[str, ...] = ()
    """Prefixes of IOCs outside of the site file whose catalogues belong to the stand, for example `TEST:PS:`."""
    search: tuple[str, ...] = ()
    """CA addresses beside the site's own in which PVs are searched for: `10.1.2.255` or `ioc.lab:5066`."""
    read_timeout: Annotated[float, Field(ge=0.5, le=300)] = 10.0
    """Seconds in which all PVs of the stand must have been read; those that have not are missing."""
    put_timeout: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """Seconds that one put may take until its completion."""
    patience: Annotated[float, Field(ge=0, le=600)] = 10.0
    """Seconds for which what cannot be reached is tried again while an apply is taken back."""
    health: Annotated[float, Field(ge=0.1, le=600)] = 2.0
    """Seconds between two looks at whether the databases answer."""
    latency_high: Annotated[float, Field(gt=0)] = 200.0
    """ms of `DbLatency`: MINOR."""
    latency_hihi: Annotated[float, Field(gt=0)] = 2000.0
    """ms of `DbLatency`: MAJOR."""
    validity: Annotated[float, Field(ge=0.1, le=3600)] = 60.0
    """Seconds between two looks at whether the runkey that was applied is still the one for now (`AppliedValid`)."""
    live_compare: Annotated[float, Field(ge=0, le=86400)] = 0.0
    """Seconds between two comparisons of the stand with the runkey that was applied (`LiveDiffCount`); 0: none."""

    @field_validator("also", "search", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("also")
    @classmethod
    def _prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in value:
            if not re.fullmatch(r"[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*:", prefix):
                raise ValueError(f"{prefix!r} should be like TEST:PS: (letters, digits, _ and -, ending in a colon)")
        return value

    @field_validator("search")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?", address):
                raise ValueError(f'{address!r} should be "ADDRESS" or "ADDRESS:PORT", for example "10.1.2.255"')
        return value

    @field_validator("live_compare")
    @classmethod
    def _not_too_often(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError("should be 0 (off), or at least 1 s: the whole stand is read each time")
        return value
