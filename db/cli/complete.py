"""Completion of names, paths, roles, keys and tags in the shell.

It must answer while somebody waits for the tab key: SQLite is read with the standard library alone, and the site file
is looked at for two values only. Whatever goes wrong, nothing is offered and nothing is said.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from owlshift.commands.moments import EXAMPLES as _TIMES
from owlshift.commands.words import fitting, given

Rows = Callable[..., list[tuple[Any, ...]]]
"""`rows(sql, **values)` of one database."""


def names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Runkeys of both databases."""
    return _names(ctx, ("staging", "backend"), incomplete)


def staged(ctx: typer.Context, incomplete: str) -> list[str]:
    """Runkeys of the staging area."""
    return _names(ctx, ("staging",), incomplete)


def committed(ctx: typer.Context, incomplete: str) -> list[str]:
    """Runkeys of the backend."""
    return _names(ctx, ("backend",), incomplete)


def tags(ctx: typer.Context, incomplete: str) -> list[str]:
    """Tags of both databases."""
    found: dict[str, None] = {}
    for rows in _databases(ctx):
        found.update((name, None) for (name,) in rows("SELECT name FROM tag ORDER BY name"))
    return fitting(list(found), incomplete)


def paths(ctx: typer.Context, incomplete: str) -> list[str]:
    """Objects of the runkey that the line names, one level at a time."""
    above, _, _ = incomplete.rpartition("/")
    name = _word(ctx, "name", "runkey")
    for rows in _databases(ctx):
        if (parent := _object(rows, name, above)) is None:
            continue
        children = rows(
            "SELECT DISTINCT o.name, EXISTS (SELECT 1 FROM connection d WHERE d.parent_id = o.id), c.pos"
            " FROM connection c JOIN object o ON o.id = c.child_id WHERE c.parent_id = :parent ORDER BY c.pos, o.name",
            parent=parent,
        )
        found = [] if incomplete.strip("/") else ["/"]
        for child, more, _ in children:
            found.append(f"{above}/{child}")
            if more:
                found.append(f"{above}/{child}/")
        return fitting(found, incomplete)
    return []


def roles(ctx: typer.Context, incomplete: str) -> list[str]:
    """Payloads of the object that the line names."""
    for rows in _databases(ctx):
        if (found := _object(rows, _word(ctx, "name", "runkey"), _word(ctx, "path"))) is not None:
            sql = "SELECT role FROM object_payload WHERE object_id = :object ORDER BY role"
            return fitting([role for (role,) in rows(sql, object=found)], incomplete)
    return []


def keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """Registers or setpoints of the object that the line names."""
    for rows in _databases(ctx):
        if (found := _object(rows, _word(ctx, "name", "runkey"), _word(ctx, "path"))) is None:
            continue
        contents = rows(
            "SELECT p.role, b.codec, b.size, b.data FROM object_payload p JOIN payload q ON q.id = p.payload_id"
            " JOIN blob b ON b.sha256 = q.sha256"
            " WHERE p.object_id = :object AND p.role IN ('config', 'setpoints') AND b.size < 4000000",
            object=found,
        )
        with suppress(Exception):
            return fitting([key for content in contents for key in _keys(*content)], incomplete)
    return []


def moments(incomplete: str) -> list[str]:
    """How times may be written."""
    return fitting(list[str](_TIMES.split(", ")), incomplete)


def _keys(role: str, codec: int, size: int, data: bytes) -> Iterator[str]:
    import orjson

    if codec == 1:
        import zstandard

        data = zstandard.ZstdDecompressor().decompress(bytes(data), max_output_size=size)
    content = orjson.loads(bytes(data))
    if role == "setpoints":
        yield from (item["pv"] for item in content["items"])
        return
    inner = next(iter(content.values())) if len(content) == 1 else content
    for block in ("GlobalConfig", "Parameter"):
        yield from inner.get(block, {})


