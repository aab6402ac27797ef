"""Retries are bounded for every kind of failure and for every mix of them (S5.1 to S5.5)."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.errors import ModelErrorKind
from runtime.domain.models.retry import (
    MAX_PRESUMED_ATTEMPTS,
    RULES,
    Attempts,
    decide,
    is_service_failure,
)

Kind = ModelErrorKind
jitters = st.floats(0, 1, exclude_max=True)


@given(st.lists(st.tuples(st.sampled_from(Kind), jitters), max_size=60))
def test_any_mix_of_failures_is_bounded(failures: list[tuple[ModelErrorKind, float]]) -> None:
    attempts, seen = Attempts(), Counter[ModelErrorKind]()
    for kind, jitter in failures:
        rule = RULES[kind]
        seen[kind] += 1
        delay = decide(kind, attempts, jitter=jitter)
        presumed = sum(count for each, count in seen.items() if RULES[each].presume_spent)
        exhausted = rule.max_attempts is not None and seen[kind] >= rule.max_attempts
        assert (delay is None) == (exhausted or presumed >= MAX_PRESUMED_ATTEMPTS)
        assert (attempts.total, attempts.presumed) == (seen.total(), presumed)
        if delay is None:
            return
        assert 0 <= delay <= rule.max_delay


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (Kind.SERVER_FAULT, 3),
        (Kind.UNAVAILABLE, 6),
        (Kind.IN_DOUBT, 2),  # S5.3
        (Kind.MODEL_FAILED, 2),  # S5.2
        (Kind.REJECTED, 1),  # S5.4
        (Kind.TOO_LONG, 1),
        (Kind.FILTERED, 1),
        (Kind.NO_CREDIT, 1),
        (Kind.FATAL, 1),  # S5.5
    ],
)
def test_how_often_a_step_is_tried(kind: ModelErrorKind, calls: int) -> None:
    attempts = Attempts()
    delays = [decide(kind, attempts, jitter=0.5) for _ in range(calls)]
    assert delays.index(None) == calls - 1


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.NOT_SENT])
def test_what_is_never_billed_is_retried_for_as_long_as_it_takes(kind: ModelErrorKind) -> None:
    """S5.1. The job as a whole ends it, when nothing is answered any more."""
    attempts = Attempts()
    assert None not in [decide(kind, attempts, jitter=0.5) for _ in range(2000)]


@given(st.sampled_from([Kind.THROTTLED, Kind.NOT_SENT]), jitters)
def test_delays_double_up_to_their_bound(kind: ModelErrorKind, jitter: float) -> None:
    attempts, rule = Attempts(), RULES[kind]
    delays = [decide(kind, attempts, jitter=jitter) for _ in range(30)]
    assert delays == [
        jitter * min(rule.base_delay * 2.0**power, rule.max_delay) for power in range(30)
    ]


@given(st.floats(0, 600), jitters)
def test_nothing_is_tried_before_the_provider_wants_it(seconds: float, jitter: float) -> None:
    asked = decide(Kind.THROTTLED, Attempts(), jitter=jitter, retry_after=seconds)
    own = decide(Kind.THROTTLED, Attempts(), jitter=jitter)
    assert own is not None
    assert asked == max(own, seconds)


def test_what_may_be_billed_is_presumed_spent() -> None:
    """N3. A refusal is documented as free; a fault in the middle is not."""
    assert {kind for kind in Kind if RULES[kind].presume_spent} == {
        Kind.SERVER_FAULT,
        Kind.IN_DOUBT,
        Kind.MODEL_FAILED,
    }


@given(st.permutations([Kind.SERVER_FAULT, Kind.IN_DOUBT, Kind.MODEL_FAILED]))
def test_what_is_presumed_spent_is_bounded_over_all_kinds(kinds: list[ModelErrorKind]) -> None:
    """Each of them would be tried again if it came alone."""
    attempts = Attempts()
    *first, last = [decide(kind, attempts, jitter=0.5) for kind in kinds]
    assert None not in first
    assert len(kinds) == MAX_PRESUMED_ATTEMPTS
    assert last is None


def test_what_is_presumed_spent_is_bounded_by_kind() -> None:
    assert all(rule.max_attempts is not None for rule in RULES.values() if rule.presume_spent)


def test_every_kind_has_a_rule() -> None:
    assert set(RULES) == set(Kind)
    assert {kind for kind in Kind if RULES[kind].slows_dispatch} == {
        Kind.THROTTLED,
        Kind.UNAVAILABLE,
        Kind.SERVER_FAULT,
        Kind.IN_DOUBT,
        Kind.MODEL_FAILED,
    }


def test_b1_failures_are_of_the_service_or_of_the_record() -> None:
    """Written down here once more: a kind that moves from one to the other changes what is lost."""
    assert {kind for kind in Kind if not is_service_failure(kind)} == {
        Kind.REJECTED,
        Kind.TOO_LONG,
        Kind.FILTERED,
        Kind.FATAL,
    }
    for own in ("invalid_output", "truncated", "render_failed", "content_filtered", "unknown"):
        assert not is_service_failure(own)
