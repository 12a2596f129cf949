"""A site: one TOML file that says which IOCs and services run, where, and with what configuration.

Everything is checked before anything starts, and all that is wrong is said at once, each with its file and line.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from owlshift.kinds import IocKind, ServiceKind, ioc_kinds, load_object, services
from owlshift.toml_lines import KeyPath, key_lines, line_of

DEFAULT_CA_PORT = 5064
NO_DEVICE = "none"
"""The backend of an IOC without a device."""

_M = TypeVar("_M", bound=BaseModel)


class SiteError(Exception):
    """A site file that can't be used. `problems` holds one text for each thing that is wrong; `str()` all of them.

    A validator of a whole pydantic model may report several things in one ValueError: one a line, each of which may
    begin with the key it is about, below the model (``channels.3.board: no board B9``), so that its line is named.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def checked_backend(value: str) -> str:
    """`value` if it says where a device is, or that there is none; ValueError otherwise."""
    if value in ("sim", NO_DEVICE) or re.fullmatch(r"tcp://[^:/\s]+:\d{1,5}|serial:///\S+", value):
        return value
    raise ValueError('should be "sim", "tcp://HOST:PORT" or "serial:///dev/NAME"')


def backend_problem(kind: IocKind, backend: Any) -> str | None:
    """What is wrong with a backend, in itself a proper one, for an IOC of `kind`; None when nothing is."""
    if not kind.needs_device:
        return None if backend == NO_DEVICE else f'{kind.name} has no device; should be "{NO_DEVICE}" (or left out)'
    if backend == NO_DEVICE:
        return f'{kind.name} needs a device; should be "tcp://HOST:PORT" or alike'
    if backend == "sim" and kind.simulator_app is None:
        return f'{kind.name} has no simulator; should be "tcp://HOST:PORT" or alike'
    return None


class CaSection(_Section):
    """Where the site's IOCs serve Channel Access."""

    interface: str = "127.0.0.1"
    port: int = Field(default=DEFAULT_CA_PORT, ge=1024, le=65535)

    @field_validator("interface")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            return str(ipaddress.IPv4Address(value))
        except ValueError:
            raise ValueError("should be the IPv4 address of one interface, for example 127.0.0.1") from None


class _Header(_Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,20}$")
    title: str = ""
    state: str = ""
    examples: tuple[str, ...] = ()


class _Access(_Section):
    file: str


class _Ioc(_Section):
    system: str = Field(pattern=r"^[A-Za-z0-9_-]{1,20}$")
    kind: str
    backend: str = "sim"
    config: dict[str, Any] = Field(default_factory=dict)

    _check_backend = field_validator("backend")(checked_backend)


