"""What `--seeds` names, and rows for the next command: pipes into a command and out of it."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runtime.cli.output import say
from runtime.domain.errors import InputError
from runtime.inputs.seeds import SeedSource, read_seeds
from runtime.inputs.sources import Named, StandardInput

PIPE = "-"
"""Standard input as seeds, standard output for rows."""


def seed_sources(names: Sequence[str] | None) -> SeedSource | None:
    """The sources of a command, None for none. Raises `InputError` for standard input where nothing
    is piped.
    """
    if not names:
        return None
    if not all(name.strip() for name in names):
        raise InputError("--seeds is empty: name a file, a folder, or - for standard input")
    if names.count(PIPE) > 1:
        raise InputError("--seeds -: standard input can be read only once")
    sources: list[Named] = [_standard_input() if name == PIPE else name for name in names]
    return sources[0] if len(sources) == 1 else sources


def _standard_input() -> StandardInput:
    if sys.stdin.isatty():
        raise InputError("--seeds - reads standard input, which is a terminal: pipe rows into it")
    return StandardInput(stream=sys.stdin.buffer)


def shown_sources(names: Sequence[str]) -> str:
    """What a user has named, for a message."""
    return ", ".join("standard input" if name == PIPE else name for name in names)


def stream_rows(folder: Path) -> None:
    """Write the rows of a complete dataset to standard output, as JSON lines, and nothing else:
    the same seeds that the folder itself would be. Raises `SeedError` where there are none.
    """
    seeds = read_seeds(folder, ())
    out = sys.stdout.buffer
    try:
        seeds.write_to(out)
        out.flush()
    except BrokenPipeError:
        say(f"the reader of the rows has gone: they are in {folder}")
        with suppress(OSError):  # what is still buffered would fail again when the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        seeds.close()
