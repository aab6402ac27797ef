"""Where the sources of what is deployed lie, and which of them it is made of."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

WORKER_SOURCES: Final = (
    "requirements/worker.txt",
    "runtime/__init__.py",
    "runtime/aws",
    "runtime/bootstrap.py",
    "runtime/contract",
    "runtime/domain",
    "runtime/worker",
)
"""What the worker's image is built from."""
