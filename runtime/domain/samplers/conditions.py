"""Conditions on samples that were drawn before, parsed to data: nothing of them is ever evaluated.

    category == 'knife' and price > 10          city in ['Oslo', "Bergen"]

A comparison has the name of an earlier sampler on its left and a literal on its right; comparisons
are joined by `and`. There are no brackets, no other names, no arithmetic and no calls.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Literal = str | int | float | bool
"""A value that a condition can name."""

MAX_CONDITION_CHARACTERS: Final = 500
MAX_COMPARISONS: Final = 10
MAX_LITERALS: Final = 100
"""Of one `in`."""

ORDERED: Final = frozenset({"<", "<=", ">", ">="})

_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, several: value in several,
}
_TOKEN: Final = re.compile(
    r"""[ \t]*(?:
        (?P<name>[A-Za-z][A-Za-z0-9_]{0,63})
      | (?P<number>[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?)
      | (?P<text>'[^'\\]*'|"[^"\\]*")
      | (?P<mark>==|!=|<=|>=|[<>\[\](),])
    )""",
    re.VERBOSE,
)
_CONSTANTS: Final = {"True": True, "False": False, "true": True, "false": False}
_BRACKETS: Final = {"[": "]", "(": ")"}


class ConditionError(ValueError):
    """The text is no condition; the message says what was expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One comparison of the sample `name` with one literal, or of `in` with several."""

    name: str
    operator: str
    literals: tuple[Literal, ...]

    def holds(self, samples: Mapping[str, Any]) -> bool:
        """Whether it is so for these samples. What can't be ordered is not so."""
        several = self.operator == "in"
        try:
            return _OPERATORS[self.operator](
                samples[self.name], self.literals if several else self.literals[0]
            )
        except TypeError:
            return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """Comparisons that all have to hold. `text` is what their author wrote."""

    text: str
    comparisons: tuple[Comparison, ...]

    def holds(self, samples: Mapping[str, Any]) -> bool:
        """Whether all of them are so for these samples."""
        return all(each.holds(samples) for each in self.comparisons)


def parse_condition(text: str) -> Condition:
    """The condition in a text. Raises `ConditionError`."""
    if len(text) > MAX_CONDITION_CHARACTERS:
        raise ConditionError(f"a condition has {MAX_CONDITION_CHARACTERS} characters at most")
    tokens = _Tokens(text)
    comparisons = [_comparison(tokens)]
    while tokens.next_is("name", "and"):
        if len(comparisons) == MAX_COMPARISONS:
            raise ConditionError(f"a condition has {MAX_COMPARISONS} comparisons at most")
        comparisons.append(_comparison(tokens))
    tokens.end()
    return Condition(text=text, comparisons=tuple(comparisons))


class _Tokens:
    """The tokens of a text, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._position = 0

    def take(self, wanted: str) -> tuple[str, str]:
        """The next token as its kind and text. Raises `ConditionError` that says what is wanted."""
        found = _TOKEN.match(self._text, self._position)
        if found is None or found.lastgroup is None:
            raise self.error(wanted)
        self._position = found.end()
        return found.lastgroup, found[found.lastgroup]

    def next_is(self, kind: str, text: str) -> bool:
        """Whether the next token is this one, which is taken then."""
        found = _TOKEN.match(self._text, self._position)
        if found is None or found.lastgroup != kind or found[kind] != text:
            return False
        self._position = found.end()
        return True

    def end(self) -> None:
        if self._position < len(self._text):
            raise self.error('"and" or the end')

    def error(self, wanted: str) -> ConditionError:
        return ConditionError(f"expected {wanted} at character {self._position + 1}")


def _comparison(tokens: _Tokens) -> Comparison:
    kind, name = tokens.take("the name of an earlier sampler")
    if kind != "name" or name in _CONSTANTS or name in {"and", "in"}:
        raise ConditionError("a comparison begins with the name of an earlier sampler")
    kind, sign = tokens.take("==, !=, <, <=, >, >= or in")
    if sign not in _OPERATORS or (kind == "name") != (sign == "in"):
        raise ConditionError(f"compare {name} by ==, !=, <, <=, >, >= or in")
    if sign != "in":
        return Comparison(name=name, operator=sign, literals=(_literal(tokens),))
    _, opening = tokens.take("[")
    closing = _BRACKETS.get(opening)
    if closing is None:
        raise ConditionError("in needs a list, such as ['a', 'b']")
    literals = [_literal(tokens)]
    while not tokens.next_is("mark", closing):
        if not tokens.next_is("mark", ","):
            raise tokens.error(f'"," or "{closing}"')
        if len(literals) == MAX_LITERALS:
            raise ConditionError(f"in takes {MAX_LITERALS} values at most")
        literals.append(_literal(tokens))
    return Comparison(name=name, operator=sign, literals=tuple(literals))


def _literal(tokens: _Tokens) -> Literal:
    kind, text = tokens.take("a text in quotes or a number")
    match kind:
        case "text":
            return text[1:-1]
        case "number":
            return float(text) if any(each in text for each in ".eE") else int(text)
        case "name" if text in _CONSTANTS:
            return _CONSTANTS[text]
    raise ConditionError("compare with a text in quotes, a number, true or false")
