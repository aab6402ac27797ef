"""What follows from a failed model call: again or not, how soon, and who pays.

The rules are data; `decide` is the only reader. Sources: AWS says that a throttled call is not
billed; whether a 500 or a timeout is billed is not documented, so both are presumed spent.

Failures are of two sorts. One of the *service* says nothing about the record: its index is closed
for this run only, and tried again. One of the *record* (a refused request, an invalid output, a
prompt that can't be rendered) is final until the user asks for it to be tried again.
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
    of_service: bool = True
    """Whether it is a failure of the service, and not of the record."""
    is_outage: bool = True
    """Whether several in a row, without a reply between, say that the model is down."""


_OF_THE_REQUEST: Final = RetryRule(
    max_attempts=1, presume_spent=False, of_service=False, is_outage=False
)

RULES: Final[Mapping[ModelErrorKind, RetryRule]] = {
    # A throttled model is up: the limiter finds out how many calls it takes.
    ModelErrorKind.THROTTLED: RetryRule(
        max_attempts=None, presume_spent=False, slows_dispatch=True, is_outage=False
    ),
    ModelErrorKind.UNAVAILABLE: RetryRule(
        max_attempts=6, presume_spent=False, base_delay=1.0, slows_dispatch=True
    ),
    ModelErrorKind.SERVER_FAULT: RetryRule(
        max_attempts=3, presume_spent=True, base_delay=1.0, slows_dispatch=True
    ),
    ModelErrorKind.IN_DOUBT: RetryRule(max_attempts=2, presume_spent=True, slows_dispatch=True),
    ModelErrorKind.MODEL_FAILED: RetryRule(max_attempts=2, presume_spent=True, slows_dispatch=True),
    ModelErrorKind.NOT_SENT: RetryRule(max_attempts=None, presume_spent=False, base_delay=1.0),
    ModelErrorKind.REJECTED: _OF_THE_REQUEST,
    ModelErrorKind.TOO_LONG: _OF_THE_REQUEST,
    ModelErrorKind.FILTERED: _OF_THE_REQUEST,
    # These three end the run: nothing else of this model would be answered now.
    ModelErrorKind.QUOTA_USED_UP: RetryRule(max_attempts=1, presume_spent=False, is_outage=False),
    ModelErrorKind.NO_CREDIT: RetryRule(max_attempts=1, presume_spent=False, is_outage=False),
    ModelErrorKind.FATAL: RetryRule(
        max_attempts=1, presume_spent=False, of_service=False, is_outage=False
    ),
}

SERVICE_FAILURES: Final = frozenset(str(kind) for kind, rule in RULES.items() if rule.of_service)
"""Kinds of failures, as failure lines have them, that don't end a record for good."""

MAX_PRESUMED_ATTEMPTS: Final = 3
"""Most attempts of one step that may be paid without a reply, whatever the kinds."""

STALL_SECONDS: Final = 900.0
"""A job that gets no reply for this long, only refusals, fails instead of waiting for ever."""

MAX_CONSECUTIVE_FAILURES: Final = 20
"""Records that may fail one after the other, with no success between, before a job stops
(requirement S5.8). Failures of the service count only once no record was finished for
`STALL_SECONDS`: an outage that passes must not end a job."""


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


def decide(
    kind: ModelErrorKind, attempts: Attempts, *, jitter: float, retry_after: float | None = None
) -> float | None:
    """Note the failure; seconds to wait before the next attempt, or None to give up. It is not
    sooner than the provider asks for by `retry_after`.

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
    return max(ceiling * jitter, retry_after or 0.0)


def is_service_failure(kind: str) -> bool:
    """Whether the `kind` of a failure line is one that the next run tries again by itself."""
    return kind in SERVICE_FAILURES
