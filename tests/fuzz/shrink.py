"""Makes a failing case small: parts are left out as long as it goes on failing."""

import json
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from tests.fuzz.case import Case


def shrink(case: Case, fails: Callable[[Case], bool], *, seconds: float) -> Case:
    """The smallest case that was found within the time. Its shape stays: only what is in its texts,
    lists and objects goes.
    """
    end = monotonic() + seconds
    best, again = case, True
    while again:
        again = False
        for smaller in _smaller(best):
            if monotonic() > end:
                return best
            if fails(smaller):
                best, again = smaller, True
                break
    return best


def _smaller(case: Case) -> Iterator[Case]:
    """Cases with something less, those that lack most first."""
    found = [(path, value) for path, value in _values(case, ()) if path]
    candidates = [
        (size, path, new) for path, value in found for size, new in _shorter(value, deep=len(path))
    ]
    candidates.sort(key=lambda each: -each[0])
    for _, path, new in candidates:
        yield _with(case, path, new)


def _shorter(value: Any, *, deep: int) -> Iterator[tuple[int, Any]]:
    if isinstance(value, str):
        for start, end in _cuts(len(value)):
            yield end - start, value[:start] + value[end:]
    elif isinstance(value, list):
        for start, end in _cuts(len(value)):
            yield len(json.dumps(value[start:end])), value[:start] + value[end:]
    elif isinstance(value, dict) and deep > 0:
        for name in value:
            rest = {key: each for key, each in value.items() if key != name}
            yield len(json.dumps(value[name])), rest


def _cuts(length: int) -> Iterator[tuple[int, int]]:
    """Parts to leave out: the whole, halves, quarters … at most 32 of one size."""
    size = length
    while size:
        for start in list(range(0, length, size))[:32]:
            yield start, min(start + size, length)
        size //= 2


def _values(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _values(each, (*path, name))
    elif isinstance(value, list):
        for number, each in enumerate(value[:50]):
            yield from _values(each, (*path, number))


def _with(case: Case, path: tuple[Any, ...], new: Any) -> Case:
    if not path:
        return new
    copy = dict(case) if isinstance(case, dict) else list(case)
    copy[path[0]] = _with(case[path[0]], path[1:], new)
    return copy
