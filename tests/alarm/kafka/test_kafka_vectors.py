"""The conformance vectors on a real broker: PVs change, a desktop acts by commands, and every record is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import kafka_server
import pytest
from kafka_stand import OPERATOR, Stand, fresh_tree, stand
from support_alarm_vectors import VECTORS, Step, steps_of

from iocs.alarm.tree.clock import VirtualClock
from iocs.alarm.tree.items import Item
from iocs.alarm.tree.severity import AlarmSeverity

pytestmark = pytest.mark.timeout(300)
EPICS = {"OK": 0, "MINOR": 1, "MAJOR": 2, "INVALID": 3, "UNDEFINED": 4}


async def carry_out(it: Stand, clock: VirtualClock, path: str, step: Step) -> None:
    what = step.what
    commands = {"ack": "acknowledge", "unack": "unacknowledge", "maintenance": "maintenance"}
    here: dict[str, Callable[[], object]] = {
        "disable": lambda: it.tree.disable(path, OPERATOR),
        "enable": lambda: it.tree.enable(path, OPERATOR),
    }
    if what in commands:
        read = it.bridge.counts.read
        it.desktop.command(commands[what], path)
        await it.until(lambda: it.bridge.counts.read > read, what)
    elif what in here:
        here[what]()
    elif what.startswith("+"):
        clock.advance(float(what[1:]))
    else:
        severity, _, message = what.partition("/")
        it.pv(path, EPICS[severity], message or f"{severity}_ALARM", step.text, clock.now_ns())


async def test_vectors_record_by_record() -> None:
    name, clock = fresh_tree(), VirtualClock()
    paths = {vector: f"/{name}/{number}/V{number}" for number, vector in enumerate(VECTORS, 1)}
    items = [Item(path, replace(VECTORS[vector][0], description=vector)) for vector, path in paths.items()]
    async with stand(kafka_server.broker().servers, name, *items, clock=clock) as it:
        await it.settled()
        for vector, path in paths.items():
            config, text = VECTORS[vector]
            now, severity = "OK", "OK"
            for number, step in enumerate(steps_of(text)):
                # without a delay time says nothing: it goes on, so that nothing chatters
                clock.advance(0.001 if config.delay else 100)
                sent, said = len(it.desktop.of(f"state:{path}")), len(it.desktop.said)
                await carry_out(it, clock, path, step)
                await it.settled()
                where = f"{vector}, step {number}: {step.text}"
                records = it.desktop.of(f"state:{path}")[sent:]
                if step.published is not None and step.what not in ("disable", "enable"):
                    assert len(records) == step.published, where
                if step.what.partition("/")[0] in EPICS:
                    now = step.what.partition("/")[0]
                if records:
                    assert records[-1]["severity"] == step.severity, where
                    if step.what not in ("disable", "enable") and records[-1]["message"] != "Disabled":
                        assert records[-1]["current_severity"] == now, where
                    rose = config.latching and step.announced
                    assert [one for one in records if one.get("latch")] == (records[-1:] if rose else []), where
                else:
                    assert step.severity == severity, where
                severity = step.severity
                level = AlarmSeverity[severity].name
                announced = [{"standout": False, "severity": level, "talk": f"{level} Alarm: {vector}"}]
                assert it.desktop.said[said:] == (announced if step.announced else []), where
            it.tree.maintenance(False, OPERATOR)
            clock.advance(3600)
            await it.settled()
