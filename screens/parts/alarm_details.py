"""All that is known of an alarm: its state, what to do, and the screens that help."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import QUrl, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QTextBrowser, QWidget

from screens.parts.alarm_data import Alarm
from screens.parts.alarm_links import helping_screen
from screens.parts.alarm_look import look_of, state_words
from screens.parts.words import when

NOTHING_CHOSEN = "Choose an alarm to see what to do about it."
LONGEST = 6000
WEB = ("http://", "https://")
STYLE = "color:#9aa5b1"


class DetailsView(QTextBrowser):
    """One alarm in words. `wanted` asks for a screen: its name and macros."""

    wanted = Signal(str, dict)

    def __init__(self, packed: str, parent: QWidget | None = None) -> None:
        """`packed` is the macro SUBSYSTEMS."""
        super().__init__(parent)
        self._packed = packed
        self.alarm: Alarm | None = None
        self._screen: tuple[str, dict[str, str]] | None = None
        self._shown = ""
        self.setOpenLinks(False)
        self.anchorClicked.connect(self._follow)
        self.say(NOTHING_CHOSEN)

    def say(self, text: str) -> None:
        """Show a line instead of an alarm."""
        self.alarm = None
        self._show_html(f'<p style="{STYLE}">{escape(text)}</p>')

    def show_alarm(self, alarm: Alarm) -> None:
        """Show an alarm; what is read stays in place when only its state is new."""
        same = self.alarm is not None and self.alarm.path == alarm.path
        self.alarm = alarm
        self._screen = helping_screen(alarm, self._packed)
        self._show_html(html_of(alarm, self._screen[0] if self._screen else ""), keep=same)

    def open_screen(self) -> None:
        """Ask for the screen that helps, if there is one."""
        if self.alarm is not None and self._screen is not None:
            self.wanted.emit(*self._screen)

    def _show_html(self, html: str, keep: bool = False) -> None:
        if html == self._shown:
            return
        self._shown = html
        bar = self.verticalScrollBar()
        place = bar.value()
        self.setHtml(html)
        bar.setValue(place if keep else 0)

    def _follow(self, url: QUrl) -> None:
        if url.scheme() == "screen":
            self.open_screen()
        elif url.scheme() in ("http", "https"):
            QDesktopServices.openUrl(url)


def html_of(alarm: Alarm, screen: str) -> str:
    """An alarm as rich text; `screen` is the name of the one that helps."""
    look, now = alarm.look, look_of(alarm.current)
    tick = " ✓" if look.acknowledged else ""
    parts = [
        f'<p style="font-size:16px"><b><span style="color:{look.color}">{look.symbol} {escape(look.word)}{tick}</span>'
        f" &nbsp;{_cut(alarm.pv)}</b></p>"
    ]
    if alarm.description:
        parts.append(f"<p><b>{_cut(alarm.description)}</b></p>")
    facts = [
        ("State", state_words(alarm.state)),
        ("Since", when(alarm.time)),
        ("At its worst", " ".join(part for part in (alarm.message, f"({alarm.value})" if alarm.value else "") if part)),
        ("Now", f"{now.symbol} {now.word} {alarm.current_message}".strip() if alarm.current else ""),
        ("Acknowledged by", alarm.acknowledged_by),
        ("First of its burst", "yes: what came after may be its consequence" if alarm.first_out else ""),
        ("Priority", f"{alarm.priority}{_response(alarm.response_time)}"),
        ("Path", alarm.path),
    ]
    if alarm.shelved:
        facts.insert(1, ("Shelved", f"{alarm.shelved.ends}, by {alarm.shelved.by}: {alarm.shelved.why}"))
    rows = "".join(
        f'<tr><td style="{STYLE};padding-right:10px">{name}</td><td>{_cut(value)}</td></tr>'
        for name, value in facts
        if value
    )
    # beside the facts, so that what to do is seen without scrolling
    parts.append(
        f'<table width="100%"><tr><td width="48%"><table>{rows}</table></td>'
        f'<td style="padding-left:14px">{_help(alarm, screen)}</td></tr></table>'
    )
    return "\n".join(parts)


def _help(alarm: Alarm, screen: str) -> str:
    """What to do, and the screens that help."""
    parts = [f"<p>{_link(f'screen:{screen}', f'▶ Open the screen {screen}')}</p>"] if screen else []
    parts += [f"<p><b>{_cut(title)}</b><br>{_linked(details)}</p>" for title, details in alarm.guidance]
    if not alarm.guidance:
        parts.append(f'<p style="{STYLE}">No guidance is written for this alarm.</p>')
    parts += [f"<p>Display <b>{_cut(title)}</b>: {_linked(details)}</p>" for title, details in alarm.displays]
    return "\n".join(parts)


def _response(seconds: float) -> str:
    if seconds <= 0:
        return ""
    return f", act within {seconds / 60:.0f} min" if seconds >= 120 else f", act within {seconds:.0f} s"


def _cut(text: str) -> str:
    return escape(text if len(text) <= LONGEST else f"{text[:LONGEST]} …")


def _linked(text: str) -> str:
    """Text as it is; a web address that stands alone can be clicked."""
    words = text.strip()
    if words.startswith(WEB) and not any(char.isspace() for char in words):
        return _link(words, words)
    return _cut(text).replace("\n", "<br>")


def _link(address: str, text: str) -> str:
    return f'<a style="color:#59c2ff" href="{escape(address, quote=True)}">{_cut(text)}</a>'
