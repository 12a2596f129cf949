"""Bulky content is fetched from the database by the id and hash that Channel Access carries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rk_stand import RkStand
from support import ROOT

from db.bulk import fetch, frontend, frontends
from db.demo import NAME, make_demo, yarr_files
from db.errors import Damaged, NotFound

pytestmark = pytest.mark.timeout(240)

SUBSYSTEM = """
import json, sys
from hashlib import sha256
import epics
from db.bulk import frontend, open_store
from owlshift.site import load_site

prefix, site, state, path = sys.argv[1:]
root = epics.caget(prefix + "AppliedId", timeout=30)
digest = epics.caget(prefix + "AppliedHash", as_string=True, timeout=30)
with open_store(load_site(site, state)) as store:
    chip = frontend(store, root, path, digest)
print(json.dumps({
    "chip": chip.chip, "name": chip.name, "shape": chip.pixels.shape, "rx": chip.edge["rx"],
    "enabled": int((chip.pixels & 1).sum()), "file": sha256(chip.file()).hexdigest(),
}))
"""


async def test_a_process_of_its_own_loads_the_chip_that_is_applied(stand: RkStand) -> None:
    with stand.store() as store:
        make_demo(store.staging)
    await stand.put("Selected", NAME)
    await stand.put("SnapshotName", "with chips")
    await stand.put("Snapshot", 1)
    tree = json.loads(await stand.get("Tree"))
    assert [child["path"] for child in tree["root"]["children"]] == ["/FELIX1", "/HV", "/std_digitalscan"]
    with stand.store() as store:
        before, after = (store.staging.tree(name) for name in (NAME, "with chips"))
        assert before.node("/FELIX1").id == after.node("/FELIX1").id, "what is no setting of the stand is shared"
        assert [r.runkey for r in store.staging.log("with chips")] == ["with chips", NAME]
    await stand.put("Apply", 1)
    argv = [sys.executable, "-c", SUBSYSTEM, stand.rk(""), str(stand.site_file), str(stand.state), "/FELIX1/OB1/FE3"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["chip"], found["shape"], found["rx"]) == ("RD53B", [400, 384], 12)
    from hashlib import sha256

    assert found["file"] == sha256(yarr_files()["configs/Quad1_Chip3.json"]).hexdigest()


async def test_a_wrong_hash_is_no_configuration(stand: RkStand) -> None:
    with stand.store() as store:
        info = make_demo(store.staging)
        assert frontend(store, info.root, "/FELIX1/OB1/FE1", info.digest).name == "Quad1_Chip1"
        with pytest.raises(Damaged, match="has the hash"):
            frontend(store, info.root, "/FELIX1/OB1/FE1", "0" * 64)
        with pytest.raises(NotFound):
            frontend(store, info.root, "/FELIX1/OB1/FE9", info.digest)
        assert [chip.edge["rx"] for chip in frontends(store, NAME, info.digest)] == [4, 0, 12, 16]
        scan = fetch(store, NAME, "/std_digitalscan", info.digest)
        assert scan.payloads["config"].json()["scan"]["name"] == "DigitalScan"


@pytest.mark.parametrize("what", ["content", "name", "edge"])
async def test_damage_is_seen(stand: RkStand, what: str, tmp_path) -> None:
    """Somebody writes into the file behind the database's back."""
    import sqlite3

    from db.config import database_urls
    from db.store import Store
    from db.who import Who

    with stand.store() as store:
        info = make_demo(store.staging)
        chip = fetch(store, info.root, "/FELIX1/OB1/FE2", info.digest)
    path = database_urls(stand.site)["staging"].removeprefix("sqlite:///")
    copy = tmp_path / "copy.sqlite"
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        for (name,) in target.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            target.execute(f"DROP TRIGGER {name}")
        if what == "content":
            sha = bytes.fromhex(chip.payloads["config"].sha256)
            target.execute("UPDATE blob SET data = zeroblob(length(data)) WHERE sha256 = ?", (sha,))
        elif what == "name":
            target.execute("UPDATE object SET serial = 'another' WHERE name = 'FE2'")
        else:
            target.execute("UPDATE connection SET meta = replace(meta, '\"rx\":0', '\"rx\":1')")
    source.close()
    target.close()
    store = Store.open(f"sqlite:///{copy}", f"sqlite:///{tmp_path}/backend.sqlite", Who("t", "h"))
    try:
        with pytest.raises(Damaged):
            frontend(store, info.root, "/FELIX1/OB1/FE2", info.digest)
    finally:
        store.close()
