"""Who gets workers where there are too few."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.sharding import Sharding
from runtime.domain.service_ports import ApiSettings
from runtime.domain.templates.template import TemplateRef
from runtime.service.fairness import in_turn, most_workers, shares
from tests.fixtures.clock import START
from tests.fixtures.job_configs import job_config


def job(
    name: str,
    *,
    user: str = "ada",
    age: int = 0,
    shards: int = 1,
    status: JobStatus = JobStatus.QUEUED,
    **options: Any,
) -> Job:
    created = START - timedelta(seconds=age)
    config = job_config(
        template=TemplateRef(template_id="t", version=1),
        seed_data_path=None,
        seed_version=None,
        num_records=1000,
        sharding=None if shards == 1 else Sharding(count=shards, ends=(1000,)),
        **options,
    )
    return Job(
        job_id=name,
        user_id=user,
        status=status,
        config=config,
        budget_limit="1",
        created_at=created,
        updated_at=created,
    )


def turns(*jobs: Job) -> str:
    return " ".join(each.job_id for each in in_turn(jobs, lambda each: each))


def test_users_take_turns_and_who_waits_longest_begins() -> None:
    many = [job(f"a{n}", age=100 - n) for n in range(3)]
    assert turns(*many, job("b0", user="bob", age=1)) == "a0 b0 a1 a2"
    assert turns(*many, job("b0", user="bob", age=200)) == "b0 a0 a1 a2"


def test_the_urgent_before_the_old_within_a_user() -> None:
    urgent = job("urgent", age=1, priority=3)
    assert turns(job("old", age=9), job("older", age=10), urgent) == "urgent older old"
    # Nobody comes before other users by calling everything urgent.
    others = job("other", user="bob", age=5)
    assert turns(urgent, others) == "other urgent"


def test_one_worker_is_kept_for_each_job_that_the_user_may_have() -> None:
    settings = ApiSettings(max_active_jobs=3, user_workers=10, max_workers=40)
    large, other, small = job("large", shards=40), job("other", shards=40, age=-1), job("s", age=-2)
    assert shares([large], settings) == {"large": 8}
    assert shares([small, other, large], settings) == {"large": 8, "other": 1, "s": 1}


def test_a_job_that_is_at_work_keeps_what_it_has() -> None:
    settings = ApiSettings(max_active_jobs=2, user_workers=10, max_workers=40)
    working = job("working", shards=40, status=JobStatus.RUNNING)
    urgent = job("urgent", shards=40, age=99, priority=9)
    assert shares([urgent, working], settings) == {"working": 9, "urgent": 1}


def test_the_rest_goes_to_the_next_job() -> None:
    settings = ApiSettings(max_active_jobs=3, user_workers=10, max_workers=5)
    jobs = [job(name, shards=40, age=age) for name, age in (("a", 3), ("b", 2), ("c", 1))]
    assert shares(jobs, settings) == {"a": 5, "b": 4, "c": 1}


def test_there_may_be_none_left() -> None:
    settings = ApiSettings(max_active_jobs=10, user_workers=1)
    assert shares([job("a", age=2), job("b", age=1)], settings) == {"a": 1, "b": 0}


@given(
    counts=st.lists(st.integers(1, 90), max_size=12),
    user_workers=st.integers(1, 60),
    max_workers=st.integers(1, 50),
    active=st.integers(1, 12),
)
def test_nobody_has_more_workers_than_they_may(
    counts: list[int], user_workers: int, max_workers: int, active: int
) -> None:
    settings = ApiSettings(
        max_active_jobs=active, user_workers=user_workers, max_workers=max_workers
    )
    jobs = [job(f"j{n}", shards=count, age=n) for n, count in enumerate(counts)]
    found = shares(jobs, settings)
    assert sum(found.values()) <= user_workers
    for each in jobs:
        assert found[each.job_id] <= most_workers(each, settings)
    if len(jobs) <= min(active, user_workers):
        assert all(found.values())
