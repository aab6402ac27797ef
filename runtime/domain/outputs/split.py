"""`split:` of a template: which share of its rows is for testing.

    split: {test: 0.1, validation: 0.05}      by the record's number
    split: {test: 0.1, by: seed.source}       one value of `source` is in one split
    split: {test: 0.1, by: samples.topic}     the same of a sample

What no split takes is `train`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.domain.fields import is_number
from runtime.domain.hints import hint_for
from runtime.domain.outputs.values import Path, is_path

TRAIN: Final = "train"
MAX_SPLITS: Final = 10

_BY: Final = "by"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Shares of the rows by split, each above 0 and all together below 1."""

    shares: Mapping[str, float]
    by: Path | None = None
    """The value of seed or samples that decides; None: the record's number."""


def read_split(
    document: object, refuse: Callable[[str, str], None], *, samples: Collection[str] = ()
) -> Split | None:
    """The split that a document asks for; `samples` are the names of the template's samplers. Each
    problem goes to `refuse` with its place; with one, or without a document, there is no split.
    """
    if document is None:
        return None
    if not isinstance(document, Mapping) or not document.keys() - {_BY}:
        refuse("split", "map names to shares of the rows, such as {test: 0.1}")
        return None
    shares = {str(name): share for name, share in document.items() if name != _BY}
    problem = _problem(shares)
    by = document.get(_BY)
    if problem is None and by is not None:
        problem = _by_problem(by, samples)
    if problem is not None:
        refuse("split", problem)
        return None
    return Split(
        shares={name: float(share) for name, share in shares.items()},
        by=None if by is None else Path(by),
    )


def stored_split(
    document: Mapping[str, Any] | None, *, samples: Collection[str] = ()
) -> Split | None:
    """A split that was checked before it was stored."""
    return read_split(document, lambda *_problem: None, samples=samples)


def split_document(split: Split) -> dict[str, object]:
    """Inverse of `read_split`."""
    by = {} if split.by is None else {_BY: split.by.text}
    return {**split.shares, **by}


def _problem(shares: Mapping[str, object]) -> str | None:
    if len(shares) > MAX_SPLITS:
        return f"at most {MAX_SPLITS} splits"
    for name, share in shares.items():
        if _NAME.fullmatch(name) is None:
            return f'"{name[:64]}" is no name: use a letter, then up to 63 letters, digits or _'
        if name == TRAIN:
            return "train gets what the others leave: leave it out"
        if not is_number(share, low=0, high=1) or share in (0, 1):
            return f"the share of {name} must be a number between 0 and 1"
    if sum(float(str(share)) for share in shares.values()) >= 1:
        return "the shares together must leave something for train: less than 1"
    return None


def _by_problem(value: object, samples: Collection[str]) -> str | None:
    if isinstance(value, str) and is_path(value):
        root, _, name = value.partition(".")
        if root == "seed" and name:
            return None
        if root == "samples" and samples:
            sample = name.partition(".")[0]
            if sample in samples:
                return None
            return f'by: there is no sampler "{sample[:64]}"{hint_for(sample, samples)}'
    if not samples:
        return "by must be a path into the seed, such as seed.source"
    hint = hint_for(str(value), samples, within="samples.")
    return f"by must be a path, such as seed.source or samples.{min(samples)}{hint}"
