"""Records as Phoebus writes and reads them: keys, order of keys, defaults, local dates, and what is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phoebus_client import CONFIG_ORDER, LOGGER_KEYS

from iocs.alarm.kafka.dates import local_text, read_local
from iocs.alarm.kafka.reading import (
    VALUE_LIMIT,
    BadRecord,
    ConfigRecord,
    DeleteRecord,
    check_path,
    config_key,
    decode_command,
    decode_config,
    decode_state,
)
from iocs.alarm.kafka.records import (
    encode_area_state,
    encode_command,
    encode_config,
    encode_delete,
    encode_leaf_state,
    encode_talk,
    make_key,
)
from iocs.alarm.tree.events import Annunciation, Person, State
from iocs.alarm.tree.items import Action, AreaConfig, Item, LeafConfig, Link
from iocs.alarm.tree.severity import AlarmSeverity

FRED = Person("fred", "cons1")
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LEAF = "/Accelerator/Vac/V:P1"


def decoded(value: bytes, path: str = LEAF, previous: LeafConfig | None = None) -> ConfigRecord:
    found = decode_config(path, value, now=NOW, zone=BERLIN, previous=previous)
    assert isinstance(found, ConfigRecord)
    return found


def of(**content: object) -> bytes:
    return json.dumps(content).encode()


def test_a_configuration_as_phoebus_writes_it() -> None:
    config = LeafConfig(
        description="Tank pressure high",
        enabled=False,
        disabled_until=datetime(2026, 11, 20, 17, 30, tzinfo=UTC),
        latching=False,
        annunciating=False,
        delay=10,
        count=5,
        filter="'Mode:Beam' > 0",
        guidance=(Link("What to do", "Call RF"),),
        displays=(Link("Vac", "/opi/vac.bob?P=X"),),
        commands=(Link("xterm", "xterm"),),
        actions=(Action("mail", "mailto:a@b.c", 60),),
    )
    assert encode_config(Item(LEAF, config), FRED, BERLIN).decode() == (
        '{"user":"fred","host":"cons1","description":"Tank pressure high","enabled":"2026-11-20T18:30:00",'
        '"latching":false,"annunciating":false,"delay":10,"count":5,"filter":"\'Mode:Beam\' > 0",'
        '"guidance":[{"title":"What to do","details":"Call RF"}],'
        '"displays":[{"title":"Vac","details":"/opi/vac.bob?P=X"}],'
        '"commands":[{"title":"xterm","details":"xterm"}],'
        '"actions":[{"title":"mail","details":"mailto:a@b.c","delay":60}]}'
    )
    assert decoded(encode_config(Item(LEAF, config), FRED, BERLIN)) == ConfigRecord(Item(LEAF, config), FRED)


@pytest.mark.parametrize(
    "config, text",
    [
        (LeafConfig(), '{"user":"fred","host":"cons1","description":""}'),
        (LeafConfig("x", enabled=False), '{"user":"fred","host":"cons1","description":"x","enabled":false}'),
        (AreaConfig(), '{"user":"fred","host":"cons1"}'),
        (
            AreaConfig(displays=(Link("µ", "a/b"),)),
            '{"user":"fred","host":"cons1","displays":[{"title":"µ","details":"a/b"}]}',
        ),
    ],
)
def test_what_has_its_default_is_not_written(config: LeafConfig | AreaConfig, text: str) -> None:
    assert encode_config(Item(LEAF, config), FRED).decode() == text
    assert decoded(text.encode()).item.config == config


def test_a_shelf_is_a_date_until_which_it_is_disabled() -> None:
    until = datetime(2026, 7, 1, 10, tzinfo=UTC)
    value = json.loads(encode_config(Item(LEAF, LeafConfig("x")), FRED, BERLIN, until))
    assert value["enabled"] == "2026-07-01T12:00:00"
    disabled = json.loads(encode_config(Item(LEAF, LeafConfig("x", enabled=False)), FRED, BERLIN, until))
    assert disabled["enabled"] is False


def test_states_as_phoebus_writes_them() -> None:
    alarm = State(AlarmSeverity.MAJOR, "HIHI_ALARM", "10.0", 1763650000123000000)
    full = encode_leaf_state(alarm, AlarmSeverity.MINOR, "HIGH_ALARM", latch=True, maintenance=True, notify=False)
    assert full.decode() == (
        '{"severity":"MAJOR","latch":true,"message":"HIHI_ALARM","value":"10.0",'
        '"time":{"seconds":1763650000,"nano":123000000},'
        '"current_severity":"MINOR","current_message":"HIGH_ALARM","mode":"maintenance","notify":false}'
    )
    plain = encode_leaf_state(alarm, AlarmSeverity.MINOR, "HIGH_ALARM")
    assert not {"latch", "mode", "notify"} & set(json.loads(plain))
    found = decode_state(plain)
    assert not isinstance(found, AlarmSeverity)
    assert (found.alarm, found.current_severity, found.current_message) == (alarm, AlarmSeverity.MINOR, "HIGH_ALARM")
    assert encode_area_state(AlarmSeverity.OK).decode() == '{"severity":"OK"}'
    assert (
        encode_area_state(AlarmSeverity.UNDEFINED_ACK, maintenance=True, notify=False).decode()
        == '{"severity":"UNDEFINED_ACK","mode":"maintenance","notify":false}'
    )
    assert decode_state(b'{"severity":"MINOR_ACK","mode":"maintenance"}') is AlarmSeverity.MINOR_ACK


def test_the_others_as_phoebus_writes_them() -> None:
    said = Annunciation(LEAF, AlarmSeverity.MAJOR, "MAJOR Alarm: Tank pressure", False, 0)
    assert encode_talk(said).decode() == '{"standout":false,"severity":"MAJOR","talk":"MAJOR Alarm: Tank pressure"}'
    assert encode_delete(FRED).decode() == '{"user":"fred","host":"cons1","delete":"Deleting"}'
    assert encode_command("acknowledge", FRED).decode() == '{"user":"fred","host":"cons1","command":"acknowledge"}'
    assert make_key("config", r"/Accelerator/Main/sim:\/\/sine") == rb"config:/Accelerator/Main/sim:\/\/sine"
    assert config_key(rb"config:/Accelerator/Main/sim:\/\/sine", "Accelerator") == (
        "config",
        r"/Accelerator/Main/sim:\/\/sine",
    )
    found = decode_config(LEAF, encode_delete(FRED), now=NOW)
    assert found == DeleteRecord(LEAF, FRED)
    command = decode_command(b"whatever:/A/b:c", encode_command("acknowledge", FRED))
    assert (command.command, command.path, command.who) == ("acknowledge", "/A/b:c", FRED)


def test_keys_that_are_not_known_are_passed_over() -> None:
    value = of(user="u", host="h", description="d", new=[1], guidance=[{"title": "t", "details": "d", "new": 1}])
    assert decoded(value).item.config == LeafConfig("d", guidance=(Link("t", "d"),))


def test_displays_lose_an_old_prefix() -> None:
    value = of(user="u", host="h", displays=[{"title": "t", "details": "opi:/a.opi"}])
    assert decoded(value).item.config == AreaConfig(displays=(Link("t", "/a.opi"),))


def test_dates() -> None:
    past, future = "2026-11-20T12:59:59", "2026-11-20T13:00:01"
    assert decoded(of(description="d", enabled=past)).item.config == LeafConfig("d")
    later = decoded(of(description="d", enabled=future)).item.config
    assert later == LeafConfig("d", enabled=False, disabled_until=NOW + timedelta(seconds=1))
    kept = LeafConfig("old", enabled=False, disabled_until=NOW + timedelta(hours=1))
    found = decoded(of(description="d", enabled="tomorrow"), previous=kept)
    assert found.item.config == LeafConfig("d", enabled=False, disabled_until=NOW + timedelta(hours=1))
    assert "tomorrow" in found.warnings[0]
    # in autumn an hour comes twice, and the first is meant; in spring one is left out
    assert read_local("2026-10-25T02:30:00", BERLIN) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert read_local("2026-03-29T02:30", BERLIN) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert local_text(datetime(2026, 7, 1, 10, 0, 0, 500000, tzinfo=UTC), BERLIN) == "2026-07-01T12:00:00.5"
    for text in ("", "2026-11-20", "2026-13-01T00:00:00", "2026-11-20T18:30:00Z", "2026-11-20T18:30:00+01:00", "٢٠٢٦"):
        with pytest.raises(ValueError):
            read_local(text, BERLIN)


@pytest.mark.parametrize(
    "value, reason",
    [
        (b"", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"\xff{}", "not JSON"),
        (b'{"description":"\xff"}', "not JSON"),
        (b'{"description":"x","delay":NaN}', "not JSON"),
        (b'{"description":"x","delay":1e999}', "JSON|delay"),
        (b"[" * 200_000, "not JSON"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "not JSON"),
        (b'{"description":"' + b"x" * VALUE_LIMIT + b'"}', "larger than"),
        (of(description=None), "description"),
        (of(description=3), "description"),
        (of(description="x", enabled=1), "enabled"),
        (of(description="x", latching="false"), "latching"),
        (of(description="x", delay=1.5), "delay"),
        (of(description="x", delay=-1), "delay"),
        (of(description="x", delay=True), "delay"),
        (of(description="x", delay=10**30), "delay"),
        (of(description="x", filter=[]), "filter"),
        (of(description="x", guidance={}), "guidance"),
        (of(description="x", guidance=["a"]), "guidance"),
        (of(description="x", guidance=[{"title": 1}]), "guidance"),
        (of(description="x", guidance=[{}] * 1000), "guidance"),
        (of(description="x", actions=[{"title": "", "details": "", "delay": "9"}]), "actions"),
        (of(description="x", user=1), "user and host"),
        (of(description="x", severity="OK"), "severity"),
        (b'{"description":"\\ud800"}', "JSON|Unicode"),
    ],
)
def test_what_is_no_configuration(value: bytes, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        decode_config(LEAF, value, now=NOW)


@pytest.mark.parametrize(
    "key, reason",
    [
        (None, "no key"),
        (b"", "no colon"),
        (b"config", "no colon"),
        (b"\xff:/Accelerator/x", "UTF-8"),
        (b"other:/Accelerator/x", "kind"),
        (b"config:", "path"),
        (b"config:Accelerator/x", "path"),
        (b"config:/", "path"),
        (b"config:/Other/x", "root"),
        (b"config:/Accelerator//x", "plain"),
        (b"config:/Accelerator/x/", "plain"),
        (b"config:/Accelerator/x\ny", "plain"),
        (b"config:/Accelerator" + b"/x" * 100, "deep"),
        (b"config:/Accelerator/" + b"x" * 1500, "characters"),
        (b"config:/Accelerator/" + b"x" * 100_000, "bytes"),
    ],
)
def test_what_is_no_key(key: bytes | None, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        config_key(key, "Accelerator")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"{}",
        of(user="u", host="h"),
        of(command=""),
        of(command=1),
        of(command="x" * 1000),
        of(command="ack\n"),
        of(command="ack", user=[]),
        b"\xff",
    ],
)
def test_what_is_no_command(value: bytes | None) -> None:
    with pytest.raises(BadRecord):
        decode_command(b"command:/A", value)


@pytest.mark.parametrize(
    "value",
    [
        b"{}",
        of(severity="NO_ALARM"),
        of(severity="OK", current_severity="OK"),
        of(
            severity="OK",
            current_severity="OK",
            message="",
            value=1.0,
            time={"seconds": 0, "nano": 0},
            current_message="",
        ),
        of(
            severity="OK",
            current_severity="OK",
            message="",
            value="",
            time={"seconds": 0.5, "nano": 0},
            current_message="",
        ),
        of(severity="OK", current_severity="OK", message="", value="", time=5, current_message=""),
        of(severity=[], current_severity="OK"),
    ],
)
def test_what_is_no_state(value: bytes) -> None:
    with pytest.raises(BadRecord):
        decode_state(value)


# -- anything ----------------------------------------------------------------------------------------------------------

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\n\t"), max_size=20)
links = st.lists(st.builds(Link, text, text.filter(lambda one: not one.startswith("opi:"))), max_size=3).map(tuple)
actions = st.lists(st.builds(Action, text, text, st.integers(0, 10_000_000)), max_size=3).map(tuple)
until = st.datetimes(datetime(2027, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
times = until.filter(lambda one: read_local(local_text(one, BERLIN), BERLIN) == one)
areas = st.builds(AreaConfig, links, links, links, actions)


def _leaf(dated: datetime | None, enabled: bool, **others: object) -> LeafConfig:
    return LeafConfig(enabled=enabled and dated is None, disabled_until=dated, **others)  # pyright: ignore[reportArgumentType]


leaves = st.builds(
    _leaf,
    dated=st.none() | times,
    enabled=st.booleans(),
    description=text,
    latching=st.booleans(),
    annunciating=st.booleans(),
    delay=st.integers(0, 10_000_000),
    count=st.integers(0, 10_000_000),
    filter=text,
    guidance=links,
    displays=links,
    commands=links,
    actions=actions,
)
persons = st.builds(Person, text.map(str.strip).map(lambda one: one.replace("\n", "").replace("\t", "")), st.just("h"))


@given(leaves | areas, persons)
def test_every_configuration_comes_back(config: LeafConfig | AreaConfig, who: Person) -> None:
    value = encode_config(Item(LEAF, config), who, BERLIN)
    assert decoded(value) == ConfigRecord(Item(LEAF, config), who)
    content = json.loads(value)
    assert set(content) <= LOGGER_KEYS
    assert list(content) == [key for key in CONFIG_ORDER if key in content]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(LOGGER_KEYS)), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(LOGGER_KEYS)), json_values, max_size=8) | json_values)
def test_any_json_is_read_or_refused(content: object) -> None:
    value = json.dumps(content).encode()
    for read in (
        lambda: decode_config(LEAF, value, now=NOW, zone=BERLIN),
        lambda: decode_state(value),
        lambda: decode_command(b"command:/A", value),
    ):
        try:
            read()
        except BadRecord as error:
            assert str(error)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(key: bytes, value: bytes) -> None:
    for read in (
        lambda: config_key(key, "Accelerator"),
        lambda: decode_config(LEAF, value, now=NOW),
        lambda: decode_state(value),
        lambda: decode_command(key, value),
    ):
        try:
            read()
        except BadRecord as error:
            assert str(error)


@given(st.text(max_size=30))
def test_any_path_is_plain_or_refused(path: str) -> None:
    try:
        check_path(path, "Accelerator")
    except BadRecord:
        return
    assert config_key(make_key("config", path), "Accelerator") == ("config", path)


@given(st.text(st.characters(), max_size=10))
def test_half_characters_do_not_stop_a_record(value: str) -> None:
    said = encode_talk(Annunciation(LEAF, AlarmSeverity.OK, value, False, 0))
    assert isinstance(json.loads(said)["talk"], str)
