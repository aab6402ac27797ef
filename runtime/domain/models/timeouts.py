"""How long one call of a model is waited for. Seconds."""

from typing import Final

SHORTEST_SECONDS: Final = 100.0
LONGEST_SECONDS: Final = 340.0
"""NAT gateways and VPC endpoints drop a connection that was idle for 350 s, and a reply comes as a
whole: who waits longer has to say so, and to know their network."""

MAX_CHOSEN_SECONDS: Final = 3600
"""Longest wait that a user may choose; some models think for minutes."""

_START_SECONDS: Final = 30.0
_TOKENS_PER_SECOND: Final = 20.0
"""Of a slow model under load: large ones give 30 to 60 tokens a second."""

LONGER: Final = 2.0
"""Factor on the wait after a call timed out: the same wait is not paid for twice."""


def call_timeout(max_tokens: int) -> float:
    """How long a reply of `max_tokens` is waited for where nobody says otherwise."""
    needed = _START_SECONDS + max_tokens / _TOKENS_PER_SECOND
    return min(max(needed, SHORTEST_SECONDS), LONGEST_SECONDS)
