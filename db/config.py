"""The `[db]` section of a site file: where runkeys and alarms are kept, and how to open that."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from db.errors import BadInput
from db.who import Who

if TYPE_CHECKING:
    from db.alarms.log import AlarmLog
    from db.database import Database
    from db.store import Store
    from owlshift.site import Site

AREAS = ("staging", "backend")
PASSWORD = "OWLSHIFT_DB_PASSWORD"
"""Of all databases; `OWLSHIFT_DB_STAGING_PASSWORD`, `…_BACKEND_PASSWORD` and `…_ALARMS_PASSWORD` have precedence."""
_SCHEMES = ("sqlite", "postgresql", "mariadb", "mysql")
_SECRETS = re.compile(r"(?i)(^|[&;])(pass\w*|pwd|sslpassword)=")


def _checked_url(url: str) -> str:
    """`url` if it is one of a database, without a password; ValueError otherwise, which never repeats one."""
    scheme, separator, rest = url.partition("://")
    kind = scheme.partition("+")[0]
    if not separator or kind not in _SCHEMES:
        known = "sqlite:///FILE, postgresql://USER@HOST/DATABASE or mariadb://USER@HOST/DATABASE"
        raise ValueError(f"should be {known}")
    if kind == "sqlite":
        if not rest.startswith("/") or rest == "/":
            raise ValueError("should name a file: sqlite:///FILE (below the state folder), sqlite:////ABSOLUTE/FILE")
        return url
    try:
        parts = urlsplit(url)
        password, host, _ = parts.password, parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL: should be like postgresql://USER@HOST:PORT/DATABASE") from None
    if password is not None or _SECRETS.search(parts.query):
        raise ValueError(f"must hold no password; put it into a `password_file` or into ${PASSWORD}")
    if not (host or parts.query) or not parts.path.strip("/"):
        raise ValueError(f"should name host and database: {scheme}://USER@HOST:PORT/DATABASE")
    return url


Url = Annotated[str, Field(min_length=1), AfterValidator(_checked_url)]


class DbConfig(BaseModel):
    """Where runkeys are kept: a staging area for editing, and a backend for what is committed; and where alarms are.

    Without URLs they are SQLite files below the site's state folder: `db/staging.sqlite`, `db/backend.sqlite`,
    `db/alarms.sqlite`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    staging: Url | None = None
    """`sqlite:///FILE` (a relative one is below the state folder), `postgresql://USER@HOST/DB`, `mariadb://USER@HOST/DB`."""
    backend: Url | None = None
    alarms: Url | None = None
    """The log of alarms, and what the alarm server remembers. On a server it may be the same database as another."""
    password_file: str | None = Field(default=None, min_length=1)
    """A file whose first line is the password of all databases; a relative one is beside the site file.

    A password is never in the site file, which is shown to whoever asks. It may also come from the environment
    (`OWLSHIFT_DB_PASSWORD`), which has precedence.
    """

    def places(self, state: Path) -> dict[str, str]:
        """The URL of each database, complete but for the password, of a site whose state is in `state`."""
        return {name: _place(getattr(self, name), state, name) for name in AREAS}

    def urls(self, state: Path, folder: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
        """As `places`, with the passwords: not to be shown or logged. `folder` is the site file's.

        BadInput when the password file can't be read.
        """
        known = os.environ if environment is None else environment
        return {name: self._complete(name, place, folder, known) for name, place in self.places(state).items()}

    def alarms_place(self, state: Path) -> str:
        """As `places`, of the database of alarms."""
        return _place(self.alarms, state, "alarms")

    def alarms_url(self, state: Path, folder: Path, environment: Mapping[str, str] | None = None) -> str:
        """As `urls`, of the database of alarms."""
        known = os.environ if environment is None else environment
        return self._complete("alarms", self.alarms_place(state), folder, known)

    def _complete(self, name: str, place: str, folder: Path, environment: Mapping[str, str]) -> str:
        """A place with its password."""
        if place.startswith("sqlite"):
            return place
        password = environment.get(f"OWLSHIFT_DB_{name.upper()}_PASSWORD") or environment.get(PASSWORD)
        if password is None and self.password_file is not None:
            password = _read_password(folder / Path(self.password_file).expanduser())
        return place if password is None else _with_password(place, password)


def _place(url: str | None, state: Path, name: str) -> str:
    if url is None:
        return f"sqlite:///{state.absolute() / 'db' / f'{name}.sqlite'}"
    scheme, _, rest = url.partition("://")
    if not scheme.startswith("sqlite"):
        return url
    file = Path(rest.removeprefix("/")).expanduser()
    return f"{scheme}:///{state.absolute() / file}"


def _read_password(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInput(f"db.password_file: {path}: can't be read: {reason}") from None
    password = text.partition("\n")[0].removesuffix("\r")
    if not password:
        raise BadInput(f"db.password_file: {path}: its first line is empty; it should be the password")
    return password


def _with_password(url: str, password: str) -> str:
    scheme, _, rest = url.partition("://")
    where, slash, path = rest.partition("/")
    user, at, host = where.rpartition("@")
    return f"{scheme}://{user if at else ''}:{quote(password, safe='')}@{host}{slash}{path}"


def shown(place: str) -> str:
    """A database's place for people: its file, or its URL (which has no password)."""
    scheme, _, rest = place.partition("://")
    return rest.removeprefix("/") if scheme.startswith("sqlite") else place


def db_config(site: Site) -> DbConfig:
    """The `[db]` section of a site; the defaults when it has none."""
    config = site.services.get("db")
    return config if isinstance(config, DbConfig) else DbConfig()


def database_urls(site: Site) -> dict[str, str]:
    """The URLs of a site's databases, "staging" and "backend", with passwords. BadInput."""
    return db_config(site).urls(site.state, site.path.parent)


def open_store(site: Site, who: Who | None = None) -> Store:
    """Both databases of a site, for `who` (default: this process's user). SQLite files are made when needed.

    BadInput, Unavailable, NotMigrated. It blocks: never to be called on an event loop.
    """
    from db.store import Store

    urls = database_urls(site)
    return Store.open(urls["staging"], urls["backend"], who or Who.me())


def alarms_url(site: Site) -> str:
    """The URL of a site's database of alarms, with its password. BadInput."""
    return db_config(site).alarms_url(site.state, site.path.parent)


def open_alarms(site: Site, *, create: bool = False) -> Database:
    """The database of a site's alarms; `create`: its tables are made or upgraded when needed, as the server does.

    BadInput, Unavailable, NotFound, NotMigrated. It blocks: never to be called on an event loop.
    """
    from db.alarms import ALARMS
    from db.database import Database

    return Database.open(alarms_url(site), create=create, name="alarms", schema=ALARMS)


def open_log(site: Site) -> AlarmLog:
    """The log of a site's alarms, to be read; as `open_alarms`."""
    from db.alarms.log import AlarmLog

    return AlarmLog(open_alarms(site))
