"""EPICS access-security files (ACF): who may write what.

    UAG(operators) { alice, bob }
    HAG(control) { "console1", localhost }
    ASG(DEFAULT) { RULE(1, READ) }
    ASG(OPERATOR) {
        RULE(1, READ)
        RULE(1, WRITE, TRAPWRITE) { UAG(operators) HAG(control) }
    }

As in EPICS base: a client gets the best permission of the rules that apply to it; a rule applies when the user is in
one of its UAGs (if it names any) and the host in one of its HAGs (if it names any); a PV whose group the file does not
define is in DEFAULT; a DEFAULT that the file does not define permits nothing. User and host are what the client
claims. Not supported: CALC. A rule with one is never applied, and the file's `warnings` say so. Levels are accepted; a
PV's value has level 0, so that every rule reaches it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from caproto import AccessRights

DEFAULT = "DEFAULT"
_PERMISSIONS = {
    "NONE": AccessRights.NO_ACCESS,
    "READ": AccessRights.READ,
    "WRITE": AccessRights.READ | AccessRights.WRITE,
}
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+) | (?P<line>\n) | (?P<comment>\#[^\n]*) | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<word>[A-Za-z0-9_\-+:.\[\]<>;/@]+) | (?P<mark>[(){},])""",
    re.VERBOSE,
)
_REMEMBERED = 10_000
"""Decisions that are kept; user and host names come from clients, so there may be any number of them."""


class AccessFileError(Exception):
    """An access-security file that cannot be used; its text is one line `file:line: what` for each fault."""


class Rule(NamedTuple):
    """One RULE. Empty sets of groups apply to everybody."""

    level: int
    permission: str
    trap: bool
    users: frozenset[str]
    hosts: frozenset[str]
    anybody: bool
    anywhere: bool
    never: bool


@dataclass
class AccessSecurity:
    """The rules of one file."""

    name: str = ""
    groups: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    open: bool = False
    """No file: everybody may do everything."""

    def __post_init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[AccessRights, bool]] = {}

    @classmethod
    def everybody(cls) -> AccessSecurity:
        """What holds without a file."""
        return cls(open=True)

    @classmethod
    def load(cls, path: Path) -> AccessSecurity:
        """The rules in the file `path`; AccessFileError when it cannot be read or used."""
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise AccessFileError(f"{path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise AccessFileError(f"{path}: not UTF-8 text at byte {error.start}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "access file") -> AccessSecurity:
        """The rules in `text`; AccessFileError, with lines as `name:line:`, when it cannot be used."""
        return _Parser(text, name).file()

    def rights(self, group: str, user: str | None, host: str | None) -> AccessRights:
        """What `user` at `host` may do with the PVs of `group`."""
        return self._decide(group, user, host)[0]

    def trapped(self, group: str, user: str | None, host: str | None) -> bool:
        """Whether the rule that permits this client to write asks for its puts to be logged (TRAPWRITE)."""
        return self._decide(group, user, host)[1]

    def _decide(self, group: str, user: str | None, host: str | None) -> tuple[AccessRights, bool]:
        if self.open:
            return _PERMISSIONS["WRITE"], False
        key = (group, user or "", (host or "").lower())
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._work_out(*key)
        return known

    def _work_out(self, group: str, user: str, host: str) -> tuple[AccessRights, bool]:
        best, trap = AccessRights.NO_ACCESS, False
        for rule in self.groups.get(group, self.groups.get(DEFAULT, ())):
            permission = _PERMISSIONS[rule.permission]
            if (
                permission > best
                and not rule.never
                and (rule.anybody or user in rule.users)
                and (rule.anywhere or host in rule.hosts)
            ):
                best, trap = permission, rule.trap
        return best, trap and AccessRights.WRITE in best


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


class _SyntaxFaultError(Exception):
    """A syntax error: what follows makes no sense."""


