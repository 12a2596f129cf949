"""What a filter is made of once it is parsed: nodes that know their value.

A value that is not known is NaN. By default it stays unknown unless the result does not depend on it (`0 && x` is 0
whatever x is). `java`: as Phoebus computes, whose comparisons with NaN are just false.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

Values = Mapping[str, float | None]

NAN = math.nan


class Node(Protocol):
    """A part of a filter."""

    def value(self, values: Values, java: bool) -> float:
        """What it is for these values of PVs; NaN: not known."""
        ...


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    number: float

    def value(self, values: Values, java: bool) -> float:
        """The constant."""
        return self.number


@dataclass(frozen=True, slots=True)
class Name:
    """A PV."""

    name: str

    def value(self, values: Values, java: bool) -> float:
        """The PV's value, NaN when there is none."""
        found = values.get(self.name)
        return NAN if found is None else float(found)


@dataclass(frozen=True, slots=True)
class Negative:
    """A minus in front."""

    node: Node

    def value(self, values: Values, java: bool) -> float:
        """The same below 0."""
        return -self.node.value(values, java)


@dataclass(frozen=True, slots=True)
class Not:
    """A `!` in front."""

    node: Node

    def value(self, values: Values, java: bool) -> float:
        """1 when the node is 0, otherwise 0."""
        inner = self.node.value(values, java)
        if math.isnan(inner):
            return 0.0 if java else NAN
        return 0.0 if inner != 0 else 1.0


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands with operators between them, from the left to the right: long ones need no deep recursion."""

    first: Node
    rest: tuple[tuple[str, Node], ...]

    def value(self, values: Values, java: bool) -> float:
        """What comes out at the end."""
        result = self.first.value(values, java)
        for operator, node in self.rest:
            other = node.value(values, java)
            if operator in _ARITHMETIC:
                result = _ARITHMETIC[operator](result, other)
            elif operator in _LOGIC:
                result = (_java_logic if java else _logic)(operator, result, other)
            elif math.isnan(result) or math.isnan(other):
                result = float(operator == "!=") if java else NAN
            else:
                result = float(_COMPARISONS[operator](result, other))
        return result


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node

    def value(self, values: Values, java: bool) -> float:
        """One of the two; while the condition is not known, what both say."""
        condition = self.condition.value(values, java)
        if math.isnan(condition) and not java:
            yes, no = self.yes.value(values, java), self.no.value(values, java)
            return yes if yes == no else NAN
        chosen = self.yes if condition != 0 and not math.isnan(condition) else self.no
        return chosen.value(values, java)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of arguments."""

    function: Callable[..., float]
    arguments: tuple[Node, ...]

    def value(self, values: Values, java: bool) -> float:
        """What the function makes of them; NaN where it is not defined."""
        given = [node.value(values, java) for node in self.arguments]
        if not java and any(math.isnan(one) for one in given):
            return NAN
        try:
            return float(self.function(*given))
        except OverflowError:
            return math.inf
        except ValueError:
            return NAN


def _divide(a: float, b: float) -> float:
    if b == 0:
        if a == 0 or math.isnan(a):
            return NAN
        return math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def _power(a: float, b: float) -> float:
    if (abs(a) == 1 and (math.isinf(b) or math.isnan(b))) or (a == 1 and math.isnan(b)):
        return NAN  # as Java has it
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:  # 0 to a negative power, or the root of a negative number
        if a == 0:
            return math.copysign(math.inf, a) if b % 2 == 1 else math.inf
        return NAN


def _remainder(a: float, b: float) -> float:
    return NAN if b == 0 or math.isinf(a) else math.fmod(a, b)


def _logic(operator: str, a: float, b: float) -> float:
    """Three-valued: known as soon as one side settles it."""
    settles = 0.0 if operator == "&&" else 1.0
    for side in (a, b):
        if not math.isnan(side) and float(side != 0) == settles:
            return settles
    return NAN if math.isnan(a) or math.isnan(b) else 1.0 - settles


def _java_logic(operator: str, a: float, b: float) -> float:
    """NaN is not 0, hence true."""
    left, right = not a == 0, not b == 0
    return float(left and right if operator == "&&" else left or right)


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "%": _remainder,
    "^": _power,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_LOGIC = ("&&", "||")


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    """A rounding that leaves infinity alone."""
    return lambda x: float(function(x)) if math.isfinite(x) else x


def _log(base: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: -math.inf if x == 0 else base(x)


def _sinh(x: float) -> float:
    try:
        return math.sinh(x)
    except OverflowError:
        return math.copysign(math.inf, x)


def _least(*given: float) -> float:
    result = given[0]
    for one in given[1:]:
        result = one if one < result else result
    return result


def _greatest(*given: float) -> float:
    result = given[0]
    for one in given[1:]:
        result = one if one > result else result
    return result


MANY = 1_000
"""As many arguments as one likes, from two on."""

FUNCTIONS: dict[str, tuple[Callable[..., float], int]] = {
    "abs": (math.fabs, 1),
    "acos": (math.acos, 1),
    "asin": (math.asin, 1),
    "atan": (math.atan, 1),
    "ceil": (_whole(math.ceil), 1),
    "cos": (math.cos, 1),
    "cosh": (math.cosh, 1),
    "exp": (math.exp, 1),
    "expm1": (math.expm1, 1),
    "floor": (_whole(math.floor), 1),
    "log": (_log(math.log), 1),
    "log10": (_log(math.log10), 1),
    "round": (_whole(lambda x: math.floor(x + 0.5)), 1),
    "sin": (math.sin, 1),
    "sinh": (_sinh, 1),
    "sqrt": (math.sqrt, 1),
    "tan": (math.tan, 1),
    "tanh": (math.tanh, 1),
    "todegrees": (math.degrees, 1),
    "toradians": (math.radians, 1),
    "atan2": (math.atan2, 2),
    "hypot": (math.hypot, 2),
    "pow": (_power, 2),
    "min": (_least, MANY),
    "max": (_greatest, MANY),
}
"""Functions of Phoebus' formulas by their names in lower case, and how many arguments they take."""
