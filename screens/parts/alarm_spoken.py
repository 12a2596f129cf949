"""What was announced, as a list, and the switches of sound and speech."""

from __future__ import annotations

from qtpy.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from screens.parts.alarm_voice import SOUND, SPEECH, Voice, voice
from screens.parts.widgets import Toggle, caption

LINES = 200


class SpokenPanel(QFrame):
    """The announcements since the screens were opened, the newest above."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "panel")
        self.voice: Voice = voice()
        self.text = QPlainTextEdit(self)
        self.text.setReadOnly(True)
        self.text.setPlaceholderText("Nothing was announced since the screens were opened.")
        self.sound = Toggle("Sound", self)
        self.speech = Toggle("Speech", self)
        self.note = caption("", self)
        row = QHBoxLayout()
        row.addWidget(caption("Announced", self), 1)
        row.addWidget(self.note)
        row.addWidget(self.sound)
        row.addWidget(self.speech)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 6)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.text, 1)
        self.sound.toggled.connect(lambda on: self.voice.switch(SOUND, on))
        self.speech.toggled.connect(self._switch_speech)
        self.voice.changed.connect(self._show)
        self.voice.heard.connect(lambda _: self._fill())
        self._show()
        self._fill()

    def _switch_speech(self, on: bool) -> None:
        if on == self.voice.speech:
            return
        silent = on and not self.voice.can_speak()
        self.note.setText("nothing speaks on this machine" if silent else "")
        self.voice.switch(SPEECH, on)

    def _show(self) -> None:
        for box, on in ((self.sound, self.voice.sound), (self.speech, self.voice.speech)):
            box.setChecked(on)

    def _fill(self) -> None:
        lines = [f"{when:%H:%M:%S}  {' '.join(text.split())}" for when, text in reversed(self.voice.history)]
        self.text.setPlainText("\n".join(lines[:LINES]))
