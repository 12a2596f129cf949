"""Record fields (`NAME.DESC`, `NAME.EGU`, …), made only when a client asks for one, and never writable.

A client that reads a record expects these; what they say comes from the declaration and the live limits alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caproto import AccessRights, ChannelData, ChannelType, Forbidden, SubscriptionType

from .declare import Declaration, Severity
from .server import publish
from .values import ENCODING, LABEL_BYTES, STRING_BYTES, Array, State, Text, cut

if TYPE_CHECKING:
    from .pv import Pv

_ORDINALS = ("ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF")
_SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
_DESCRIPTION_BYTES = 40


def record_type(declaration: Declaration[Any]) -> str:
    """The EPICS record type whose fields and behaviour the PV comes closest to."""
    kind = declaration.type
    out = declaration.kind != "readback"
    if isinstance(kind, Text | Array):
        return "waveform"
    if isinstance(kind, State):
        two = len(kind.labels) <= 2
        return ("bo" if out else "bi") if two else ("mbbo" if out else "mbbi")
    names = {"double": ("ai", "ao"), "long": ("longin", "longout"), "string": ("stringin", "stringout")}
    return names[kind.kind][out]


class Field(ChannelData):
    """One record field: readable by whoever can read the PV, writable by nobody."""

    _data: dict[str, Any]

    def __init__(self, pv: Pv[Any], kind: ChannelType, labels: tuple[str, ...] | None = None) -> None:
        self.data_type = kind
        self.pv = pv
        super().__init__(value=0, max_length=1, string_encoding=ENCODING, reported_record_type=pv.reported_record_type)
        self._data["timestamp"] = pv._data["timestamp"]  # noqa: SLF001 (of one piece with the PV)
        if labels is not None:
            self._data["enum_strings"] = labels

    @property
    def enum_strings(self) -> tuple[str, ...] | None:
        """The labels of a menu."""
        return self._data.get("enum_strings")

    @property
    def long_string_max_length(self) -> int:
        """Bytes that `NAME.DESC$` holds."""
        return max(_DESCRIPTION_BYTES + 1, len(str(self._data["value"]).encode(ENCODING)) + 1)

    def set(self, value: Any) -> bool:
        """Take a new value; whether it is one."""
        if self._data["value"] == value:
            return False
        self._data["value"] = value
        self._data["timestamp"] = self.pv._data["timestamp"]  # noqa: SLF001
        return True

    def check_access(self, hostname: str | None, username: str | None) -> AccessRights:
        """READ at most."""
        return self.pv.check_access(hostname, username) & AccessRights.READ

    async def auth_write(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Nobody may."""
        raise Forbidden("record fields cannot be written")


def _limit(key: str) -> Callable[[Pv[Any]], float]:
    def read(pv: Pv[Any]) -> float:
        value = pv._data[key]  # noqa: SLF001
        return 0.0 if value != value else value  # a record whose limit nobody set says 0

    return read


def _severity(name: str) -> Callable[[Pv[Any]], int]:
    default = Severity.MAJOR if name in ("HIHI", "LOLO") else Severity.MINOR

    def read(pv: Pv[Any]) -> int:
        pair = pv.limits.alarm if name in ("HIHI", "LOLO") else pv.limits.warn
        side = None if pair is None else pair[name.startswith("H")]
        return 0 if side is None else int(pv.declaration.severities.get(name, default))

    return read


def _state_severity(number: int) -> Callable[[Pv[Any]], int]:
    def read(pv: Pv[Any]) -> int:
        return next((int(s) for k, s in pv.declaration.severities.items() if int(pv.type.coerce(k)) == number), 0)

    return read


