"""Two people who edit at once, in one process and in several."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from db_servers import KINDS, ready_url
from runkey_trees import contents, detector, said

from db.database import Database
from db.errors import Conflict, Forbidden
from db.nodes import NewChild, NewObject
from db.runkeys import Runkeys
from db.store import Store
from db.verify import verify
from db.who import Who

HERE = Path(__file__).parent
PROGRAM = """
import sys
sys.path[:0] = {paths!r}
from db.database import Database
from db.errors import Conflict
from db.runkeys import Runkeys
from db.who import Who
"""


def child(program: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that runs a program with our packages."""
    paths = [str(HERE), str(HERE.parent), str(HERE.parents[1])]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(paths=paths) + program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], timeout: float = 100) -> str:
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def two(store: Store) -> tuple[Runkeys, Runkeys]:
    database = store.staging.database
    return Runkeys(database, Who("anna", "a")), Runkeys(database, Who("bert", "b"))


def test_changes_of_different_objects_are_both_kept(two: tuple[Runkeys, Runkeys]) -> None:
    anna, bert = two
    anna.create("merge", detector(4))
    with anna.edit("merge", "anna's") as a:
        with bert.edit("merge", "bert's") as b:
            b.put("/FELIX1/OB1/FE1", "config", b"1")
            b.add("/FELIX1/OB1", NewObject("frontend", "FE7"))
            b.rename("/FELIX1/OB1", "OB10")
            b.remove("/FELIX1/OB1/FE4".replace("OB1", "OB10"))
        a.put("/FELIX1/OB1/FE2", "config", b"2")
        a.add("/FELIX1/OB1", NewObject("frontend", "FE8", children=[NewChild(NewObject("x", "y"))]))
        a.rename("/FELIX1/OB1/FE3", "FE33")
        a.set_meta("/", a=1)
    assert [(r.author, r.comment) for r in anna.log("merge")[:2]] == [("anna", "anna's"), ("bert", "bert's")]
    assert a.result.number == 3
    found = said(anna, "merge")
    assert set(found) == {
        "/", "/FELIX1", "/FELIX1/OB10", "/FELIX1/OB10/FE1", "/FELIX1/OB10/FE2", "/FELIX1/OB10/FE33",
        "/FELIX1/OB10/FE7", "/FELIX1/OB10/FE8", "/FELIX1/OB10/FE8/y", "/std_digitalscan",
    }  # fmt: skip
    assert found["/FELIX1/OB10/FE1"]["payloads"]["config"] == b"1"
    assert found["/FELIX1/OB10/FE2"]["payloads"]["config"] == b"2"
    assert found["/"]["meta"] == {"a": 1}


def test_a_conflict_says_what_who_and_when(two: tuple[Runkeys, Runkeys]) -> None:
    anna, bert = two
    anna.create("conflict", detector(4))
    with pytest.raises(Conflict) as refused, anna.edit("conflict") as a:
        with bert.edit("conflict") as b:
            b.put("/FELIX1/OB1/FE1", "config", b"1")
            b.set_edge("/FELIX1/OB1/FE1", rx=7)
            b.set_serial("/FELIX1", "F")
            b.remove("/FELIX1/OB1/FE2")
        with Runkeys(anna.database, Who("carl", "c")).edit("conflict") as c:
            c.set_meta("/FELIX1/OB1/FE3", a=1)
        for path in ("/FELIX1/OB1/FE1", "/FELIX1/OB1/FE2", "/FELIX1/OB1/FE3", "/FELIX1/OB1/FE4"):
            a.put(path, "config", b"2")
    when = r" at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    expected = [
        "/FELIX1/OB1/FE1: bert changed its payload config, connection",
        "/FELIX1/OB1/FE2: bert removed it",
        "/FELIX1/OB1/FE3: carl changed its metadata",
    ]
    assert [re.sub(f"{when}$", "", line) for line in sorted(refused.value.changes)] == expected
    assert all(re.search(f"{when}$", line) for line in refused.value.changes)
    assert anna.payload("conflict", "/FELIX1/OB1/FE4", "config") == b'{"chip":4}'
    assert anna.info("conflict").author == "carl"


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda e: e.put("/FELIX1/OB1/FE1", "config", b"1"), lambda e: e.put("/FELIX1/OB1/FE1", "pixels", b"1")),
        (lambda e: e.remove("/FELIX1"), lambda e: e.set_meta("/FELIX1/OB1/FE1", a=1)),
        (lambda e: e.remove("/FELIX1/OB1"), lambda e: e.add("/FELIX1/OB1", NewObject("x", "x"))),
        (lambda e: e.remove("/FELIX1/OB1"), lambda e: e.remove("/FELIX1/OB1/FE1")),
        (lambda e: e.remove("/FELIX1/OB1"), lambda e: e.remove("/FELIX1/OB1")),
        (lambda e: e.add("/", NewObject("x", "x")), lambda e: e.add("/", NewObject("y", "x"))),
        (lambda e: e.add("/", NewObject("x", "x")), lambda e: e.rename("/FELIX1", "x")),
        (lambda e: e.rename("/FELIX1/OB1/FE1", "x"), lambda e: e.rename("/FELIX1/OB1/FE2", "x")),
        (lambda e: e.rename("/FELIX1", "x"), lambda e: e.set_edge("/FELIX1", rx=2)),
    ],
)
def test_what_can_not_be_merged(two: tuple[Runkeys, Runkeys], request: pytest.FixtureRequest, one, other, swap) -> None:  # type: ignore[no-untyped-def]
    anna, bert = two
    name = request.node.callspec.id[-38:]
    anna.create(name, detector(2))
    first, second = (other, one) if swap else (one, other)
    with pytest.raises(Conflict, match="bert"), anna.edit(name) as a:
        second(a)
        with bert.edit(name) as b:
            first(b)
    last = anna.info(name)
    assert (last.author, last.number) == ("bert", 2)


