"""`[ioc.config]` of an alarm IOC. Where the log and the state are kept is in the site file's `[db]` section."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

Seconds = Annotated[float, Field(gt=0, le=366 * 86400)]
PREFIX = re.compile(r"[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*:")
ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?")


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Chatter(_Section):
    """An alarm that comes and goes so often that it is announced once only."""

    transitions: Annotated[int, Field(ge=2, le=1000)] = 3
    """It comes so often …"""
    period: Seconds = 60.0
    """… within so many seconds."""


class Flood(_Section):
    """So many alarms that nobody can follow them (ISA-18.2: over 10 in 10 minutes, until under 5)."""

    begin: Annotated[int, Field(ge=1, le=100_000)] = 10
    """It begins above so many announced alarms …"""
    end: Annotated[int, Field(ge=1, le=100_000)] = 5
    """… and ends below so many …"""
    period: Seconds = 600.0
    """… within so many seconds."""


class ActionsConfig(_Section):
    """What alarms may do by themselves: nothing that is not named here."""

    cmd: tuple[tuple[str, ...], ...] = ()
    """Commands that `cmd:` actions may run: `[["/usr/bin/logger", "owlshift"]]`. The first words must be these."""
    webhook: tuple[str, ...] = ()
    """What the addresses of `webhook:` actions may begin with: `https://chat.lab/hooks/`."""
    mail_host: str = ""
    """`HOST` or `HOST:PORT` of the SMTP server for `mailto:` actions; empty: no mail."""
    mail_from: str = "owlshift"
    """The sender's address."""
    sevrpv: tuple[str, ...] = ()
    """Patterns (`LAB:LIGHT:*`; `*` is every PV) of the PVs that `sevrpv:` and `infopv:` actions may write to."""
    timeout: Seconds = 20.0
    """Seconds that a command, a mail or a webhook may take."""

    _lists = field_validator("webhook", "sevrpv", mode="before")(_several)

    @field_validator("cmd")
    @classmethod
    def _commands(cls, value: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for words in value:
            if not words or not words[0].startswith("/"):
                raise ValueError('each should begin with a program\'s path: ["/usr/bin/logger"]')
        return value

    @field_validator("webhook")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path[:1] != "/" or parts.port == 0:
                raise ValueError(f'{address!r} should be like "https://chat.lab/hooks/", with a path')
        return value

    @field_validator("mail_host")
    @classmethod
    def _host(cls, value: str) -> str:
        if value and not ADDRESS.fullmatch(value):
            raise ValueError('should be "HOST" or "HOST:PORT"')
        return value


class KafkaConfig(_Section):
    """The broker over which Phoebus sees, acknowledges and edits the tree."""

    servers: tuple[str, ...]
    """`HOST:PORT` of one or several brokers."""
    config_from: Literal["site", "topic"] = "site"
    """Who is right at the start where the topic and our own configuration differ."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Further settings of librdkafka, for example TLS."""
    zone: str = ""
    """The time zone of Phoebus' desktops, whose records hold local times: "Europe/Berlin"; empty: this computer's."""
    replication: Annotated[int, Field(ge=1, le=10)] = 1
    """On how many brokers the topics are kept."""
    heartbeat: Seconds = 10.0
    """Seconds of silence after which the root's state is sent again; Phoebus' `idle_timeout`."""
    allow_restart: bool = True
    """Desktops may have the configuration read anew."""
    allow_shutdown: bool = False
    """Desktops may end the server."""

    _lists = field_validator("servers", mode="before")(_several)

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value:
            try:
                ZoneInfo(value)
            except (ValueError, OSError, ZoneInfoNotFoundError):
                raise ValueError(f"{value!r} is no time zone that this computer knows") from None
        return value

    @field_validator("servers")
    @classmethod
    def _brokers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("names no broker")
        for address in value:
            if not ADDRESS.fullmatch(address) or ":" not in address:
                raise ValueError(f'{address!r} should be "HOST:PORT"')
        return value


class AlarmConfig(_Section):
    """What is watched, and how alarms are treated."""

    files: tuple[str, ...] = ()
    """Phoebus' XML files of alarms, beside the site file; `NAME.toml` beside `NAME.xml` holds priorities and such.

    They add to the alarms that catalogues declare, and override those of the same path.
    """
    catalogues: bool = True
    """What the site's IOCs declare as alarms is watched."""
    also: tuple[str, ...] = ()
    """Prefixes of IOCs outside of the site file whose catalogues are watched too, for example `TEST:PS:`."""
    search: tuple[str, ...] = ()
    """CA addresses beside the site's own in which PVs are searched for: `10.1.2.255` or `ioc.lab:5066`."""
    phoebus_compatible: bool = False
    """Where Phoebus is plainly wrong, be so as well: for a comparison, or a move from one to the other."""
    max_shelf: Seconds = 7 * 86400.0
    """Seconds that an alarm may be shelved for at most."""
    nag_period: Annotated[float, Field(ge=0, le=86400)] = 900.0
    """Seconds of silence after which active alarms are announced again; 0: never. `NagPeriod` changes it."""
    connection_timeout: Seconds = 30.0
    """Seconds after the start within which a PV must have been found; then it is `Disconnected`."""
    mode_pv: str = ""
    """The PV that says the operating mode; empty: `Mode` is put by hand."""
    chatter: Chatter = Chatter()
    flood: Flood = Flood()
    actions: ActionsConfig = ActionsConfig()
    kafka: KafkaConfig | None = None
    keep_log: Annotated[float, Field(ge=0, le=36500)] = 0.0
    """Days that the alarm log is kept; 0: for ever."""

    _lists = field_validator("files", "also", "search", mode="before")(_several)

    @field_validator("also")
    @classmethod
    def _prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in value:
            if not PREFIX.fullmatch(prefix):
                raise ValueError(f"{prefix!r} should be like TEST:PS: (letters, digits, _ and -, ending in a colon)")
        return value

    @field_validator("search")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not ADDRESS.fullmatch(address):
                raise ValueError(f'{address!r} should be "ADDRESS" or "ADDRESS:PORT", for example "10.1.2.255"')
        return value

    @field_validator("files")
    @classmethod
    def _xml(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not name.endswith(".xml"):
                raise ValueError(f"{name!r} should be the name of an XML file: alarms.xml")
        return value
