"""An independent decoder of PB/HTTP: protobuf's own, of the messages that EPICSEvent.proto declares."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import archiver.retrieval

PROTO = Path(archiver.retrieval.__file__).parent / "EPICSEvent.proto"
KINDS = (
    *("SCALAR_STRING", "SCALAR_SHORT", "SCALAR_FLOAT", "SCALAR_ENUM", "SCALAR_BYTE", "SCALAR_INT", "SCALAR_DOUBLE"),
    *("WAVEFORM_STRING", "WAVEFORM_SHORT", "WAVEFORM_FLOAT", "WAVEFORM_ENUM", "WAVEFORM_BYTE", "WAVEFORM_INT"),
    *("WAVEFORM_DOUBLE", "V4_GENERIC_BYTES"),
)
"""Payload types by their numbers."""
_NAMES = {
    **{kind: kind.replace("SCALAR_", "Scalar") for kind in KINDS[:7]},
    **{kind: kind.replace("WAVEFORM_", "Vector") for kind in KINDS[7:14]},
}
MESSAGE_OF = {kind: name[:6] + name[6:].capitalize() for kind, name in _NAMES.items()}
"""The message of each payload type."""
MESSAGE_OF |= {"WAVEFORM_BYTE": "VectorChar", "V4_GENERIC_BYTES": "V4GenericBytes"}

_BLOCK = re.compile(r"(message|enum) (\w+) \{(.*?)\n\}", re.DOTALL)
_FIELD = re.compile(
    r"^  (required|optional|repeated) (\w+) (\w+) = (\d+)(?: \[(packed|default) = (\w+)\])?;$", re.MULTILINE
)
_VALUE = re.compile(r"^  (\w+) = (\d+);$", re.MULTILINE)


def description(text: str) -> descriptor_pb2.FileDescriptorProto:
    """What a `.proto` says, as far as it has messages and enums that are not nested."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=PROTO.name, package="EPICS")
    enums = {name for what, name, _ in _BLOCK.findall(text) if what == "enum"}
    for what, name, body in _BLOCK.findall(text):
        if what == "enum":
            enum = file.enum_type.add(name=name)
            for value, number in _VALUE.findall(body):
                enum.value.add(name=value, number=int(number))
            continue
        message = file.message_type.add(name=name)
        for label, kind, field_name, number, option, given in _FIELD.findall(body):
            one = message.field.add(name=field_name, number=int(number), label=getattr(kinds, f"LABEL_{label.upper()}"))
            if hasattr(kinds, f"TYPE_{kind.upper()}"):
                one.type = getattr(kinds, f"TYPE_{kind.upper()}")
            else:
                one.type, one.type_name = kinds.TYPE_ENUM if kind in enums else kinds.TYPE_MESSAGE, f".EPICS.{kind}"
            if option == "packed":
                one.options.packed = True
            elif option:
                one.default_value = given
    return file


def _messages() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    file = description(PROTO.read_text())
    pool.Add(file)
    names = [message.name for message in file.message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"EPICS.{name}")) for name in names}


MESSAGES = _messages()
_ESCAPED = {0x01: 0x1B, 0x02: 0x0A, 0x03: 0x0D}


def unescape(line: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(line):
        if line[at] == 0x1B:
            at += 1
            out.append(_ESCAPED[line[at]])
        else:
            out.append(line[at])
        at += 1
    return bytes(out)


@dataclass
class Event:
    time_ns: int
    value: Any
    severity: int
    status: int
    size: int
    fields: dict[str, str] = field(default_factory=dict)
    changed: bool = False


@dataclass
class Chunk:
    kind: str
    name: str
    year: int
    count: int
    headers: dict[str, str]
    events: list[Event] = field(default_factory=list)


def decode(body: bytes) -> list[Chunk]:
    """The chunks of a `.raw` body; AssertionError when its framing is not strictly right."""
    assert body.endswith(b"\n") and not body.startswith(b"\n") and not body.endswith(b"\n\n") and b"\n\n\n" not in body
    assert b"\r" not in body
    chunks: list[Chunk] = []
    chunk: Chunk | None = None
    for line in body[:-1].split(b"\n"):
        if not line:
            chunk = None
            continue
        message = unescape(line)
        if chunk is None:
            info = MESSAGES["PayloadInfo"].FromString(message)
            headers = {h.name: h.val for h in info.headers}
            chunk = Chunk(KINDS[info.type], info.pvname, info.year, info.elementCount, headers)
            chunks.append(chunk)
            continue
        cls = MESSAGES[MESSAGE_OF[chunk.kind]]
        event = cls.FromString(message)
        assert event.SerializeToString() == message, "not the shortest form"
        seconds = calendar.timegm((chunk.year, 1, 1, 0, 0, 0)) + event.secondsintoyear
        value = event.val if isinstance(event.val, (bytes, str, float, int)) else list(event.val)
        fields = {f.name: f.val for f in event.fieldvalues}
        time_ns = seconds * 10**9 + event.nano
        size = len(line) + 1
        chunk.events.append(Event(time_ns, value, event.severity, event.status, size, fields, event.fieldactualchange))
    return chunks
