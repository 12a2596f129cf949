"""Who may change what is archived. Reading is open.

A user is known by a token (`Authorization: Bearer …`); without one it is "anonymous". The site's access-security file
decides when it has the group that `[archiver.access] asg` names; otherwise whoever is on this host, or has a token,
may write. The appliance's calls are GETs, so that any web page could make a browser send one: what a browser sends
for another page never writes without a token, nor does what comes through a proxy, which hides who asks.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from archiver.management.ledger import Identity
from archiver.retrieval.query import printable
from archiver.store.files import replace_file
from owlshift.ioc.access import AccessFileError, AccessSecurity

log = logging.getLogger(__name__)

T = TypeVar("T")

ANONYMOUS = "anonymous"
USER = re.compile(r"[A-Za-z0-9_.@-]{1,40}")
LOOK_S = 1.0
"""Seconds after which files are looked at again."""
NAMES_S = 60.0
"""Seconds for which the addresses of a host's name are remembered."""
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers that a proxy adds."""
_WRITE = 2


@dataclass(frozen=True)
class Verdict:
    """Who asks, and whether that may write. `status`: the HTTP status of a refusal (401: a token would help)."""

    who: Identity
    may_write: bool
    why: str
    status: int = 200


class TokenFileError(Exception):
    """The file of tokens can't be used; str() is one clear line."""


def token_hash(token: str) -> str:
    """What is kept of a token: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path) -> list[tuple[str, str]]:
    """Users and the hashes of their tokens, by line; TokenFileError when the file can't be used. No file: nobody."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileError(f"the file of tokens {path} can't be read: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        user, _, digest = line.partition(":")
        if not USER.fullmatch(user) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise TokenFileError(f"{path}:{number}: should be USER:SHA-256 of the token in hexadecimal digits")
        found.append((user, digest))
    return found


def add_token(path: Path, user: str) -> str:
    """A new token for a user, beside those it has; only its hash is kept. TokenFileError when that can't be done."""
    if not USER.fullmatch(user) or user == ANONYMOUS:
        raise TokenFileError(f"{user!r} is no name for a user: up to 40 of A-Z a-z 0-9 _ . @ -")
    token = f"owl_{secrets.token_urlsafe(32)}"
    _save_tokens(path, [*read_tokens(path), (user, token_hash(token))])
    return token


def remove_tokens(path: Path, user: str) -> int:
    """Take all tokens of a user away; how many there were."""
    tokens = read_tokens(path)
    left = [(name, digest) for name, digest in tokens if name != user]
    if len(left) < len(tokens):
        _save_tokens(path, left)
    return len(tokens) - len(left)


def _save_tokens(path: Path, tokens: Sequence[tuple[str, str]]) -> None:
    lines = [f"{user}:{digest}\n" for user, digest in tokens]
    head = "# Who may change what is archived: user and SHA-256 of the token. Made by `owl archive token add USER`.\n"
    mask = os.umask(0o077)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, "".join([head, *lines]).encode())
    except OSError as error:
        raise TokenFileError(f"the file of tokens {path} can't be written: {error.strerror or error}") from error
    finally:
        os.umask(mask)


