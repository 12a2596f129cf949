"""Physics and time of a line of simulated CAEN N1470 boards: no bytes, no sockets, no event loop.

An output's own physics is in `model_channel`; here is what outputs share: the board's front panel, its power, its
alarms, and the line.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence

from iocs.hv.model_channel import Channel, Mask, Noise


class BoardAlarm(enum.IntFlag):
    """The board's BDALARM word, above its channels' bits 0 to 3."""

    PWFAIL = 1 << 4
    OVP = 1 << 5
    HVCKFAIL = 1 << 6


class Board:
    """One N1470 with its front panel."""

    def __init__(
        self, number: int, serial: str | None = None, channels: int = 4, name: str = "N1470", firmware: str = "1.2"
    ) -> None:
        self.number = number
        self.name, self.firmware = name, firmware
        self.serial = serial or f"{1000 + number}"
        self.mask = Mask.UP
        self.channels = [Channel(self, n) for n in range(channels)]
        self.local = False
        self.terminated = False
        self.closed_mode = True
        """BDILKM CLOSED: the interlock acts while its contact is closed; OPEN: while it is open."""
        self.contact_closed = False
        self.power_fail = False
        self.clock = 200.0
        """HV clock, kHz; good within 10 of 200."""
        self.boot_left: float | None = None
        """Seconds until the board answers again; infinity: switched off; None: it runs."""
        self._latched = 0

    @property
    def running(self) -> bool:
        """False while the board has no power or boots: it says nothing."""
        return self.boot_left is None

    @property
    def interlocked(self) -> bool:
        """True while the interlock keeps the outputs off."""
        return self.contact_closed == self.closed_mode

    def set_interlock(self, active: bool) -> None:
        """Move the interlock's contact so that it acts, or not, in the present mode."""
        self.contact_closed = self.closed_mode if active else not self.closed_mode
        self._enforce()

    def set_interlock_mode(self, closed: bool) -> None:
        """Write BDILKM. The contact stays as it is, so this can set the interlock off."""
        self.closed_mode = closed
        self._enforce()

    def set_power_fail(self, failing: bool) -> None:
        """The board's own supply fails: all outputs fall."""
        self.power_fail = failing
        self._enforce()

    def _enforce(self) -> None:
        for channel in self.channels:
            if channel.blocked:
                channel.cut_off()

    @property
    def alarm(self) -> int:
        """The BDALARM word: latched until cleared."""
        word = self._live_alarm() | self._latched
        for channel in self.channels[:4]:  # BDALARM has bits for four
            if channel.alarmed or channel.alarms:
                word |= 1 << channel.number
        return word

    def _live_alarm(self) -> int:
        word = 0
        if self.power_fail:
            word |= BoardAlarm.PWFAIL
        if abs(self.clock - 200.0) > 10.0:
            word |= BoardAlarm.HVCKFAIL
        if any(channel.over_power for channel in self.channels):
            word |= BoardAlarm.OVP
        return int(word)

    def clear_alarms(self) -> None:
        """BDCLR: what no longer is, is forgotten."""
        self._latched = 0
        for channel in self.channels:
            channel.clear_alarms()

    def power_off(self) -> None:
        """Pull the crate's plug."""
        self.boot_left = math.inf
        self._latched = 0
        for channel in self.channels:
            channel.lose_power()

    def power_on(self, boot: float = 2.0) -> None:
        """Give it power again: it answers after `boot` seconds, channels off, settings as they were."""
        if not self.running:
            self.boot_left = boot if boot > 0 else None

    def advance(self, dt: float, noise: Noise) -> None:
        """Let `dt` seconds pass."""
        if self.boot_left is not None:
            spent = min(dt, self.boot_left)
            self.boot_left -= spent
            if self.boot_left > 0:
                return
            self.boot_left, dt = None, dt - spent
        for channel in self.channels:
            channel.advance(dt, noise)
        self._latched |= self._live_alarm()


class Line:
    """The boards that share one line, by board number 0 to 31."""

    def __init__(self, boards: Sequence[Board], noise: Noise | None = None) -> None:
        self.boards = {board.number: board for board in boards}
        if len(self.boards) != len(boards) or not all(0 <= number <= 31 for number in self.boards):
            raise ValueError("board numbers must differ and be 0 to 31")
        if boards:
            boards[-1].terminated = True
        self.noise = noise or Noise()
        self.time = 0.0
        """Model seconds since the start."""

    def channels(self) -> Iterator[Channel]:
        """All channels, board by board."""
        for board in self.boards.values():
            yield from board.channels

    def seed(self, seed: int) -> None:
        """Start all random numbers again."""
        self.noise.random.seed(seed)
        for channel in self.channels():
            channel.seed(seed)

    def advance(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        if dt < 0 or not math.isfinite(dt):
            raise ValueError(f"time goes forward: {dt}")
        self.time += dt
        for board in self.boards.values():
            board.advance(dt, self.noise)
