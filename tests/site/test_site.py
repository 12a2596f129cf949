"""A site file is checked whole before anything starts; each problem names its file, line and key."""

from pathlib import Path

import pytest

from owlshift.site import Site, SiteError, broadcast_of, demo_site_path, load_site

GOOD = """\
[site]
name = "T"
[ca]
port = 6064
[[ioc]]
system = "HV"
kind = "hv"
[ioc.config]
boards = [{ name = "B0", address = 0 }]
channels = [
  { alias = "L01", board = "B0", ch = 0, layer = 1, vdef = 100.0 },
  { alias = "L02", board = "B0", ch = 1, layer = 2, vdef = 100.0 },
]
"""


@pytest.fixture
def write(tmp_path: Path):
    def put(text: str) -> Path:
        path = tmp_path / "site.toml"
        path.write_text(text)
        return path

    return put


def problems(path: Path) -> list[str]:
    with pytest.raises(SiteError) as caught:
        load_site(path)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_the_demo_is_good() -> None:
    site = load_site(demo_site_path())
    assert site.prefix == "DEMO:"
    assert site.ioc("hv").prefix == "DEMO:HV:"
    assert site.ca.interface == "127.0.0.1"
    assert site.ca_environment() == {"EPICS_CA_ADDR_LIST": "127.255.255.255", "EPICS_CA_AUTO_ADDR_LIST": "NO"}
    assert site.access_file is not None


def test_a_good_file(write) -> None:
    site = load_site(write(GOOD), "/nowhere/state")
    assert isinstance(site, Site)
    assert site.state == Path("/nowhere/state")
    assert site.ca_environment()["EPICS_CA_SERVER_PORT"] == "6064"
    with pytest.raises(KeyError, match="has no IOC 'XX'; it has HV"):
        site.ioc("XX")


def test_state_is_relative_to_the_file(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OWLSHIFT_STATE", raising=False)
    path = write(GOOD.replace('name = "T"', 'name = "T"\nstate = "var"'))
    assert load_site(path).state == path.parent / "var"
    monkeypatch.setenv("OWLSHIFT_STATE", "/elsewhere")
    assert load_site(path).state == Path("/elsewhere")


def test_no_file(tmp_path: Path) -> None:
    (found,) = problems(tmp_path / "none.toml")
    assert found == f"{tmp_path / 'none.toml'}: can't be read: No such file or directory"


def test_not_toml(write) -> None:
    path = write(GOOD + "x = = 1\n")
    (found,) = problems(path)
    assert found.startswith(f"{path}:14: not TOML: ")


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "can't be read" in problems(path)[0]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('name = "T"', 'name = "T"\nnmae = 1', 3, "site.nmae: unknown key 'nmae'; did you mean 'name'?"),
        ("[ca]\nport", "[caa]\nport", 3, "caa: unknown key 'caa'; did you mean 'ca'?"),
        ("6064", "64", 4, "ca.port: input should be greater than or equal to 1024 (it is 64)"),
        ("6064", '"many"', 4, "ca.port: input should be a valid integer"),
        ("[ca]", '[ca]\ninterface = "localhost"', 4, "should be the IPv4 address of one interface"),
        ('kind = "hv"', 'kind = "hvv"', 7, "ioc.0.kind: unknown kind of IOC 'hvv'; did you mean 'hv'?"),
        ('kind = "hv"', 'kind = "hv"\nbackend = "usb"', 8, 'should be "sim", "tcp://HOST:PORT"'),
        ('system = "HV"\n', "", 5, "ioc.0.system: is missing"),
        ('name = "T"', 'name = "T:"', 2, "site.name: string should match pattern"),
        ("vdef = 100.0 },\n]", "vdeff = 100.0 },\n]", 12, "unknown key 'vdeff'; did you mean 'vdef'?"),
        ("ch = 1,", 'ch = "one",', 12, "ioc.0.config.channels.1.ch: input should be a valid integer"),
        ("ch = 1,", "ch = 7,", 12, "board B0 has channels 0..3"),
        ("ch = 1,", "ch = 0,", 12, "given to more than one"),
        ('alias = "L02", board = "B0"', 'alias = "L02", board = "B9"', 12, "no board 'B9'"),
        ('"L02"', '"L01"', 12, "given twice"),
        ("[ca]", '[access]\nfile = "none.acf"\n[ca]', 4, "access.file: there is no file"),
        ("[ca]", "[archiver]\nhtpp = 1\n[ca]", 4, "archiver.htpp: unknown key 'htpp'; did you mean 'http'?"),
        ("[ca]", '[archiver]\nsystem = "HV"\n[ca]', 3, "would begin with T:HV:, as those of an [[ioc]]"),
        ("[ca]", "[archiver]\nhttp = 5\n[ca]", 4, "archiver.http: should be a list"),
        ("[ca]", "[archiver]\naccess = 5\n[ca]", 4, "archiver.access: should be a table"),
        ("[ca]", '[archiver]\nfolder = ""\n[ca]', 4, "archiver.folder: "),
        ("[ca]", '[archiver]\nsearch = ["10.1.2.3:99999"]\n[ca]', 4, 'should be "ADDRESS" or "ADDRESS:PORT"'),
    ],
)
def test_each_problem_names_its_line(write, old: str, new: str, line: int, says: str) -> None:
    assert old in GOOD
    path = write(GOOD.replace(old, new, 1))
    found = problems(path)
    assert [text for text in found if text.startswith(f"{path}:{line}: ") and says in text], found


def test_two_iocs_of_one_prefix(write) -> None:
    second = GOOD[GOOD.index("[[ioc]]") :].replace('"HV"', '"hv"')
    found = problems(write(GOOD + second))
    assert len(found) == 1
    assert ":15: ioc.1.system: two IOCs of one prefix: line 6 has 'hv' already" in found[0]


def test_all_problems_at_once_in_the_order_of_the_lines(write) -> None:
    text = GOOD.replace("6064", "1").replace('name = "T"', "name = 3").replace("ch = 0", "ch = -1")
    text = text.replace('kind = "hv"', 'kind = "hv"\nbackend = 4')
    found = problems(write(text))
    lines = [int(text.split(":")[1]) for text in found]
    assert lines == sorted(lines)
    assert {2, 4, 8, 12} <= set(lines)


def test_broadcast_of_loopback() -> None:
    assert broadcast_of("127.0.0.1") == "127.255.255.255"
