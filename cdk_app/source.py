"""Where the sources of what is deployed lie, and which of them it is made of."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

_BOTH: Final = (
    "runtime/__init__.py",
    "runtime/aws",
    "runtime/bootstrap.py",
    "runtime/confinement.py",
    "runtime/contract",
    "runtime/disk.py",
    "runtime/domain",
    "runtime/engine",
    "runtime/export",
    "runtime/files",
    "runtime/logs.py",
    "runtime/models",
    "runtime/proxies.py",
    "runtime/sdk.py",
)

WORKER_SOURCES: Final = (
    *_BOTH,
    # What shards ask for when one of them has ended; nothing else of this room is a worker's.
    "runtime/service/__init__.py",
    "runtime/service/shards.py",
    "runtime/worker",
    "requirements/worker.txt",
)
"""What the worker's image is built from, besides its Dockerfile."""

FUNCTION_SOURCES: Final = (*_BOTH, "runtime/lambdas", "runtime/service")
"""What a function's bundle holds of the project. Handlers render and check templates with the
engine, and read what an export has noted; the worker, the command and the laptop's adapters stay at
home.
"""

_IGNORED: Final = ("__pycache__", "Dockerfile", "py.typed")


def source_files(sources: Iterable[str]) -> Iterator[Path]:
    """The files of `sources`, relative to the root, in a fixed order."""
    for source in sorted(sources):
        path = ROOT / source
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            if file.is_file() and not _is_ignored(file):
                yield file.relative_to(ROOT)


def digest(sources: Iterable[str], *settings: str) -> str:
    """One hash over names and contents of files, and over what else decides what is made of them.
    The same on every machine, and in every folder.
    """
    found = hashlib.sha256()
    for setting in settings:
        found.update(f"{len(setting)}:{setting}".encode())
    for file in source_files(sources):
        body = (ROOT / file).read_bytes()
        found.update(f"{file.as_posix()}:{len(body)}:".encode())
        found.update(body)
    return found.hexdigest()


def _is_ignored(file: Path) -> bool:
    return file.suffix == ".pyc" or any(part in _IGNORED for part in file.parts)
