"""The bridge with a real broker, and a desktop that knows Phoebus' rules only."""

from __future__ import annotations

import kafka_server
import pytest
from kafka_stand import OPERATOR, T0, alarm, fresh_tree, stand

from iocs.alarm.items import AreaConfig, Item, LeafConfig, Link


@pytest.fixture(scope="module")
def servers() -> str:
    return kafka_server.broker().servers


async def test_a_latched_alarm_from_rise_to_acknowledgement(servers: str) -> None:
    name = fresh_tree()
    path = f"/{name}/Vac/V:P1"
    items = [
        Item(f"/{name}/Vac", AreaConfig(guidance=(Link("Contacts", "x1234"),))),
        alarm(path, description="Tank pressure", delay=0),
    ]
    async with stand(servers, name, *items) as it:
        desktop = it.desktop
        await it.settled()
        assert desktop.configs == {
            f"/{name}/Vac": {
                "user": "alarm-server",
                "host": it.bridge.server.host,
                "guidance": [{"title": "Contacts", "details": "x1234"}],
            },
            path: {"user": "alarm-server", "host": it.bridge.server.host, "description": "Tank pressure"},
        }
        assert desktop.states == {f"/{name}": {"severity": "OK"}, f"/{name}/Vac": {"severity": "OK"}}
        begun = len(desktop.records)
        it.pv(path, 2, "HIHI_ALARM", "10.0", T0 + 123_000_000)
        it.pv(path, 1, "HIGH_ALARM", "8.0", T0 + 10**9)
        it.pv(path, 0, "NO_ALARM", "5.0", T0 + 2 * 10**9)
        await it.settled()
        raised = {"severity": "MAJOR", "latch": True, "message": "HIHI_ALARM", "value": "10.0"}
        raised |= {"time": {"seconds": 1763650000, "nano": 123000000}}
        latched = {key: value for key, value in raised.items() if key != "latch"}
        assert desktop.of(f"state:{path}") == [
            raised | {"current_severity": "MAJOR", "current_message": "HIHI_ALARM"},
            latched | {"current_severity": "MINOR", "current_message": "HIGH_ALARM"},
            latched | {"current_severity": "OK", "current_message": "NO_ALARM"},
        ]
        assert [r.key for r in desktop.records[begun:] if r.topic == name][:3] == [
            f"state:{path}",
            f"state:/{name}/Vac",
            f"state:/{name}",
        ]
        assert {"standout": False, "severity": "MAJOR", "talk": "MAJOR Alarm: Tank pressure"} in desktop.said

        desktop.command("acknowledge", path)
        await it.until(lambda: desktop.states[path]["severity"] == "OK", "it is acknowledged")
        assert it.leaf(path).alarm.message == "OK"
        edit = next(edit for edit in it.acts.edits if edit.action == "acknowledge")
        assert (edit.path, str(edit.who)) == (path, "fred@desk")
        await it.until(lambda: desktop.states[f"/{name}"] == {"severity": "OK"}, "the root is OK")


async def test_edits_on_both_sides(servers: str) -> None:
    name = fresh_tree()
    path = f"/{name}/A/X"
    async with stand(servers, name, alarm(path)) as it:
        it.tree.put(Item(path, LeafConfig(description="new", latching=False)), OPERATOR)
        await it.until(lambda: it.desktop.configs.get(path, {}).get("description") == "new")
        assert it.desktop.configs[path] == {"user": "anna", "host": "console", "description": "new", "latching": False}
        it.desktop.configure(path, description="of fred", delay=5)
        await it.until(lambda: it.leaf(path).config == LeafConfig(description="of fred", delay=5))
        await it.settled()
        assert it.desktop.of(f"config:{path}")[-1] == {
            "user": "fred",
            "host": "desk",
            "description": "of fred",
            "delay": 5,
        }
        assert len(it.desktop.of(f"config:{path}")) == 3
