"""Records to look at: values of bounded length, and how much of each is left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from runtime.export.report.columns import values_of

EXAMPLES: Final = 12
EXAMPLE_CHARACTERS: Final = 1500
"""Shown of a value of an example."""

_EXAMPLE_CELLS: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleCell:
    """A value of an example, as far as it is shown, and how many characters are left out."""

    column: str
    text: str
    cut: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A record to look at."""

    index: int
    seed_data_id: str
    cells: tuple[ExampleCell, ...]


def example_of(index: int, seed_data_id: str, result: Mapping[str, Any]) -> Example:
    """A record whose steps gave `result`."""
    return Example(index=index, seed_data_id=seed_data_id, cells=cells_of(result))


def parse_example(document: Mapping[str, Any]) -> Example:
    """Inverse of `dataclasses.asdict`."""
    cells = tuple(ExampleCell(**cell) for cell in document["cells"])
    return Example(**{**document, "cells": cells})


def cells_of(
    result: Mapping[str, Any], *, characters: int = EXAMPLE_CHARACTERS
) -> tuple[ExampleCell, ...]:
    """The first values of a `generation_result`, each so many `characters` long at most."""
    cells: list[ExampleCell] = []
    for name, value in values_of(result):
        if len(cells) == _EXAMPLE_CELLS:
            break
        text = value if isinstance(value, str) else json_of(value)
        shown = text[:characters]
        cells.append(ExampleCell(column=name, text=shown, cut=len(text) - len(shown)))
    return tuple(cells)


def json_of(value: object) -> str:
    """A value that is no text, as it is shown."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
