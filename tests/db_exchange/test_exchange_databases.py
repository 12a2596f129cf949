"""Import, export, differences and blame in SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from pathlib import Path

import pytest
from db_servers import KINDS, fresh_url
from exchange_trees import HOSTILE, detector, files, state, two_views

from db import demo
from db.blame import blame_value
from db.compare import compare_runkeys
from db.errors import BadInput
from db.exchange import export_runkey, import_runkey
from db.nodes import NewChild, NewObject
from db.store import Store
from db.who import Who


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(tmp_path: Path, kind: str) -> None:
    with Store.open(fresh_url(kind), f"sqlite:///{tmp_path}/backend.sqlite", Who("anna", "daq1")) as store:
        root = detector()
        root.children += two_views().children
        root.children.append(
            NewChild(NewObject("module", "names", children=[NewChild(NewObject("x", n)) for n in HOSTILE]))
        )
        made = store.staging.create("a", root)
        demo.make_demo(store.staging)
        with Store.open(fresh_url(kind), f"sqlite:///{tmp_path}/other.sqlite", Who("bert", "daq2")) as other:
            for form in ("folder", "bundle"):
                export_runkey(store, "a", tmp_path / form, form)
                info, _ = import_runkey(other.staging, tmp_path / form, form)
                assert info.digest == made.digest
                export_runkey(other, form, tmp_path / f"{form} again", "folder")
            counted = state(other.staging)
            assert counted["object"] == len(store.staging.tree("a", None))
            one, two = files(tmp_path / "folder again"), files(tmp_path / "bundle again")
            assert {n: c for n, c in one.items() if n != "object.json"} == {
                n: c for n, c in two.items() if n != "object.json"
            }
            (tmp_path / "folder/HV/setpoints.json").write_text("{")
            with pytest.raises(BadInput, match=r"HV/setpoints\.json: line"):
                import_runkey(other.staging, tmp_path / "folder", "bad")
            assert state(other.staging) == counted
        store.staging.clone(demo.NAME, "b")
        config = store.staging.payload("b", "/FELIX1/OB1/FE1", "config")
        with store.staging.edit("b", "tuned") as edit:
            edit.put("/FELIX1/OB1/FE1", "config", config.replace(b'"DiffTh2": 50', b'"DiffTh2": 60'))
            edit.add("/", NewObject("felix", "F2"))
        found = compare_runkeys(store, demo.NAME, "b")
        assert (found.counts()["registers"], found.counts()["added"]) == (1, 1)
        assert blame_value(store.staging, "b", "/FELIX1/OB1/FE1", "config:GlobalConfig.DiffTh2").comment == "tuned"
