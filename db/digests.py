"""The digest of an object: sha256 over everything that it and all below it say.

Two objects have one digest exactly when their types, names, serials, metadata, payloads and children (with theirs) are
equal, in whichever database they are and whatever their ids, authors and dates. The digest of a runkey's root therefore
names a whole configuration, and trees are compared without descending where digests are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from db.errors import BadInput

PREFIX = b"owlshift object 1\n"
"""What is hashed begins with it, so that no payload's hash is ever an object's digest, and a second way can follow."""

DigestPayload = tuple[str, str, str, str, bytes | str, Mapping[str, Any]]
"""(role, type, name, format, sha256 as 32 bytes or hexadecimal digits, meta)"""
DigestChild = tuple[str, int, Mapping[str, Any], str, bytes | str]
"""(view, pos, meta of the connection, the child's name, the child's digest)"""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no blanks, as metadata is stored and hashed; BadInput for what JSON can't say.

    Numbers are written shortest (1.0 stays 1.0, and is not 1); NaN and infinities become null.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise BadInput(f"metadata: {error}") from None


def object_digest(
    type: str,
    name: str,
    serial: str,
    meta: Mapping[str, Any],
    payloads: Iterable[DigestPayload],
    children: Iterable[DigestChild],
) -> bytes:
    """The digest (32 bytes) of an object. The order of `payloads` and `children` does not matter.

    It is the sha256 of `PREFIX` and the canonical JSON (`canonical`; UTF-8) of

        [type, name, serial, meta,
         [[role, type, name, format, sha256, meta], …],         by role
         [[view, pos, name, digest, meta of the edge], …]]      by view, pos, name, digest

    with hashes as hexadecimal digits. BadInput for metadata that JSON can't say.
    """
    own: list[list[Any]] = [
        [role, kind, title, form, _hex(sha), about] for role, kind, title, form, sha, about in payloads
    ]
    below: list[list[Any]] = [[view, pos, title, _hex(digest), edge] for view, pos, edge, title, digest in children]
    said = [
        type,
        name,
        serial,
        meta,
        sorted(own, key=lambda p: p[0]),
        sorted(below, key=lambda c: c[:4]),
    ]
    try:
        text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise BadInput(f"object {name or type}: {error}") from None
    return hashlib.sha256(PREFIX + text).digest()


def _hex(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.hex()
