"""Filters: expressions over PVs, in the language of Phoebus' formulas, that enable an alarm while they are above 0.

From what binds most to what binds least: `!` and `-` in front; `* / % ^`; `+ -`; comparisons; `&& || ?:`. Operators
of one line bind alike, from the left to the right: `a || b && c` is `(a || b) && c`, and `2 * 3 ^ 2` is 36. That is
what Phoebus does, and a filter must mean the same to both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from iocs.alarm.watch.filter_nodes import FUNCTIONS, MANY, Call, Chain, Choice, Name, Negative, Node, Not, Number

MAX_LENGTH = 4000
"""Characters of a filter."""
MAX_DEPTH = 30
"""Parentheses, calls, signs and choices within each other."""
MAX_NAME = 200

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<name>[^\W\d]\w*(?:\.\w+)*(?::\w+(?:\.\w+)*)*)
    | (?P<quoted>'[^']*'|`[^`]*`)
    | (?P<operator>&&?|\|\|?|[<>=!]=|[-+*/%^<>!?:(),])
    )""",
    re.VERBOSE,
)
_SPACE = re.compile(r"\s*")
_CONSTANTS = {"E": math.e, "PI": math.pi}
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_NAMED = {"and": "&&", "or": "||", "not": "!"}


class BadFilter(ValueError):  # noqa: N818  (what it is called in the messages to users, too)
    """A filter that cannot be understood: `reason`, and the `column` (from 1) at which it stops being one."""

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that has been understood."""

    text: str
    names: frozenset[str]
    """The PVs it needs, as they are written in it."""
    warnings: tuple[str, ...]
    """What may not mean what its author thinks."""
    root: Node

    def evaluate(self, values: Mapping[str, float | None], compatible: bool = False) -> bool | None:
        """Is the alarm enabled for these values (None, NaN or absent: not connected)?

        None: that cannot be said, because it depends on what is not connected, or because the expression has no value
        (0 / 0). `compatible`: as Phoebus decides, which then disables the alarm.
        """
        result = self.root.value(values, compatible)
        if math.isnan(result):
            return False if compatible else None
        return result > 0


def parse(text: str) -> Filter:
    """Understand a filter; BadFilter when it is none."""
    if len(text) > MAX_LENGTH:
        raise BadFilter(MAX_LENGTH + 1, f"longer than {MAX_LENGTH} characters")
    parser = _Parser(text)
    root = parser.everything()
    return Filter(text, frozenset(parser.names), tuple(dict.fromkeys(parser.warnings)), root)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """number, name, quoted, operator, or end."""
    text: str
    column: int


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0
        self.names: set[str] = set()
        self.warnings: list[str] = []

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def refuse(self, reason: str) -> NoReturn:
        raise BadFilter(self.token.column, reason)

    def unexpected(self, wanted: str) -> NoReturn:
        token = self.token
        if token.kind == "end":
            self.refuse(f"it ends where {wanted} should follow")
        hint = f" (write {_NAMED[token.text]})" if token.text in _NAMED else ""
        self.refuse(f"{token.text!r} where {wanted} should be{hint}")

    def operator(self, *wanted: str) -> str:
        """The operator here if it is one of these, which is then behind us; otherwise ""."""
        token = self.token
        if token.kind != "operator" or token.text not in wanted:
            return ""
        self.at += 1
        return token.text

    def everything(self) -> Node:
        if self.token.kind == "end":
            self.refuse("it is empty")
        node = self.logic()
        if self.token.kind != "end":
            self.unexpected("an operator")
        return node

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"nested deeper than {MAX_DEPTH}")

    def logic(self) -> Node:
        self.enter()
        node = self.comparison()
        rest: list[tuple[str, Node]] = []
        while operator := self.operator("&&", "||", "?"):
            if operator == "?":
                node, rest = Choice(_chain(node, rest), *self.branches()), []
                continue
            if rest and rest[-1][0] != operator:
                self.warnings.append("&& and || without parentheses are read from the left to the right")
            rest.append((operator, self.comparison()))
        self.depth -= 1
        return _chain(node, rest)

    def branches(self) -> tuple[Node, Node]:
        yes = self.logic()
        if not self.operator(":"):
            self.unexpected("the ':' of '?'")
        return yes, self.logic()

    def comparison(self) -> Node:
        node, rest = self.sum(), []
        while operator := self.operator(*_COMPARISONS):
            rest.append((operator, self.sum()))
        if len(rest) > 1:
            self.warnings.append("of several comparisons in a row, each compares the 0 or 1 of the one before")
        return _chain(node, rest)

    def sum(self) -> Node:
        node, rest = self.product(), []
        while operator := self.operator("+", "-"):
            rest.append((operator, self.product()))
        return _chain(node, rest)

    def product(self) -> Node:
        node, rest = self.operand(), []
        while operator := self.operator("*", "/", "%", "^"):
            if operator == "%":
                self.warnings.append("Phoebus does not know %")
            elif operator == "^" and rest:
                self.warnings.append("^ binds no more than * and / do")
            rest.append((operator, self.operand()))
        return _chain(node, rest)

    def operand(self) -> Node:
        if sign := self.operator("!", "-"):
            self.enter()
            inner = self.operand()
            self.depth -= 1
            return Not(inner) if sign == "!" else Negative(inner)
        if self.operator("("):
            return self.closed(self.logic())
        token = self.token
        if token.kind == "number":
            self.at += 1
            return Number(float(token.text))
        if token.kind == "quoted":
            return self.pv(token.text[1:-1].strip())
        if token.kind == "name":
            return self.named(token.text)
        self.unexpected("a value")

    def closed(self, node: Node) -> Node:
        if not self.operator(")"):
            self.unexpected("')'")
        return node

    def named(self, name: str) -> Node:
        following = self.tokens[self.at + 1]
        if (following.kind, following.text) == ("operator", "("):
            return self.call(name)
        if name in _CONSTANTS:
            self.at += 1
            return Number(_CONSTANTS[name])
        if name.lower() in ("true", "false"):
            self.refuse(f"{name!r} is no value; write {int(name.lower() == 'true')}, or '{name}' for a PV of that name")
        return self.pv(name)

    def pv(self, name: str) -> Node:
        if not name:
            self.refuse("a PV without a name")
        if len(name) > MAX_NAME or not name.isprintable():
            self.refuse("what is between the quotes cannot be the name of a PV")
        self.at += 1
        self.names.add(name)
        return Name(name)

    def call(self, name: str) -> Node:
        if name.lower() not in FUNCTIONS:
            self.refuse(f"unknown function {name!r}; known: {', '.join(FUNCTIONS)}")
        function, wanted = FUNCTIONS[name.lower()]
        start = self.token.column
        self.at += 2
        arguments: list[Node] = []
        if not self.operator(")"):
            arguments.append(self.logic())
            while self.operator(","):
                arguments.append(self.logic())
            if not self.operator(")"):
                self.unexpected("',' or ')'")
        if wanted == MANY:
            if not 2 <= len(arguments) <= MANY:
                raise BadFilter(start, f"{name} takes two arguments or more, not {len(arguments)}")
        elif len(arguments) != wanted:
            raise BadFilter(start, f"{name} takes {wanted} argument{'s'[: wanted > 1]}, not {len(arguments)}")
        return Call(function, tuple(arguments))


def _chain(node: Node, rest: list[tuple[str, Node]]) -> Node:
    return Chain(node, tuple(rest)) if rest else node


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while True:
        space = _SPACE.match(text, at)
        start = space.end() if space else at
        if start == len(text):
            found.append(_Token("end", "", start + 1))
            return found
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise BadFilter(start + 1, _not_a_token(text[start]))
        token = match.group(match.lastgroup)
        if match.lastgroup == "number" and re.match(r"[\w.]", text[match.end() :]):
            raise BadFilter(start + 1, f"{token!r} is followed by a letter; a PV that begins with a digit needs quotes")
        if match.lastgroup == "operator" and token in ("&", "|"):
            token *= 2
        found.append(_Token(match.lastgroup, token, start + 1))
        at = match.end()


def _not_a_token(character: str) -> str:
    if character in "'`":
        return "a quote that is not closed"
    if character == '"':
        return "texts cannot be compared; a PV's name is put in single quotes"
    if character == "=":
        return "a single '='; two compare"
    return f"{character!r} has no meaning here"
