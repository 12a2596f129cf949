"""What desktops may ask of the server over the command topic, as Phoebus' server understands it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from iocs.alarm.kafka.reading import BadRecord, Command, check_path
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.logic import DISCONNECTED
from iocs.alarm.tree.tree import AlarmTree, Leaf

log = logging.getLogger(__name__)

LINES = 500
"""Lines of the log that one command may ask for."""

Ask = Callable[[Person], object]


class Commands:
    """Does what commands say."""

    def __init__(self, tree: AlarmTree, restart: Ask | None = None, shutdown: Ask | None = None) -> None:
        """`restart` reads the configuration anew, `shutdown` ends the server; what is None is refused."""
        self._tree = tree
        self._server: dict[str, Ask | None] = {"restart": restart, "shutdown": shutdown}

    def run(self, asked: Command) -> None:
        """Do it; BadRecord or ConfigError with the reason when it is not done."""
        command, who = asked.command, asked.who
        if command.startswith(("ack", "unack")):
            check_path(asked.path, self._tree.name)
            self._tree.acknowledge(asked.path, who, command.startswith("ack"))
        elif command in ("maintenance", "normal"):
            self._tree.maintenance(command == "maintenance", who)
        elif command in ("disable_notify", "enable_notify"):
            self._tree.notify(command == "enable_notify", who)
        elif command in ("dump", "pvs", "disconnected"):
            check_path(asked.path, self._tree.name)
            found = self._tree.leaves(asked.path)
            if command == "disconnected":
                found = (leaf for leaf in found if leaf.current.message == DISCONNECTED)
            self._print(asked, (_line(leaf) if command == "dump" else leaf.pv for leaf in found))
        elif command == "pv":
            # its path is the name of a PV
            leaf = self._tree.leaf_of(asked.path)
            if leaf is None:
                raise BadRecord(f"there is no alarm of the PV {asked.path[:100]!r}")
            self._print(asked, [_line(leaf)])
        elif command in self._server:
            ask = self._server[command]
            if ask is None:
                raise BadRecord(f"{command} is not allowed over Kafka")
            log.warning("Kafka: %s asks for %s", who, command)
            ask(who)
        else:
            raise BadRecord(f"the command {command[:40]!r} is not known")

    def _print(self, asked: Command, lines: Iterable[str]) -> None:
        log.info("Kafka: %s asks for %s of %s", asked.who, asked.command, asked.path)
        for number, line in enumerate(lines):
            if number == LINES:
                log.info("  … and more")
                break
            log.info("  %s", line)


def _line(leaf: Leaf) -> str:
    alarm, current = leaf.alarm, leaf.current
    return (
        f"{leaf.path}: {alarm.severity.name}/{alarm.message} ({leaf.effective.name}),"
        f" PV {current.severity.name}/{current.message}, value {alarm.value!r}"
    )
