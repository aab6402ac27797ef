"""The tokens that a reply was billed, as providers report them."""

from collections.abc import Mapping
from typing import Final

from runtime.domain.models.calls import Usage

_MAX_TOKENS: Final = 10**9
"""Of one kind in one call. A larger count says nothing: its cost would fit no table."""


def usage_of(
    *, input_tokens: object, output_tokens: object, cache_read: object, cache_write: object
) -> Usage | None:
    """The counts as a bill; None where one of them is not a count, so that the bill is not known.
    `input_tokens` exclude the cached ones.
    """
    counts = (input_tokens, output_tokens, cache_read, cache_write)
    tokens = [count for count in counts if is_count(count)]
    if len(tokens) != len(counts):
        return None
    numbers = [int(str(count)) for count in tokens]
    return Usage(
        input_tokens=numbers[0],
        output_tokens=numbers[1],
        cache_read_tokens=numbers[2],
        cache_write_tokens=numbers[3],
    )


def usage_from(given_in: object, given_out: object, total: object, details: object) -> Usage | None:
    """The bill of a call from the counts of OpenAI's families; None where they can't be.

    The prompt's count includes what was cached. A count of the whole that is larger than its parts
    holds thoughts, which some servers leave out of the completion.
    """
    if not is_count(given_in) or not is_count(given_out):
        return None
    prompt, written = int(str(given_in)), int(str(given_out))
    if is_count(total):
        written = max(written, int(str(total)) - prompt)
    cached = details if isinstance(details, Mapping) else {}
    read, stored = (cached.get(name) or 0 for name in ("cached_tokens", "cache_write_tokens"))
    if not is_count(read) or not is_count(stored):
        return None
    return usage_of(
        input_tokens=prompt - read - stored,
        output_tokens=written,
        cache_read=read,
        cache_write=stored,
    )


def is_count(value: object) -> bool:
    """Whether a reply can mean a number of tokens by it."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS
