"""The kinds of input that are fuzzed, by name."""

from importlib import import_module
from pathlib import Path
from typing import Final

from tests.fuzz.case import Kind

KINDS: Final = (
    "seeds",
    "sources",
    "templates",
    "samplers",
    "schemas",
    "bodies",
    "replies",
    "documents",
)


def open_kind(name: str, folder: Path) -> Kind:
    """The kind of that name; what it stores goes into `folder`."""
    kind: Kind = import_module(f"tests.fuzz.{name}").open_kind(folder)
    return kind