def test_a_runkey_that_went_or_was_committed_meanwhile(store: Store, two: tuple[Runkeys, Runkeys]) -> None:
    anna, bert = two
    for name in ("went 1", "went 2", "went 3", "went 4"):
        anna.create(name, detector(1))
    with pytest.raises(Conflict, match="deleted or renamed"), anna.edit("went 1") as edit:
        edit.set_meta("/", a=1)
        bert.delete("went 1")
    with pytest.raises(Conflict, match="deleted or renamed"), anna.edit("went 2") as edit:
        edit.set_meta("/", a=1)
        bert.rename("went 2", "went 5")
    with pytest.raises(Forbidden, match="committed meanwhile"), anna.edit("went 3") as edit:
        edit.set_meta("/", a=1)
        store.commit("went 3")
    with pytest.raises(Conflict, match="bert"), anna.edit("went 4") as edit:
        edit.set_meta("/FELIX1", a=1)
        bert.delete("went 4")
        bert.create("went 4", detector(1))


EDITOR = """
url, name, mine, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
database = Database.open(url, create=False, name="staging")
runkeys = Runkeys(database, Who(f"editor {mine}", "test"))
refused = []
done = 0
for number in range(rounds):
    while True:
        try:
            with runkeys.edit(name, f"{mine} {number}") as edit:
                edit.put(f"/FELIX1/OB1/FE{mine}", "config", str(number).encode())
                edit.add(f"/FELIX1/OB1/FE{mine}", __import__("db.nodes").nodes.NewObject("result", f"R{number}"))
                # one object that all want
                seen = int(runkeys.payload(edit.base.revision, "/std_digitalscan", "scan_config"))
                edit.put("/std_digitalscan", "scan_config", str(seen + 1).encode())
        except Conflict as conflict:
            refused.append(str(conflict))
            continue
        break
    done += 1
database.close()
import json
print(json.dumps([done, refused]))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_processes_that_edit_at_once_lose_nothing(kind: str) -> None:
    url = ready_url(kind)
    database = Database.open(url, name="staging")
    runkeys = Runkeys(database, Who.me())
    root = detector(3)
    root.children[1].object.payloads[0] = type(root.children[1].object.payloads[0])(  # type: ignore[union-attr]
        "scan_config", b"0", "scan_config"
    )
    runkeys.create("shared", root)
    rounds = 4
    processes = [child(EDITOR, url, "shared", str(n), str(rounds)) for n in (1, 2, 3)]
    results = [json.loads(ended(process)) for process in processes]
    assert [done for done, _ in results] == [rounds] * 3
    for _, refused in results:
        assert all(re.match(r"/std_digitalscan: editor \d changed its payload scan_config at ", r) for r in refused)
    found = said(runkeys, "shared")
    assert found["/std_digitalscan"]["payloads"]["scan_config"] == str(3 * rounds).encode()  # a counter loses nothing
    for mine in (1, 2, 3):
        assert found[f"/FELIX1/OB1/FE{mine}"]["payloads"]["config"] == str(rounds - 1).encode()
        assert {f"/FELIX1/OB1/FE{mine}/R{number}" for number in range(rounds)} <= set(found)
    log = runkeys.log("shared")
    assert [revision.number for revision in log] == list(range(3 * rounds + 1, 0, -1))
    assert not verify(database)
    database.close()


MERGER = """
url, name, mine, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
database = Database.open(url, create=False, name="staging")
runkeys = Runkeys(database, Who(f"editor {mine}", "test"))
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    with runkeys.edit(name, f"{mine} {number}") as edit:
        for fe in range(mine, 21, 2):
            edit.put(f"/FELIX1/OB1/FE{fe}", "config", b'[%d, %d]' % (mine, number))
database.close()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_readers_see_all_of_an_edit_or_nothing(kind: str) -> None:
    url = ready_url(kind)
    database = Database.open(url, name="staging")
    runkeys = Runkeys(database, Who.me())
    runkeys.create("read", detector(20))
    writers = [child(MERGER, url, "read", str(n), "6") for n in (1, 2)]
    for process in writers:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in writers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    seen: set[str] = set()
    last = [-1, -1]
    for _ in range(100_000):
        over = all(process.poll() is not None for process in writers)
        info = runkeys.info("read")
        if info.digest not in seen or over:
            seen.add(info.digest)
            tree = runkeys.tree(info.revision, payloads=True)
            assert tree.root.digest == info.digest
            found = contents(runkeys, tree)
            for mine in (1, 2):
                values = {found[f"/FELIX1/OB1/FE{fe}"]["payloads"]["config"] for fe in range(mine, 21, 2)}
                if last[mine - 1] >= 0 or len(values) == 1:
                    who, number = json.loads(values.pop())
                    assert not values and who == mine and number >= last[mine - 1]
                    last[mine - 1] = number
        if over:
            break
    for process in writers:
        ended(process)
    assert last == [5, 5]
    assert len(seen) > 1
    assert runkeys.info("read").number == 13
    assert not verify(database)
    database.close()
