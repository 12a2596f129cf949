"""The `[archiver]` section of a site file.

[archiver]
http = ["127.0.0.1:17665", "127.0.0.1:17668"]   # where retrieval listens; one text will do
folder = "archive"                              # below the site's state folder, or absolute

[archiver.tiers.months]                         # where old segments go, and how long they are kept
place = "s3://archive/demo?endpoint_override=s3.lab:9000&scheme=http"
retention_days = 3650

[[archiver.policy]]                             # the first policy that fits decides
name = "currents"
pv = "DEMO:HV:*:IMon*"
method = "scan"
period = 1.0

[[archiver.pv]]                                 # a PV that is in no IOC's catalogue
name = "LAB:Temperature"
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

Method = Literal["monitor", "scan", "none"]
PvType = Literal["string", "short", "float", "enum", "char", "long", "double"]

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
    deadband: Annotated[float, Field(ge=0)] = 0.0
    """A number that differs by no more than this from the last kept one is not kept, unless its severity changed."""
    fields: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,16}$")], ...] = ()
    """Fields of the record, such as ADEL, whose values are kept beside the PV's limits, units and description."""


class PolicyRule(Sampling):
    """How PVs are archived that fit all of the rule's conditions, whatever their IOC says."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,40}$")
    """What the policy is called in requests and reports."""
    doc: str = ""
    pv: str | None = Field(default=None, min_length=1)
    """A glob that the PV's name must fit."""
    regex: str | None = Field(default=None, min_length=1)
    """A regular expression that the whole name must match."""
    type: tuple[PvType, ...] | None = None
    """Native types, of which the PV must have one; only a PV that has connected fits."""
    array: bool | None = None
    """Whether the PV must be an array (true) or a scalar (false)."""
    min_rate: Annotated[float, Field(ge=0)] | None = None
    """Events/s that the PV must send at least; known some seconds after it has connected."""
    max_rate: Annotated[float, Field(ge=0)] | None = None
    metadata: dict[str, str] = {}
    """Globs that metadata must fit, for example `{ EGU = "uA" }`."""

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"is no regular expression ({error})") from None
        return value

    @field_validator("type", mode="before")
    @classmethod
    def _one_type(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _condition(self) -> PolicyRule:
        named = any(v is not None for v in (self.pv, self.regex, self.type, self.array, self.min_rate, self.max_rate))
        if not named and not self.metadata:
            raise ValueError('fits everything; give it a condition, for example pv = "DEMO:*" (or pv = "*")')
        return self

    @property
    def label(self) -> str:
        """What requests and reports call the policy."""
        return self.name or self.pv or self.regex or "unnamed"

    @property
    def by_name(self) -> bool:
        """Whether the name alone decides."""
        rest = (self.type, self.array, self.min_rate, self.max_rate)
        return not self.metadata and all(condition is None for condition in rest)


class PvRule(Sampling):
    """A PV that is archived although no catalogue names it (or otherwise than its catalogue says)."""

    name: str = Field(pattern=PV_NAME)


def _without_credentials(place: str) -> str:
    if re.match(r"[a-z0-9+]+://[^/?]*@", place):
        raise ValueError("must hold no credentials; put them into the environment (AWS_ACCESS_KEY_ID and so on)")
    return place


def _of_a_known_kind(place: str) -> str:
    scheme, colon, rest = place.partition("://")
    if colon and (scheme not in STORES or not rest.strip("/")):
        raise ValueError(f"should be a folder, or a URL with a bucket: {', '.join(f'{s}://…' for s in STORES)}")
    return place


STORES = ("s3", "gs", "abfs", "hdfs", "file")
PlaceText = Annotated[str, Field(min_length=1), AfterValidator(_without_credentials), AfterValidator(_of_a_known_kind)]
"""A folder, or the URL of an object store. What stands in a site file is shown to whoever asks."""


class TierConfig(BaseModel):
    """Where the segments of one tier lie, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: PlaceText | None = None
    """A folder (a relative one is below the archive's), or the URL of an object store: `s3://bucket/prefix?…`.

    Credentials never stand here: they come from the environment (AWS_ACCESS_KEY_ID and the like).
    """
    retention_days: Annotated[float, Field(gt=0)] | None = None
    """Days after which whole segments are deleted; without it nothing ever is."""


class Tiers(BaseModel):
    """The places of segments by age: out of logs and of today, of whole days, of whole months."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: TierConfig = TierConfig()
    days: TierConfig = TierConfig()
    months: TierConfig = TierConfig()


class AccessConfig(BaseModel):
    """Who may change what is archived. Reading is open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: str | None = Field(default=None, min_length=1)
    """A file with a line `user:SHA-256 of the token, in hex` for everybody who may write; relative to the site file."""
    asg: str = Field(default="ARCHIVER", pattern=r"^[A-Za-z0-9_]{1,40}$")
    """The access security group of the site's ACF whose rules say who may write."""


class Pin(BaseModel):
    """PVs that a certain engine archives, whatever the hash of their names says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pv: str = Field(min_length=1)
    """A glob."""
    engine: str


class ArchiverConfig(BaseModel):
    """Where and how the archive is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    http: tuple[str, ...] = ("127.0.0.1:17665",)
    """`address:port` of each place where retrieval listens."""
    folder: str = Field(default="archive", min_length=1)
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
    """Days after which whole segments of any tier are deleted; without it nothing ever is."""
    tiers: Tiers = Tiers()
    cache: Annotated[int, Field(ge=16, le=1 << 20)] = 2048
    """MiB on the local disk for what was read from object stores."""
    engines: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,19}$")], ...] = ()
    """Names of engines that share the PVs by a hash of their names; without them there is one."""
    here: tuple[str, ...] | None = None
    """Those of `engines` that run on this host; without it all."""
    pin: tuple[Pin, ...] = ()
    remote: tuple[PlaceText, ...] = ()
    """URLs of other engines' places in object stores, which retrieval here serves too."""
    access: AccessConfig = AccessConfig()
    system: str = Field(default="ARCH", pattern=r"^[A-Za-z0-9_-]{0,20}$")
    """The archiver's own IOC serves its PVs under `SITE:SYSTEM:`; an empty name: there is none."""
    limit: Annotated[int, Field(ge=0)] = 0
    """Samples that one answer may hold at most (0: any number; answers are streams and need no memory)."""
    policy: tuple[PolicyRule, ...] = ()
    pv: tuple[PvRule, ...] = ()

    @field_validator("http", "search", "engines", "here", "remote", mode="before")
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

    @field_validator("search")
    @classmethod
    def _searched(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            host, colon, port = address.rpartition(":")
            name = host if colon else address
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name) or (colon and not _is_port(port)):
                raise ValueError(f'{address!r} should be "ADDRESS" or "ADDRESS:PORT", for example "10.1.2.255"')
        return value

    @model_validator(mode="after")
    def _unique(self) -> ArchiverConfig:
        seen: dict[str, int] = {}
        twice = [
            f"pv.{index}.name: {rule.name!r} is in the list twice; name each PV once"
            for index, rule in enumerate(self.pv)
            if seen.setdefault(rule.name, index) != index
        ]
        names: dict[str, int] = {}
        twice += [
            f"policy.{index}.name: another policy is called {rule.label!r} too; give each a name of its own"
            for index, rule in enumerate(self.policy)
            if rule.name is not None and names.setdefault(rule.label, index) != index
        ]
        if len(set(self.engines)) < len(self.engines):
            twice.append("engines: names an engine twice")
        twice += [
            f"{key}: {name!r} is none of the engines ({', '.join(self.engines) or 'there are no named ones'})"
            for key, name in [
                *(("here", name) for name in self.here or ()),
                *((f"pin.{index}.engine", pin.engine) for index, pin in enumerate(self.pin)),
            ]
            if name not in self.engines
        ]
        if twice:
            raise ValueError("\n".join(twice))
        return self

    def archive_folder(self, state: Path) -> Path:
        """The archive's folder of a site whose state is in `state`."""
        return state / Path(self.folder).expanduser()

    def store_folders(self, state: Path) -> dict[str, Path]:
        """The store of each engine of this host, by its name ("" for the only one)."""
        here = self.engines if self.here is None else self.here
        return {name: self.store_folder(state, name) for name in (here if self.engines else ("",))}

    def store_folder(self, state: Path, engine: str) -> Path:
        """The store of the engine with this name ("" for the only one)."""
        folder = self.archive_folder(state)
        return folder / "engines" / engine if engine else folder

    def ioc_prefix(self, site_prefix: str) -> str:
        """What the PVs of the archiver's own IOC begin with; "" when there is none."""
        return f"{site_prefix}{self.system}:" if self.system else ""


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `address:port`; ValueError that says what would be right."""
    host, colon, port = text.rpartition(":")
    wrong = f'{text!r} should be "ADDRESS:PORT", for example "127.0.0.1:17665"'
    if not colon or not _is_port(port):
        raise ValueError(wrong)
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]*", host):
            raise ValueError(wrong) from None
    return host, int(port)


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and int(text) <= 65535
