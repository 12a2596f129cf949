"""What can go wrong between a board and its reader: distorted, delayed, lost and foreign replies."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass, field


class Distortion(enum.Enum):
    """A way to spoil a reply. The values are the names on the control port."""

    GARBAGE = "garbage"
    """Random bytes and CR LF instead of the reply."""
    HALF = "half"
    """The beginning of the reply, without CR LF: the next one sticks to it."""
    CUT = "cut"
    """The beginning of the reply, with CR LF."""
    SILENCE = "silence"
    """Nothing."""
    WRONG_BOARD = "wrong-board"
    """The reply under another board's number."""
    STALE = "stale"
    """The reply to the question before, from then on always one behind."""
    DUPLICATE = "duplicate"
    """The reply twice."""
    MERGE = "merge"
    """The reply without its CR LF: two lines in one."""


@dataclass
class Rule:
    """Spoil replies, of one board or of all, with a probability, `left` times or until cleared."""

    distortion: Distortion
    probability: float = 1.0
    left: int | None = None
    board: int | None = None


@dataclass
class Faults:
    """The faults of a line at this moment."""

    rules: list[Rule] = field(default_factory=list)
    delay: float = 0.0
    """Seconds before each reply, or before each of its bytes; a later reply waits for the earlier ones."""
    per_byte: bool = False
    random: random.Random = field(default_factory=lambda: random.Random(2))

    @property
    def active(self) -> bool:
        """False on a healthy line."""
        return bool(self.rules) or self.delay > 0

    def clear(self) -> None:
        """A healthy line again."""
        self.rules.clear()
        self.delay, self.per_byte = 0.0, False

    def seconds(self, reply: bytes) -> float:
        """How long `reply` takes."""
        return self.delay * (len(reply) if self.per_byte else 1)

    def distort(self, board: int, reply: bytes, held: bytes) -> tuple[bytes, bytes]:
        """What is sent instead of `reply`, and what the line holds back for the next time (`held` now)."""
        stale = False
        for rule in list(self.rules):
            if rule.board not in (None, board) or self.random.random() >= rule.probability:
                continue
            if rule.left is not None:
                rule.left -= 1
                if rule.left <= 0:
                    self.rules.remove(rule)
            if rule.distortion is Distortion.STALE:
                stale = True
            else:
                reply = self._spoil(rule.distortion, reply)
        if stale:
            return held, reply
        return reply, b""

    def _spoil(self, distortion: Distortion, reply: bytes) -> bytes:
        body = reply.removesuffix(b"\r\n")
        match distortion:
            case Distortion.GARBAGE:
                noise = bytes(self.random.randrange(256) for _ in range(self.random.randint(1, 40)))
                return noise.replace(b"\n", b"?") + b"\r\n"
            case Distortion.HALF:
                return body[: self.random.randint(1, max(1, len(body) - 1))]
            case Distortion.CUT:
                return body[: self.random.randint(1, max(1, len(body) - 1))] + b"\r\n"
            case Distortion.SILENCE:
                return b""
            case Distortion.WRONG_BOARD:
                if body[:4] != b"#BD:" or not body[4:6].isdigit():
                    return reply
                return b"#BD:%02d%b\r\n" % ((int(body[4:6]) + 1) % 32, body[6:])
            case Distortion.DUPLICATE:
                return reply * 2
            case Distortion.MERGE:
                return body
            case _:
                return reply
