"""What a management request asks for: parameters, the PVs it names, and who asks. Strangers' mistakes are `Refused`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from archiver.management.access import Verdict
from archiver.management.census import Snapshot
from archiver.retrieval import catalogue
from archiver.retrieval.bodies import MAX_NAMES, form_parameters, split_names
from archiver.retrieval.query import Refused, first_values, parameters, printable

MAX_BODY = 8 << 20
MAX_IMPORT = 64 << 20
"""Bytes of a list of PVTypeInfo: some 40,000 PVs; a larger archive comes in several requests."""
MAX_PERIOD = 86400.0
MAX_PATTERNS = 100
"""Globs of one request; each is held against all names."""
NAME = re.compile(r"[A-Za-z0-9_\-+:\[\]<>;/,#{}^]{1,60}(\.[A-Za-z_][A-Za-z0-9_]{0,20})?", re.ASCII)
NAME_RULE = "up to 60 of A-Z a-z 0-9 _ - + : [ ] < > ; / , # { } ^, and perhaps a field"


@dataclass(frozen=True)
class Asked:
    """One request. `values`: the first value of each parameter, of the query and of a form. `body`: b"" for a GET.

    `base`: the address the client reached us at, `http://host:port`.
    """

    call: str
    method: str
    values: Mapping[str, str]
    body: bytes
    base: str
    verdict: Verdict
    pairs: tuple[tuple[str, str], ...] = ()
    form: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """A parameter that must be there; 400 without it."""
        value = self.values.get(key, "").strip()
        if not value:
            raise Refused(400, f"{self.call} needs the parameter {key}.")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """A parameter that is true or false."""
        value = self.values.get(key, "").strip().lower()
        if value in ("true", "false", ""):
            return default if not value else value == "true"
        raise Refused(400, f"{key}={printable(value, 40)} is neither true nor false.")

    def limit(self, default: int = -1) -> int:
        """`limit`; below 1: no limit (-1)."""
        value = self.values.get("limit", "").strip()
        if not value:
            return default
        if not re.fullmatch(r"[+-]?\d{1,12}", value, re.ASCII):
            raise Refused(400, f"limit={printable(value, 40)} is not a whole number.")
        return int(value) if int(value) > 0 else -1

    def json(self) -> Any:
        """The body as JSON; 400 when it isn't."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Refused(400, f"The body is no JSON: {error}.") from None

    @property
    def single(self) -> bool:
        """Whether one PV is meant, by GET and without a pattern: then the answer is an object, not a list."""
        pv = self.values.get("pv", "")
        return not self.body and not any(c in pv for c in "*?") and len(split_names(pv)) == 1

    def raw_names(self) -> list[str]:
        """The names as they were sent: a JSON list, lines, names between commas, or the parameter `pv`."""
        if self.body and not self.form:
            text = _decoded(self.body)
            names = _json_names(self.body) if text.startswith("[") else split_names(text)
        else:
            names = split_names(self.values.get("pv", ""))
        if not names:
            raise Refused(400, f"{self.call} needs the parameter pv, or a list of PVs in the body of a POST.")
        if len(names) > MAX_NAMES:
            raise Refused(413, f"There are {len(names)} names; at most {MAX_NAMES} are accepted.")
        # no name has a space: it is a plus sign that was sent unescaped
        return list(dict.fromkeys(name.replace(" ", "+") for name in names))

    def names(self, census: Snapshot) -> list[str]:
        """The names as they were sent, with patterns replaced by the archived PVs (and aliases) that fit, sorted."""
        asked = self.raw_names()
        patterns = [name for name in asked if "*" in name or "?" in name]
        if not patterns:
            return asked
        if len(patterns) > MAX_PATTERNS:
            raise Refused(413, f"There are {len(patterns)} patterns; at most {MAX_PATTERNS} are accepted.")
        rows = census.archived().nonzero()[0].tolist()
        everything = pa.array([*(census.names[row] for row in rows), *census.aliases], pa.string())
        fits = {glob: sorted(catalogue.full_match(everything, catalogue.glob_pattern(glob))) for glob in patterns}
        return list(dict.fromkeys(name for each in asked for name in fits.get(each, [each])))


def read_values(query: bytes, body: bytes, content_type: str) -> tuple[list[tuple[str, str]], bool]:
    """The parameters of a query and, when the body is a form, of that too; and whether it is one."""
    pairs = parameters(query)
    stripped = body.lstrip()
    form = bool(stripped) and not stripped.startswith((b"[", b"{"))
    form = form and (content_type.startswith("application/x-www-form") or stripped.startswith(b"pv="))
    if form and b"=" not in body:
        form = False  # a list of names that a tool has labelled as a form, as curl does
    if form:
        pairs += form_parameters(body)
    return pairs, form


def values_of(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The first value of each parameter."""
    return first_values(pairs)


def _decoded(body: bytes) -> str:
    try:
        return body.decode().strip()
    except UnicodeDecodeError:
        raise Refused(400, "The body is not UTF-8 text.") from None


def _json_names(body: bytes) -> list[str]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    items = (
        [item.get("pv") if isinstance(item, dict) else item for item in found] if isinstance(found, list) else [None]
    )
    names = [item.strip() for item in items if isinstance(item, str)]
    if len(names) < len(items):
        raise Refused(400, 'The body is no JSON list of names, such as ["A", "B"].')
    return [name for name in names if name]


def checked_name(name: str) -> str:
    """The name a PV is archived under: without `ca://` and `.VAL`; 400 for what can be no PV."""
    if name.startswith("pva://"):
        raise Refused(400, f"{printable(name, 80)}: PVs are archived over Channel Access; ask for it without pva://.")
    bare = name.removeprefix("ca://").removesuffix(".VAL")
    if not NAME.fullmatch(bare):
        raise Refused(400, f"{printable(name, 80)!r} is no name of a PV: {NAME_RULE}.")
    return bare


def period_of(text: str, key: str = "samplingperiod") -> float:
    """A sampling period in seconds; 400 for what is none."""
    try:
        period = float(text)
    except ValueError:
        period = math.nan
    if not 0 < period <= MAX_PERIOD:
        raise Refused(400, f"{key}={printable(text, 40)} is no period: seconds above 0, at most {MAX_PERIOD:.0f}.")
    return period


def method_of(text: str) -> str:
    """`scan` or `monitor`; 400 for anything else."""
    method = text.strip().lower()
    if method not in ("scan", "monitor"):
        raise Refused(400, f"samplingmethod={printable(text, 40)} is neither SCAN nor MONITOR.")
    return method


def deadband_of(text: str) -> float:
    """A dead-band in the PV's units; 400 for what is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise Refused(400, f"deadband={printable(text, 40)} is no dead-band: a number of at least 0.")
    return value
