"""A text in somebody's own editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import typer

from owlshift.commands.common import fail


def in_editor(before: bytes, name: str, problems_of: Callable[[bytes], list[str]], instead: str = "") -> bytes:
    """What somebody made of the content in their editor; asks again while there are problems with it.

    `name`: what the file is called; JSON on one line is spread over several, and put together again. `instead`: how the
    command is given without an editor. Ends the command with exit code 2 when what was made of it can't be.
    """
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    folder = Path(tempfile.mkdtemp(prefix="owl-"))
    file = folder / name.replace("/", "_").replace(" ", "_")
    file.write_bytes(_readable(before, file))
    shown = file.read_bytes()
    while True:
        try:
            done = subprocess.run([*command, str(file)], check=False)
        except OSError as error:
            how = f", or use {instead}" if instead else ""
            fail(f"cannot start the editor {command[0]} ({error.strerror}); set EDITOR{how}", 2)
        content = file.read_bytes()
        if done.returncode or content == shown:
            _remove(file)
            if done.returncode:
                fail(f"the editor ended with code {done.returncode}; nothing was changed")
            return before
        if problems := problems_of(content):
            asked = sys.stdin.isatty()
            if not asked:
                typer.echo(f"owl: nothing was changed; your text is in {file}", err=True)
            for problem in problems:
                typer.echo(f"owl: {problem}", err=True)
            if not asked:
                raise typer.Exit(2)
            if typer.confirm("Edit it again?", default=True, err=True):
                continue
            fail(f"nothing was changed; your text is in {file}", 2)
        _remove(file)
        return _short(content) if shown != before else content


def _readable(content: bytes, file: Path) -> bytes:
    """JSON on one long line is nothing to edit."""
    import orjson

    if file.suffix != ".json" or b"\n" in content.strip():
        return content
    try:
        return orjson.dumps(orjson.loads(content), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except ValueError:
        return content


def _short(content: bytes) -> bytes:
    """On one line again."""
    import orjson

    return orjson.dumps(orjson.loads(content))


def _remove(file: Path) -> None:
    shutil.rmtree(file.parent, ignore_errors=True)  # with the editor's own backups
