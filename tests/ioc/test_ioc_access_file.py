"""The parser of access-security files, and the decisions that follow from one."""

from __future__ import annotations

from pathlib import Path

import pytest
from caproto import AccessRights
from hypothesis import given
from hypothesis import strategies as st

from owlshift.ioc import AccessFileError, AccessSecurity

NONE, READ, WRITE = AccessRights.NO_ACCESS, AccessRights.READ, AccessRights.READ | AccessRights.WRITE

STAND = """
# who works here
UAG(operators) { alice, "bob" }
UAG(experts) {carol}
HAG(control) { Console1, localhost }
ASG(DEFAULT) { RULE(1, READ) }
ASG(OPERATOR) {
    RULE(1, READ)
    RULE(1, WRITE, TRAPWRITE) { UAG(operators, experts) HAG(control) }
}
ASG(EXPERT) { RULE(0, READ) RULE(0, WRITE) { UAG(experts) } }   # no host asked
ASG(SECRET) { RULE(1, NONE) RULE(1,READ){UAG(experts)} }
ASG(NOBODY)
ASG(CALCULATED) {
    INPA("LAB:Open")
    RULE(1, READ)
    RULE(1, WRITE) { CALC("A=1") }
}
"""


@pytest.mark.parametrize(
    ("group", "user", "host", "rights"),
    [
        ("DEFAULT", "alice", "console1", READ),
        ("DEFAULT", None, None, READ),
        ("NOT IN THE FILE", "alice", "console1", READ),
        ("OPERATOR", "alice", "console1", WRITE),
        ("OPERATOR", "bob", "CONSOLE1", WRITE),  # host names have no case
        ("OPERATOR", "carol", "localhost", WRITE),
        ("OPERATOR", "alice", "laptop", READ),
        ("OPERATOR", "ALICE", "console1", READ),  # user names have
        ("OPERATOR", "mallory", "console1", READ),
        ("OPERATOR", None, "console1", READ),
        ("EXPERT", "carol", "anywhere", WRITE),
        ("EXPERT", "alice", "console1", READ),
        ("SECRET", "alice", "console1", NONE),
        ("SECRET", "carol", "console1", READ),
        ("NOBODY", "carol", "console1", NONE),
        ("CALCULATED", "carol", "console1", READ),
    ],
)
def test_decisions(group: str, user: str | None, host: str | None, rights: AccessRights) -> None:
    security = AccessSecurity.parse(STAND, "stand.acf")
    assert security.rights(group, user, host) == rights
    assert security.rights(group, user, host) == rights  # from memory


def test_trapwrite() -> None:
    security = AccessSecurity.parse(STAND)
    assert security.trapped("OPERATOR", "alice", "console1")
    assert not security.trapped("EXPERT", "carol", "console1")
    assert not security.trapped("OPERATOR", "alice", "laptop")


def test_without_a_file_everybody_may_write() -> None:
    assert AccessSecurity.everybody().rights("OPERATOR", None, None) == WRITE


def test_warnings_name_what_is_not_supported() -> None:
    warnings = AccessSecurity.parse(STAND, "stand.acf").warnings
    assert [w.split(": ")[0] for w in warnings] == ["stand.acf:15", "stand.acf:17"]
    nothing = AccessSecurity.parse("UAG(a) {b}", "a.acf")
    assert nothing.rights("DEFAULT", "b", "h") == NONE
    assert "no ASG(DEFAULT)" in nothing.warnings[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("UAG(a) { b", "f:1: the file ends where ',' is expected"),
        ("\n\nUGA(a) { b }", "f:3: 'UGA' where UAG, HAG or ASG is expected"),
        ("ASG(A) {\n RULE(2, WRITE)\n}", "f:2: the level '2' is neither 0 nor 1"),
        ("ASG(A) {\n RULE(1, write)\n}", "f:2: the permission 'write' is none of NONE, READ, WRITE"),
        ("ASG(A) { RULE(1) }", "f:1: the permission '' is none of"),
        ("ASG(A) { RULE(1, WRITE, TRAP) }", "f:1: 'TRAP' is neither TRAPWRITE nor NOTRAPWRITE"),
        ("ASG(A) { RULE(1, READ) { UAG(x) } }", "f:1: UAG(x) is not defined above"),
        ("ASG(A) { RULE(1, READ) { HAG(x) } }", "f:1: HAG(x) is not defined above"),
        ("ASG(A) { RULE(1, READ) { METHOD(x) } }", "f:1: 'METHOD' where UAG, HAG or CALC is expected"),
        ("ASG(A)\nASG(A)", "f:2: ASG(A) is defined twice"),
        ("UAG(A)\nUAG(A)", "f:2: UAG(A) is defined twice"),
        ("ASG(A, B)", "f:1: one name of the ASG is expected, 2 are given"),
        ("UAG(a) { b c }", "f:1: 'c' where ',' is expected"),
        ("UAG(a) { b,, }", "f:1: ',' where a user is expected"),
        ('UAG(a) { "b\n" }', "f:1: '\"' is not expected here"),
        ("ASG(A) { = }", "f:1: '=' is not expected here"),
        ("ASG", "f:1: the file ends where '(' is expected"),
    ],
)
def test_faults_have_a_line(text: str, fault: str) -> None:
    with pytest.raises(AccessFileError) as caught:
        AccessSecurity.parse(text, "f")
    assert str(caught.value).startswith(fault)


