"""What the runkey database can do, measured: `owl runkey bench`.

Each figure is wanted for SQLite on a laptop; a server on the same host may take `SERVER` times as long. Everything is
measured through the interfaces that the commands use, on data that were written just before.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from db.bench_detector import CHIP, Detector
from db.errors import BadInput
from db.nodes import NewChild, NewObject
from db.who import Who

if TYPE_CHECKING:
    from db.store import Store

NAME = "bench"
SERVER = 3.0
"""So many times SQLite's time is good enough for a server."""
CHANGED = 1000
FILES = 20
COMPRESSED = 82_000
"""Bytes on the disk that a front-end takes."""
QUICK = 2000
"""Different pixel maps with `quick`."""

Progress = Callable[..., None]
"""`progress(done, total, text)`."""


@dataclass(frozen=True)
class Line:
    """One figure."""

    key: str
    what: str
    measured: float
    unit: Literal["s", "MB/s", "files/s"]
    wanted: float | None = None
    """None: told, but nothing was promised."""
    note: str = ""

    @property
    def more_is_better(self) -> bool:
        """Rates are, times are not."""
        return self.unit != "s"

    @property
    def reached(self) -> bool | None:
        """Whether it is as it is wanted."""
        if self.wanted is None:
            return None
        return self.measured > self.wanted if self.more_is_better else self.measured < self.wanted


@dataclass
class Result:
    """The figures of one kind of database."""

    dialect: str
    url: str
    lines: list[Line] = field(default_factory=list[Line])


@dataclass
class Report:
    """All that was measured."""

    front_ends: int
    distinct: int
    changed: int
    results: list[Result]
    machine: str = field(
        default_factory=lambda: f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )

    def plain(self) -> dict[str, Any]:
        """For `--json`."""
        results = [
            {
                "dialect": result.dialect,
                "url": result.url,
                "lines": [
                    {**asdict(line), "reached": line.reached, "ratio": self.ratio(result, line)}
                    for line in result.lines
                ],
            }
            for result in self.results
        ]
        return {
            "front_ends": self.front_ends,
            "distinct_maps": self.distinct,
            "changed": self.changed,
            "machine": self.machine,
            "server_ratio_wanted": SERVER,
            "results": results,
        }

    def ratio(self, result: Result, line: Line) -> float | None:
        """How much longer it takes than with SQLite; None when that was not measured, or is this."""
        first = self.results[0]
        if result is first or first.dialect != "sqlite":
            return None
        base = next((other.measured for other in first.lines if other.key == line.key), 0.0)
        if not base or not line.measured:
            return None
        return base / line.measured if line.more_is_better else line.measured / base


