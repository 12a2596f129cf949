"""What is announced, said aloud: a tone for attention, and speech where this machine can speak.

Both can be switched off. One voice speaks for all screens of the process; what several of them hear is said once.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import wave
from array import array
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QSettings, QUrl, Signal, qInstallMessageHandler  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QApplication

SPEECH, SOUND = "alarms/speech", "alarms/sound"
REMEMBERED = 200
"""Announcements that are remembered, so that none is said twice."""
RATE = 22_050
TONES = ((880.0, 0.12), (660.0, 0.16))
"""Hz and s."""


class Voice(QObject):
    """Speaks and sounds. `changed` is emitted when speech or sound is switched."""

    changed = Signal()
    heard = Signal(str)
    """Something was announced."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = QSettings("owlshift", "screens")
        self._keys: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self._speech: Any = None
        self._tone: Any = None
        self.history: deque[tuple[datetime, str]] = deque(maxlen=REMEMBERED)
        """What was announced since the application was started, with the time at which it came here."""

    @property
    def speech(self) -> bool:
        """Announcements are spoken."""
        return self._settings.value(SPEECH, False, type=bool) is True

    @property
    def sound(self) -> bool:
        """A tone sounds for each announcement."""
        return self._settings.value(SOUND, False, type=bool) is True

    def switch(self, what: str, on: bool) -> None:
        """Switch SPEECH or SOUND; it stays so for the screens that are opened later."""
        self._settings.setValue(what, on)
        if what == SPEECH and not on and self._speech is not None:
            self._speech.stop()
        self.changed.emit()

    def say(self, key: str, text: str) -> bool:
        """Say `text` once for each `key` (what tells this announcement from a later one of the same words)."""
        if not text or (key, text) in self._keys:
            return False
        self._keys.append((key, text))
        self.history.append((datetime.now(), text))
        if self.sound:
            self._play()
        if self.speech:
            speaker = self._speaker()
            if speaker is not None:
                speaker.enqueue(text)
        self.heard.emit(text)
        return True

    def can_speak(self) -> bool:
        """Whether this machine has something that speaks. Looking takes a moment; it is done when speech is wanted."""
        return self._speaker() is not None

    def _speaker(self) -> Any:
        if self._speech is None:
            with _quiet():
                try:
                    from PySide6.QtTextToSpeech import QTextToSpeech
                except ImportError:
                    return None
                engines = [name for name in QTextToSpeech.availableEngines() if name not in ("mock", "none")]
                found = QTextToSpeech(engines[0], self) if engines else None
            if found is None or found.state() == QTextToSpeech.State.Error:
                return None
            self._speech = found
        return self._speech

    def _play(self) -> None:
        if self._tone is None:
            with _quiet():
                try:
                    from PySide6.QtMultimedia import QMediaDevices, QSoundEffect
                except ImportError:
                    QApplication.beep()
                    return
                if not QMediaDevices.audioOutputs():
                    QApplication.beep()
                    return
                self._tone = QSoundEffect(self)
                self._tone.setSource(QUrl.fromLocalFile(str(tone_file())))
        self._tone.play()


def tone_file() -> Path:
    """A WAV file with two tones, in a folder for temporary files that stays."""
    with tempfile.NamedTemporaryFile(prefix="owlshift-tone-", suffix=".wav", delete=False) as file:
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(RATE)
            sound.writeframes(tone().tobytes())
        return Path(file.name)


def tone() -> array[int]:
    """The samples of the tones, 16 bits each; they swell and fade, so that they do not click."""
    samples = array("h")
    for frequency, seconds in TONES:
        count = int(RATE * seconds)
        for n in range(count):
            loudness = math.sin(math.pi * n / count)
            samples.append(int(12_000 * loudness * math.sin(2 * math.pi * frequency * n / RATE)))
    return samples


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What Qt says while it looks for what this machine has not, nobody needs to read."""
    before = qInstallMessageHandler(lambda *_: None)
    try:
        yield
    finally:
        qInstallMessageHandler(before)


_voices: list[Voice] = []


def voice() -> Voice:
    """The one voice of the application."""
    if not _voices:
        _voices.append(Voice(QApplication.instance()))
    return _voices[0]
