"""The `[archiver]` section of a site file.

[archiver]
http = ["127.0.0.1:17665", "127.0.0.1:17668"]   # where retrieval listens; one text will do
folder = "archive"                              # below the site's state folder, or absolute

[[archiver.policy]]                             # the first policy whose glob fits decides
pv = "DEMO:HV:*:IMon*"
method = "scan"
period = 1.0

[[archiver.pv]]                                 # a PV that is in no IOC's catalogue
name = "LAB:Temperature"
"""

from __future__ import annotations

import ipaddress
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Method = Literal["monitor", "scan", "none"]

PV_NAME = r"^[A-Za-z0-9_\-+:\[\]<>;/,#{}^.]{1,60}$"

DEFAULT_PERIOD = 1.0


class Sampling(BaseModel):
    """How a PV is archived.

    `monitor`: every event. `scan`: the newest value once in each `period` (s) in which there was one. `none`: not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "monitor"
    period: Annotated[float, Field(gt=0, le=86400)] = DEFAULT_PERIOD
    """Seconds; only `scan` uses it."""


class PolicyRule(Sampling):
    """How PVs whose name fits the glob `pv` are archived, whatever their IOC says."""

    pv: str = Field(min_length=1)

    def fits(self, name: str) -> bool:
        """Whether the rule is about the PV `name`."""
        return fnmatchcase(name, self.pv)


class PvRule(Sampling):
    """A PV that is archived although no catalogue names it (or otherwise than its catalogue says)."""

    name: str = Field(pattern=PV_NAME)


class ArchiverConfig(BaseModel):
    """Where and how the archive is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    http: tuple[str, ...] = ("127.0.0.1:17665",)
    """`address:port` of each place where retrieval listens."""
    folder: str = "archive"
    """The archive's folder; a relative one is below the site's state folder."""
    sync: Annotated[float, Field(ge=0.01, le=60)] = 1.0
    """Seconds between syncs of the log: what a power cut may cost."""
    roll_size: Annotated[int, Field(ge=1, le=1024)] = 128
    """MiB of log after which it becomes segments."""
    roll_interval: Annotated[float, Field(ge=1, le=86400)] = 120.0
    """Seconds after which a log that holds anything becomes segments."""
    queue: Annotated[int, Field(ge=1, le=16384)] = 256
    """MiB of samples that may wait for the disk before samples are dropped."""
    future: Annotated[float, Field(ge=0)] = 1800.0
    """Seconds that a time stamp may be ahead of this machine's clock before its sample is dropped."""
    search: tuple[str, ...] = ()
    """CA addresses beside the site's own, in which to look for PVs: `10.1.2.255` or `ioc.lab:5066`."""
    retention_days: Annotated[float, Field(gt=0)] | None = None
    """Days after which whole segments are deleted; without it nothing ever is."""
    policy: tuple[PolicyRule, ...] = ()
    pv: tuple[PvRule, ...] = ()

    @field_validator("http", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("http")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError('should name at least one address, for example "127.0.0.1:17665"')
        for address in value:
            split_address(address)
        if len(set(value)) < len(value):
            raise ValueError("names an address twice")
        return value

    @model_validator(mode="after")
    def _unique(self) -> ArchiverConfig:
        seen: dict[str, int] = {}
        twice = [
            f"pv.{index}.name: {rule.name!r} is in the list twice; name each PV once"
            for index, rule in enumerate(self.pv)
            if seen.setdefault(rule.name, index) != index
        ]
        if twice:
            raise ValueError("\n".join(twice))
        return self

    def archive_folder(self, state: Path) -> Path:
        """The archive's folder of a site whose state is in `state`."""
        return state / Path(self.folder).expanduser()

    def sampling(self, name: str, declared: Sampling | None) -> Sampling:
        """How the PV `name` is archived: by its own rule here, else the first policy that fits, else as declared."""
        for rule in self.pv:
            if rule.name == name:
                return Sampling(method=rule.method, period=rule.period)
        for policy in self.policy:
            if policy.fits(name):
                return Sampling(method=policy.method, period=policy.period)
        return declared or Sampling(method="none")


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `address:port`; ValueError that says what would be right."""
    host, colon, port = text.rpartition(":")
    wrong = f'{text!r} should be "ADDRESS:PORT", for example "127.0.0.1:17665"'
    if not colon or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        raise ValueError(wrong)
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]*", host):
            raise ValueError(wrong) from None
    return host, int(port)
