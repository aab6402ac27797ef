"""The limiter in front of a service with a quota, in virtual time."""

import pytest

from tests.bench.limiter import Ours, is_calm, is_used, seconds_until, shared, steady


@pytest.mark.parametrize("rate", [40, 100])
def test_a_quota_of_calls_is_used_and_hardly_exceeded(rate: float) -> None:
    share, refusals, lost = steady(Ours, rate)

    assert share >= 0.965
    assert refusals < 0.1
    assert lost == 0


def test_a_quota_of_tokens_is_used() -> None:
    share, _, lost = steady(Ours, 5000, by_tokens=True)

    assert (share >= 0.95, lost) == (True, 0)


def test_a_quota_that_triples_is_used_within_five_seconds() -> None:
    assert seconds_until(Ours, 50, 150, is_used) <= 5.0


def test_a_quota_that_is_halved_is_obeyed_within_two() -> None:
    assert seconds_until(Ours, 100, 50, is_calm) <= 2.0


@pytest.mark.parametrize(("workers", "feeds"), [(2, 0.4), (2, 1), (8, 1.6), (8, 4), (40, 8)])
def test_workers_beyond_a_quota_are_refused_one_call_in_twenty(workers: int, feeds: float) -> None:
    """They know nothing of each other. The quota is used all the same."""
    share, refused = shared(workers, feeds)

    assert refused <= 0.05
    assert share >= 0.97


def test_twelve_times_the_workers_that_a_quota_feeds_are_refused_a_little_more() -> None:
    share, refused = shared(8, 0.64)

    assert refused <= 0.08
    assert share >= 0.97


def test_workers_that_the_quota_feeds_are_not_refused() -> None:
    share, refused = shared(8, 8)

    assert refused == 0
    assert share >= 0.97
