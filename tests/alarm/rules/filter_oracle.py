"""Expressions as trees, written down as text and computed without any of our parser."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

LEVELS = {"^": 3, "*": 3, "/": 3, "%": 3, "+": 2, "-": 2} | dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), 1)
LEVELS |= {"&&": 0, "||": 0, "?": 0}
NAMES = ("a", "b", "M:Beam", "RF:1.STAT", "sim://x y")


@dataclass(frozen=True)
class Tree:
    """`what`: an operator, a function, `name` or `number`."""

    what: str
    parts: tuple[Any, ...]


def compute(tree: Tree, values: Mapping[str, float]) -> float:
    """Its value where all names are known, with numpy's IEEE arithmetic (as Java's)."""
    if tree.what == "number":
        return tree.parts[0]
    if tree.what == "name":
        return values[tree.parts[0]]
    if tree.what == "?":
        condition, yes, no = (compute(part, values) for part in tree.parts)
        if math.isnan(condition):
            return yes if yes == no else math.nan
        return yes if condition else no
    given = [np.float64(compute(part, values)) for part in tree.parts]
    with np.errstate(all="ignore"):
        return float(_apply(tree.what, given))


def _apply(what: str, given: list[np.float64]) -> Any:
    if what in ("&&", "||"):
        settled = [bool(one) for one in given if not np.isnan(one)]
        decisive = what == "||"
        if decisive in settled:
            return float(decisive)
        return math.nan if len(settled) < 2 else float(not decisive)
    if any(np.isnan(one) for one in given) and not (what == "^" and given[1] == 0):
        return math.nan
    if len(given) == 1:
        (x,) = given
        single: dict[str, Any] = {
            "neg": lambda: -x, "!": lambda: float(x == 0), "abs": lambda: np.abs(x), "floor": lambda: np.floor(x),
            "ceil": lambda: np.ceil(x), "sqrt": lambda: np.sqrt(x), "exp": lambda: np.exp(x), "log": lambda: np.log(x),
            "round": lambda: np.floor(x + 0.5), "toDegrees": lambda: np.degrees(x),
        }  # fmt: skip
        return single[what]()
    x, y = given[0], given[1]
    many: dict[str, Any] = {
        "+": lambda: x + y, "-": lambda: x - y, "*": lambda: x * y, "/": lambda: x / y, "%": lambda: np.fmod(x, y),
        "^": lambda: np.nan if np.abs(x) == 1 and np.isinf(y) else np.power(x, y),
        "<": lambda: x < y, "<=": lambda: x <= y, ">": lambda: x > y, ">=": lambda: x >= y, "==": lambda: x == y,
        "!=": lambda: x != y, "max": lambda: max(given), "min": lambda: min(given), "hypot": lambda: np.hypot(x, y),
    }  # fmt: skip
    return many[what]()


def folded(operands: list[float], operators: list[str]) -> Tree:
    """What `1 + 2 < 3 …` without any parentheses means: level by level, from the left to the right."""
    parts = [Tree("number", (operand,)) for operand in operands]
    left = list(operators)
    for level in (3, 2, 1, 0):
        at = 0
        while at < len(left):
            if LEVELS[left[at]] == level:
                parts[at : at + 2] = [Tree(left.pop(at), (parts[at], parts[at + 1]))]
            else:
                at += 1
    return parts[0]


def written(tree: Tree, draw: Any = None) -> str:
    """The tree as text with as few parentheses as its precedence allows; `draw(list)` chooses blanks and quotes."""
    choose = draw or (lambda options: options[0])

    def at(part: Tree, level: int) -> str:
        text = inner(part)
        here = LEVELS.get(part.what, 4 if part.what in ("neg", "!") else 5)
        return f"({text})" if here < level or choose([False, False, True]) else text

    def inner(part: Tree) -> str:
        blank = choose(["", " ", "\t", "\n "])
        if part.what == "number":
            return f"{part.parts[0]!r}"
        if part.what == "name":
            plain = part.parts[0] in ("a", "b", "M:Beam", "RF:1.STAT")[:3]
            return choose([f"'{part.parts[0]}'", f"`{part.parts[0]}`", *([part.parts[0]] if plain else [])])
        if part.what == "?":
            condition, yes, no = part.parts
            # blanks: a name may contain colons
            return f"{at(condition, 1)}{blank}? {at(yes, 0)} : {at(no, 0)}"
        if part.what == "neg":
            return f"-{blank}{at(part.parts[0], 4)}"
        if part.what == "!":
            return f"!{blank}{at(part.parts[0], 4)}"
        if part.what in LEVELS:
            level = LEVELS[part.what]
            operator = choose([part.what, part.what[:1]]) if part.what in ("&&", "||") else part.what
            left, right = part.parts
            # what begins with a choice would take all that follows into its last branch
            first = f"({inner(left)})" if left.what == "?" else at(left, level)
            return f"{first}{blank}{operator}{blank}{at(right, level + 1)}"
        name = choose([part.what, part.what.upper()])
        return f"{name}({blank}{f',{blank}'.join(inner(one) for one in part.parts)})"

    return inner(tree)


numbers = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, 0.5, 3.0]),
    st.floats(min_value=0, max_value=1e6, allow_nan=False).map(lambda x: float(f"{x:.6g}")),
)
leaves = st.one_of(
    numbers.map(lambda x: Tree("number", (x,))), st.sampled_from(NAMES).map(lambda name: Tree("name", (name,)))
)


def _branches(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    operators = [name for name in LEVELS if name != "?"]
    binary = st.builds(lambda what, x, y: Tree(what, (x, y)), st.sampled_from(operators), children, children)
    return st.one_of(
        binary,
        binary,
        binary,
        st.builds(lambda what, x: Tree(what, (x,)), st.sampled_from(["neg", "!"]), children),
        st.builds(
            lambda what, x: Tree(what, (x,)),
            st.sampled_from(["abs", "floor", "ceil", "sqrt", "exp", "log", "round", "toDegrees"]),
            children,
        ),
        st.builds(lambda x, y, z: Tree("?", (x, y, z)), children, children, children),
        st.builds(
            lambda what, some: Tree(what, tuple(some)),
            st.sampled_from(["min", "max"]),
            st.lists(children, min_size=2, max_size=4),
        ),
        st.builds(lambda x, y: Tree("hypot", (x, y)), children, children),
    )


trees = st.recursive(leaves, _branches, max_leaves=12)
values = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 2.0]), st.floats(-1e6, 1e6, allow_nan=False))
