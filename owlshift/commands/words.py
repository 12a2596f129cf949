"""Words that a shell is offered for completion."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any

import typer

MOST = 500
"""Words that are offered at most."""


def given(ctx: typer.Context, option: str, variable: str) -> str:
    """What the line says of an option, else the environment."""
    return str(ctx.params.get(option) or os.environ.get(variable) or "")


def fitting(words: list[str], incomplete: str) -> list[str]:
    """Those that go on as was begun, written as the shell needs them."""
    return [_quoted(word) for word in words if word.startswith(incomplete)][:MOST]


class _Offered(str):
    """A word as the shell needs it. typer offers only what goes on as was typed, which it knows without backslashes."""

    def startswith(self, *_: Any) -> bool:
        """`fitting` has looked at that."""
        return True


def _quoted(word: str) -> str:
    """For bash: what is special to it behind a backslash, unless the word was begun with a quote."""
    if os.environ.get("_OWL_COMPLETE") != "complete_bash":
        return word
    with suppress(ValueError, IndexError, KeyError):
        begun = os.environ["COMP_WORDS"].split("\n")[int(os.environ["COMP_CWORD"])]
        if begun[:1] in ("'", '"'):
            return word
    return _Offered(re.sub(r"([^\w@%+=:,./-])", r"\\\1", word))
