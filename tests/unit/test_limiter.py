"""The limiter in front of a service with a quota, in virtual time."""

import pytest

from tests.bench.limiter import Ours, is_calm, is_used, seconds_until, steady


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
