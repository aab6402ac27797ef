"""Which shard generates what, and what shards say about their job."""

from dataclasses import replace
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.jobs.config import config_document, parse_config
from runtime.domain.jobs.job import ACTIVE, ENDED, JobError, JobStatus, Progress
from runtime.domain.jobs.sharding import (
    MAX_SHARDS,
    Sharding,
    parse_sharding,
    ranges_of,
    sharding_for,
    size_of,
)
from runtime.domain.jobs.shards import ShardState, Verdict, judge
from tests.fixtures.clock import ManualClock
from tests.fixtures.storage import new_job


@st.composite
def shardings(draw: st.DrawFn, most: int = MAX_SHARDS) -> Sharding:
    ends = draw(st.sets(st.integers(1, 3000), min_size=1, max_size=4))
    return Sharding(count=draw(st.integers(2, most)), ends=tuple(sorted(ends)))


@given(shardings())
def test_every_index_has_one_shard(sharding: Sharding) -> None:
    parts = [ranges_of(sharding, shard) for shard in range(sharding.count)]
    assert sorted(chain.from_iterable(chain.from_iterable(parts))) == list(range(sharding.ends[-1]))
    for part in parts:
        assert all(one.stop <= other.start for one, other in pairwise(part))
    for round_ in zip(*parts, strict=True):
        sizes = [len(each) for each in round_]
        assert max(sizes) - min(sizes) <= 1
        assert all(one.stop == other.start for one, other in pairwise(round_))


@given(shardings(), st.integers(1, 4000))
def test_growth_moves_no_index(sharding: Sharding, more: int) -> None:
    grown = sharding.grown_to(more)
    for shard in range(sharding.count):
        before = ranges_of(sharding, shard)
        assert ranges_of(grown, shard)[: len(before)] == before
    assert grown.ends[-1] == max(more, sharding.ends[-1])
    assert sharding.grown_to(sharding.ends[-1]) == sharding
    with pytest.raises(ValueError, match="no shard"):
        ranges_of(sharding, sharding.count)


@given(shardings())
def test_a_configuration_keeps_its_shards(sharding: Sharding) -> None:
    config = replace(new_job("j", ManualClock()).config, sharding=sharding)
    assert parse_config(config_document(config)) == config
    plain = replace(config, sharding=None)
    assert "sharding" not in config_document(plain)
    assert parse_config(config_document(plain)) == plain


@pytest.mark.parametrize(
    "document",
    [
        {"count": 1, "ends": [5]},
        {"count": 91, "ends": [5]},
        {"count": 2, "ends": []},
        {"count": 2, "ends": [5, 5]},
        {"count": 2, "ends": [0]},
        {"count": 2, "ends": [5, 3]},
    ],
)
def test_damaged_shards_are_noticed(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="shards"):
        parse_sharding(document)


@pytest.mark.parametrize(
    ("num_records", "shards", "count"),
    [(10, None, None), (10, 1, None), (1, 5, None), (10, 2, 2), (3, 9, 3), (1000, 91, 90)],
)
def test_no_shard_is_without_a_record(
    num_records: int, shards: int | None, count: int | None
) -> None:
    sharding = sharding_for(num_records, shards)
    assert (sharding and sharding.count) == count
    if sharding is not None:
        assert all(size_of(ranges_of(sharding, each)) for each in range(sharding.count))


# ── the verdict, against one that is written down the other way round ──────────────────────────

ENDS = sorted(ENDED - {JobStatus.DELETING})


@st.composite
def shard_states(draw: st.DrawFn, sharding: Sharding) -> list[ShardState]:
    return [
        ShardState(
            shard=shard,
            status=draw(st.sampled_from([*ENDS, *sorted(ACTIVE)])),
            run=draw(st.integers(0, 3)),
            progress=Progress(
                records_generated=draw(st.integers(0, size_of(ranges_of(sharding, shard))))
            ),
        )
        for shard in range(sharding.count)
    ]


@given(st.data(), shardings(most=4), st.sampled_from(sorted(JobStatus)), st.integers(1, 3))
def test_the_verdict_is_that_of_every_shard(
    data: st.DataObject, sharding: Sharding, status: JobStatus, run: int
) -> None:
    states = data.draw(shard_states(sharding))
    job = new_job("j", ManualClock())
    job = replace(job, status=status, run=run, config=replace(job.config, sharding=sharding))
    verdict = judge(job, states)

    for state in states:
        lacks = state.progress.records_generated < size_of(ranges_of(sharding, state.shard))
        assert (state.shard in verdict.running) == (state.status in ACTIVE)
        answered = state.status in ACTIVE or state.run >= run
        asked = status in ACTIVE and lacks and not answered
        assert (state.shard in verdict.again) == asked
    assert verdict.ended == (not verdict.running and not verdict.again)
    if status in ENDED:
        assert verdict.status is status
        return
    counting = {state.status for state in states if state.run >= run}
    worse = [
        each
        for each in (JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.BUDGET_EXCEEDED)
        if each in counting
    ]
    assert verdict.status is (worse[0] if worse else JobStatus.COMPLETED)


def test_only_a_sharded_job_is_judged() -> None:
    with pytest.raises(ValueError, match="no shards"):
        judge(new_job("j", ManualClock()), [])


def test_the_worst_end_says_why() -> None:
    job = new_job("j", ManualClock(), shards=3)
    ends = (JobStatus.BUDGET_EXCEEDED, JobStatus.FAILED, JobStatus.FAILED)
    states = [
        ShardState(shard=shard, status=status, run=1, error=JobError(message=str(shard)))
        for shard, status in enumerate(ends)
    ]
    assert judge(job, states) == Verdict(status=JobStatus.FAILED, error=JobError(message="1"))
    assert judge(job, states[:1]).error == JobError(message="0")