class Access:
    """The rules of a site. Files are followed: who is taken out of one may write no more a second later."""

    def __init__(
        self,
        acf: Path | None = None,
        asg: str = "ARCHIVER",
        tokens: Path | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self._acf = _Followed(acf, AccessSecurity.load)
        self._tokens = _Followed(tokens, read_tokens)
        self._asg = asg
        own = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}
        self._own_names = own - {"0.0.0.0", "::"}
        self._addresses: dict[str, tuple[float, frozenset[str]]] = {}

    def verdict(self, peer: str, headers: Mapping[str, str]) -> Verdict:
        """Who asks from the address `peer` with these (lower-case) headers, and whether it may write.

        May ask the name service: for a worker thread.
        """
        peer = _plain(peer)
        token = _bearer(headers.get("authorization", ""))
        user = None
        if token is not None:
            user = self._user(token)
            if user is None:
                problem = self._tokens.problem
                why = f"{problem}." if problem else "The token is not known here."
                return Verdict(Identity(ANONYMOUS, peer), False, why, 401)
        who = Identity(user or ANONYMOUS, peer)
        if user is None:
            if any(key in headers for key in FORWARDED):
                return Verdict(who, False, "Through a proxy nothing is changed without a token.", 401)
            foreign = self._foreign(headers, _is_loopback(peer))
            if foreign:
                return Verdict(who, False, foreign, 403)
        if self._acf.problem:
            return Verdict(who, False, f"The site's access file can't be used: {self._acf.problem}.", 403)
        rules = self._acf.content
        if rules is not None and self._asg in rules.groups:
            return self._by_rules(rules, who, user is not None)
        if user is not None:
            return Verdict(who, True, f"{user} has a token.")
        if _is_loopback(peer):
            return Verdict(who, True, "Whoever is on this host may write.")
        return Verdict(who, False, "Changing what is archived from another host needs a token.", 401)

    def _by_rules(self, rules: AccessSecurity, who: Identity, known: bool) -> Verdict:
        hosts = [who.host, *self._names_of(who.host, rules)]
        if any(int(rules.rights(self._asg, who.user, host)) & _WRITE for host in hosts):
            return Verdict(who, True, f"The rules of ASG({self._asg}) let {who.user} at {who.host} write.")
        why = f"The rules of ASG({self._asg}) do not let {who.user} at {who.host} write."
        return Verdict(who, False, why, 403 if known else 401)

    def _names_of(self, peer: str, rules: AccessSecurity) -> list[str]:
        """The hosts of the rules that have this address; what a name server says of an address can't be trusted."""
        named = {host for rule in rules.groups[self._asg] for host in rule.hosts}
        return [host for host in named if peer in self._addresses_of(host)]

    def _addresses_of(self, host: str) -> frozenset[str]:
        known = self._addresses.get(host)
        now = time.monotonic()
        if known is None or known[0] < now:
            try:
                found = frozenset(_plain(str(info[4][0])) for info in socket.getaddrinfo(host, None))
            except (OSError, UnicodeError):
                found = frozenset()
            known = self._addresses[host] = (now + NAMES_S, found)
        return known[1]

    def _user(self, token: str) -> str | None:
        digest = token_hash(token)
        found = None
        for user, known in self._tokens.content or ():
            # all of them, each in constant time: how long it takes tells nothing
            if hmac.compare_digest(digest, known):
                found = user
        return found

    def _foreign(self, headers: Mapping[str, str], here: bool) -> str:
        """Why a request may be a stranger's page's, in a browser `here` or elsewhere; empty when it is none's.

        Browsers say which page asks only to addresses that they trust (https, localhost), or by POST; so one that says
        nothing may act for any page. And a page may have what its own (re-bound) name points to believe in any client.
        """
        site = headers.get("sec-fetch-site", "").lower()
        if site in ("cross-site", "same-site"):
            return "Another web site's page may change nothing here without a token."
        if "prefetch" in (headers.get("sec-purpose", "") + headers.get("purpose", "")).lower():
            return "Nothing is changed by what a browser fetches ahead of time."
        host = headers.get("host", "").lower()
        for key in ("origin", "referer"):
            text = headers.get(key)
            if text is not None and _netloc(text) != host:
                return "Another web site's page may change nothing here without a token."
        told = bool(site) or "origin" in headers or "referer" in headers
        browser = told or headers.get("user-agent", "").lower().startswith("mozilla/")
        if (browser or here) and "host" in headers and not self._is_own(host):
            return f"The name {printable(host, 80)!r} is not known to be this server's; use its address, or a token."
        if browser and not told:
            return "This browser does not say which page asks; use the archiver's own page, or a token."
        return ""

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this server; a stranger's name may have been made to point here."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
            ipaddress.ip_address(name)
        except ValueError:
            return host.partition(":")[0].rstrip(".") in self._own_names
        return True


class _Followed(Generic[T]):
    """A file's content, read again when the file has changed."""

    def __init__(self, path: Path | None, load: Callable[[Path], T]) -> None:
        self._path, self._load = path, load
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._signature: object = ()
        self._content: T | None = None
        self._problem = ""

    @property
    def content(self) -> T | None:
        """What the file says; None without a file, or when it can't be used."""
        self._look()
        return self._content

    @property
    def problem(self) -> str:
        """Why the file can't be used; empty when it can."""
        self._look()
        return self._problem

    def _look(self) -> None:
        with self._lock:
            now = time.monotonic()
            if self._path is None or now - self._looked < LOOK_S:
                return
            self._looked = now
            try:
                status = self._path.stat()
                signature = (status.st_ino, status.st_mtime_ns, status.st_size)
            except OSError:
                signature = None
            if signature == self._signature:
                return
            try:
                self._content, self._problem = self._load(self._path), ""
            except (AccessFileError, TokenFileError) as error:
                self._content, self._problem = None, str(error).splitlines()[0]
                log.error("%s", self._problem)
            self._signature = signature


def _plain(address: str) -> str:
    """An address without a zone, and an IPv4 one as such even when IPv6 carried it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address.lower()
    return str(getattr(found, "ipv4_mapped", None) or found)


def _is_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def _bearer(header: str) -> str | None:
    kind, _, token = header.strip().partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower().rpartition("@")[2]
    except ValueError:
        return ""
