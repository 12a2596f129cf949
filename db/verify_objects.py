"""Digests, cycles and names of objects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, select

from db.digests import object_digest
from db.models import Connection as Edge
from db.models import Object, ObjectPayload, Payload
from db.verify_rows import ERROR, Problem, cycle


def object_problems(connection: Connection) -> Iterator[Problem]:
    """Objects that do not say what their digest says, that contain themselves, or whose children share a name.

    Each digest is computed from the stored digests of the children: so it is the object that was changed that is told,
    not all above it.
    """
    heads = {
        id_: (name, digest) for id_, name, digest in connection.execute(select(Object.id, Object.name, Object.digest))
    }
    edges: defaultdict[str, list[Any]] = defaultdict(list)
    columns = (Edge.parent_id, Edge.view, Edge.pos, Edge.meta, Edge.child_id)
    for parent, *edge in connection.execute(select(*columns)):
        edges[parent].append(edge)
    payloads: defaultdict[str, list[Any]] = defaultdict(list)
    columns = (ObjectPayload.object_id, ObjectPayload.role, Payload.type, Payload.name, Payload.format, Payload.sha256)
    query = select(*columns, Payload.meta).join(Payload, Payload.id == ObjectPayload.payload_id)
    for owner, *payload in connection.execute(query):
        payloads[owner].append(payload)

    query = select(Object.id, Object.type, Object.name, Object.serial, Object.meta, Object.digest)
    for id_, type_, name, serial, meta, digest in connection.execute(query):
        try:
            found = object_digest(
                type_,
                name,
                serial,
                orjson.loads(meta),
                [(*p[:5], orjson.loads(p[5])) for p in payloads[id_]],
                [
                    (view, pos, orjson.loads(edge), *heads.get(child, ("", b"")))
                    for view, pos, edge, child in edges[id_]
                ],
            )
        except orjson.JSONDecodeError:
            continue  # told of its row
        if found != digest:
            yield Problem(ERROR, "it, its payloads or its connections are not what its digest says", f"object {id_}")
        names = Counter((view, heads[child][0]) for view, _, _, child in edges[id_] if child in heads)
        for (view, child), count in names.items():
            if count > 1:
                yield Problem(ERROR, f"{count} children have the name {child!r} in the view {view}", f"object {id_}")
    links = [(parent, edge[3]) for parent, of in edges.items() for edge in of]
    for id_ in cycle(links):
        yield Problem(ERROR, "it contains itself", f"object {id_}")