def test_all_faults_that_make_sense_come_at_once() -> None:
    with pytest.raises(AccessFileError) as caught:
        AccessSecurity.parse("ASG(A) {\nRULE(3, READ)\nRULE(1, LOOK) { UAG(u) }\n}\n}", "f")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["f:2", "f:3", "f:3", "f:5"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AccessFileError, match="No such file"):
        AccessSecurity.load(tmp_path / "none.acf")
    (tmp_path / "bytes.acf").write_bytes(b"ASG(\xff)")
    with pytest.raises(AccessFileError, match="not UTF-8 text at byte 4"):
        AccessSecurity.load(tmp_path / "bytes.acf")


@given(st.text())
def test_any_text_is_parsed_or_refused_with_a_line(text: str) -> None:
    try:
        AccessSecurity.parse(text, "f")
    except AccessFileError as error:
        for line in str(error).split("\nf:"):
            assert line.removeprefix("f:").split(":")[0].isdecimal()


WORDS = [
    "UAG",
    "HAG",
    "ASG",
    "RULE",
    "INPA",
    "CALC",
    "READ",
    "WRITE",
    "NONE",
    "TRAPWRITE",
    "a",
    "1",
    '"x"',
    "# c\n",
    "\n",
]


@given(st.lists(st.sampled_from([*WORDS, "(", ")", "{", "}", ","]), max_size=40))
def test_any_sequence_of_words_is_parsed_or_refused(words: list[str]) -> None:
    try:
        AccessSecurity.parse(" ".join(words), "f")
    except AccessFileError as error:
        assert str(error).startswith("f:")


NAMES = st.sampled_from(["a", "b", "c"])
RULES = st.tuples(
    st.sampled_from(["NONE", "READ", "WRITE"]),
    st.lists(NAMES, max_size=2),  # UAGs
    st.lists(NAMES, max_size=2),  # HAGs
)
GROUPS = st.dictionaries(NAMES, st.frozensets(NAMES), min_size=3)


@given(GROUPS, GROUPS, st.lists(RULES, max_size=4), NAMES, NAMES, st.sampled_from([" ", "\n", " # x\n", ""]))
def test_decisions_are_those_of_the_definition(
    users: dict[str, frozenset[str]],
    hosts: dict[str, frozenset[str]],
    rules: list[tuple[str, list[str], list[str]]],
    user: str,
    host: str,
    gap: str,
) -> None:
    text = "".join(f"UAG({n}){gap}{{{','.join(m)}}}{gap}" for n, m in users.items())
    text += "".join(f"HAG({n}){{{(gap + ',').join(m)}}}" for n, m in hosts.items())
    body = ""
    for permission, uags, hags in rules:
        conditions = (f"UAG({','.join(uags)})" if uags else "") + gap + (f"HAG({','.join(hags)})" if hags else "")
        body += f"RULE(1,{gap}{permission}){{{conditions}}}{gap}"
    security = AccessSecurity.parse(f"{text}ASG(DEFAULT){{{body}}}")
    order = {"NONE": NONE, "READ": READ, "WRITE": WRITE}
    expected = NONE
    for permission, uags, hags in rules:
        if (not uags or any(user in users[g] for g in uags)) and (not hags or any(host in hosts[g] for g in hags)):
            expected = max(expected, order[permission])
    assert security.rights("DEFAULT", user, host) == expected
