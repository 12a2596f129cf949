"""The PVs that say how the alarm server itself is: its log, its database, the broker, what it watches."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import orjson

from iocs.alarm.tree.nodes import Leaf
from owlshift.ioc import IocState
from owlshift.ioc.alarms import stamp

if TYPE_CHECKING:
    from iocs.alarm.ioc import AlarmIoc

LOOK = 1.0
"""Seconds between two looks."""
OK = "OK"
MANY = 100
"""Problems, or chattering alarms, that are shown."""


class ServerPvs:
    """Posts them once a second."""

    def __init__(self, ioc: AlarmIoc) -> None:
        self._ioc = ioc
        self._said = ""

    async def follow(self) -> None:
        """Post them, for ever."""
        self.kept("")
        while True:
            await self.post()
            await asyncio.sleep(LOOK)

    def kept(self, problem: str) -> None:
        """The database does, or does not, keep what has changed."""
        self._ioc.show.root.StoreState.take("Away" if problem else OK, stamp())

    async def post(self) -> None:
        """Post what has changed."""
        ioc, root = self._ioc, self._ioc.show.root
        tree, writer, watch, keeper = ioc.tree, ioc.writer, ioc.watch, ioc.keeper
        if writer is None or watch is None:
            return
        watched, connected = watch.watched, watch.connected
        await ioc.post_many(
            [
                (root.LogState, writer.state),
                (root.LogBehind, writer.behind & 0x7FFFFFFF),
                (root.KafkaState, ioc.kafka.state if ioc.kafka is not None else ioc.kafka_problem or "Off"),
                (root.Standby, ioc.seat.standby),
                (root.Watched, watched),
                (root.Missing, max(0, watched - connected)),
                (root.Rate, tree.rate),
                (root.Flood, tree.flood),
                (root.Chattering, _chattering(tree.chattering)),
                (root.Problems, orjson.dumps(self._problems()[:MANY]).decode()),
            ]
        )
        trouble = keeper.problem or (writer.reason if writer.state != OK else "") or ioc.seat.away
        if trouble and not self._said:
            await ioc.message(f"the database: {trouble}", logging.WARNING)
        elif self._said and not trouble:
            await ioc.message("the database is there again")
        self._said = trouble
        await ioc.set_state(IocState.Degraded if trouble else IocState.Running)

    def _problems(self) -> list[str]:
        ioc = self._ioc
        watch = ioc.watch
        return [
            *ioc.file_problems,
            *ioc.configuration.problems,
            *(f"{prefix}: {problem}" for prefix, problem in ioc.catalogues.problems.items()),
            *(f"{path}: {problem}" for path, problem in (watch.problems.items() if watch is not None else ())),
        ]


def _chattering(leaves: list[Leaf]) -> str:
    return orjson.dumps([leaf.path for leaf in leaves[:MANY]]).decode()