class _Parser:
    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self.users: dict[str, frozenset[str]] = {}
        self.hosts: dict[str, frozenset[str]] = {}
        self.groups: dict[str, tuple[Rule, ...]] = {}
        self.line = 1
        self.tokens = self._tokens(text)
        self.ahead: _Token | None = None

    def _tokens(self, text: str) -> Iterator[_Token]:
        at, line = 0, 1
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise _SyntaxFaultError(f"{self.name}:{line}: {text[at]!r} is not expected here")
            at = match.end()
            kind = str(match.lastgroup)
            if kind == "line":
                line += 1
            elif kind not in ("space", "comment"):
                found = match.group()
                yield _Token(kind, found[1:-1] if kind == "string" else found, line)

    def _peek(self) -> _Token | None:
        if self.ahead is None:
            self.ahead = next(self.tokens, None)
        return self.ahead

    def _next(self, what: str) -> _Token:
        token = self._peek()
        if token is None:
            raise _SyntaxFaultError(f"{self.name}:{self.line}: the file ends where {what} is expected")
        self.ahead = None
        self.line = token.line
        return token

    def _mark(self, mark: str) -> None:
        token = self._next(repr(mark))
        if token.kind != "mark" or token.text != mark:
            raise _SyntaxFaultError(f"{self.name}:{token.line}: {token.text!r} where {mark!r} is expected")

    def _is(self, mark: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "mark" and token.text == mark

    def _word(self, what: str) -> str:
        token = self._next(what)
        if token.kind == "mark":
            raise _SyntaxFaultError(f"{self.name}:{token.line}: {token.text!r} where {what} is expected")
        return token.text

    def _fault(self, text: str) -> None:
        self.faults.append(f"{self.name}:{self.line}: {text}")

    def _list(self, opening: str, closing: str, what: str) -> list[str]:
        self._mark(opening)
        found: list[str] = []
        while not self._is(closing):
            if found:
                self._mark(",")
            found.append(self._word(what))
        self._mark(closing)
        return found

    def _name(self, what: str) -> str:
        names = self._list("(", ")", what)
        if len(names) != 1:
            raise _SyntaxFaultError(f"{self.name}:{self.line}: one {what} is expected, {len(names)} are given")
        return names[0]

    def file(self) -> AccessSecurity:
        try:
            while self._peek() is not None:
                word = self._word("UAG, HAG or ASG")
                if word == "UAG":
                    self._members(self.users, "UAG")
                elif word == "HAG":
                    self._members(self.hosts, "HAG")
                elif word == "ASG":
                    self._group()
                else:
                    raise _SyntaxFaultError(f"{self.name}:{self.line}: {word!r} where UAG, HAG or ASG is expected")
        except _SyntaxFaultError as fault:
            self.faults.append(str(fault))
        if self.faults:
            raise AccessFileError("\n".join(self.faults))
        if DEFAULT not in self.groups:
            self.warnings.append(f"{self.name}: no ASG(DEFAULT): PVs of no other group can be neither read nor written")
        return AccessSecurity(self.name, self.groups, tuple(self.warnings))

    def _members(self, known: dict[str, frozenset[str]], kind: str) -> None:
        name = self._name(f"name of the {kind}")
        if name in known:
            self._fault(f"{kind}({name}) is defined twice")
        members = self._list("{", "}", "a user" if kind == "UAG" else "a host") if self._is("{") else []
        known[name] = frozenset(m.lower() for m in members) if kind == "HAG" else frozenset(members)

    def _group(self) -> None:
        name = self._name("name of the ASG")
        if name in self.groups:
            self._fault(f"ASG({name}) is defined twice")
        rules: list[Rule] = []
        if self._is("{"):
            self._mark("{")
            while not self._is("}"):
                word = self._word("RULE or INPA…INPL")
                if word == "RULE":
                    rules.append(self._rule())
                elif re.fullmatch("INP[A-L]", word):
                    self._name("name of a PV")
                    self.warnings.append(f"{self.name}:{self.line}: {word} is ignored")
                else:
                    raise _SyntaxFaultError(f"{self.name}:{self.line}: {word!r} where RULE or INPA…INPL is expected")
            self._mark("}")
        self.groups[name] = tuple(rules)

    def _rule(self) -> Rule:
        words = self._list("(", ")", "a level, a permission or TRAPWRITE")
        level, permission, trap = [*words, "", "", ""][:3]
        if not level.isdecimal() or int(level) not in (0, 1):
            self._fault(f"the level {level!r} is neither 0 nor 1")
            level = "0"
        if permission not in _PERMISSIONS:
            self._fault(f"the permission {permission!r} is none of NONE, READ, WRITE")
            permission = "NONE"
        if trap not in ("", "TRAPWRITE", "NOTRAPWRITE") or len(words) > 3:
            self._fault(f"{', '.join(words[2:])!r} is neither TRAPWRITE nor NOTRAPWRITE")
        users: set[str] = set()
        hosts: set[str] = set()
        anybody = anywhere = True
        never = False
        if self._is("{"):
            self._mark("{")
            while not self._is("}"):
                word = self._word("UAG, HAG or CALC")
                if word == "UAG":
                    anybody = False
                    users |= self._union(self.users, "UAG")
                elif word == "HAG":
                    anywhere = False
                    hosts |= self._union(self.hosts, "HAG")
                elif word == "CALC":
                    never = True
                    self._name("an expression")
                    self.warnings.append(f"{self.name}:{self.line}: CALC is not supported: its rule is never applied")
                else:
                    raise _SyntaxFaultError(f"{self.name}:{self.line}: {word!r} where UAG, HAG or CALC is expected")
            self._mark("}")
        return Rule(
            int(level), permission, trap == "TRAPWRITE", frozenset(users), frozenset(hosts), anybody, anywhere, never
        )

    def _union(self, known: dict[str, frozenset[str]], kind: str) -> set[str]:
        found: set[str] = set()
        for name in self._list("(", ")", f"name of a {kind}"):
            if name not in known:
                self._fault(f"{kind}({name}) is not defined above")
            found |= known.get(name, frozenset())
        return found
