"""An independent decoder of PB/HTTP: protobuf's own, from a descriptor made of the format's tables at run time."""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_SAMPLES = (  # payload type, message, value type, repeated, packed
    ("SCALAR_STRING", "ScalarString", _F.TYPE_STRING, False, False),
    ("SCALAR_SHORT", "ScalarShort", _F.TYPE_SINT32, False, False),
    ("SCALAR_FLOAT", "ScalarFloat", _F.TYPE_FLOAT, False, False),
    ("SCALAR_ENUM", "ScalarEnum", _F.TYPE_SINT32, False, False),
    ("SCALAR_BYTE", "ScalarByte", _F.TYPE_BYTES, False, False),
    ("SCALAR_INT", "ScalarInt", _F.TYPE_SFIXED32, False, False),
    ("SCALAR_DOUBLE", "ScalarDouble", _F.TYPE_DOUBLE, False, False),
    ("WAVEFORM_STRING", "VectorString", _F.TYPE_STRING, True, False),
    ("WAVEFORM_SHORT", "VectorShort", _F.TYPE_SINT32, True, True),
    ("WAVEFORM_FLOAT", "VectorFloat", _F.TYPE_FLOAT, True, True),
    ("WAVEFORM_ENUM", "VectorEnum", _F.TYPE_SINT32, True, True),
    ("WAVEFORM_BYTE", "VectorChar", _F.TYPE_BYTES, False, False),
    ("WAVEFORM_INT", "VectorInt", _F.TYPE_SFIXED32, True, True),
    ("WAVEFORM_DOUBLE", "VectorDouble", _F.TYPE_DOUBLE, True, True),
)


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="epics_event_of_the_tests.proto", package="EPICS", syntax="proto2")
    kinds = file.enum_type.add(name="PayloadType")
    for number, (name, *_) in enumerate(_SAMPLES):
        kinds.value.add(name=name, number=number)

    def add(
        message: Any, name: str, number: int, kind: Any, label: Any = _F.LABEL_OPTIONAL, type_name: str = ""
    ) -> Any:
        return message.field.add(name=name, number=number, type=kind, label=label, type_name=type_name or None)

    pair = file.message_type.add(name="FieldValue")
    add(pair, "name", 1, _F.TYPE_STRING, _F.LABEL_REQUIRED)
    add(pair, "val", 2, _F.TYPE_STRING, _F.LABEL_REQUIRED)
    info = file.message_type.add(name="PayloadInfo")
    add(info, "type", 1, _F.TYPE_ENUM, _F.LABEL_REQUIRED, ".EPICS.PayloadType")
    add(info, "pvname", 2, _F.TYPE_STRING, _F.LABEL_REQUIRED)
    add(info, "year", 3, _F.TYPE_INT32, _F.LABEL_REQUIRED)
    add(info, "elementCount", 4, _F.TYPE_INT32)
    add(info, "headers", 15, _F.TYPE_MESSAGE, _F.LABEL_REPEATED, ".EPICS.FieldValue")
    for _, name, kind, repeated, packed in _SAMPLES:
        sample = file.message_type.add(name=name)
        add(sample, "secondsintoyear", 1, _F.TYPE_UINT32, _F.LABEL_REQUIRED)
        add(sample, "nano", 2, _F.TYPE_UINT32, _F.LABEL_REQUIRED)
        value = add(sample, "val", 3, kind, _F.LABEL_REPEATED if repeated else _F.LABEL_REQUIRED)
        if packed:
            value.options.packed = True
        add(sample, "severity", 4, _F.TYPE_INT32)
        add(sample, "status", 5, _F.TYPE_INT32)
        add(sample, "repeatcount", 6, _F.TYPE_UINT32)
        add(sample, "fieldvalues", 7, _F.TYPE_MESSAGE, _F.LABEL_REPEATED, ".EPICS.FieldValue")
        add(sample, "fieldactualchange", 8, _F.TYPE_BOOL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"EPICS.{name}"))
        for name in ["PayloadInfo", *(row[1] for row in _SAMPLES)]
    }


MESSAGES = _messages()
KINDS = tuple(row[0] for row in _SAMPLES)
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
        cls = MESSAGES[_SAMPLES[KINDS.index(chunk.kind)][1]]
        event = cls.FromString(message)
        assert event.SerializeToString() == message, "not the shortest form"
        seconds = calendar.timegm((chunk.year, 1, 1, 0, 0, 0)) + event.secondsintoyear
        value = event.val if isinstance(event.val, (bytes, str, float, int)) else list(event.val)
        chunk.events.append(Event(seconds * 10**9 + event.nano, value, event.severity, event.status, len(line) + 1))
    return chunks
