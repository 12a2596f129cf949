"""What the sub-commands of `owl runkey` share: which databases, how they fail, tables, JSON, progress."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from db.cli import complete

if TYPE_CHECKING:
    from rich.progress import Progress

    from db.store import Store

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        show_default=False,
        help="A runkey; NAME@3 is its third revision; backend:NAME that of the backend.",
        autocompletion=complete.names,
    ),
]
EditedArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", show_default=False, help="A runkey of the staging area.", autocompletion=complete.staged
    ),
]
PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH", show_default=False, help="For example /FELIX1/OB1/FE3.", autocompletion=complete.paths
    ),
]
RoleArgument = Annotated[
    str,
    typer.Argument(
        metavar="ROLE", show_default=False, help="For example config or pixels.", autocompletion=complete.roles
    ),
]
CommentOption = Annotated[str, typer.Option("--comment", "-m", help="Why; kept for ever.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")]
BackendOption = Annotated[bool, typer.Option("--backend", help="Of the backend, not of the staging area.")]
SiteOption = Annotated[
    Path | None,
    typer.Option("--site", envvar="OWLSHIFT_SITE", help="The site file; without it, the demo's.", show_default=False),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", envvar="OWLSHIFT_STATE", help="The folder for the site's state, instead of the file's."),
]


def fail(message: str, code: int = 1) -> NoReturn:
    """Say one thing on standard error and end. `code` 1: it failed; 2: it was asked for wrongly."""
    typer.echo(f"owl: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def explained() -> Iterator[None]:
    """What goes wrong is a line each on standard error, and the exit code."""
    from db.errors import BadInput, DbError

    try:
        yield
    except BadInput as error:
        for problem in error.problems:
            typer.echo(f"owl: {problem}", err=True)
        raise typer.Exit(2) from None
    except DbError as error:
        fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{(error.strerror or str(error)).lower()}")


@contextmanager
def opened(site: Path | None, state: Path | None) -> Iterator[Store]:
    """The databases of a site (of the demo without one), closed at the end."""
    with explained():
        from db.config import open_store
        from db.who import Who
        from owlshift.commands.common import open_site

        store = open_store(open_site(site, state), Who.me())
        try:
            yield store
        finally:
            store.close()


def print_json(content: Any) -> None:
    """One JSON document on standard output; NaN and infinities are null, bytes hexadecimal."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    text = orjson.dumps(content, default=_plain, option=options)
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.buffer.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table_lines(head: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> Iterator[str]:
    """Lines of a table with columns as wide as their longest text; the columns `right` stand right."""
    widths = [max(len(head[i]), *(len(row[i]) for row in rows)) if rows else len(head[i]) for i in range(len(head))]
    flush = set(right)
    for row in (head, *rows):
        cells = [f"{t:>{w}}" if i in flush else f"{t:{w}}" for i, (t, w) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> None:
    """Print `table_lines`."""
    for line in table_lines(head, rows, right):
        typer.echo(line)


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Keys and values, one a line; further lines of a value stand below its first."""
    width = max((len(key) for key, _ in facts), default=0)
    for key, value in facts:
        first, *others = value.splitlines() or [""]
        typer.echo(f"{key:{width}}  {first}".rstrip())
        for line in others:
            typer.echo(f"{'':{width}}  {line}".rstrip())


def count_text(count: int, noun: str) -> str:
    """`1 object`, `34,178 objects`."""
    if count == 1:
        return f"1 {noun}"
    plural = noun if noun.endswith("x") else noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {plural}"


def size_text(count: float) -> str:
    """Bytes as people read them: 12.3 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def span_text(seconds: float) -> str:
    """A span of time as people read it: 2.31 ms, 1.5 s, 2 min 3 s."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def confirm(question: str, yes: bool) -> None:
    """Ask, unless --yes; ends the command when the answer is no, or when there is nobody to answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Nobody is here to answer; say --yes", 2)
    if not typer.confirm(question, err=True):
        fail("nothing was done")


def write_file(output: Path, content: bytes) -> None:
    """A file that appears only when it is whole."""
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False) as file:
            part = Path(file.name)
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(output)
    except BaseException as error:
        if part is not None:
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            fail(f"cannot write {output}: {(error.strerror or str(error)).lower()}")
        raise


@contextmanager
def progress(what: str) -> Iterator[Callable[..., None]]:
    """A bar on a terminal's standard error: `step(done, total, text="")`; nothing where it is no terminal."""
    if not sys.stderr.isatty():
        yield lambda *args, **kwargs: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    bar: Progress
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def step(done: float, total: float = 0, text: str = "") -> None:
            bar.update(task, completed=done, total=total or None, description=text or what)

        yield step
