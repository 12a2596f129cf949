"""The `[db]` section and `[ioc.config]` of a runkey IOC: what is refused, and where passwords may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.config import DbConfig, database_urls, shown
from db.errors import BadInput
from owlshift.site import SiteError, load_site

SITE = """[site]
name = "T"
[ca]
port = 6064
[[ioc]]
system = "RK"
kind = "runkey"
[db]
"""
SECRET = "s3cr3t/@:x"


@pytest.fixture
def write(tmp_path: Path):
    def write_site(text: str) -> Path:
        path = tmp_path / "site.toml"
        path.write_text(text)
        return path

    return write_site


def problems(path: Path) -> list[str]:
    with pytest.raises(SiteError) as caught:
        load_site(path, path.parent / "state")
    return caught.value.problems


def test_without_urls_both_are_files_below_the_state_folder(write, tmp_path: Path) -> None:
    for text in (SITE, SITE.replace("[db]", "")):
        urls = database_urls(load_site(write(text), tmp_path / "state"))
        assert urls["staging"] == f"sqlite:///{tmp_path}/state/db/staging.sqlite"
        assert urls["backend"] == f"sqlite:///{tmp_path}/state/db/backend.sqlite"


def test_a_relative_file_is_below_the_state_folder_and_an_absolute_one_where_it_says(tmp_path: Path) -> None:
    config = DbConfig(staging="sqlite:///mine/stage.db", backend="sqlite:////data/runkeys.db")
    places = config.places(tmp_path)
    assert places == {"staging": f"sqlite:///{tmp_path}/mine/stage.db", "backend": "sqlite:////data/runkeys.db"}
    assert [shown(place) for place in places.values()] == [f"{tmp_path}/mine/stage.db", "/data/runkeys.db"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('staging = "oracle://u@h/d"', "db.staging: should be sqlite:///FILE, postgresql://USER@HOST/DATABASE or"),
        ('staging = "runkeys.db"', "db.staging: should be sqlite:///FILE"),
        ('staging = "sqlite://"', "db.staging: should name a file"),
        ('backend = "postgresql://u@h"', "db.backend: should name host and database"),
        ('backend = "postgresql://u@h:port/d"', "db.backend: is no URL"),
        ('stagin = "x"', "unknown key 'stagin'; did you mean 'staging'?"),
        ('backend = "postgresql://u:hunter2@h/d"', "db.backend: must hold no password"),
        ('backend = "mariadb://u@h/d?password=hunter2"', "db.backend: must hold no password"),
        ('backend = "postgresql://u:hunter2@h:port/d"', "db.backend: "),
        ('backend = "u:hunter2@h/d"', "db.backend: "),
        ("backend = 5", "db.backend: should be a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_a_password(write, line: str, says: str) -> None:
    path = write(SITE + line + "\n")
    found = problems(path)
    assert [text for text in found if text.startswith(f"{path}:9: ") and says in text], found
    assert not [text for text in found if "hunter2" in text]


def test_the_password_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(SECRET + "\n")
    config = DbConfig(
        staging="postgresql://owl@stage:5433/runkeys?sslmode=require",
        backend="mariadb://owl@back/runkeys",
        password_file="password",
    )
    quoted = "s3cr3t%2F%40%3Ax"
    urls = config.urls(tmp_path, tmp_path, {})
    assert urls["staging"] == f"postgresql://owl:{quoted}@stage:5433/runkeys?sslmode=require"
    assert urls["backend"] == f"mariadb://owl:{quoted}@back/runkeys"
    urls = config.urls(tmp_path, tmp_path, {"OWLSHIFT_DB_PASSWORD": "one", "OWLSHIFT_DB_BACKEND_PASSWORD": "two"})
    assert [":one@" in urls["staging"], ":two@" in urls["backend"]] == [True, True]
    assert SECRET not in repr(config) + str(config) + str(config.places(tmp_path))


@pytest.mark.parametrize(("content", "says"), [(None, "can't be read: No such file"), (b"\n", "first line is empty")])
def test_a_password_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    config = DbConfig(staging="postgresql://owl@stage/runkeys", password_file="password")
    with pytest.raises(BadInput, match=says):
        config.urls(tmp_path, tmp_path, {})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "runkey"', 'kind = "runkey"\nbackend = "sim"', 'runkey has no device; should be "none"'),
        ('kind = "runkey"', 'kind = "runkey"\nbackend = "tcp://h:1"', 'runkey has no device; should be "none"'),
        ('kind = "runkey"', 'kind = "runkey"\nconfig = { incomplete = "ask" }', "ioc.0.config.incomplete: "),
        ('kind = "runkey"', 'kind = "runkey"\nconfig = { also = ["X"] }', "should be like TEST:PS:"),
        ('kind = "runkey"', 'kind = "runkey"\nconfig = { search = ["a b"] }', 'should be "ADDRESS"'),
        ('kind = "runkey"', 'kind = "runkey"\nconfig = { live_compare = 0.5 }', "at least 1 s"),
        ('kind = "runkey"', 'kind = "hv"\nbackend = "none"', "hv needs a device"),
    ],
)
def test_a_runkey_ioc_has_no_device(write, old: str, new: str, says: str) -> None:
    assert [text for text in problems(write(SITE.replace(old, new))) if says in text]


def test_backend_none_may_be_said_or_left_out(write, tmp_path: Path) -> None:
    for text in (SITE, SITE.replace('kind = "runkey"', 'kind = "runkey"\nbackend = "none"')):
        site = load_site(write(text), tmp_path)
        assert site.iocs[0].backend == "none"
        assert site.prefixes() == ["T:RK:"]


def test_a_backend_on_the_command_line(write, tmp_path: Path) -> None:
    import subprocess

    from support import owl

    argv = owl("ioc", "runkey", "--site", str(write(SITE)), "--state", str(tmp_path), "--backend", "sim")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert 'runkey has no device; should be "none"' in done.stderr
