"""A bundle: one JSON file with everything, for mail.

    {"format": "owlshift bundle", "version": 1,
     "export": {"runkey": …, "path": "/", "digest": …, "seal": …},
     "objects": [{"type": …, "name": …, "serial": …, "meta": {…}, "digest": "…",
                  "payloads": [{"role": …, "type": …, "format": …, "name": …, "meta": {…}, "sha256": "…"}],
                  "children": [{"object": 0, "view": "daq", "pos": 0, "meta": {…}}]}, …],
     "blobs": {"<sha256>": {"size": 153600, "codec": "zstd", "data": "<base64>"}, …}}

Objects stand after their children, which they name by number; the last one is the root. `size` is that of the content,
before `codec` (zstd, or "" for none). `seal` is the sha256 of the other things that `export` says, as canonical JSON.
What does not fit its sha256 or digest is refused, and all else with it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import zstandard

from db.digests import canonical
from db.errors import BadInput
from db.exchange.documents import ObjectText, check_keys, read_object
from db.exchange.files import MAX_FILE, MAX_OBJECTS, MAX_TOTAL, Problems, Reader, new_file
from db.exchange.incoming import Incoming, check_shape, digests
from db.exchange.outgoing import Outgoing, Report, outgoing, too_large
from db.nodes import NewChild, NewObject, NewPayload

if TYPE_CHECKING:
    from db.runkeys import Runkeys
    from db.store import Store

FORMAT = "owlshift bundle"
VERSION = 1
MAX_BUNDLE = 2 * 2**30
"""Bytes of a file; some 15,000 front-ends. What is larger goes from database to database, or as a folder."""
_TOP: dict[str, type] = {"format": str, "version": int, "export": dict, "objects": list, "blobs": dict}
_EXPORT: dict[str, type] = {"runkey": str, "path": str, "digest": str, "seal": str}
_PLACE: dict[str, type] = {"view": str, "pos": int, "meta": dict}
_BLOB: dict[str, type] = {"size": int, "codec": str, "data": str}


def write_bundle(
    store: Store | Runkeys,
    runkey: str,
    file: Path,
    path: str = "/",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write a runkey, or what is at and below `path` of it, as one file. Exists when `file` does.

    BadInput when it would be larger than what can be read again.
    """
    report = Report()
    with outgoing(store, runkey, path) as source:
        if problems := too_large(source):
            raise BadInput(problems)
        top = source.top
        export: dict[str, Any] = {"runkey": runkey, "path": top.path, "digest": top.digest}
        if top.parent is not None:
            export |= {"view": top.view, "pos": top.pos, "meta": top.edge}
        export["seal"] = _seal(export)
        with new_file(Path(file)) as out:
            head = {"format": FORMAT, "version": VERSION, "export": export}
            out.write(orjson.dumps(head)[:-1] + b',\n"objects":[\n')
            out.write(b",\n".join(orjson.dumps(document) for document in _documents(source)))
            out.write(b'\n],\n"blobs":{')
            compressor = zstandard.ZstdCompressor(level=9)
            written: set[str] = set()
            for _, contents in source.contents(progress, report):
                for info, content in contents.values():
                    if info.sha256 not in written:
                        out.write(b",\n" if written else b"\n")
                        out.write(_blob(info.sha256, content, compressor))
                        written.add(info.sha256)
                if out.tell() > MAX_BUNDLE:
                    raise BadInput(f"{file}: would be larger than {MAX_BUNDLE:,} bytes; export it as a folder instead")
            out.write(b"\n}}\n")
    return report


def _blob(name: str, content: bytes, compressor: zstandard.ZstdCompressor) -> bytes:
    packed = compressor.compress(content)
    codec, data = (b"zstd", packed) if len(packed) < len(content) else (b"", content)
    return b'"%s":{"size":%d,"codec":"%s","data":"%s"}' % (name.encode(), len(content), codec, base64.b64encode(data))


def _documents(source: Outgoing) -> list[dict[str, Any]]:
    numbers: dict[str, int] = {}
    documents: list[dict[str, Any]] = []
    waiting = [(source.top, False)]
    while waiting:
        node, below_done = waiting.pop()
        if below_done and node.id not in numbers:
            numbers[node.id] = len(documents)
            documents.append(
                {
                    "type": node.type,
                    "name": node.name,
                    "serial": node.serial,
                    "meta": node.meta,
                    "digest": node.digest,
                    "payloads": [
                        {
                            "role": role,
                            "type": info.type,
                            "format": info.format,
                            "name": info.name,
                            "meta": info.meta,
                            "sha256": info.sha256,
                        }
                        for role, info in node.payloads.items()
                    ],
                    "children": [
                        {"object": numbers[c.id], "view": c.view, "pos": c.pos, "meta": c.edge} for c in node.children
                    ],
                }
            )
        elif node.id not in numbers:
            waiting.append((node, True))
            waiting.extend((child, False) for child in reversed(node.children) if child.id not in numbers)
    return documents


def read_bundle(file: Path) -> Incoming:
    """`parse_bundle` of a file. BadInput."""
    problems = Problems()
    data = Reader(problems, MAX_BUNDLE, MAX_BUNDLE).file(Path(file).resolve())
    problems.check()
    return parse_bundle(data or b"", str(file))