def run(
    front_ends: int,
    servers: Sequence[tuple[str, str]],
    *,
    sqlite: bool = True,
    quick: bool = False,
    folder: Path | None = None,
    progress: Progress,
) -> Report:
    """Measure SQLite, and servers by the URLs of two empty databases each (staging, backend).

    BadInput when there is no room for the data, or a database is not empty. All data are gone afterwards.
    """
    distinct = min(front_ends, QUICK) if quick else front_ends
    progress(0, 0, "making pixel maps")
    detector = Detector(front_ends, distinct)
    changed = min(CHANGED, max(1, front_ends // 2))
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="owl-bench-", dir=folder) as place:
        if sqlite:
            _check_room(Path(place), distinct, changed)
            urls = (f"sqlite:///{place}/staging.sqlite", f"sqlite:///{place}/backend.sqlite")
            with _opened(urls) as store:
                results.append(Result("sqlite", place, list(_lines(store, detector, changed, progress))))
    for urls in servers:
        with _opened(urls, clean=True) as store:
            database = store.staging.database
            lines = list(_lines(store, detector, changed, progress))
            results.append(Result(database.dialect, database.url, lines))
    progress(0, 0, "reading chip files")
    line = _chip_files()
    for result in results[:1]:
        result.lines.append(line)
    return Report(front_ends, distinct, changed, results)


def _check_room(place: Path, distinct: int, changed: int) -> None:
    needed = int((distinct + 8 * changed) * COMPRESSED * 2 * 1.3) + (200 << 20)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise BadInput(
            f"{place.parent} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed; "
            "name another --folder, or use --quick"
        )


@contextmanager
def _opened(urls: tuple[str, str], clean: bool = False) -> Iterator[Store]:
    from db.store import Store

    if clean:
        for url in urls:
            _refuse_full(url)
    store = Store.open(*urls, who=Who("bench", platform.node()))
    try:
        yield store
    finally:
        store.close()
        if clean:
            for url in urls:
                _clean(url)


def _refuse_full(url: str) -> None:
    from sqlalchemy import inspect

    from db.engines import make_engine

    engine, _ = make_engine(url, create=False, name="")
    try:
        if tables := inspect(engine).get_table_names():
            shown = engine.url.render_as_string()
            raise BadInput(f"{shown}: is not empty, it has {len(tables)} tables; a measurement needs an empty database")
    finally:
        engine.dispose()


def _clean(url: str) -> None:
    """Drop the tables, and what keeps their rows as they are."""
    from sqlalchemy import text

    from db.engines import make_engine
    from db.models import Base

    engine, dialect = make_engine(url, create=False, name="")
    try:
        Base.metadata.drop_all(engine)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
            if dialect == "postgresql":
                names = connection.execute(
                    text(r"SELECT proname FROM pg_proc WHERE proname LIKE 'owlshift\_%'")
                ).scalars()
                for name in names.all():
                    connection.execute(text(f'DROP FUNCTION IF EXISTS "{name}"'))
    finally:
        engine.dispose()


def _lines(store: Store, detector: Detector, changed: int, progress: Progress) -> Iterator[Line]:
    """Every figure of one kind of database, in an order in which each has the data it needs."""
    staging = store.staging
    kind = staging.database.dialect
    count = f"{detector.front_ends:,}"

    def say(text: str) -> Callable[[int, int], None]:
        progress(0, 0, f"{kind}: {text}")
        return lambda done, total: progress(done, total, f"{kind}: {text}")

    making = say(f"storing {count} front-ends")
    began = time.perf_counter()
    detector.make(staging, NAME, making)
    yield Line("make", f"store {count} front-ends, made up", time.perf_counter() - began, "s")

    say("clone")
    times = [_timed(lambda n=n: staging.clone(NAME, f"clone {n}")) for n in range(20)]
    yield Line("clone", f"clone of the runkey of {count} front-ends", _middle(times), "s", 0.010, "median of 20")

    say("tree")
    times = [_timed(lambda: staging.tree(NAME)) for _ in range(5)]
    yield Line("tree", "tree without payloads, one query", _middle(times), "s", 0.100, "median of 5")

    committing = say("first commit")
    began = time.perf_counter()
    store.commit(NAME, progress=committing)
    yield Line("first_commit", "first commit of all of it", time.perf_counter() - began, "s")

    paths = [node.path for node in staging.tree(NAME).find("frontend")][:: max(1, detector.front_ends // changed)][
        :changed
    ]
    edits, commits = [], []
    for turn in range(3):
        name = f"tuned {turn + 1}"
        staging.clone(NAME, name)
        # maps that no front-end has yet
        fresh = [detector.pixel_map(detector.front_ends + turn * changed + n) for n in range(changed)]
        say(f"edit {turn + 1} of 3")
        edits.append(_timed(lambda name=name, fresh=fresh: _edit(store, name, paths, fresh)))
        say(f"commit {turn + 1} of 3")
        commits.append(_timed(lambda name=name: store.commit(name)))
    many = f"{changed:,} changed front-ends"
    yield Line("edit", f"edit that stores {many}", _middle(edits), "s", 2.0, "median of 3")
    yield Line("commit", f"commit of {many} to the backend", _middle(commits), "s", 2.0, "median of 3")

    say("diff")
    times = [_timed(lambda: _diff(store, NAME, "tuned 1", changed)) for _ in range(5)]
    yield Line("diff", f"diff of two such runkeys with {changed:,} changes", _middle(times), "s", 0.5, "median of 5")

    say("load")
    some = min(CHANGED, detector.front_ends)
    _make_part(store, "part", some)
    times = [_timed(lambda: _load(store, "part", None)) for _ in range(5)]
    yield Line("load", f"load of {some:,} front-ends with all payloads", _middle(times), "s", 0.5, "median of 5")

    say(f"load of all {count}")
    began = time.perf_counter()
    size, maps = _load(store, NAME, ["pixels"])
    rate = size / 1e6 / (time.perf_counter() - began)
    note = f"{size / 1e9:.2f} GB" + ("" if detector.distinct == detector.front_ends else f", {maps:,} different maps")
    yield Line("load_all", f"load of all {count} pixel maps, decoded", rate, "MB/s", 500.0, note)


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _middle(times: Sequence[float]) -> float:
    return statistics.median(times)


def _edit(store: Store, name: str, paths: Sequence[str], contents: Sequence[bytes]) -> None:
    with store.staging.edit(name, "tuned") as edit:
        for path, content in zip(paths, contents, strict=True):
            edit.put(path, "pixels", content)


def _diff(store: Store, a: str, b: str, changed: int) -> None:
    from db.diff import diff_trees

    runkeys = store.staging
    with runkeys.database.read() as one, runkeys.database.read() as other:
        found = diff_trees((one, runkeys.root(a)), (other, runkeys.root(b)))
    if len(found.changed) != changed:
        raise BadInput(f"the diff has {len(found.changed)} changes, {changed} were made")


def _make_part(store: Store, name: str, count: int) -> None:
    """A runkey of that many of the front-ends."""
    ids = [node.id for node in store.staging.tree(NAME).find("frontend")][:count]
    boards = []
    for number, start in enumerate(range(0, count, 25)):  # fewer than an optoboard has, so that names do not meet
        chips = [NewChild(id_, "daq", place) for place, id_ in enumerate(ids[start : start + 25])]
        boards.append(NewObject("optoboard", f"OB{number + 1}", children=chips))
    felix = NewObject("felix", "FELIX1", children=[NewChild(board, "daq", n) for n, board in enumerate(boards)])
    store.staging.create(name, NewObject("runkey", "", children=[NewChild(felix)]))


def _load(store: Store, name: str, roles: Sequence[str] | None) -> tuple[int, int]:
    """Bytes of all contents, decoded and checked against their hashes; how many different ones."""
    from db.trees import load, read_tree

    runkeys = store.staging
    size, seen = 0, set()
    with runkeys.database.read() as connection:
        for _, info, content in load(connection, read_tree(connection, runkeys.root(name)), roles):
            size += len(content)
            seen.add(info.sha256)
    return size, len(seen)


def _chip_files() -> Line:
    """Files as YARR writes them, 1.9 MB each, to payloads."""
    from db.chips.chipfile import chip_payloads, render_chip
    from db.chips.make import make_chip

    files = [render_chip(make_chip(CHIP, f"chip {n}", n)) for n in range(FILES)]
    seconds = _timed(lambda: [chip_payloads(file, "bench") for file in files])
    size = sum(map(len, files)) / FILES
    note = f"{FILES} files of {size / 1e6:.1f} MB"
    return Line("chip_files", "JSON chip file to binary payload", FILES / seconds, "files/s", 20.0, note)
