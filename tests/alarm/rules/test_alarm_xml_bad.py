"""Alarm files that are refused: whole, and with file, line, path and reason of everything that is wrong."""

from __future__ import annotations

import pytest
from alarm_files import config, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from iocs.alarm.files.xmlfile import MAX_PROBLEMS, read_xml
from iocs.alarm.files.xmltree import MAX_DEPTH
from iocs.alarm.tree.items import ConfigError

PV = '<pv name="X">{}</pv>'

BROKEN = {
    # what: content of <config>, line and path and reason, and whether the schema sees it, too
    "no name": ("<pv/>", "alarms.xml:2: /A: <pv> without a name", True),
    "empty name": ('<component name=""/>', "alarms.xml:2: /A: <component> without a name", True),
    "two slashes": ('<component name="//x"/>', "2: /A: '//x' cannot be a name", False),
    "backslash": ('<component name="x\\"/>', "2: /A/x\\: a name has at most 200", False),
    "long name": (f'<pv name="{"x" * 300}"/>', "at most 200 characters", True),
    "blank in a PV": ('<pv name="a b"/>', "2: /A/a b: 'a b' has characters", False),
    "unknown element": ("<area/>", "2: /A: <area> is unknown; did you mean <component>?", True),
    "unknown in a pv": (PV.format("\n<foo/>"), "3: /A/X: <foo> is unknown; known here: description", True),
    "component in a pv": (PV.format('<component name="y"/>'), "<component> is unknown", True),
    "detail": (PV.format("<guidance><detail>x</detail></guidance>"), "did you mean <details>?", True),
    "other namespace": ('<x:pv xmlns:x="urn:x" name="y"/>', "<pv> is unknown", True),
    "attribute": ('<pv name="X" delay="5"/>', "2: /A: <pv> has no attribute 'delay'", True),
    "attribute of a field": (PV.format('<delay unit="s">5</delay>'), "<delay> has no attribute 'unit'", True),
    "attribute of an entry": (PV.format('<display id="s"/>'), "<display> has no attribute 'id'", True),
    "text": ("<component name='c'>hello</component>", "belongs to nothing: 'hello'", True),
    "text in a pv": (PV.format("true"), "belongs to nothing: 'true'", True),
    "text in an entry": (PV.format("<guidance>call me</guidance>"), "belongs to nothing: 'call me'", True),
    "element in text": (PV.format("<description>a<b/></description>"), "<b> in <description>", True),
    "flag": (PV.format("<latching>yes</latching>"), "/A/X: <latching> should be true or false, not 'yes'", True),
    "date": (PV.format("<enabled>tomorrow</enabled>"), "a time like 2031-12-03T10:15:30, not 'tomorrow'", True),
    "no such date": (PV.format("<enabled>2031-02-30T10:00:00</enabled>"), "not '2031-02-30T10:00:00'", True),
    "day only": (PV.format("<enabled>2031-02-20</enabled>"), "not '2031-02-20'", True),
    "delay": (PV.format("\n\n<delay>5 s</delay>"), "4: /A/X: <delay> should be a number from 0 on, not '5 s'", True),
    "negative": (PV.format("<delay>-1</delay>"), "<delay> should be a number from 0 on, not '-1'", True),
    "nan": (PV.format("<count>NaN</count>"), "<count> should be a number", True),
    "huge": (PV.format("<count>3e9</count>"), "<count> should be a number", False),
    "underscores": (PV.format("<count>1_0</count>"), "<count> should be a number", True),
    "twice": (PV.format("<delay>1</delay>\n<delay>2</delay>"), "3: /A/X: <delay> is there twice", False),
    "two titles": (PV.format("<display><title/><title/></display>"), "<title> is there twice", True),
    "pv twice": ('<pv name="X"/>\n<component name="c"><pv name="X"/></component>', "3: /A/c: the PV X is in", True),
    "pv twice, in two spellings": ('<pv name="X"/><pv name="ca://X"/>', "/A: the PV X is in the tree already", False),
    "area twice": ('<component name="c"/><component name="c"/>', "/A/c: there already is one of this name", True),
    "area and pv": ('<component name="c"/><pv name="c"/>', "2: /A/c: there already is one", True),
    "filter": (PV.format("<filter>a &gt;</filter>"), "/A/X: filter 'a >': column 4: it ends", False),
    "action": (PV.format("<automated_action><details>rm -rf /</details></automated_action>"), "unknown action", False),
    "no action": ("<automated_action/>", "1: /A: action '': unknown action; known: mailto:", False),
    "mail": (PV.format("<automated_action><details>mailto:me</details></automated_action>"), "no mail address", False),
    "webhook": ("<automated_action><details>webhook:file:///etc</details></automated_action>", "no address of", False),
    "sevrpv": ("<automated_action><details>sevrpv:pva://x</details></automated_action>", "pva:// cannot be", False),
    "cmd": ("<automated_action><details>cmd:x 'y</details></automated_action>", "no closing quotation", False),
    "action delay": ("<automated_action><delay>x</delay></automated_action>", "<delay> should be", True),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken(schema, what):
    inner, reason, structural = BROKEN[what]
    found = problems(config(inner).encode())
    assert any(reason in one for one in found), found
    assert all(one.startswith("alarms.xml:") for one in found)
    assert schema.is_valid(config(inner)) is not structural


NO_XML = {
    "nothing": (b"", "alarms.xml:1: no XML: no element found"),
    "text": (b"hello", "no XML: syntax error"),
    "not closed": (b"<config name='A'>\n<pv name='X'>\n</config>", "alarms.xml:3: no XML: mismatched tag"),
    "two roots": (b"<config name='A'/>\n<config name='A'/>", "alarms.xml:2: no XML: junk after document element"),
    "bytes": (b"<config name='\xff\xfe'/>", "no XML: not well-formed"),
    "attribute twice": (b"<config name='A' name='B'/>", "no XML: duplicate attribute"),
    "control character": (b"<config name='A'>&#1;</config>", "no XML: reference to invalid character number"),
    "null": (b"<config name='A'>\0</config>", "no XML"),
    "prefix": (b"<config name='A'><x:y/></config>", "no XML: unbound prefix"),
    "encoding": (b"<?xml version='1.0' encoding='klingon'?><config name='A'/>", "no XML: unknown encoding"),
    "multi-byte encoding": (b"<?xml version='1.0' encoding='euc-jp'?><config name='A'/>", "no XML"),
    "other root": (b"\n<alarms name='A'/>", "alarms.xml:2: the file's element should be <config>, not <alarms>"),
    "no name": (b"<config/>", "alarms.xml:1: <config> without a name"),
    "other name": (b"<config name='B'/>", "alarms.xml:1: /A: the file is of the configuration 'B', not 'A'"),
    "deep": (b"<config name='A'>" + b"<component name='a'>" * 100, f"deeper than {MAX_DEPTH}"),
    "very deep": (b"<a>" * 1_000_000, "deeper than"),
}


@pytest.mark.parametrize("what", NO_XML)
def test_no_xml(what):
    content, reason = NO_XML[what]
    found = problems(content)
    assert len(found) == 1 and reason in found[0], found


LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE config [
  <!ENTITY a "ha">
  <!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
  <!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
]>
<config name="A"><pv name="X"><description>&c;</description></pv></config>"""

ENTITIES = {
    "laughs": (LAUGHS, "alarms.xml:3: entities are not taken, and 'a' is one"),
    "file": ('<!DOCTYPE config [\n<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<config name="A">&x;</config>', ":2: ent"),
    "address": ('<!DOCTYPE c [<!ENTITY x PUBLIC "a" "http://127.0.0.1:9/x">]><config name="A"/>', ":1: entities"),
    "parameter": ('<!DOCTYPE c [<!ENTITY % x "y">]><config name="A"/>', ":1: entities are not taken, and 'x'"),
    "external DTD": ('<!DOCTYPE config SYSTEM "http://127.0.0.1:9/x.dtd"><config name="A"/>', ":1: a DTD of another"),
    "public DTD": ('<!DOCTYPE config PUBLIC "x" "x.dtd"><config name="A"/>', ":1: a DTD"),
    "unknown": ('<config name="A"><pv name="X"><description>&nbsp;</description></pv></config>', "undefined entity"),
    "default": ('<!DOCTYPE c [<!ATTLIST pv\nname CDATA "x">]><config name="A"/>', "with a default are not taken"),
    "notation": ('<!DOCTYPE c [<!ENTITY x SYSTEM "y" NDATA z>]><config name="A"/>', "entities"),
}  # fmt: skip


@pytest.mark.parametrize("what", ENTITIES)
def test_entities_and_other_files(what):
    content, reason = ENTITIES[what]
    found = problems(content.encode())
    assert len(found) == 1 and reason in found[0], found


def test_what_is_wrong_is_told_all_at_once():
    second = "<component name='c'><pv name='X'><count>b</count><filter>(</filter></pv></component>"
    content = config(f'<pv name="X"><delay>a</delay></pv>\n{second}\n<foo/>')
    found = problems(content.encode(), "B")
    assert [line.split(":")[1] for line in found] == ["1", "2", "3", "3", "3", "4"], found


def test_thousands_of_problems_are_counted():
    found = problems(config("<foo/>" * 5000).encode())
    assert len(found) == MAX_PROBLEMS + 1 and found[-1] == f"and {5000 - MAX_PROBLEMS:,} more"


def test_files_that_cannot_be_read(tmp_path):
    assert "can't be read: No such file or directory" in problems(tmp_path / "gone.xml")[0]
    assert "can't be read: Is a directory" in problems(tmp_path)[0]


def test_compatible_leaves_a_pv_out_the_second_time():
    content = config('<pv name="X"/><component name="c"><pv name="ca://X"/><pv name="Y"/></component>').encode()
    found = read_xml(content, "A", compatible=True)
    assert [item.path for item in found.items] == ["/A/X", "/A/c", "/A/c/Y"]
    assert "left out here" in found.warnings[0]


@pytest.mark.parametrize(
    ("inner", "warning"),
    [
        ('<pv name="pva://X"/>', "/A/pva:\\/\\/X: PVs of pva:// are not watched"),
        ('<pv name="sim://sine"/>', "PVs of sim:// are not watched"),
        (PV.format("<count>3</count>"), "/A/X: a count of 3 without a delay"),
        (PV.format("<filter>a || b &amp;&amp; c</filter>"), "left to the right"),
        (PV.format("<automated_action><details>sevrpv:Y</details></automated_action>"), "only areas write"),
        ("<tags><title>a</title><details>b</details></tags>", "<tags> are not kept"),
    ],
)
def test_what_is_strange_is_taken_with_a_warning(inner, warning):
    found = read_xml(config(inner).encode(), "A")
    assert len(found.warnings) == 1 and warning in found.warnings[0]
    assert found.warnings[0].startswith("alarms.xml:2: ")


GOOD = config('<component name="c"><guidance><title>a</title></guidance><pv name="X"><delay>5</delay></pv></component>')


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_nothing_but_config_error(data):
    text = GOOD
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.one_of(st.text("<>/&;\"'= abX!?-[]\\\0é", max_size=6), st.sampled_from(["<pv", "]]>", "<!--"]))
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 6)) :]
    refused_or_read(text.encode())


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=80))
def test_nothing_but_config_error_for_bytes(content):
    refused_or_read(content)
    refused_or_read(b"<?xml version='1.0' encoding='" + content)


def refused_or_read(content: bytes) -> None:
    try:
        read_xml(content, "A")
    except ConfigError as error:
        assert error.problems and all(one.startswith("alarms.xml:") for one in error.problems)
