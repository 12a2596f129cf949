"""Which rule says how a PV is archived: what people asked for, the site file's own rule, a policy, its IOC."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from typing import TYPE_CHECKING

from archiver.config import ArchiverConfig, PolicyRule, PvRule, Sampling
from archiver.store.samples import Dbr

if TYPE_CHECKING:
    from archiver.management.ledger import PvEntry

log = logging.getLogger(__name__)

TYPE_NAMES = {dbr: dbr.name.lower() for dbr in Dbr}


@dataclass(frozen=True)
class Facts:
    """What is known of a PV; `dbr` is None before it ever connected, `rate` (events/s) until it was measured."""

    dbr: Dbr | None = None
    array: bool = False
    rate: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


NOTHING = Facts()


class Policies:
    """The rules of one configuration, ready to be asked about many PVs."""

    def __init__(self, config: ArchiverConfig) -> None:
        self.own: dict[str, PvRule] = {rule.name: rule for rule in config.pv}
        self._rules = [(_matcher(rule), rule) for rule in config.policy]
        self._named = {rule.label: rule for rule in config.policy}
        self.by_name_alone = all(rule.by_name for rule in config.policy)
        """Nothing that is learned of a PV changes what a rule says."""
        self.by_rate = any(rule.min_rate is not None or rule.max_rate is not None for rule in config.policy)

    def decide(
        self, name: str, declared: Sampling | None, wish: PvEntry | None, facts: Callable[[], Facts]
    ) -> tuple[Sampling, str]:
        """How the PV is archived (method `none`: not at all), and the policy that says so ("" when none does).

        `wish` is what people asked for. A policy that was asked for, else the site file's rule for this one PV, else
        the first policy that fits, else what its IOC declared; a method, period, dead-band or fields that were asked
        for come before them all.
        """
        base, policy = self._base(name, declared, wish, facts)
        if wish is None:
            return base, policy
        asked = {key: value for key in Sampling.model_fields if (value := getattr(wish, key)) is not None}
        return (self._overlaid(name, base, asked) if asked else base), policy

    def _overlaid(self, name: str, base: Sampling, asked: dict[str, object]) -> Sampling:
        try:
            return Sampling.model_validate({key: getattr(base, key) for key in Sampling.model_fields} | asked)
        except ValueError:
            log.warning("%s: somebody asked for %s, which is no way to archive; the rules decide", name, asked)
            return base

    def _base(
        self, name: str, declared: Sampling | None, wish: PvEntry | None, facts: Callable[[], Facts]
    ) -> tuple[Sampling, str]:
        if wish is not None and wish.policy is not None and (rule := self._named.get(wish.policy)) is not None:
            return rule, rule.label
        if (own := self.own.get(name)) is not None:
            return own, ""
        known: Facts | None = None
        for matches, rule in self._rules:
            if not matches(name):
                continue
            if not rule.by_name:
                known = known or facts()
                if not fits(rule, known):
                    continue
            return rule, rule.label
        if declared is not None:
            return declared, ""
        return (Sampling() if wish is not None and wish.requested else Sampling(method="none")), ""


def fits(rule: PolicyRule, facts: Facts) -> bool:
    """Whether what is known of a PV fits the conditions of a rule other than its name; the unknown never fits."""
    if (rule.type is not None or rule.array is not None) and facts.dbr is None:
        return False
    if rule.type is not None and facts.dbr is not None and TYPE_NAMES[facts.dbr] not in rule.type:
        return False
    if rule.array is not None and rule.array != facts.array:
        return False
    if (rule.min_rate is not None or rule.max_rate is not None) and facts.rate is None:
        return False
    if rule.min_rate is not None and facts.rate is not None and facts.rate < rule.min_rate:
        return False
    if rule.max_rate is not None and facts.rate is not None and facts.rate > rule.max_rate:
        return False
    return all(
        (text := facts.metadata.get(key)) is not None and fnmatchcase(text, glob) for key, glob in rule.metadata.items()
    )


def _matcher(rule: PolicyRule) -> Callable[[str], object]:
    """A test of names, compiled once."""
    glob = re.compile(translate(rule.pv)).match if rule.pv not in (None, "*") else None
    regex = re.compile(rule.regex).fullmatch if rule.regex is not None else None
    if glob is not None and regex is not None:
        return lambda name: glob(name) and regex(name)
    return glob or regex or (lambda name: True)
