"""Who may change what: tokens, the access file, and what browsers send for strangers' pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from management_support import Stand, get

from archiver.config import ArchiverConfig
from archiver.management.access import (
    Access,
    TokenFileError,
    add_token,
    read_tokens,
    remove_tokens,
    token_hash,
)

ACF = """
UAG(operators) { "anna" }
HAG(control) { "10.1.2.3", localhost }
ASG(DEFAULT) { RULE(1, READ) RULE(1, WRITE) }
ASG(ARCHIVER) { RULE(1, READ) RULE(1, WRITE) { UAG(operators) } RULE(1, WRITE) { HAG(control) } }
"""


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.management.access.LOOK_S", 0.0)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_token_is_shown_once_and_kept_as_a_hash(tokens: Path) -> None:
    first, second = add_token(tokens, "anna"), add_token(tokens, "ben")
    assert first != second and len(first) > 40
    assert read_tokens(tokens) == [("anna", token_hash(first)), ("ben", token_hash(second))]
    assert first not in tokens.read_text()
    assert tokens.stat().st_mode & 0o077 == 0
    assert remove_tokens(tokens, "anna") == 1 and remove_tokens(tokens, "anna") == 0
    assert [user for user, _ in read_tokens(tokens)] == ["ben"]


@pytest.mark.parametrize("user", ["", "a b", "a:b", "anonymous", "x" * 41, "ä"])
def test_names_that_are_none(tokens: Path, user: str) -> None:
    with pytest.raises(TokenFileError, match="no name for a user"):
        add_token(tokens, user)


@given(text=st.text(alphabet="ab:#0 \n", max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_file_of_tokens_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("t") / "tokens"
    path.write_text(text)
    try:
        assert read_tokens(path) == []
    except TokenFileError as error:
        assert "\n" not in str(error)


def test_without_rules_this_host_and_tokens_may_write(tokens: Path) -> None:
    access = Access(tokens=tokens)
    token = add_token(tokens, "anna")
    here = access.verdict("127.0.0.1", {})
    assert here.may_write and here.who.user == "anonymous"
    assert access.verdict("::1", {}).may_write and access.verdict("::ffff:127.0.0.1", {}).may_write
    far = access.verdict("10.9.9.9", {})
    assert (far.may_write, far.status) == (False, 401) and "needs a token" in far.why
    known = access.verdict("10.9.9.9", bearer(token))
    assert known.may_write and (known.who.user, known.who.host) == ("anna", "10.9.9.9")
    wrong = access.verdict("127.0.0.1", bearer("owl_wrong"))
    assert (wrong.may_write, wrong.status) == (False, 401)
    remove_tokens(tokens, "anna")
    assert not access.verdict("10.9.9.9", bearer(token)).may_write


def test_the_access_file_decides_when_it_has_the_group(tmp_path: Path, tokens: Path) -> None:
    acf = tmp_path / "site.acf"
    acf.write_text(ACF)
    access = Access(acf, "ARCHIVER", tokens)
    anna, ben = add_token(tokens, "anna"), add_token(tokens, "ben")
    assert access.verdict("10.9.9.9", bearer(anna)).may_write
    refused = access.verdict("10.9.9.9", bearer(ben))
    assert (refused.may_write, refused.status) == (False, 403)
    assert refused.why == "The rules of ASG(ARCHIVER) do not let ben at 10.9.9.9 write."
    assert access.verdict("10.1.2.3", {}).may_write
    assert access.verdict("127.0.0.1", {}).may_write, "localhost is one of the hosts"
    assert access.verdict("10.9.9.9", {}).status == 401
    # without the group the file says nothing of the archiver, not even by its DEFAULT
    other = Access(acf, "OTHER", tokens)
    assert other.verdict("127.0.0.1", {}).may_write and not other.verdict("10.9.9.9", {}).may_write
    # the file is followed
    acf.write_text("ASG(DEFAULT) { RULE(1, READ) }\nASG(ARCHIVER) { RULE(1, READ) }\n")
    assert not access.verdict("127.0.0.1", {}).may_write
    acf.write_text("ASG(ARCHIVER) {")
    broken = access.verdict("127.0.0.1", {})
    assert not broken.may_write and "can't be used" in broken.why


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"host": "127.0.0.1:17665"}, True),
        ({"host": "127.0.0.1:17665", "sec-fetch-site": "same-origin"}, True),
        ({"host": "127.0.0.1:17665", "sec-fetch-site": "none"}, True),
        ({"host": "localhost:17665", "origin": "http://localhost:17665"}, True),
        ({"host": "[::1]:17665", "origin": "http://[::1]:17665"}, True),
        ({"host": "archiver.lab:17665", "origin": "http://archiver.lab:17665"}, True),
        ({"host": "127.0.0.1:17665", "sec-fetch-site": "cross-site"}, False),
        ({"host": "127.0.0.1:17665", "sec-fetch-site": "same-site"}, False),
        ({"host": "127.0.0.1:17665", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1:17665", "origin": "null"}, False),
        ({"host": "127.0.0.1:17665", "referer": "http://evil.example/x"}, False),
        ({"host": "127.0.0.1:17665", "sec-fetch-site": "same-origin", "sec-purpose": "prefetch"}, False),
        # a stranger's name that was made to point here
        ({"host": "evil.example:17665", "sec-fetch-site": "same-origin", "origin": "http://evil.example:17665"}, False),
        # a page of that name may have its scripts call themselves anything
        ({"host": "evil.example:17665"}, False),
        ({"host": "evil.example:17665", "user-agent": "Mozilla/5.0 (X11)"}, False),
        # browsers tell addresses that they don't trust nothing of the page that asks
        ({"host": "archiver.lab:17665", "user-agent": "Mozilla/5.0 (X11)"}, False),
        ({"host": "archiver.lab:17665", "user-agent": "Mozilla/5.0", "origin": "http://archiver.lab:17665"}, True),
        ({"host": "archiver.lab:17665", "user-agent": "python-requests/2.32"}, True),
    ],
)
def test_what_a_browser_sends_for_another_page_changes_nothing(
    tokens: Path, headers: dict[str, str], good: bool
) -> None:
    access = Access(tokens=tokens, names=["archiver.lab", "0.0.0.0"])
    verdict = access.verdict("127.0.0.1", headers)
    assert verdict.may_write == good, verdict
    assert good or verdict.status == 403
    assert access.verdict("127.0.0.1", headers | bearer(add_token(tokens, "anna"))).may_write


def test_a_host_of_the_access_file_is_asked_for_names_only_of_browsers(tmp_path: Path) -> None:
    acf = tmp_path / "site.acf"
    acf.write_text(ACF)
    access = Access(acf, "ARCHIVER")
    assert access.verdict("10.1.2.3", {"host": "dds.lab:17665", "user-agent": "curl/8"}).may_write
    assert not access.verdict("10.1.2.3", {"host": "dds.lab:17665", "user-agent": "Mozilla/5.0"}).may_write
    assert not access.verdict("10.1.2.3", {"host": "10.1.2.9:17665", "user-agent": "Mozilla/5.0"}).may_write
    same = {"host": "10.1.2.9:17665", "user-agent": "Mozilla/5.0", "origin": "http://10.1.2.9:17665"}
    assert access.verdict("10.1.2.3", same).may_write


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
def test_a_proxy_on_this_host_lends_nobody_its_rights(tokens: Path, header: str) -> None:
    access = Access(tokens=tokens)
    headers = {"host": "127.0.0.1:17665", header: "10.9.9.9"}
    verdict = access.verdict("127.0.0.1", headers)
    assert (verdict.may_write, verdict.status) == (False, 401) and "proxy" in verdict.why
    assert access.verdict("127.0.0.1", headers | bearer(add_token(tokens, "anna"))).may_write


# over HTTP


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Stand]:
    acf = tmp_path / "site.acf"
    acf.write_text(
        'UAG(ops) { "anna" }\nASG(DEFAULT) { RULE(1, READ) }\n'
        "ASG(ARCHIVER) { RULE(1, READ) RULE(1, WRITE) { UAG(ops) } }\n"
    )
    (tmp_path / "site.toml").write_text("")
    site = SimpleNamespace(path=tmp_path / "site.toml", state=tmp_path, access_file=acf, name="T", title="")
    config = ArchiverConfig.model_validate({"access": {"tokens": "tokens"}})
    made = Stand(tmp_path / "archive", ["SIM:A"], config, site)
    yield made
    made.close()


def test_refusals_are_clear_and_in_the_audit(guarded: Stand, tmp_path: Path) -> None:
    anna, ben = (add_token(tmp_path / "tokens", user) for user in ("anna", "ben"))
    answer = guarded.client().get("/mgmt/bpl/pauseArchivingPV?pv=SIM:A")
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.text == "The rules of ASG(ARCHIVER) do not let anonymous at 127.0.0.1 write.\n"
    assert guarded.client(**bearer(ben)).get("/mgmt/bpl/pauseArchivingPV?pv=SIM:A").status_code == 403
    assert guarded.client(**bearer("x")).post("/mgmt/bpl/deletePV", json=["SIM:A", "B"]).status_code == 401
    assert guarded.ledger.entries() == {}
    rows = guarded.ledger.audit(refused=True)
    assert [(r.user, r.what, r.pv) for r in rows] == [
        ("anonymous", "deletePV", None),
        ("ben", "pauseArchivingPV", "SIM:A"),
        ("anonymous", "pauseArchivingPV", "SIM:A"),
    ]
    assert rows[0].after == {"pvs": ["SIM:A", "B"], "number": 2}
    good = guarded.client(**bearer(anna))
    assert get(good, "pauseArchivingPV", pv="SIM:A")["status"] == "ok"
    assert guarded.ledger.audit(1)[0].user == "anna"
    # reading is open
    assert get(guarded.client("10.9.9.9"), "getPVStatus", pv="SIM:A")[0]["status"] == "Paused"
    seen = guarded.client("10.9.9.9").get("/api/audit?limit=2").json()
    assert (seen[0]["user"], seen[0]["what"], seen[0]["after"]) == ("anna", "pause", {"paused": True})
    assert seen[1]["refused"].startswith("The token is not known")


def test_whoami(guarded: Stand, tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens", "anna")
    assert guarded.client(**bearer(token)).get("/api/whoami").json() == {
        "user": "anna",
        "host": "127.0.0.1",
        "may_write": True,
        "why": "The rules of ASG(ARCHIVER) let anna at 127.0.0.1 write.",
    }
    assert guarded.client().get("/api/whoami").json()["may_write"] is False
    assert guarded.client().post("/api/whoami", json={}).json()["may_write"] is False


def test_readers_wait_for_no_name_server(guarded: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("who reads is nobody's business")

    monkeypatch.setattr(guarded.context.access, "verdict", never)
    assert guarded.client().get("/mgmt/bpl/getPVStatus?pv=SIM:A").status_code == 200
    assert guarded.client().get("/api/audit").status_code == 200


def test_looking_at_headers_changes_nothing(stand: Stand) -> None:
    answer = stand.client().request("HEAD", "/mgmt/bpl/pauseArchivingPV?pv=SIM:A")
    assert answer.status_code == 405
    cross = stand.client(sec_fetch_site="cross-site").get("/mgmt/bpl/pauseArchivingPV?pv=SIM:A")
    assert cross.status_code == 403 and "Another web site" in cross.text
    assert stand.ledger.entries() == {}


def test_a_file_of_tokens_that_is_broken_lets_nobody_in(tokens: Path) -> None:
    token = add_token(tokens, "anna")
    access = Access(tokens=tokens)
    assert access.verdict("10.0.0.1", bearer(token)).may_write
    tokens.write_text(tokens.read_text() + "rubbish\n")
    os.utime(tokens, (1, 1))
    verdict = access.verdict("10.0.0.1", bearer(token))
    assert not verdict.may_write and "should be USER:SHA-256" in verdict.why
