"""Times of the runkey database with a synthetic detector of 33,000 front-ends: runkey_tree.py [sqlite|…].

The least of several runs; CPU is that of this program with its threads, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from db_servers import fresh_url  # noqa: E402

from db.diff import diff_trees  # noqa: E402
from db.nodes import NewChild, NewObject, NewPayload  # noqa: E402
from db.runkeys import Runkeys  # noqa: E402
from db.store import Store  # noqa: E402
from db.trees import load  # noqa: E402

T = TypeVar("T")
MAP = 90_000
"""Bytes of a pixel map that do not compress."""


def detector(frontends: int, felix: int = 47, optoboards: int = 1130) -> NewObject:
    maps = [os.urandom(MAP) for _ in range(8)]
    configs = [b'{"RD53B":{"Parameter":{"ChipId":%d}}}' % i for i in range(32)]
    felixes = [NewObject("felix", f"FELIX{i}") for i in range(felix)]
    boards = [NewObject("optoboard", f"OB{i}") for i in range(optoboards)]
    for i, board in enumerate(boards):
        felixes[i % felix].children.append(NewChild(board))
    for i in range(frontends):
        payloads = [
            NewPayload("config", configs[i % 32]),
            NewPayload("pixels", maps[i % 8], "pixels", "pixels", meta={"chip": "RD53B", "cols": 400, "rows": 384}),
        ]
        fe = NewObject("frontend", f"FE{i}", serial=f"20UPGFC{i:07}", payloads=payloads)
        boards[i % optoboards].children.append(NewChild(fe, meta={"rx": i % 24, "tx": i % 4, "enable": 1, "locked": 0}))
    return NewObject("runkey", "", children=[NewChild(felix) for felix in felixes])


def timed(what: str, wanted: float, function: Callable[[], T], times: int = 1) -> T:
    best, least = float("inf"), float("inf")
    result = None
    for _ in range(times):
        start, used = time.perf_counter(), time.process_time()
        result = function()
        best, least = min(best, time.perf_counter() - start), min(least, time.process_time() - used)
    print(f"{what:45} {best * 1e3:10.1f} ms, CPU {least * 1e3:8.1f} ms, wanted {wanted * 1e3:8.0f} ms", flush=True)
    return result  # type: ignore[return-value]


def clones(runkeys: Runkeys) -> Callable[[], object]:
    count = iter(range(1000))
    return lambda: runkeys.clone("big", f"clone {next(count)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", default="sqlite", choices=["sqlite", "postgresql", "mariadb"])
    parser.add_argument("--fe", type=int, default=33_000)
    parser.add_argument("--changed", type=int, default=1000)
    arguments = parser.parse_args()
    factor = 1 if arguments.kind == "sqlite" else 3
    store = Store.open(fresh_url(arguments.kind), fresh_url(arguments.kind))
    staging = store.staging
    root = detector(arguments.fe)
    timed("create (8 distinct maps)", 10, lambda: staging.create("big", root, "made up"))
    timed("commit of all", 10, lambda: store.commit("big"))
    timed("clone", 0.01 * factor, clones(staging), 5)
    tree = timed("tree without payloads", 0.1 * factor, lambda: staging.tree("big"), 5)
    timed("tree, all views", 0.1 * factor, lambda: staging.tree("big", None), 5)
    timed("tree with payload infos", 0.3 * factor, lambda: staging.tree("big", payloads=True), 3)
    timed("walk", 0.1, lambda: sum(1 for _ in tree.walk()), 2)
    paths = [node.path for node in tree.find("frontend")][:: max(1, arguments.fe // arguments.changed)]
    paths = paths[: arguments.changed]
    maps = [os.urandom(MAP) for _ in paths]
    store.staging.clone("big", "tuned")

    def one() -> None:
        with staging.edit("clone 0", "one") as edit:
            edit.put(paths[0], "config", b"{}")

    def tune() -> None:
        with staging.edit("tuned", "tuning") as edit:
            for path, content in zip(paths, maps, strict=True):
                edit.put(path, "pixels", content)

    timed("edit of 1 FE", 0.3 * factor, one)
    timed(f"edit of {len(paths)} FEs, 90 kB each", 2 * factor, tune)
    timed(f"commit of {len(paths)} changed FEs", 2 * factor, lambda: store.commit("tuned"))
    tuned = staging.tree("tuned")
    nodes = [tuned.node(path) for path in paths]

    def read() -> int:
        with staging.database.read() as connection:
            return sum(len(content) for _, _, content in load(connection, nodes, ["pixels"]))

    def fresh() -> int:
        tree = staging.tree("tuned")
        with staging.database.read() as connection:
            return sum(len(content) for _, _, content in load(connection, [tree.node(p) for p in paths]))

    timed(f"load of {len(paths)} FEs' pixels", 0.5 * factor, read, 3)
    timed(f"tree and load of {len(paths)} FEs, all payloads", 0.5 * factor, fresh, 3)

    def diff() -> int:
        with staging.database.read() as connection:
            pair = (connection, staging.root("big")), (connection, staging.root("tuned"))
            return len(diff_trees(*pair).changed)

    print(timed(f"diff with {len(paths)} changes", 0.5 * factor, diff, 3), "changes")
    timed("log", 0.1, lambda: staging.log("tuned"), 2)
    timed("blame", 0.1, lambda: staging.blame("tuned", paths[0], "pixels"), 2)
    timed("fetch of what is there", 2, lambda: store.fetch("tuned", "tuned again"))
    a, b = staging.edit("clone 1"), staging.edit("clone 1")

    def both() -> None:
        with a:
            with b:
                b.put(paths[1], "config", b"{}")
            a.put(paths[0], "config", b"{}")

    timed("two edits, merged", 1, both)
    store.close()


if __name__ == "__main__":
    main()
