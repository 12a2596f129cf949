"""What an edit of the configuration does to an alarm that is there already, or begins, or ends."""

from __future__ import annotations

from dataclasses import fields, replace

from iocs.alarm.tree.core import Core
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import AreaConfig, Item, LeafConfig
from iocs.alarm.tree.logic import AlarmLogic
from iocs.alarm.tree.nodes import Area, Leaf
from iocs.alarm.tree.suppression import Suppression, utc_ns

RESTART = ("latching", "annunciating", "delay", "count", "filter")
"""Fields of an alarm that its logic goes by: when one is changed, Phoebus begins it anew."""


def area_config(item: Item) -> AreaConfig:
    """The configuration of an item that is an area."""
    return item.config if isinstance(item.config, AreaConfig) else AreaConfig()


def begin(leaf: Leaf, item: Item, core: Core, suppression: Suppression) -> None:
    """A leaf is new, or loaded again with another configuration before anything runs."""
    config = item.config
    if not isinstance(config, LeafConfig):
        return
    config = dated(config, core.clock.now_ns())
    if hasattr(leaf, "logic"):
        end_logic(leaf, core, suppression)
        leaf.reasons = 0
    leaf.config, leaf.extras = config, item.extras
    leaf.logic = AlarmLogic(core.context, config, leaf, item.extras.off_delay)
    core.masks.add(leaf)
    if item.extras.modes:
        suppression.with_modes[leaf] = None
        suppression.follow_mode(leaf)
    if not config.enabled:
        suppression.follow_config(leaf)
    core.recount(leaf)


def end_logic(leaf: Leaf, core: Core, suppression: Suppression) -> None:
    """No timer of the leaf runs any more, and nothing remembers it."""
    leaf.logic.stop()
    core.losses.forget(leaf)
    core.chatter.forget(leaf)
    core.masks.drop(leaf, leaf.extras.masked_by)
    suppression.forget(leaf)


def end(leaf: Leaf, core: Core, suppression: Suppression) -> None:
    """A leaf is removed: it does not count, nor mask, any more."""
    end_logic(leaf, core, suppression)
    leaf.live = False
    core.masks.count(leaf)
    core.in_alarm.pop(leaf, None)
    leaf.logic.owner = None  # whatever its PV says on its way out concerns nobody


def put_area(area: Area, item: Item, new: bool, who: Person, core: Core) -> None:
    """Configure an area."""
    config = area_config(item)
    if not new and (area.config, area.extras) == (config, item.extras):
        return
    detail = "new" if new else changes(area.item, item)
    area.config, area.extras = config, item.extras
    core.edited("configure", area.path, who, detail)
    core.tell.configured(area.item, who)
    if new:
        core.tell.area_changed(area)


def put_leaf(leaf: Leaf, item: Item, new: bool, who: Person, core: Core, suppression: Suppression) -> None:
    """Configure an alarm."""
    if new:
        core.edited("configure", leaf.path, who, "new")
        with core.tell.silence():
            begin(leaf, item, core, suppression)
        core.tell.configured(leaf.item, who)
        core.masks.look_at(leaf)
        core.settle(leaf, leaf.alarm, False)
        for area in leaf.above():
            core.tell.area_changed(area)
        core.masks.check()
    elif (leaf.config, leaf.extras) != (item.config, item.extras):
        core.edited("configure", leaf.path, who, changes(leaf.item, item))
        take(leaf, item, who, core, suppression)


def take(leaf: Leaf, item: Item, who: Person, core: Core, suppression: Suppression) -> None:
    """Give a leaf another configuration. Its state stays, and so do its latch, shelf and acknowledgement."""
    if not isinstance(item.config, LeafConfig):
        return
    old, old_extras = leaf.config, leaf.extras
    config = dated(item.config, core.clock.now_ns())
    leaf.config, leaf.extras = config, item.extras
    logic = leaf.logic
    logic.config, logic.off_delay = config, item.extras.off_delay
    core.tell.configured(leaf.item, who)
    if item.extras.masked_by != old_extras.masked_by:
        core.masks.drop(leaf, old_extras.masked_by)
        core.masks.add(leaf)
        core.masks.look_at(leaf)
    if item.extras.modes:
        suppression.with_modes[leaf] = None
    else:
        suppression.with_modes.pop(leaf, None)
    if not config.filter:
        suppression.set_filter(leaf, True)
    suppression.follow_mode(leaf)
    if (old.enabled, old.disabled_until) != (config.enabled, config.disabled_until):
        suppression.follow_config(leaf)
    if core.context.compatible and any(getattr(old, name) != getattr(config, name) for name in RESTART):
        logic.restart()
    else:
        logic.reconfigured(old)
    core.masks.check()


def dated(config: LeafConfig, now_ns: int) -> LeafConfig:
    """It is disabled while it has a date that is to come, and a date that is over enables it."""
    if config.disabled_until is None:
        return config
    if utc_ns(config.disabled_until) <= now_ns:
        return replace(config, enabled=True, disabled_until=None)
    return replace(config, enabled=False) if config.enabled else config


def changes(old: Item, new: Item) -> str:
    """What is other in an item, as an edit says it."""
    found = []
    for before, after in ((old.config, new.config), (old.extras, new.extras)):
        for each in fields(after):
            was, is_now = getattr(before, each.name, None), getattr(after, each.name)
            if was != is_now:
                plain = isinstance(is_now, str | int | float) or is_now is None
                found.append(f"{each.name}: {was} -> {is_now}" if plain else each.name)
    return ", ".join(found)
