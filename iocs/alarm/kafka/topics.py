"""The topics of an alarm tree, and the settings that Phoebus' server gives them at every start."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, NewTopic, ResourceType  # pyright: ignore[reportPrivateImportUsage]
from confluent_kafka.admin import AlterConfigOpType as Change  # pyright: ignore[reportPrivateImportUsage]

log = logging.getLogger(__name__)

_SHORT = {
    "cleanup.policy": "delete",
    "segment.ms": "10000",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "1000",
    "retention.ms": "20000",
    "delete.retention.ms": "1000",
    "file.delete.delay.ms": "1000",
}


def command_topic(tree: str) -> str:
    """Where desktops send what is to be done."""
    return f"{tree}Command"


def talk_topic(tree: str) -> str:
    """What annunciators say. Configuration and states are in the topic that is named as the tree itself."""
    return f"{tree}Talk"


def settings(tree: str) -> dict[str, dict[str, str]]:
    """The forced settings by topic."""
    lasting = {name: _SHORT[name] for name in ("segment.ms", "min.cleanable.dirty.ratio", "min.compaction.lag.ms")}
    return {
        tree: {"cleanup.policy": "compact", **lasting},
        command_topic(tree): dict(_SHORT),
        talk_topic(tree): dict(_SHORT),
    }


def ensure(admin: AdminClient, tree: str, replication: int, timeout: float) -> bool:
    """Make the topics that are missing and repair settings; True if the tree's own topic had to be made.

    KafkaException when the broker does not do it within so many seconds. Blocks.
    """
    wanted = settings(tree)
    there = admin.list_topics(timeout=timeout).topics
    missing = [name for name in wanted if name not in there or there[name].error is not None]
    if missing:
        new = [NewTopic(name, 1, replication, config=wanted[name]) for name in missing]
        for name, future in admin.create_topics(new, operation_timeout=timeout, request_timeout=timeout).items():
            try:
                future.result(timeout)
                log.info("Kafka: made the topic %s", name)
            except KafkaException as error:
                # somebody else made it a moment ago: its settings are looked at below
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
    for name in wanted:
        if name in there and len(there[name].partitions) > 1:
            log.warning(
                "Kafka: the topic %s has %d partitions; only the first is used", name, len(there[name].partitions)
            )
    _repair(admin, {name: wanted[name] for name in wanted if name not in missing}, timeout)
    return tree in missing


def _repair(admin: AdminClient, wanted: Mapping[str, Mapping[str, str]], timeout: float) -> None:
    if not wanted:
        return
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
    changes: list[ConfigResource] = []
    for resource, future in admin.describe_configs(resources, request_timeout=timeout).items():
        found = future.result(timeout)
        other = {k: v for k, v in wanted[resource.name].items() if k not in found or not _same(found[k].value, v)}
        if "message.timestamp.type" in found and found["message.timestamp.type"].value != "CreateTime":
            log.warning("Kafka: the topic %s does not keep the time of creation of its records", resource.name)
        if other:
            log.info("Kafka: repaired the topic %s: %s", resource.name, ", ".join(f"{k}={v}" for k, v in other.items()))
            entries = [
                ConfigEntry(k, v, incremental_operation=Change.SET)  # pyright: ignore[reportCallIssue]
                for k, v in other.items()
            ]
            changes.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=entries))
    if changes:
        for future in admin.incremental_alter_configs(changes, request_timeout=timeout).values():
            future.result(timeout)


def _same(found: str | None, wanted: str) -> bool:
    if found == wanted:
        return True
    try:
        return found is not None and float(found) == float(wanted)
    except ValueError:
        return False
