"""Folders that come with the code: inside an installed package, or beside it in a checkout."""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]


def shipped(name: str) -> Path:
    """The folder `docs`, `examples` or `skills`."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
