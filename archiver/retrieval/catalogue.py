"""The names of archived PVs and what is known of one: the answers of the `bpl` calls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from archiver.retrieval.query import Refused, printable
from archiver.retrieval.resolve import Listed
from archiver.retrieval.source import headers
from archiver.retrieval.text import pc
from archiver.store import Dbr, PvInfo

DEFAULT_LIMIT = 500
MAX_PATTERN = 2000


def matching(listed: Listed, values: Mapping[str, str], default_limit: int = DEFAULT_LIMIT) -> list[str]:
    """The names that `pv` (a glob) or `regex` (of the whole name) choose: PVs, then aliases, each sorted.

    `pv` wins; a `limit` below 1 means all. 404 without a pattern, 400 for a pattern or limit that cannot be read.
    """
    if values.get("pv"):
        pattern = glob_pattern(values["pv"])
    elif values.get("regex"):
        pattern = values["regex"]
    else:
        raise Refused(404, "Give a pattern: pv=GLOB or regex=REGULAR-EXPRESSION.")
    limit = _limit(values.get("limit"), default_limit)
    found: list[str] = []
    for names in (listed.pvs, listed.aliases):
        most = limit - len(found) if limit > 0 else None
        if most != 0:
            found += full_match(names, pattern, most)
    return found


def _limit(text: str | None, default: int) -> int:
    if not text:
        return default
    if not re.fullmatch(r"\s*[+-]?\d{1,12}\s*", text, re.ASCII):
        raise Refused(400, f"limit={printable(text)} is not a whole number.")
    return int(text)


def glob_pattern(glob: str) -> str:
    """A glob of `*` and `?` as a regular expression."""
    return "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in glob)


def full_match(names: pa.StringArray | Sequence[str], pattern: str, most: int | None = None) -> list[str]:
    """The first `most` names that match as a whole. RE2 matches in linear time: no pattern can hold up the server."""
    if len(pattern) > MAX_PATTERN:
        raise Refused(400, f"The pattern has {len(pattern)} characters; at most {MAX_PATTERN} are accepted.")
    array: Any = names if isinstance(names, pa.Array) else pa.array(names, pa.string())
    if pattern == ".*":
        return array.slice(0, most).to_pylist()
    try:
        pc.match_substring_regex(pa.array([""]), pattern)  # by itself: brackets must not close ours
        mask = pc.match_substring_regex(array, f"^(?:{pattern})$")
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        reason = printable(str(error).split("regular expression: ")[-1])
        raise Refused(400, f"Cannot read regex={printable(pattern)}: {reason}.") from None
    return array.filter(mask).slice(0, most).to_pylist()


def type_name(dbr: Dbr | None, array: bool) -> str:
    """The appliance's name of a type; a PV that never had a value counts as a double."""
    element = "DOUBLE" if dbr is None else {"CHAR": "BYTE", "LONG": "INT"}.get(dbr.name, dbr.name)
    return f"DBR_{'WAVEFORM' if array else 'SCALAR'}_{element}"


def metadata(info: PvInfo) -> dict[str, str]:
    """What getMetadata says of a PV; all values are strings."""
    out = {
        "pvName": info.name,
        "DBRType": type_name(info.dbr, info.is_array),
        "scalar": str(not info.is_array).lower(),
        "elementCount": str(info.count),
        "NELM": str(info.count),
        "EAA_COUNT": str(info.count),
        **headers(info.metadata, latest=False),
    }
    if "EGU" in out:
        out["units"] = out["EGU"]
    if "PREC" in out:
        out["precision"] = repr(float(out["PREC"]))
    return out
