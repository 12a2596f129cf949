"""A program for test_runkeys_crash.py: it commits or fetches, and is killed on the way, at one step after another.

python runkey_crash.py STAGING_URL BACKEND_URL commit|fetch STRIDE: for every STRIDE-th step (before a statement, after
it, before a COMMIT) it forks a process that kills itself there, and another one, which looks at what is left and does
it again. STRIDE 1 is every step. Prints the steps as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from runkey_trees import detector, said  # noqa: E402
from sqlalchemy import event  # noqa: E402

from db.database import Database  # noqa: E402
from db.errors import NotFound  # noqa: E402
from db.runkeys import Runkeys  # noqa: E402
from db.store import Store  # noqa: E402
from db.verify import verify  # noqa: E402
from db.who import Who  # noqa: E402

ME = Who("crasher", "test")


def prepare(staging: str, backend: str, what: str, name: str) -> None:
    store = Store.open(staging, backend, ME)
    root = detector(4)
    root.serial = name  # so that something is new each time
    runkeys = store.staging if what == "commit" else Runkeys(store.backend.database, ME)
    runkeys.create(name, root, "first")
    with runkeys.edit(name, "second") as edit:
        edit.put("/FELIX1/OB1/FE2", "pixels", name.encode() * 9)
        edit.put("/FELIX1/OB1/FE2", "log", name.encode(), "log", "text")
    runkeys.tag("LABEL", f"label {name}", [f"{name}:/FELIX1"])
    runkeys.set_alias(f"{name}:/FELIX1", "ALIAS", f"alias {name}")
    store.close()


def crash(staging: str, backend: str, what: str, name: str, step: int) -> None:
    """Kills itself at the step; ends well when there are not so many."""
    databases = [Database.open(staging, name="staging"), Database.open(backend, name="backend")]
    store = Store(databases[0], databases[1], ME)
    count = 0

    def killed(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    for database in databases:
        event.listen(database.engine, "before_cursor_execute", killed)
        event.listen(database.engine, "after_cursor_execute", killed)
        event.listen(database.engine, "commit", killed)
    do(store, what, name)
    store.close()


def do(store: Store, what: str, name: str) -> None:
    if what == "commit":
        store.commit(name, "third")
    else:
        store.fetch(name, f"{name} again")


def check(staging: str, backend: str, what: str, name: str, step: int) -> None:
    store = Store.open(staging, backend, ME)
    source, target = (store.staging, store.backend) if what == "commit" else (store.backend, store.staging)
    new = name if what == "commit" else f"{name} again"
    there = target.exists(new)
    recovered = what == "commit" and store.staging.info(name).committed
    if there:
        assert said(target, new) == said(source, name)  # whole
        assert what == "fetch" or recovered
    else:
        assert not recovered
        try:
            target.find_alias("ALIAS", f"alias {name}")
        except NotFound:
            pass
        else:
            raise AssertionError("half of it is there")
    do(store, what, name)
    do(store, what, name)
    info = target.info(new)
    assert said(target, new) == said(source, name)
    assert [r.comment for r in target.log(new)][-2:] == ["second", "first"]
    assert len(target.log(new)) == 3
    assert target.find_alias("ALIAS", f"alias {name}") == source.find_alias("ALIAS", f"alias {name}")
    assert [tag.name for tag in target.tags(f"{new}:/FELIX1")] == [f"label {name}"]
    if what == "commit":
        mine = store.staging.info(name)
        assert (mine.revision, mine.committed, mine.digest) == (info.revision, True, info.digest)
        assert info.committed
    else:
        assert not info.committed
    store.close()


def forked(function: Callable[..., None], *arguments: Any) -> int:
    """The status that a forked process ends with."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            function(*arguments)
            status = 0
        except BaseException:  # told by the exit status, and on standard error
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def finish(staging: str, backend: str) -> None:
    for url in (staging, backend):
        database = Database.open(url)
        assert not verify(database)
        database.close()


def main() -> None:
    staging, backend, what, stride = *sys.argv[1:4], int(sys.argv[4])
    found = []
    step, status = 1, -signal.SIGKILL
    while status == -signal.SIGKILL and step < 5000:
        name = f"{what} {step}"
        for function in (prepare, crash, check):
            arguments = [staging, backend, what, name] + [step] * (function is not prepare)
            result = forked(function, *arguments)
            if function is crash:
                status = result
            elif result:
                sys.exit(f"{function.__name__} at step {step}: {result}")
        found.append(step)
        step += stride
    if status:
        sys.exit(f"crash at step {step}: {status}")
    if forked(finish, staging, backend):
        sys.exit("damaged")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
