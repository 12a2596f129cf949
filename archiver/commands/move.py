"""`owl archive export, import`: samples into files, and from other archives into this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archiver.commands.common import (
    FolderOption,
    FromOption,
    PvsArgument,
    SiteOption,
    StoreOption,
    ToOption,
    UrlOption,
    expand,
    moment,
    opened,
    store_folder,
    window,
)
from archiver.exchange.paths import Partition
from owlshift.commands.common import JsonOption, StateOption, fail
from owlshift.commands.output import print_json, progress, size_text, whole_file

if TYPE_CHECKING:
    from archiver.client.access import Reading, Way
    from archiver.exchange.sources import Source
    from archiver.exchange.taking import Taken


class FileFormat(StrEnum):
    """What a file is to be."""

    PARQUET = "parquet"
    CSV = "csv"
    HDF5 = "hdf5"
    MAT = "mat"
    PB = "pb"


ENDINGS = {".parquet": "parquet", ".csv": "csv", ".h5": "hdf5", ".hdf5": "hdf5", ".mat": "mat"}
EXTENSIONS = {"parquet": ".parquet", "csv": ".csv", "hdf5": ".h5", "mat": ".mat"}


def export(
    pvs: PvsArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file; or a folder (ending with /), for a file each.")
    ],
    start: FromOption = "-1h",
    end: ToOption = "now",
    operator: Annotated[
        str | None, typer.Option("--operator", help="What to make of the samples, for example mean_60.")
    ] = None,
    form: Annotated[
        FileFormat | None,
        typer.Option("--format", help="Otherwise by the file's ending: .parquet .csv .h5 .mat."),
    ] = None,
    partition: Annotated[
        Partition, typer.Option("--partition", help="With --format pb: how much time a file holds.")
    ] = Partition.YEAR,
    url: UrlOption = None,
    site: SiteOption = None,
    folder: FolderOption = None,
) -> None:
    """Write samples of PVs (names or globs) into files: Parquet, CSV, HDF5, MATLAB's or .pb.

    A file appears only when it is whole. How each format is laid out: docs/how-to/archive-analyse.md.

    With --format pb, into a folder (-o) of an Archiver Appliance's own files: docs/how-to/archive-move-in.md.
    """
    from archiver.exchange.sinks import Names

    start_ns, end_ns = window(start, end)
    target = Path(output)
    folder_wanted = target.is_dir() or output.endswith("/")
    if form is FileFormat.PB:
        with opened(pvs[0] if len(pvs) == 1 else "", url, site, folder) as archive, progress("exporting") as bar:
            _export_pb(archive, expand(archive, pvs), target, partition, (start_ns, end_ns), operator, bar)
        return
    kind = form.value if form is not None else ENDINGS.get(target.suffix.lower())
    if kind is None:
        if not folder_wanted:
            wanted = ", ".join(ENDINGS)
            raise typer.BadParameter(f"{output} has none of the endings {wanted}; say --format", param_hint="-o")
        kind = "parquet"
    with opened(pvs[0] if len(pvs) == 1 else "", url, site, folder) as archive, progress("exporting") as bar:
        names = expand(archive, pvs)
        job = _Export(archive, kind, start_ns, end_ns, operator)

        def step(done: int, samples: int) -> None:
            bar(done, len(names), f"{samples:,} samples")

        if folder_wanted:
            target.mkdir(parents=True, exist_ok=True)
            files = Names("A-Za-z0-9_.+-")
            samples = 0
            for number, name in enumerate(names):
                path = target / f"{files.of(name)}{EXTENSIONS[kind]}"
                had = samples
                samples += job.write(path, [name], lambda _, n, at=number, had=had: step(at, had + n))
            what = f"{len(names)} files in {target}"
        else:
            samples = job.write(target, names, step)
            what = f"{target} ({size_text(target.stat().st_size)})"
    typer.echo(_summary(samples, names, what), err=True)


def _export_pb(
    archive: Way,
    names: list[str],
    root: Path,
    partition: Partition,
    times: tuple[int, int],
    operator: str | None,
    bar: Callable[[float, float, str], None],
) -> None:
    from archiver.exchange.pbfiles import PbFolder

    files = PbFolder(root, partition, *times)
    samples = 0
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):

            def count(rows: int, at: int = number) -> None:
                nonlocal samples
                samples += rows
                bar(at, len(names), f"{samples:,} samples")

            reading = archive.noted(_target(name, operator), *times)
            _say_notes(name, reading.notes)
            files.add(reading, count)
    except OSError as error:
        fail(f"cannot write into {root}: {(error.strerror or str(error)).lower()}")
    for remark in files.remarks:
        typer.echo(f"owl: {remark}", err=True)
    typer.echo(_summary(samples, names, f"{files.files:,} file{'s' * (files.files != 1)} in {root}"), err=True)


def _target(name: str, operator: str | None) -> str:
    return f"{operator}({name})" if operator else name


def _say_notes(name: str, notes: tuple[str, ...]) -> None:
    for note in notes:
        typer.echo(f"owl: {name}: {note}", err=True)


def _summary(samples: int, names: list[str], what: str) -> str:
    return f"{samples:,} samples of {len(names):,} PV{'s' * (len(names) != 1)}: {what}"


class _Export:
    """Writes files of one format."""

    def __init__(self, archive: Way, kind: str, start_ns: int, end_ns: int, operator: str | None) -> None:
        from archiver.exchange.sinks import Window

        self._archive, self._kind, self._operator = archive, kind, operator
        self._window = Window(start_ns, end_ns, operator, archive.place)

    def write(self, path: Path, names: list[str], step: Callable[[int, int], None]) -> int:
        from archiver.exchange.sinks import export as run
        from archiver.exchange.sinks import sink_for

        samples = 0

        def fill(part: Path) -> None:
            nonlocal samples
            _, samples = run(self._readings(names), sink_for(self._kind, part, self._window, len(names) > 1), step)

        whole_file(path, fill)
        return samples

    def _readings(self, names: list[str]) -> Iterator[Reading]:
        for name in names:
            reading = self._archive.read(_target(name, self._operator), self._window.start_ns, self._window.end_ns)
            _say_notes(name, reading.notes)
            yield reading


def import_(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT...", help="Files (.pb, .raw), folders of them, URLs of .raw; with --from: names or globs."
        ),
    ],
    server: Annotated[
        str | None, typer.Option("--from", help="Another archiver, for example http://archappl.lab:17668.")
    ] = None,
    start: Annotated[str, typer.Option("--start", help="With --from: the oldest sample wanted.")] = "1991-01-01",
    end: Annotated[str, typer.Option("--end", help="With --from: the newest.")] = "now",
    trust_header: Annotated[
        bool, typer.Option("--trust-header", help="Take files whose header says another year than their name.")
    ] = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
    folder: StoreOption = None,
) -> None:
    """Bring the past of another archive into this one: an appliance's .pb files, or what a server gives as .raw.

    An engine may run meanwhile. What is stored already is not stored twice, so after a failure just run it again.
    Exit code 1 when something had to be left out.

    owl archive import /arch/lts                                  (a folder of an Archiver Appliance)

    owl archive import --from http://archappl.lab:17668 'VAC:*'   (over the network)
    """
    from archiver.client.access import ArchiveError
    from archiver.exchange.taking import Taker, take_all
    from archiver.store import StoreError

    where, config = store_folder(folder, site, state, must_exist=False)
    try:
        with progress("importing") as bar:
            sources = _sources(what, server, start, end)
            ends = list(accumulate(source.size or 1 for source in sources))

            def step(source: Source, taken: Taken) -> None:
                at = ends[taken.sources - 1] - (source.size or 1) + source.read if source.size else taken.sources
                bar(at, ends[-1], f"{taken.read:,} samples of {len(taken.pvs):,} PVs")

            taken = take_all(Taker(where, config, trust_header), sources, step)
    except (ArchiveError, StoreError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot import into {where}: {(error.strerror or str(error)).lower()}")
    if as_json:
        print_json(_report(taken))
    else:
        _say(taken)
    if taken.skipped or taken.bad_lines:
        raise typer.Exit(1)


def _sources(what: list[str], server: str | None, start: str, end: str) -> list[Source]:
    from archiver.client.moments import iso_text
    from archiver.exchange.sources import FileSource, UrlSource, files_in, remote

    if server is not None:
        first, last = iso_text(moment(start, "--start")), iso_text(moment(end, "--end"))
        found = list(remote(server, what, first, last))
        if not found:
            fail(f"no PV at {server} fits {' '.join(what)}")
        return found
    sources: list[Source] = []
    for place in what:
        if place.startswith(("http://", "https://")):
            sources.append(UrlSource(place, url=place))
        elif not Path(place).exists():
            fail(f"there is no {place}")
        else:
            sources += [FileSource.of(path) for path in files_in([Path(place)])]
    if not sources:
        fail(f"there is no .pb or .raw file in {' '.join(what)}")
    return sources


def _report(taken: Taken) -> dict[str, object]:
    return {
        "sources": taken.sources,
        "pvs": len(taken.pvs),
        "read": taken.read,
        "new": taken.new,
        "duplicates": taken.duplicates,
        "bad_times": taken.bad_times,
        "structures": taken.structures,
        "bad_lines": taken.bad_lines,
        "types": dict(taken.kinds),
        "waiting": taken.waiting,
        "skipped": [{"what": name, "why": why} for name, why in taken.skipped],
    }


def _say(taken: Taken) -> None:
    typer.echo(f"read      {taken.read:,} samples of {len(taken.pvs):,} PVs in {taken.sources:,} sources")
    if taken.waiting:
        typer.echo(f"waiting   {taken.new:,} samples: the engine has not taken them in yet, but will")
    else:
        typer.echo(f"stored    {taken.new:,} samples that were not there before")
    for count, text in (
        (taken.duplicates, "were there already"),
        (taken.bad_times, "have times before 1991 or in the future, and are left out"),
        (taken.bad_lines, "lines are no samples, and are left out"),
    ):
        if count:
            typer.echo(f"          {count:,} {text}")
    for name, why in taken.skipped:
        typer.echo(f"skipped   {name}: {why}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(export)
    app.command("import")(import_)
