"""What is archived, and how: the site file's section and the IOCs' catalogues."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from archiver import SERVICE
from archiver.config import ArchiverConfig, Sampling, split_address
from archiver.engine.plan import CatalogueError, Listed, Planner, parse_catalogue
from archiver.service import processes, summary
from owlshift.kinds import load_object
from owlshift.site import load_site


def catalogue(*pvs: object) -> bytes:
    return json.dumps({"ioc": "T:X:", "version": 1, "pvs": list(pvs)}).encode()


def test_a_catalogue_says_how_its_pvs_are_archived() -> None:
    found = parse_catalogue(
        catalogue(
            {"name": "A", "archive": {"method": "monitor"}, "doc": "an A"},
            {"name": "B", "archive": {"method": "scan", "period": 5}},
            {"name": "C"},
            {"name": "D", "archive": {"method": "often"}},
            {"name": "x" * 61, "archive": {"method": "monitor"}},
            {"doc": "no name"},
            "no PV",
        )
    )
    assert found == {
        "A": Listed(Sampling(method="monitor"), "an A"),
        "B": Listed(Sampling(method="scan", period=5.0), ""),
        "C": Listed(None, ""),
        "D": Listed(Sampling(method="monitor"), ""),
    }


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b'{"pvs": 3}', b'{"pvs": null}', b"\xff\xfe", b"null"])
def test_what_is_no_catalogue_is_refused(text: bytes) -> None:
    with pytest.raises(CatalogueError):
        parse_catalogue(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_catalogue_or_refused(data: bytes) -> None:
    try:
        parse_catalogue(data)
    except CatalogueError:
        pass


@given(JSON, JSON, JSON)
def test_any_json_is_a_catalogue_or_refused(name: object, archive: object, doc: object) -> None:
    for document in (name, {"pvs": name}, {"pvs": [{"name": "A", "archive": archive, "doc": doc}, {"name": name}]}):
        try:
            found = parse_catalogue(json.dumps(document))
        except CatalogueError:
            continue
        assert all(isinstance(key, str) for key in found)


def test_the_site_file_overrides_the_catalogues() -> None:
    config = ArchiverConfig.model_validate(
        {
            "pv": [{"name": "X:Own", "method": "scan", "period": 2}, {"name": "T:Same"}],
            "policy": [{"pv": "T:Noisy:*", "method": "none"}, {"pv": "T:*", "method": "scan", "period": 7}],
        }
    )
    listed = {
        "T:Noisy:1": Listed(Sampling(), "noise"),
        "T:Plain": Listed(Sampling(), "plain"),
        "T:Same": Listed(Sampling(method="scan", period=9), "same"),
        "U:None": Listed(None, "not archived"),
        "U:Own": Listed(Sampling(method="scan", period=3), "its own"),
    }
    planner = Planner(config)
    planner.catalogues = {"T:": listed}
    found = {name: target for name, target in planner.plan().items() if target is not None}
    assert {name: (t.sampling.method, t.sampling.period, t.description) for name, t in found.items()} == {
        "T:Plain": ("scan", 7.0, "plain"),
        "T:Same": ("monitor", 1.0, "same"),
        "U:Own": ("scan", 3.0, "its own"),
        "X:Own": ("scan", 2.0, None),
    }


@pytest.mark.parametrize("good", ["127.0.0.1:17665", "0.0.0.0:0", "archive.example:80"])
def test_addresses(good: str) -> None:
    host, port = split_address(good)
    assert good == f"{host}:{port}"
    assert ArchiverConfig.model_validate({"http": good}).http == (good,)


@pytest.mark.parametrize("bad", ["", "17665", ":17665", "host", "host:99999", "ho st:1", "1.2.3.4.5:6"])
def test_bad_addresses_say_what_would_be_right(bad: str) -> None:
    with pytest.raises(ValidationError, match=r'ADDRESS:PORT", for example "127.0.0.1:17665"'):
        ArchiverConfig.model_validate({"http": bad})


@pytest.mark.parametrize(
    "section",
    [
        {"http": []},
        {"http": ["127.0.0.1:1", "127.0.0.1:1"]},
        {"sync": 0},
        {"queue": 0},
        {"retention_days": 0},
        {"pv": [{"name": "with blank"}]},
        {"pv": [{"name": "A", "period": 0}]},
        {"policy": [{"method": "scan"}]},
        {"unknown": 1},
        {"folder": ""},
        {"search": ["10.1.2.3:99999"]},
        {"search": ["no address!"]},
        {"tiers": {"days": {"place": "s4://bucket/x"}}},
        {"tiers": {"days": {"place": "s3://"}}},
        # what stands in a site file is shown to whoever asks
        {"tiers": {"days": {"place": "s3://user:secret@bucket/x"}}},
        {"remote": ["s3://user:secret@bucket/x"]},
    ],
)
def test_a_bad_section_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ArchiverConfig.model_validate(section)


def test_the_processes_of_a_site(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text('[site]\nname = "T"\n[archiver]\nfolder = "lake"\n')
    site = load_site(path, tmp_path / "state")
    config = site.services["archiver"]
    assert isinstance(config, ArchiverConfig)
    assert load_object(SERVICE.config) is ArchiverConfig
    specs = load_object(SERVICE.processes)(site, config)
    assert specs == processes(site, config)
    assert [spec.name for spec in specs] == ["archiver-engine", "archiver-retrieval", "archiver-ioc"]
    where = ("--site", str(path), "--state", str(tmp_path / "state"))
    assert [spec.argv for spec in specs] == [
        (sys.executable, "-u", "-m", f"archiver.{module}", *where) for module in ("engine", "retrieval", "ioc")
    ]
    assert summary(site, config) == [f"Archive: http://127.0.0.1:17665 (in {tmp_path / 'state' / 'lake'})"]


def test_characters_that_no_file_can_hold_are_no_part_of_names_and_descriptions() -> None:
    """JSON may name half of a pair of UTF-16 units; neither a server nor the archive's files could hold that."""
    found = parse_catalogue(catalogue({"name": "A\ud800"}, {"name": "B", "doc": "half \udfff"}, {"name": "C\x7f"}))
    assert found == {"B": Listed(None, "half ?")}
    planner = Planner(ArchiverConfig.model_validate({"policy": [{"pv": "*"}]}))
    assert planner.plan(["A\ud800", "D\x7f", "E"]).keys() == {"A\ud800", "D\x7f", "E"}
    assert [name for name, target in planner.plan(["A\ud800", "D\x7f", "E"]).items() if target] == ["E"]