def parse_bundle(data: bytes, file: str = "bundle") -> Incoming:
    """The object in a bundle, with all below. BadInput when anything in it does not fit its hash."""
    problems = Problems()
    try:
        document: Any = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{file}: line {error.lineno}, column {error.colno}: no JSON: {error.msg}") from None
    del data  # a bundle is large, and is now there twice
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput(f"{file}: format: is not {FORMAT!r}")
    if document.get("version") != VERSION:
        raise BadInput(f"{file}: version: is {document.get('version')!r}; this program reads version {VERSION}")
    check_keys(document, _TOP, file, "", problems)
    problems.check()
    export = document["export"]
    place = {key: kind for key, kind in _PLACE.items() if key in export}
    if check_keys(export, _EXPORT | place, file, "export", problems) and export["seal"] != _seal(export):
        problems.add(file, "export.seal", "does not fit what the export says")
    if len(document["objects"]) > MAX_OBJECTS:
        problems.add(file, "objects", f"are {len(document['objects']):,}; more than {MAX_OBJECTS:,} are refused")
    problems.check()
    contents = _contents(document.pop("blobs"), file, problems)
    root = _objects(document["objects"], contents, file, problems)
    problems.check()
    if root is None:
        raise BadInput(f"{file}: objects: there are none")
    if export["digest"] != document["objects"][-1]["digest"]:
        problems.add(file, "export.digest", "is not that of the last object")
    problems.check()
    return Incoming(root, export.get("view", "daq"), export.get("pos", 0), export.get("meta", {}))


def _seal(export: dict[str, Any]) -> str:
    return sha256(canonical({key: value for key, value in export.items() if key != "seal"}).encode()).hexdigest()


def _contents(blobs: dict[str, Any], file: str, problems: Problems) -> dict[str, bytes]:
    """sha256 -> content; the texts are given back as they are decoded."""
    contents: dict[str, bytes] = {}
    decompressor = zstandard.ZstdDecompressor()
    left = MAX_TOTAL
    for name in list(blobs):
        entry, inside = blobs.pop(name), f"blobs.{name[:64]}"
        if not isinstance(entry, dict):
            problems.add(file, inside, "is no object")
            continue
        if not check_keys(entry, _BLOB, file, inside, problems):
            continue
        size, codec = entry["size"], entry["codec"]
        if not 0 <= size <= min(MAX_FILE, left):
            problems.add(file, f"{inside}.size", f"{size:,} is not between 0 and {min(MAX_FILE, left):,}")
            continue
        left -= size
        try:
            content = base64.b64decode(entry["data"], validate=True)
            if codec == "zstd":
                if zstandard.get_frame_parameters(content).content_size != size:
                    problems.add(file, f"{inside}.size", "is not that of the compressed data")
                    continue
                content = decompressor.decompress(content, max_output_size=size)
            elif codec:
                problems.add(file, f"{inside}.codec", f'{codec[:20]!r} is neither "zstd" nor ""')
                continue
        except (binascii.Error, ValueError, zstandard.ZstdError) as error:
            problems.add(file, f"{inside}.data", f"cannot be decoded: {error}")
            continue
        if len(content) != size:
            problems.add(file, f"{inside}.size", f"is {size:,}, but there are {len(content):,} bytes")
        elif sha256(content).hexdigest() != name:
            problems.add(file, inside, "the content does not fit this hash")
        else:
            contents[name] = content
    return contents


def _objects(documents: list[Any], contents: dict[str, bytes], file: str, problems: Problems) -> NewObject | None:
    made: list[NewObject | None] = []
    used: set[str] = set()
    for number, document in enumerate(documents):
        inside = f"objects[{number}]"
        text = read_object(
            document,
            file,
            inside,
            problems,
            payload_place="sha256",
            child_places={"object": int},
            others={"digest": str},
        )
        made.append(None if text is None else _object(text, number, made, contents, used, file, inside, problems))
    problems.check()
    root = made[-1] if made else None
    if root is None:
        return None
    numbers = {id(item): number for number, item in enumerate(made)}
    check_shape(root, lambda item: f"{file}: objects[{numbers[id(item)]}]", problems)
    problems.check()
    found = digests(root)
    for number, item in enumerate(made):
        digest = found.get(id(item))
        if digest is None:
            problems.add(file, f"objects[{number}]", "is below no other")
        elif documents[number].get("digest") != digest.hex():
            problems.add(file, f"objects[{number}].digest", "does not fit the object")
    if unused := contents.keys() - used:
        problems.add(file, f"blobs.{min(unused)}", "belongs to no payload")
    return root


def _object(
    text: ObjectText,
    number: int,
    made: list[NewObject | None],
    contents: dict[str, bytes],
    used: set[str],
    file: str,
    inside: str,
    problems: Problems,
) -> NewObject:
    item = NewObject(text.type, text.name, text.serial, text.meta)
    for n, p in enumerate(text.payloads):
        content = contents.get(p.place)
        if content is None:
            problems.add(file, f"{inside}.payloads[{n}].sha256", "no (good) content has this hash")
            continue
        used.add(p.place)
        item.payloads.append(NewPayload(p.role, content, p.type, p.format, p.name, p.meta))
    for n, c in enumerate(text.children):
        below = made[c.place] if 0 <= c.place < number else None
        if below is None:
            problems.add(file, f"{inside}.children[{n}].object", f"there is no (good) object {c.place} before this one")
            continue
        item.children.append(NewChild(below, c.view, c.pos, c.meta))
    return item
