"""How long one thread may keep the interpreter while another has work."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SWITCH_SECONDS: Final = 0.0005
"""A tenth of Python's own. The thread of the model calls gives the interpreter up at every read and
write, and would get it back only after the whole interval while the owner thread is at work."""


@contextmanager
def quick_switches() -> Iterator[None]:
    """While the block runs; a program that imports this has its own setting back afterwards."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
