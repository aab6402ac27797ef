"""What follows from a failed model call: again or not, how soon, and who pays.

The rules are data; `decide` is the only reader. Sources: AWS says that a throttled call is not
billed; whether a 500 or a timeout is billed is not documented, so both are presumed spent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from runtime.domain.errors import ModelErrorKind


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryRule:
    """The policy for one kind of failure.

    `max_attempts` counts calls of one step that failed this way, the first included; None retries
    for as long as the job makes progress elsewhere (`STALL_SECONDS`). `presume_spent` keeps the
    reservation as if the call had cost its worst case. Delays are seconds.
    """

    max_attempts: int | None
    presume_spent: bool
    base_delay: float = 0.5
    max_delay: float = 20.0
    slows_dispatch: bool = False
    """Whether the failure says that the model gets more calls than it takes."""


RULES: Final[Mapping[ModelErrorKind, RetryRule]] = {
    ModelErrorKind.THROTTLED: RetryRule(
        max_attempts=None, presume_spent=False, slows_dispatch=True
    ),
    ModelErrorKind.UNAVAILABLE: RetryRule(
        max_attempts=6, presume_spent=False, base_delay=1.0, slows_dispatch=True
    ),
    ModelErrorKind.SERVER_FAULT: RetryRule(max_attempts=3, presume_spent=True, base_delay=1.0),
    ModelErrorKind.IN_DOUBT: RetryRule(max_attempts=2, presume_spent=True),
    ModelErrorKind.MODEL_FAILED: RetryRule(max_attempts=2, presume_spent=True),
    ModelErrorKind.NOT_SENT: RetryRule(max_attempts=None, presume_spent=False, base_delay=1.0),
    ModelErrorKind.REJECTED: RetryRule(max_attempts=1, presume_spent=False),
    ModelErrorKind.FATAL: RetryRule(max_attempts=1, presume_spent=False),
}

MAX_PRESUMED_ATTEMPTS: Final = 3
"""Most attempts of one step that may be paid without a reply, whatever the kinds."""

STALL_SECONDS: Final = 900.0
"""A job that gets no reply for this long, only refusals, fails instead of waiting for ever."""

MAX_CONSECUTIVE_FAILURES: Final = 20
"""Records that may fail one after the other, with no success between, before a job stops paying
(requirement S5.8)."""


@dataclass(slots=True)
class Attempts:
    """How one step has failed so far."""

    total: int = 0
    presumed: int = 0
    by_kind: dict[ModelErrorKind, int] | None = None

    def count(self, kind: ModelErrorKind) -> int:
        """Note one more failure of `kind`; how many there are of it now."""
        if self.by_kind is None:
            self.by_kind = {}
        self.by_kind[kind] = self.by_kind.get(kind, 0) + 1
        self.total += 1
        self.presumed += RULES[kind].presume_spent
        return self.by_kind[kind]


def decide(kind: ModelErrorKind, attempts: Attempts, *, jitter: float) -> float | None:
    """Note the failure; seconds to wait before the next attempt, or None to give up.

    `jitter` is uniform in [0, 1): delays are spread over the whole interval ("full jitter"), so
    that workers throttled together don't come back together.
    """
    rule = RULES[kind]
    failures = attempts.count(kind)
    if rule.max_attempts is not None and failures >= rule.max_attempts:
        return None
    if attempts.presumed >= MAX_PRESUMED_ATTEMPTS:
        return None
    ceiling = min(rule.max_delay, rule.base_delay * 2.0 ** min(failures - 1, 16))
    return ceiling * jitter
