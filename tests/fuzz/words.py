"""What all fuzzers write with: texts, numbers and values as strangers write them, and changes."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from tests.fuzz.case import Case

ATOMS: Final = (
    *("", " ", "\n", "\t", "\r\n", "\0", "\x1b[31m", "\x85", "\u2028", "\u202e", "\ufeff"),
    *('"', "'", "\\", "{", "}", "[", "]", "{{", "}}", "{%", "%}", "<", ">", "&", ",", ":", ";"),
    *("null", "true", "false", "NaN", "Infinity", "-Infinity", "None", "undefined", "-0", "1e999"),
    *("größe", "名前", "\U0001f600", "e\u0301", "a\u200db", "../../etc/passwd", "/", "%00", "$ref"),
    *("[/x]", "[link=https://x]", "id", "seed", "__class__", "!!int", "&a", "*a", "<<", "---"),
)
NUMBERS: Final = (
    *(0, 1, -1, 2, 7, 19, 20, 21, 100, 255, 256, 10**4, 10**6, 2**31, 2**53 + 1),
    *(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**29, 10**40),
    *(0.5, -0.0, 1e-9, 1e16, 1e29, 1.7e308, 5e-324),
)
NAMES: Final = (
    *("a", "b", "name", "id", "index", "größe", "名前", "a b", "a.b", "", "\u017f", "ﬁ", "x" * 300),
)
MOST_CHARACTERS: Final = 400_000
"""Longest text that a change makes: above most limits, and still quick to write."""


def text(rng: Random) -> str:
    """A text, short most of the time."""
    return "".join(
        rng.choice(ATOMS) if rng.random() < 0.6 else word(rng) for _ in range(short(rng))
    )


def word(rng: Random) -> str:
    return "".join(rng.choice("abcdefghij ") for _ in range(short(rng)))


def name(rng: Random) -> str:
    return rng.choice(NAMES) if rng.random() < 0.8 else text(rng)


def short(rng: Random) -> int:
    """A small count."""
    return min(int(rng.expovariate(0.35)), 12)


def many(rng: Random) -> int:
    """A count that finds what grows by the square, or stands at a limit."""
    return rng.choice((20, 21, 51, 101, 1_000, 4_000, 10_000, 30_000))


def number(rng: Random) -> int | float:
    return rng.choice(NUMBERS) if rng.random() < 0.8 else rng.randrange(-1000, 1000)


def value(rng: Random, depth: int = 3) -> Any:
    """A JSON value."""
    kind = rng.randrange(6 if depth else 4)
    if kind == 4:
        return {name(rng): value(rng, depth - 1) for _ in range(short(rng))}
    if kind == 5:
        return [value(rng, depth - 1) for _ in range(short(rng))]
    return (text(rng), number(rng), rng.choice((None, True, False)), word(rng))[kind]


def nested(rng: Random, inner: str) -> str:
    """`inner` in many brackets."""
    levels = rng.choice((3, 16, 20, 64, 65, 100, 101, 1_000, 1_001, 30_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}"), ("(", ")"), ("{", "}")))
    return opening * levels + inner + closing * rng.choice((levels, levels - 1))


# ── changes ────────────────────────────────────────────────────────────────────────────────────


def change_text(rng: Random, old: str) -> str:
    """`old` with a few changes."""
    new = old
    for _ in range(1 + short(rng) // 3):
        new = _changed_once(rng, new)[:MOST_CHARACTERS]
    return new


def _changed_once(rng: Random, old: str) -> str:  # noqa: PLR0911 - one for each way
    start = rng.randrange(len(old) + 1)
    end = min(len(old), start + 1 + short(rng) ** 2)
    match rng.randrange(8):
        case 0:
            return old[:start] + old[end:]
        case 1:
            return old[:end] + old[start:]
        case 2:
            return old[:start] + rng.choice(ATOMS) + old[start:]
        case 3:
            return old[:start] + str(number(rng)) + old[end:]
        case 4:
            return old[:start] + chr(rng.choice((0, 9, 10, 34, 39, 127, 255))) + old[start + 1 :]
        case 5:
            return old[:start]
        case 6 if rng.random() < 0.1:
            times = min(many(rng), MOST_CHARACTERS // max(end - start, 1))
            return old[:start] + old[start:end] * times + old[end:]
        case 7 if rng.random() < 0.1:
            return old[:start] + nested(rng, old[start:end]) + old[end:]
    at = rng.randrange(len(old) + 1)
    return old[:at] + old[start:end] + old[at:]


def change(rng: Random, old: Case) -> Case:
    """A copy of a case in which one text or number is another, or a value is left out or added."""
    case = json.loads(json.dumps(old))
    places = list(_places(case))
    if not places:
        return change_text(rng, case) if isinstance(case, str) else case
    holder, key = rng.choice(places)
    found = holder[key]
    if isinstance(found, str):
        holder[key] = change_text(rng, found)
    elif isinstance(found, dict) and rng.random() < 0.5:
        found[name(rng)] = value(rng)
    elif isinstance(found, list) and found and rng.random() < 0.5:
        found.insert(rng.randrange(len(found)), rng.choice(found))
    elif isinstance(found, int | float) and not isinstance(found, bool):
        holder[key] = number(rng)
    else:
        holder[key] = value(rng)
    return case


def _places(case: Case) -> Iterator[tuple[Any, Any]]:
    """Holder and key of every value in a case."""
    pending = [case]
    while pending:
        holder = pending.pop()
        keys = holder if isinstance(holder, dict) else range(len(holder))
        for key in list(keys):
            yield holder, key
            if isinstance(holder[key], dict | list):
                pending.append(holder[key])
