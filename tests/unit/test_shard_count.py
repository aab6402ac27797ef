"""Into how many shards a job is split."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.contract.executions import MAX_SHARDS
from runtime.domain.money.estimate import Estimate, StepEstimate
from runtime.domain.service_ports import ApiSettings
from runtime.service.shard_count import LEAST_RECORDS, shard_count

AWS = ApiSettings(max_workers=40)
HOUR = 3600


def estimate(records: int, *steps: tuple[str, int, int]) -> Estimate:
    """Of steps with a model, and tokens in and out a record."""
    return Estimate(
        records=records,
        lowest_nano=0,
        likely_nano=0,
        highest_nano=0,
        likely_tokens=0,
        steps=tuple(
            StepEstimate(
                step=f"s{number}",
                model=model,
                tokens_in=tokens_in * records,
                tokens_out=tokens_out * records,
                lowest_nano=0,
                likely_nano=0,
                highest_nano=0,
            )
            for number, (model, tokens_in, tokens_out) in enumerate(steps)
        ),
    )


SHORT = ("m", 120, 256)
"""At 2M tokens a minute the quota lets 53 calls a second in, and a worker of 64 makes 16."""
LONG = ("m", 1000, 2000)


@pytest.mark.parametrize(
    ("records", "step", "settings", "expected"),
    [
        # Minutes of work: the start of a task would cost more than it gains.
        (1000, SHORT, {}, 1),
        (10_000, SHORT, {}, 1),
        # Half an hour a shard, and as many as use the quota up.
        (100_000, SHORT, {}, 4),
        (1_000_000, SHORT, {}, 4),
        # A larger quota feeds more workers.
        (1_000_000, SHORT, {"model_tokens_per_minute": 20_000_000}, 33),
        (1_000_000, SHORT, {"model_tokens_per_minute": 200_000_000}, 40),
        # One worker uses the quota up with long outputs: more of them end no sooner, however long
        # it takes (42 hours here).
        (100_000, LONG, {"worker_calls": 512}, 1),
        (1_000_000, LONG, {"worker_calls": 512}, 1),
        (1_000_000, LONG, {"worker_calls": 512, "worker_hours": 1}, 1),
        # 17 hours for one worker, 5 for the four that the quota feeds: a fifth would be idle.
        (1_000_000, SHORT, {"worker_hours": 2}, 4),
        # Where the quota is large the hours count, though shards wait for one of two workers.
        (1_000_000, SHORT, {"model_tokens_per_minute": 200_000_000, "max_workers": 2}, 3),
        (
            1_000_000,
            SHORT,
            {"model_tokens_per_minute": 200_000_000, "max_workers": 2, "worker_hours": 1},
            17,
        ),
        # A laptop.
        (1_000_000, SHORT, {"max_workers": 1}, 1),
    ],
)
def test_how_far_a_job_is_split(
    records: int, step: tuple[str, int, int], settings: dict[str, Any], expected: int
) -> None:
    found = shard_count(estimate(records, step), ApiSettings(**{"max_workers": 40, **settings}))
    assert found == expected


def test_the_quota_is_one_for_each_model() -> None:
    two = estimate(1_000_000, SHORT, ("other", *SHORT[1:]))
    one = estimate(1_000_000, SHORT, SHORT)
    # Twice the time a record; the same quota for each of two models, half of it for one.
    assert shard_count(two, AWS) > shard_count(one, AWS)


@given(
    records=st.integers(1, 1_000_000),
    tokens_in=st.integers(0, 100_000),
    tokens_out=st.integers(0, 32_000),
    quota=st.integers(1, 10**9),
)
def test_every_job_can_be_split_somehow(
    records: int, tokens_in: int, tokens_out: int, quota: int
) -> None:
    settings = ApiSettings(max_workers=40, model_tokens_per_minute=quota)
    found = shard_count(estimate(records, ("m", tokens_in, tokens_out)), settings)
    assert 1 <= found <= MAX_SHARDS
    if records < LEAST_RECORDS:
        assert found == 1
