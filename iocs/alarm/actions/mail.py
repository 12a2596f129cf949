"""`mailto:` actions: a mail through the SMTP server of the site file."""

from __future__ import annotations

import contextlib
import smtplib
import socket
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import localtime, make_msgid

from iocs.alarm.actions.deadline import cut_off

SMTP_PORT = 25
GOODBYE = 1.0
"""Seconds for taking leave of the server, which has the mail by then."""


def message(sender: str, recipients: Sequence[str], subject: str, body: str) -> EmailMessage:
    """A mail that no automaton should answer; ValueError for what can be none (a line feed in the subject)."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = subject
    mail["Date"] = localtime()
    # a domain of its own: asking for this computer's name can take long
    mail["Message-ID"] = make_msgid(domain=sender.partition("@")[2] or "owlshift.invalid")
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(body)
    return mail


def server_address(host: str) -> tuple[str, int]:
    """Host and port of `HOST` or `HOST:PORT`."""
    name, colon, port = host.partition(":")
    return name, int(port) if colon else SMTP_PORT


def send(host: str, mail: EmailMessage, timeout: float) -> str:
    """Send it and return what came of it; blocks for `timeout` seconds at the most.

    OSError or smtplib.SMTPException, with the server's reason, when nobody gets it.
    """
    server = smtplib.SMTP(local_hostname=socket.gethostname() or "localhost", timeout=timeout)
    try:
        with cut_off(lambda: server.sock, timeout):
            server.connect(*server_address(host))
            refused = server.send_message(mail)
        with contextlib.suppress(OSError, smtplib.SMTPException), cut_off(lambda: server.sock, GOODBYE):
            server.quit()
    finally:
        server.close()
    if refused:
        return "sent, but not to " + "; ".join(f"{to}: {_reason(code, text)}" for to, (code, text) in refused.items())
    return "sent"


def failure(error: Exception) -> str:
    """Why a mail was not sent."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{to}: {_reason(code, text)}" for to, (code, text) in error.recipients.items())
    if isinstance(error, smtplib.SMTPResponseException):
        return _reason(error.smtp_code, error.smtp_error)
    late = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)  # smtplib wraps it
    if late or isinstance(error, smtplib.SMTPServerDisconnected):
        return "no answer in time" if late else "the connection ended without an answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _reason(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