_COMMON: dict[str, tuple[ChannelType, tuple[str, ...] | None, Callable[[Pv[Any]], Any]]] = {
    "NAME": (ChannelType.STRING, None, lambda pv: pv.name),
    "DESC": (ChannelType.STRING, None, lambda pv: cut(pv.declaration.doc, _DESCRIPTION_BYTES)),
    "RTYP": (ChannelType.STRING, None, lambda pv: pv.reported_record_type),
    "ASG": (ChannelType.STRING, None, lambda pv: cut(pv.declaration.asg, STRING_BYTES)),
    # a menu of 22 names, of which DBR_ENUM has room for 16
    "STAT": (ChannelType.STRING, None, lambda pv: pv.status.name),
    "SEVR": (ChannelType.ENUM, _SEVERITIES, lambda pv: int(pv.severity)),
}
_NUMERIC = {
    "HOPR": "upper_disp_limit",
    "LOPR": "lower_disp_limit",
    "HIHI": "upper_alarm_limit",
    "LOLO": "lower_alarm_limit",
    "HIGH": "upper_warning_limit",
    "LOW": "lower_warning_limit",
}
_DRIVE = {"DRVH": "upper_ctrl_limit", "DRVL": "lower_ctrl_limit"}
_LIMIT_SEVERITIES = {"HHSV": "HIHI", "LLSV": "LOLO", "HSV": "HIGH", "LSV": "LOW"}


def _describe(pv: Pv[Any], name: str) -> tuple[ChannelType, tuple[str, ...] | None, Callable[[Pv[Any]], Any]]:
    """Type, menu and reader of a field; KeyError when a record of this type has no such field."""
    if name in _COMMON:
        return _COMMON[name]
    kind = pv.type
    if isinstance(kind, Text | Array) and name in ("NELM", "NORD"):
        reader = (lambda pv: pv.type.count) if name == "NELM" else (lambda pv: pv.calculate_length(pv.value))
        return ChannelType.LONG, None, reader
    if isinstance(kind, Text | Array) and name == "FTVL":
        return ChannelType.STRING, None, lambda pv: pv.type.dbr.name
    if isinstance(kind, State):
        return _describe_state(pv, name)
    if not kind.numeric:
        raise KeyError(name)
    if name == "EGU":
        return ChannelType.STRING, None, lambda pv: pv.declaration.units
    if name == "PREC" and kind.kind == "double":
        return ChannelType.INT, None, lambda pv: pv.declaration.precision
    if name in _NUMERIC or (name in _DRIVE and pv.declaration.kind != "readback"):
        return kind.dbr, None, _limit(_NUMERIC.get(name) or _DRIVE[name])
    if name in _LIMIT_SEVERITIES:
        return ChannelType.ENUM, _SEVERITIES, _severity(_LIMIT_SEVERITIES[name])
    raise KeyError(name)


def _describe_state(pv: Pv[Any], name: str) -> tuple[ChannelType, tuple[str, ...] | None, Callable[[Pv[Any]], Any]]:
    labels = pv.type.labels
    two = pv.reported_record_type in ("bi", "bo")
    text, severity = (("ZNAM", "ONAM"), ("ZSV", "OSV")) if two else (
        tuple(f"{o}ST" for o in _ORDINALS), tuple(f"{o}SV" for o in _ORDINALS)
    )  # fmt: skip
    if name in text:
        number = text.index(name)
        label = labels[number] if number < len(labels) else ""
        return ChannelType.STRING, None, lambda pv: cut(label, LABEL_BYTES)
    if name in severity:
        return ChannelType.ENUM, _SEVERITIES, _state_severity(severity.index(name))
    raise KeyError(name)


def make(pv: Pv[Any], name: str) -> Field:
    """The field `name` of a PV; KeyError when it has none."""
    kind, labels, read = _describe(pv, name)
    field = Field(pv, kind, labels)
    field.set(read(pv))
    return field


def refresh(pv: Pv[Any], name: str, field: ChannelData) -> None:
    """Bring a field that somebody has asked for up to date."""
    if isinstance(field, Field):
        if field.set(_describe(pv, name)[2](pv)):
            publish(field, int(SubscriptionType.DBE_VALUE | SubscriptionType.DBE_LOG))
