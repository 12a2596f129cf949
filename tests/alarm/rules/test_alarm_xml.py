"""Alarm files: round trips, byte for byte; defaults; the schema with a validator that is not ours."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from item_strategies import trees

from iocs.alarm.files.xmlfile import read_xml, write_xml
from iocs.alarm.tree.items import Action, AreaConfig, ConfigError, Extras, Item, LeafConfig, Link

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
PHOEBUS = """<?xml version="1.0" encoding="UTF-8"?>
<config name="Accelerator">
  <guidance>
    <title>Who</title>
    <details>control room, x1234</details>
  </guidance>
  <component name="Vacuum">
    <guidance>
      <title>Contacts</title>
      <details>a &lt; b &amp;&amp; "c" &gt; 'd'
second line	after a tab</details>
    </guidance>
    <display>
      <title></title>
      <details>vac.bob?P=X</details>
    </display>
    <command>
      <title>xterm</title>
      <details>xterm -e "top"</details>
    </command>
    <automated_action>
      <title>severity</title>
      <details>sevrpv:VAC:Sevr</details>
      <delay>0</delay>
    </automated_action>
    <pv name="VAC:P1">
      <description>*!Pressure &lt; 1e-6 mbar, µ</description>
      <enabled>true</enabled>
      <latching>true</latching>
      <annunciating>true</annunciating>
      <delay>4</delay>
      <count>5</count>
      <filter>'Mode:Beam' &gt; 0 &amp;&amp; x != 1</filter>
      <automated_action>
        <title>mail</title>
        <details>mailto:x@y.example</details>
        <delay>60</delay>
      </automated_action>
    </pv>
    <component name="Sub &quot;area&quot; &lt;1&gt; / 2">
    </component>
    <pv name="ca://VAC:P2{a}">
      <enabled>false</enabled>
      <latching>false</latching>
      <annunciating>false</annunciating>
    </pv>
    <component name="Pumps">
      <pv name="VAC:Pump:1">
        <enabled>true</enabled>
        <latching>false</latching>
        <annunciating>true</annunciating>
      </pv>
    </component>
  </component>
</config>
""".encode()
"""As Phoebus' writer makes it: indentation, order, escapes, empty elements."""


@pytest.fixture(scope="module", autouse=True)
def _utc() -> Iterator[None]:
    yield from zone("UTC")


def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_a_file_of_phoebus_comes_back_byte_for_byte(schema):
    found = read_xml(PHOEBUS, "Accelerator")
    assert write_xml(found.items, "Accelerator") == PHOEBUS
    assert write_xml(found.items, "Accelerator", compatible=True) == PHOEBUS
    schema.validate(PHOEBUS.decode().split("\n", 1)[1])
    paths = [item.path for item in found.items]
    vacuum = "/Accelerator/Vacuum"
    assert paths == [
        "/Accelerator", vacuum, f"{vacuum}/VAC:P1", f'{vacuum}/Sub "area" <1> \\/ 2', f"{vacuum}/ca:\\/\\/VAC:P2{{a}}",
        f"{vacuum}/Pumps", f"{vacuum}/Pumps/VAC:Pump:1",
    ]  # fmt: skip
    assert found.items[2] == Item(
        f"{vacuum}/VAC:P1",
        LeafConfig(
            description="*!Pressure < 1e-6 mbar, µ",
            delay=4,
            count=5,
            filter="'Mode:Beam' > 0 && x != 1",
            actions=(Action("mail", "mailto:x@y.example", 60),),
        ),
    )
    assert found.items[1].config.guidance[0].details == "a < b && \"c\" > 'd'\nsecond line\tafter a tab"
    assert found.items[1].config.displays == (Link("", "vac.bob?P=X"),)
    assert found.warnings == ()


def test_an_empty_tree(schema):
    empty = b'<?xml version="1.0" encoding="UTF-8"?>\n<config name="A">\n</config>\n'
    assert write_xml([], "A") == empty
    assert read_xml(empty, "A").items == ()
    schema.validate(empty.decode().split("\n", 1)[1])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(trees())
def test_whatever_is_configured_comes_back(schema, items):
    content = write_xml(items, "S")
    schema.validate(content.decode().split("\n", 1)[1])
    found = read_xml(content, "S")
    assert list(found.items) == items
    assert write_xml(found.items, "S") == content


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(trees())
def test_compatible_loses_only_dates(items):
    back = read_xml(write_xml(items, "S", compatible=True), "S").items
    for item, other in zip(items, back, strict=True):
        if isinstance(item.config, LeafConfig) and item.config.disabled_until is not None:
            assert isinstance(other.config, LeafConfig)
            assert other.config.disabled_until is None and not other.config.enabled
        else:
            assert item == other


def alarm(inner: str) -> LeafConfig:
    found = read_xml(f'<config name="A"><pv name="X">{inner}</pv></config>'.encode(), "A").items[0].config
    assert isinstance(found, LeafConfig)
    return found


def test_defaults_are_those_of_files_not_of_records():
    assert alarm("") == LeafConfig(enabled=True, latching=True, annunciating=False)
    assert alarm("<enabled/><latching/><delay/><count> </count>") == LeafConfig(annunciating=False)


@pytest.mark.parametrize(
    ("inner", "field", "value"),
    [
        ("<enabled>false</enabled>", "enabled", False),
        ("<enabled> TRUE\n</enabled>", "enabled", True),
        ("<latching>False</latching>", "latching", False),
        ("<annunciating>true</annunciating>", "annunciating", True),
        ("<delay>4.9</delay>", "delay", 4),
        ("<delay>1e1</delay>", "delay", 10),
        ("<count>5</count>", "count", 5),
        ("<description><![CDATA[a <b>]]> c<!-- no --> d</description>", "description", "a <b> c d"),
        ("<filter>\n a &gt; 0 </filter>", "filter", "\n a > 0 "),
    ],
)
def test_how_values_are_written(inner, field, value):
    assert getattr(alarm(inner), field) == value


@pytest.mark.parametrize(
    ("name", "text", "until"),
    [
        ("UTC", "2031-12-03T10:15:30", datetime(2031, 12, 3, 10, 15, 30, tzinfo=UTC)),
        (BERLIN, "2031-12-03T10:15:30", datetime(2031, 12, 3, 9, 15, 30, tzinfo=UTC)),
        (
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "2031-07-03T10:15:30.250000",
            datetime(2031, 7, 3, 8, 15, 30, 250000, tzinfo=UTC),
        ),
        ("PST8", "2031-07-03T10:15:00", datetime(2031, 7, 3, 18, 15, tzinfo=UTC)),
    ],
)
def test_disabled_until_is_a_local_time(name, text, until):
    inner = f"<enabled>{text}</enabled>"
    for _ in zone(name):
        config = alarm(inner)
        assert (config.enabled, config.disabled_until) == (False, until)
        assert f"<enabled>{text}</enabled>".encode() in write_xml([Item("/A/X", config)], "A")
        assert b"<enabled>false</enabled>" in write_xml([Item("/A/X", config)], "A", compatible=True)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2031-12-03T10:15:30+01:00", datetime(2031, 12, 3, 9, 15, 30, tzinfo=UTC)),
        ("2031-12-03T10:15", datetime(2031, 12, 3, 10, 15, tzinfo=UTC)),
        ("2031-12-03T10:15:30.123456789Z", datetime(2031, 12, 3, 10, 15, 30, 123456, tzinfo=UTC)),
    ],
)
def test_a_time_may_have_a_zone_or_no_seconds(text, until):
    assert alarm(f"<enabled>{text}</enabled>").disabled_until == until


@pytest.mark.parametrize(
    ("encoding", "codec"), [("utf8", "utf-8"), ("utf-8", "utf-8-sig"), ("ISO-8859-1", "latin-1"), ("UTF-16", "utf-16")]
)
def test_encodings(encoding, codec):
    content = f"<?xml version='1.0' encoding='{encoding}'?><config name='A'><pv name='µ'/></config>".encode(codec)
    assert read_xml(content, "A").items[0].path == "/A/µ"


def test_areas_that_are_not_items_are_made_and_extras_are_left_out():
    leaf = LeafConfig(annunciating=False)
    items = [Item("/A/b/c/X", leaf, Extras(priority="high")), Item("/A/d/Y", leaf), Item("/A/b/Z", leaf)]
    back = read_xml(write_xml(items, "A"), "A").items
    assert [item.path for item in back] == ["/A/b", "/A/b/c", "/A/b/c/X", "/A/b/Z", "/A/d", "/A/d/Y"]
    assert all(item.extras == Extras() for item in back)


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([Item("/B/X", LeafConfig())], "/B/X: is not below /A"),
        ([Item("no path", LeafConfig())], "does not begin with '/'"),
        ([Item("/A/X", LeafConfig()), Item("/A/X", LeafConfig())], "/A/X: is there twice"),
        ([Item("/A/X", LeafConfig()), Item("/A/X/Y", LeafConfig())], "/A/X: has items below it, and is an alarm"),
        ([Item("/A", LeafConfig())], "/A: the root is no alarm"),
        ([Item("/A/X", LeafConfig(description="a\x00"))], "/A/X: XML has no character U+0000"),
        ([Item("/A/\x1b", AreaConfig())], "XML has no character U+001B"),
        ([Item("/A/X", LeafConfig(guidance=(Link("\ud800", ""),)))], "/A/X: XML has no character U+D800"),
    ],
)
def test_what_no_file_can_hold_is_refused(items, reason):
    with pytest.raises(ConfigError) as caught:
        write_xml(items, "A")
    assert any(reason in problem for problem in caught.value.problems), caught.value.problems


def test_many(tmp_path: Path):
    """10,000 alarms there and back; a quadratic step would take minutes."""
    items = [Item(f"/S/sys{n % 100}/obj{n % 2000}/P:{n}", LeafConfig(description=f"Number {n}")) for n in range(10_000)]
    content = write_xml(items, "S")
    path = tmp_path / "many.xml"
    path.write_bytes(content)
    found = read_xml(path, "S")
    assert sum(isinstance(item.config, LeafConfig) for item in found.items) == 10_000
    assert write_xml(found.items, "S") == content