class _File(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    site: _Header
    ca: CaSection = CaSection()
    access: _Access | None = None
    ioc: tuple[_Ioc, ...] = ()


@dataclass(frozen=True)
class IocEntry:
    """One IOC of a site. `prefix` is, for example, ``DEMO:HV:``; `config` is an instance of the kind's model."""

    system: str
    prefix: str
    kind: str
    backend: str
    config: BaseModel

    @property
    def name(self) -> str:
        """The system's name in lower case, as in process and file names."""
        return self.system.lower()


@dataclass(frozen=True)
class Site:
    """A site file that has been checked."""

    name: str
    title: str
    path: Path
    state: Path
    ca: CaSection
    access_file: Path | None
    iocs: tuple[IocEntry, ...]
    examples: tuple[str, ...] = ()
    """Commands to try, as `owl up` prints them once the site is up."""
    services: Mapping[str, BaseModel] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What every PV name of the site begins with, for example ``DEMO:``."""
        return f"{self.name}:"

    def ca_environment(self) -> dict[str, str]:
        """The EPICS_CA_… variables with which any CA client on this host finds every PV of the site."""
        environment = {"EPICS_CA_ADDR_LIST": broadcast_of(self.ca.interface), "EPICS_CA_AUTO_ADDR_LIST": "NO"}
        if self.ca.port != DEFAULT_CA_PORT:
            environment["EPICS_CA_SERVER_PORT"] = str(self.ca.port)
        return environment

    def prefixes(self) -> list[str]:
        """What the PVs of each IOC of the site begin with, those of services included."""
        found, known = [entry.prefix for entry in self.iocs], services()
        for name in self.services:
            found += self.service_prefixes(known[name])
        return found

    def service_prefixes(self, kind: ServiceKind) -> list[str]:
        """What the PVs of a service's own IOCs begin with."""
        return [] if kind.prefixes is None else load_object(kind.prefixes)(self, self.services[kind.name])

    def ioc(self, system: str) -> IocEntry:
        """The IOC of a system, by its name in any case; KeyError with the names there are."""
        for entry in self.iocs:
            if entry.name == system.lower():
                return entry
        raise KeyError(
            f"site {self.name} has no IOC {system!r}; it has {', '.join(e.system for e in self.iocs) or 'none'}"
        )


def broadcast_of(interface: str) -> str:
    """The broadcast address that reaches every server on `interface` (127.255.255.255 for loopback)."""
    address = ipaddress.IPv4Address(interface)
    if address.is_loopback:
        return "127.255.255.255"
    import psutil

    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.address == interface and entry.broadcast:
                return entry.broadcast
    return interface


def default_state(name: str) -> Path:
    """Where a site keeps its state when its file does not say: `$XDG_STATE_HOME/owlshift/NAME`."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "owlshift" / name.lower()


def demo_site_path() -> Path:
    """The demo's site file, which comes with the package."""
    from importlib.resources import files

    return Path(str(files("sites") / "demo.toml"))


def load_site(path: Path | str, state: Path | str | None = None) -> Site:
    """Read and check a site file.

    The folder for state is `state`, else $OWLSHIFT_STATE, else `[site] state` of the file, else `default_state`.
    SiteError, with every problem found, when anything is wrong.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SiteError([f"{path}: can't be read: {reason}"]) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line = where.group(1) if where else str(text.count("\n") + 1)
        raise SiteError([f"{path}:{line}: not TOML: {error}"]) from error
    return _Checker(path.absolute(), path, document, key_lines(text)).check(state)


class _Checker:
    """Turns a TOML document into a Site, collecting problems on the way."""

    def __init__(self, path: Path, shown: Path, document: dict[str, Any], lines: dict[KeyPath, int]) -> None:
        self.path, self.shown, self.document, self.lines = path, shown, document, lines
        self.problems: list[tuple[int, str]] = []

    def problem(self, where: KeyPath, text: str) -> None:
        line = line_of(self.lines, where)
        key = ".".join(str(part) for part in where)
        self.problems.append((line, f"{self.shown}:{line}: {key}: {text}"))

    def check(self, state: Path | str | None) -> Site:
        head = self._validate(_File, self.document, ())
        known = services()
        sections: dict[str, BaseModel] = {}
        for name, value in self.document.items():
            if name in _File.model_fields:
                continue
            if name not in known:
                self.problem((name,), _unknown(name, [*_File.model_fields, *known]))
            elif not isinstance(value, dict):
                self.problem((name,), f"should be a table: [{name}]")
            elif (section := self._validate(load_object(known[name].config), value, (name,))) is not None:
                sections[name] = section
        site_name = head.site.name if head else "?"
        iocs = self._iocs(f"{site_name}:")
        access_file = self._access_file(head)
        if self.problems or head is None:
            raise SiteError([text for _, text in sorted(self.problems, key=lambda item: item[0])])
        site = Site(
            name=head.site.name,
            title=head.site.title or head.site.name,
            path=self.path,
            state=self._state(head, state),
            ca=head.ca,
            access_file=access_file,
            iocs=iocs,
            examples=head.site.examples,
            services=sections,
        )
        self._service_prefixes(site, known)
        return site

    def _service_prefixes(self, site: Site, known: Mapping[str, ServiceKind]) -> None:
        """A service's own IOC must not have the prefix of another."""
        taken = {entry.prefix for entry in site.iocs}
        for name in site.services:
            for prefix in site.service_prefixes(known[name]):
                if prefix in taken:
                    text = f"its own PVs would begin with {prefix}, as those of an [[ioc]]; change `system`"
                    self.problem((name,), text)
        if self.problems:
            raise SiteError([text for _, text in self.problems])

    def _state(self, head: _File, override: Path | str | None) -> Path:
        chosen = override or os.environ.get("OWLSHIFT_STATE") or head.site.state
        if not chosen:
            return default_state(head.site.name)
        given = Path(chosen).expanduser()
        if given.is_absolute():
            return given
        return (Path.cwd() if override or os.environ.get("OWLSHIFT_STATE") else self.path.parent) / given

    def _access_file(self, head: _File | None) -> Path | None:
        if head is None or head.access is None:
            return None
        path = self.path.parent / head.access.file
        if not path.is_file():
            self.problem(
                ("access", "file"), f"there is no file {path}; an EPICS access-security file (.acf) should be there"
            )
        return path

    def _iocs(self, prefix: str) -> tuple[IocEntry, ...]:
        entries: list[IocEntry] = []
        seen: dict[str, int] = {}
        kinds = ioc_kinds()
        raw = self.document.get("ioc", [])
        for index, item in enumerate(raw if isinstance(raw, list) else []):
            where: KeyPath = ("ioc", index)
            if not isinstance(item, dict):
                continue
            kind_name, system = item.get("kind"), item.get("system")
            if isinstance(system, str):
                if (first := seen.setdefault(system.lower(), index)) != index:
                    line = line_of(self.lines, ("ioc", first, "system"))
                    text = f"two IOCs of one prefix: line {line} has {system!r} already; give each IOC its own system"
                    self.problem((*where, "system"), text)
            if not isinstance(kind_name, str):
                continue
            if kind_name not in kinds:
                self.problem((*where, "kind"), _unknown(kind_name, list(kinds), "kind of IOC"))
                continue
            kind = kinds[kind_name]
            backend = item.get("backend", "sim" if kind.needs_device else NO_DEVICE)
            if (text := backend_problem(kind, backend)) is not None:
                self.problem((*where, "backend"), text)
            config = item.get("config", {})
            if not isinstance(config, dict):
                continue
            checked = self._validate(load_object(kind.config), config, (*where, "config"))
            if checked is not None and isinstance(system, str):
                entries.append(IocEntry(system, f"{prefix}{system}:", kind_name, str(backend), checked))
        return tuple(entries)

    def _validate(self, model: type[_M], value: dict[str, Any], where: KeyPath) -> _M | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for item in error.errors():
                self._explain(model, value, where, item)
            return None

    def _explain(self, model: type[BaseModel], value: dict[str, Any], where: KeyPath, item: Mapping[str, Any]) -> None:
        location: KeyPath = tuple(item["loc"])
        text = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            siblings = _fields_at(model, location[:-1])
            text = _unknown(str(location[-1]), siblings)
        elif item["type"] == "missing":
            text = "is missing"
        else:
            if item["type"] in _IN_TOML:
                text = _IN_TOML[item["type"]]
            shown = repr(item.get("input"))
            if model.model_config.get("hide_input_in_errors"):  # somebody may have put a password there
                shown = ""
            if 0 < len(shown) <= 60 and not isinstance(item.get("input"), dict):
                text = f"{text[:1].lower()}{text[1:]} (it is {shown})"
        for line in text.splitlines() or [text]:
            inner, message = self._inner_path((*where, *location), line)
            self.problem((*where, *location, *inner), message)

    def _inner_path(self, where: KeyPath, line: str) -> tuple[KeyPath, str]:
        """The key that a line of a whole model's error begins with ("channels.3.board: …"), and the rest of it."""
        key, colon, message = line.partition(": ")
        path: KeyPath = tuple(int(part) if part.isdigit() else part for part in key.split("."))
        if colon and (*where, *path) in self.lines:
            return path, message
        return (), line


_IN_TOML = {
    "tuple_type": "should be a list: [ … ]",
    "list_type": "should be a list: [ … ]",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "string_type": 'should be a text: "…"',
}
"""What TOML calls the types of Python that pydantic's messages speak of."""


def _fields_at(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that are known at `path` below `model`, as far as annotations tell."""
    current: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        fields = getattr(current, "model_fields", {})
        if part not in fields:
            return []
        current = _model_in(fields[part].annotation)
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _model_in(inner)) is not None:
            return found
    return None


def _unknown(name: str, known: list[str], what: str = "key") -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
    return f"unknown {what} {name!r}; {hint}"
