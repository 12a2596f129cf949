"""Faults of the disk at a chosen step: the process is killed, or the disk is full just then."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class KilledError(BaseException):
    """The process is gone."""


OS_STEPS = ["fsync", "fdatasync", "pwritev", "open", "ftruncate", "replace"]
PATH_STEPS = ["replace", "rename", "unlink", "write_bytes", "mkdir"]
SHUTIL_STEPS = ["copyfile", "rmtree"]


@contextmanager
def fault_at(step: int, fault: Callable[[], BaseException], once: bool) -> Iterator[list[int]]:
    """The `step`-th step on the disk, half done if it is a write, raises `fault()`; and all later ones unless `once`.

    Gives a list whose length is the number of steps done. Threads that have nothing to do with the store (another
    test's, of the same process) are spared.
    """
    done: list[int] = []
    dead = False
    caller = threading.current_thread()
    strangers = {t for t in threading.enumerate() if t is not caller and t.name != "mover"}

    def guarded(call: Callable[..., Any], half: bool = False) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal dead
            if threading.current_thread() in strangers:
                return call(*args, **kwargs)
            if dead and not once:
                raise fault()
            if len(done) == step and not dead:
                dead = True
                if half:
                    views = b"".join(bytes(v) for v in args[1])
                    call(args[0], [views[: len(views) // 2]], *args[2:])
                raise fault()
            done.append(1)
            return call(*args, **kwargs)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for module, names in ((os, OS_STEPS), (Path, PATH_STEPS), (shutil, SHUTIL_STEPS)):
            for name in names:
                patch.setattr(module, name, guarded(getattr(module, name), half=name == "pwritev"))
        yield done


def killed_at(step: int) -> Any:
    """Nothing reaches the disk from the `step`-th step on."""
    return fault_at(step, KilledError, once=False)


def full_at(step: int) -> Any:
    """At the `step`-th step the disk is full; afterwards there is room again."""
    return fault_at(step, lambda: OSError(28, "No space left on device"), once=True)
