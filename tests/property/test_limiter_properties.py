"""The window of calls in flight (requirement S5.1): bounded, once a burst, and it comes back."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.models.limiter import DECREASE, MAX_PAUSE, QUIET_SECONDS, AdaptiveLimiter

maxima = st.integers(1, 200)
steps = st.lists(st.none() | st.floats(0, 2), max_size=200)
"""None is a success, a number a refusal that many seconds after the one before."""


@given(maxima, steps)
def test_the_window_stays_between_one_and_its_maximum(
    maximum: int, steps: list[float | None]
) -> None:
    limiter, now = AdaptiveLimiter(maximum), 0.0
    assert limiter.window == maximum
    for step in steps:
        before = limiter.window
        if step is None:
            limiter.succeeded(now)
            assert before <= limiter.window <= before + 1
        else:
            now += step
            limiter.refused(now, jitter=0.5)
            assert limiter.window <= before
        assert 1 <= limiter.window <= maximum


@given(maxima, st.lists(st.floats(0, QUIET_SECONDS, exclude_max=True), min_size=1))
def test_a_burst_decreases_once(maximum: int, offsets: list[float]) -> None:
    limiter = AdaptiveLimiter(maximum)
    limiter.refused(0.0, jitter=0.5)
    once = limiter.window
    assert once == max(1, int(maximum * DECREASE))
    for offset in offsets:
        limiter.refused(offset, jitter=0.5)
    assert limiter.window == once


@given(maxima)
def test_bursts_apart_decrease_each(maximum: int) -> None:
    limiter = AdaptiveLimiter(maximum)
    for burst in range(40):
        limiter.refused(burst * QUIET_SECONDS, jitter=0.5)
    assert limiter.window == 1


@given(maxima)
def test_it_recovers_at_once_by_one_a_window(maximum: int) -> None:
    """Before any time has passed."""
    limiter = AdaptiveLimiter(maximum)
    now = 39 * QUIET_SECONDS
    for burst in range(40):
        limiter.refused(burst * QUIET_SECONDS, jitter=0.5)
    for _ in range(maximum):
        window = limiter.window
        for _ in range(window + 2):
            limiter.succeeded(now)
        assert window <= limiter.window <= window + 2
    assert limiter.window == maximum


@given(st.integers(4, 500), st.floats(0.05, 1.0))
def test_it_triples_within_five_seconds_without_a_refusal(window: int, call_seconds: float) -> None:
    """Whatever the quota was, for calls that take up to a second."""
    limiter = AdaptiveLimiter(10 * window)
    now = 0.0
    while limiter.window > window:
        limiter.refused(now, jitter=0.5)
        now += QUIET_SECONDS
    began, was = now, limiter.window
    while now < began + 5.0 - QUIET_SECONDS:
        for _ in range(limiter.window):
            limiter.succeeded(now)
        now += call_seconds
    assert limiter.window >= 3 * was


@given(st.integers(4, 500))
def test_calls_that_take_long_double_at_most_before_the_first_is_back(window: int) -> None:
    limiter = AdaptiveLimiter(100 * window)
    now = 0.0
    while limiter.window > window:
        limiter.refused(now, jitter=0.5)
        now += QUIET_SECONDS
    was = limiter.window
    for _ in range(was):
        limiter.succeeded(now + 60.0)
    assert limiter.window <= 2 * was + 1


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_a_service_that_only_refuses_is_asked_ever_more_rarely(maximum: int, jitter: float) -> None:
    limiter, now, gaps = AdaptiveLimiter(maximum), 0.0, []
    for _ in range(12):
        limiter.refused(now, jitter=jitter)
        assert limiter.opens_at <= now + MAX_PAUSE
        gaps.append(limiter.opens_at - now)
        assert not limiter.has_room(limiter.opens_at - 1e-6, in_flight=0) or jitter == 0
        assert limiter.has_room(limiter.opens_at, in_flight=0)
        now = max(limiter.opens_at, now + QUIET_SECONDS)
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(gaps))
