"""How sub-commands print: JSON, tables, facts, numbers for people, progress; and files that appear only when whole."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from owlshift.commands.common import fail

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress


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


def print_rich(drawing: RenderableType) -> None:
    """Print as wide as the terminal is; into a pipe or file, as wide as the drawing is, so that nothing is folded."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=console.measure(drawing, options=console.options.update(width=1000)).maximum)
    console.print(drawing)


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
    """A span of time as people read it: 2 d 3 h, 12 min, 1.5 s, 2.31 ms."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts = []
    left = round(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
        elif parts:
            break
        left %= size
    return " ".join(parts)


def write(pieces: Iterable[bytes], output: Path | None) -> None:
    """To standard output, or to a file that appears only when it is whole."""
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return

    def fill(path: Path) -> None:
        with open(path, "wb") as file:
            for piece in pieces:
                file.write(piece)

    whole_file(output, fill)


def whole_or_stdout(fill: Callable[[Path], object], output: Path | None) -> None:
    """What `fill` writes into a file: to a file that appears only when it is whole, or to standard output."""
    if output is not None:
        whole_file(output, fill)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer"
        fill(path)
        with open(path, "rb") as file:
            write(iter(lambda: file.read(1 << 20), b""), None)


def whole_file(output: Path, fill: Callable[[Path], object]) -> None:
    """A file that `fill` writes under another name beside it, and that gets its own when that is done."""
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False) as file:
            part = Path(file.name)
        fill(part)
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


def write_file(output: Path, content: bytes) -> None:
    """A file that appears only when it is whole."""
    whole_file(output, lambda path: path.write_bytes(content))


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
