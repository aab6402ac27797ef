"""What a fuzzer tries: a JSON value, so that a finding can be kept as a file, shrunk and changed.

Bytes stand in it as texts whose characters are the bytes (Latin-1).
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

Case = Any

KEPT: Final = Path(__file__).parents[1] / "fixtures" / "fuzz"
"""Cases that fuzzers have found, a folder a kind: each of them failed once."""


class FaultError(AssertionError):
    """A promise that does not hold for a case."""


class Kind(Protocol):
    """What is fuzzed. `make` draws from nothing but its generator."""

    name: str

    def make(self, rng: Random) -> Case:
        """A new case; `check` takes every JSON value of its shape."""
        ...

    def check(self, case: Case) -> str:
        """Try a case; a word for how it ended. Raises `FaultError`, or whatever escapes."""
        ...

    def close(self) -> None: ...


def demand(holds: object, problem: str) -> None:
    """Raise `FaultError` unless it holds. `assert` would be gone under `python -O`."""
    if not holds:
        raise FaultError(problem)


def one_line(message: str) -> None:
    """A refusal is one line that can be shown."""
    demand(message.strip(), "an empty message")
    demand("\n" not in message and "\r" not in message, f"more than one line: {message!r:.300}")
    demand(len(message) <= 6_000, f"a message of {len(message)} characters")


def encode(case: Case) -> bytes:
    """A case as a file holds it."""
    return json.dumps(case, ensure_ascii=True).encode()


def kept_cases(kind: str) -> Sequence[Path]:
    """The kept cases of a kind."""
    return sorted((KEPT / kind).glob("*.json"))


def read_case(path: Path) -> Case:
    """A kept case."""
    return json.loads(path.read_bytes())


def same(one: object, other: object) -> bool:
    """Whether two JSON values are equal and of the same types: 1 is neither 1.0 nor true."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def pick(rng: Random, *makers: tuple[float, Callable[[], Any]]) -> Any:
    """What one of the makers makes, each as often as its weight says."""
    (chosen,) = rng.choices([make for _, make in makers], [weight for weight, _ in makers])
    return chosen()