def _names(ctx: typer.Context, areas: tuple[str, ...], incomplete: str) -> list[str]:
    found: dict[str, None] = {}
    for rows in _databases(ctx, areas):
        found.update((name, None) for (name,) in rows("SELECT name FROM runkey ORDER BY name"))
    return fitting(list(found), incomplete)


def _word(ctx: typer.Context, *params: str) -> str:
    for param in params:
        if ctx.params.get(param):
            return str(ctx.params[param])
    if "name" not in params:
        return ""
    # an option without its value yet keeps the line from being understood; the runkey is the first word of the command
    with suppress(Exception):
        words = shlex.split(os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", ""))
        return words[3]
    return ""


def _object(rows: Rows, name: str, path: str) -> str | None:
    """The id of the object at a path of a runkey; None when there is none."""
    name = name.removeprefix("staging:").removeprefix("backend:")
    sql = "SELECT r.root_id FROM runkey k JOIN revision r ON r.id = k.revision_id WHERE k.name = :name"
    found = rows(sql, name=name)
    if not found and (parts := name.rpartition("@"))[1] and parts[2].isdigit():
        sql = "SELECT root_id FROM revision WHERE runkey = :name AND number = :number"
        found = rows(sql, name=parts[0], number=int(parts[2]))
    for part in path.split("/"):
        if part and found:
            sql = (
                "SELECT o.id FROM connection c JOIN object o ON o.id = c.child_id"
                " WHERE c.parent_id = :parent AND o.name = :name"
            )
            found = rows(sql, parent=found[0][0], name=part)
    return found[0][0] if found else None


def _databases(ctx: typer.Context, areas: tuple[str, ...] = ("staging", "backend")) -> Iterator[Rows]:
    site, state = given(ctx, "site", "OWLSHIFT_SITE"), given(ctx, "state", "OWLSHIFT_STATE")
    for area in areas:
        with suppress(Exception), _database(area, site, state) as rows:
            yield _quiet(rows)


def _quiet(rows: Rows) -> Rows:
    def ask(sql: str, **values: Any) -> list[tuple[Any, ...]]:
        try:
            return rows(sql, **values)
        except Exception:  # no time, and no place, to say what is wrong
            return []

    return ask


@contextmanager
def _database(area: str, site: str, state: str) -> Iterator[Rows]:
    url = _place(area, site, state)
    if not url.startswith("sqlite"):
        with _server(area, site, state) as rows:
            yield rows
        return
    file = url.partition("://")[2].removeprefix("/")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=0.2)) as connection:
        yield lambda sql, **values: connection.execute(sql, values).fetchall()


@contextmanager
def _server(area: str, site: str, state: str) -> Iterator[Rows]:
    """A database that is no file: by the long way."""
    from sqlalchemy import text

    from db.config import database_urls
    from db.database import Database
    from owlshift.site import demo_site_path, load_site

    urls = database_urls(load_site(site or demo_site_path(), state or None))
    database = Database.open(urls[area], create=False)
    try:
        with database.read() as connection:
            yield lambda sql, **values: [tuple(row) for row in connection.execute(text(sql), values)]
    finally:
        database.close()


def _place(area: str, site: str, state: str) -> str:
    """The URL of a database as the site file says it, without all that is checked when it is really opened."""
    import tomllib

    path = Path(site).expanduser() if site else Path(__file__).parents[2] / "sites" / "demo.toml"
    document = tomllib.loads(path.read_text("utf-8"))
    folder = Path.cwd() / Path(state).expanduser() if state else _state(document["site"], path.absolute().parent)
    url = document.get("db", {}).get(area)
    if url is None:
        return f"sqlite:///{folder / 'db' / f'{area}.sqlite'}"
    if not url.startswith("sqlite"):
        return url
    return f"sqlite:///{folder / Path(url.partition('://')[2].removeprefix('/')).expanduser()}"


def _state(site: dict[str, Any], beside: Path) -> Path:
    if site.get("state"):
        return beside / Path(site["state"]).expanduser()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "owlshift" / site["name"].lower()
