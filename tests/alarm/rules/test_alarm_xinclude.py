"""Alarm files that include others: what is below their folder, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from alarm_files import config, problems

from iocs.alarm.files.xmlfile import MAX_PROBLEMS, read_xml

DTD = "<!DOCTYPE component [<!ATTLIST component id ID #IMPLIED>]>"
XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'


def include(href: str, more: str = "") -> str:
    return f'<xi:include {XI} href="{href}" {more}/>'


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_inclusion(tmp_path, schema):
    write(tmp_path / "parts" / "pumps.xml", f'<component name="Pumps">{include("more%20of/one.xml")}</component>')
    write(tmp_path / "parts" / "more of" / "one.xml", '<pv name="P:1"/>')
    ids = f'{DTD}<config name="A"><component name="G" id="gauges"><pv name="G:1"/></component></config>'
    write(tmp_path / "ids.xml", ids)
    write(tmp_path / "xmlid.xml", '<config name="x"><pv name="Z" xml:id="z"/></config>')
    pointers = include("ids.xml", 'xpointer="gauges"') + include("xmlid.xml", 'xpointer="z"')
    text = config(include("parts/pumps.xml") + pointers)
    found = read_xml(write(tmp_path / "main.xml", text), "A")
    assert [item.path for item in found.items] == ["/A/Pumps", "/A/Pumps/P:1", "/A/G", "/A/G/G:1", "/A/Z"]
    schema.validate(text)


INCLUSIONS = {
    "outside": (include("../secret.xml"), "'../secret.xml' is outside of the folder"),
    "outside, encoded": (include("%2e%2e/secret.xml"), "outside of the folder"),
    "outside, back again": (include("../in/../secret.xml"), "outside of the folder"),
    "symlink": (include("link.xml"), "outside of the folder"),
    "absolute": (include("/etc/passwd"), "is not relative to this file"),
    "file://": (include("file:///etc/passwd"), "is no file of this folder"),
    "http://": (include("http://127.0.0.1:9/x.xml"), "is no file of this folder"),
    "//host": (include("//127.0.0.1/x.xml"), "is no file of this folder"),
    "no href": (f"<xi:include {XI}/>", "is no file of this folder"),
    "bad address": (include("http://[x"), "is no file of this folder"),
    "null": (include("a%00b.xml"), "is no file of this folder"),
    "gone": (include("gone.xml"), "there is no file"),
    "folder": (include("."), "there is no file"),
    "fifo": (include("fifo"), "there is no file"),
    "itself": (include("main.xml"), "main.xml includes itself"),
    "a circle": (include("circle1.xml"), "circle1.xml includes itself"),
    "no xml": (include("text.txt"), "text.txt:1: no XML"),
    "entity": (include("entity.xml"), "entity.xml:1: entities are not taken"),
    "text": (include("text.txt", 'parse="text"'), "only XML is included"),
    "fallback": (f'<xi:include {XI} href="gone.xml"><xi:fallback/></xi:include>', "a fallback is not known"),
    "no such id": (include("plain.xml", 'xpointer="z"'), "plain.xml has no element of the id 'z'"),
    "id of no type": (include("plain.xml", 'xpointer="plain"'), "has no element of the id 'plain'"),
    "a whole file": (include("config.xml"), "config.xml:1: /A: <config> is unknown"),
    "wrong inside": (include("wrong.xml"), "wrong.xml:2: /A/W/X: <delay> should be"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "secret.xml", '<component name="secret"/>')
    inside = tmp_path / "in"
    write(inside / "circle1.xml", f'<component name="a">{include("circle2.xml")}</component>')
    write(inside / "circle2.xml", f'<component name="b">{include("circle1.xml")}</component>')
    write(inside / "text.txt", "root:x:0:0")
    write(inside / "entity.xml", '<!DOCTYPE a [<!ENTITY x "y">]><component name="&x;"/>')
    write(inside / "plain.xml", '<component name="p" id="plain"/>')
    write(inside / "config.xml", '<config name="A"/>')
    write(inside / "wrong.xml", '<component name="W">\n<pv name="X"><delay>x</delay></pv></component>')
    (inside / "link.xml").symlink_to("../secret.xml")
    os.mkfifo(inside / "fifo")
    return inside


@pytest.mark.parametrize("what", INCLUSIONS)
def test_refused_inclusions(folder, what):
    inner, reason = INCLUSIONS[what]
    found = problems(write(folder / "main.xml", config(inner)))
    assert any(reason in one for one in found), found
    assert "secret" not in "".join(one for one in found if "outside" not in one)


def test_only_files_include():
    assert "only files can include others" in problems(config(include("x.xml")).encode())[0]


def test_a_bomb_of_inclusions(tmp_path):
    """10^9 inclusions would never end."""
    for level in range(9):
        inner = include(f"{level + 1}.xml") * 10
        write(tmp_path / f"{level}.xml", f'<component name="c{level}">{inner}</component>')
    write(tmp_path / "9.xml", '<pv name="X"/>')
    found = problems(write(tmp_path / "main.xml", config(include("0.xml"))))
    assert any("more than 1000 inclusions" in one for one in found) and len(found) <= MAX_PROBLEMS + 1


def test_files_that_include_files_too_deep(tmp_path):
    for level in range(30):
        write(tmp_path / f"{level}.xml", f'<component name="c">{include(f"{level + 1}.xml")}</component>')
    found = problems(write(tmp_path / "main.xml", config(include("0.xml"))))
    assert any("more than 10 deep" in one for one in found)
