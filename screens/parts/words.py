"""What `owl … --json` prints, read with an error in one line, and times for people. Imports no Qt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

Value = TypeVar("Value")


def read(reader: Callable[[Any], Value], document: Any) -> Value:
    """`reader(document)`; ValueError with one line when the document is of another form."""
    try:
        return reader(document)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"what owl printed is of another form ({type(error).__name__}: {error})") from error


def when(text: str) -> str:
    """A time in UTC as the clock on the wall shows it, to the second; what is no time stays as it is."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (time.astimezone() if time.tzinfo else time).strftime("%Y-%m-%d %H:%M:%S")
