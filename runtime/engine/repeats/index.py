"""Picks the index for a threshold. Only one that compares near texts imports the library for it."""

from runtime.domain.checks.repeats import RepeatIndex
from runtime.domain.errors import InputError
from runtime.engine.repeats.exact import ExactIndex


def repeat_index(near: float | None = None) -> RepeatIndex:
    """An empty index: of texts that are the same, or of those that are alike by `near` or more.

    Raises `InputError` for a threshold that isn't between 0 and 1, `ConfigurationError` if the
    library isn't installed, `StorageError` if there is no disk for texts.
    """
    if near is None:
        return ExactIndex()
    if not 0 < near < 1:
        raise InputError(f"near is {near}, and has to be above 0 and below 1, such as 0.8")
    from runtime.engine.repeats.near import NearIndex  # noqa: PLC0415 - loads a library

    return NearIndex(near)
