"""What a judge may cost: a share of the job's budget, which its calls never pass
(N24).
"""

from fractions import Fraction
from typing import Any

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.checks.check import Checks, Judge, Score
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.sharding import Sharding
from runtime.domain.jobs.step_totals import Tally
from runtime.domain.models.calls import Usage
from runtime.worker.judge_shares import JudgeShares, part_of
from tests.fixtures.checked_world import CheckedWorld, checked_template

SCORE = {"name": "quality", "description": "How good?", "options": {1: "bad", 2: "good"}}
BUDGET = "0.01"


def judging(share: float | None, **fields: Any) -> CheckedWorld:
    judge: dict[str, Any] = {"of": "steps.one.output", "scores": [SCORE], "max_tokens": 50}
    judge["model"] = "amazon.nova-micro-v1:0"
    if share is not None:
        judge["budget"] = share
    check = {"id": "likes", "judge": judge, **fields}
    return CheckedWorld(40, rate=0.6, template=checked_template(check), budget=BUDGET)


def test_a_judge_that_decides_stops_the_job_within_its_share() -> None:
    world = judging(0.01, keep_if="scores.quality.score >= 2")
    assert world.work() is ExitCode.BUDGET_EXCEEDED
    job = world.job
    assert job.status is JobStatus.BUDGET_EXCEEDED
    assert "judge likes has used up its share" in (job.error_message or "")
    assert f"{job.accepted} of 40 records" in (job.error_message or "")
    assert 0 < job.progress.steps["likes"].cost_nano <= 0.01 * 10**7
    assert 0 < world.judged < 40
    # And again, by whoever goes on.
    before = world.judged
    world.go_on()
    assert world.work() is ExitCode.BUDGET_EXCEEDED
    assert world.job.progress.steps["likes"].cost_nano <= 0.01 * 10**7
    assert world.judged <= before + 1


def test_a_judge_that_reports_leaves_the_others_unjudged() -> None:
    world = judging(0.01)
    assert world.work() is ExitCode.DONE
    job = world.job
    assert (job.status, job.accepted) == (JobStatus.COMPLETED, 40)
    figures = job.progress.steps["likes"]
    assert 0 < figures.cost_nano <= 0.01 * 10**7
    assert 0 < world.judged < 40
    assert figures.skipped == job.progress.records_generated - world.judged
    verdicts = [line["checks"]["likes"] for line in world.lines()]
    assert sum("scores" in each for each in verdicts) == world.judged
    assert verdicts.count({"passed": None, "skipped": True}) == figures.skipped


@pytest.mark.parametrize("share", [None, 1.0])
def test_without_a_share_or_within_it_every_record_is_judged(share: float | None) -> None:
    world = judging(share, keep_if="scores.quality.score >= 2")
    assert world.work() is ExitCode.DONE
    assert world.job.accepted == 40


def shares(tally: Tally, spent: int) -> JudgeShares:
    score = Score(name="quality", description="?", options={1: "a", 2: "b"})
    judge = Judge(id="likes", of="x", scores=(score,), budget=0.1)
    return JudgeShares(Checks((judge,)), limit_nano=1000, tally=tally, spent=lambda: spent)


def test_the_limit_itself_may_be_reached() -> None:
    tally = Tally()
    tally.settled("likes", "m", Usage(input_tokens=1, output_tokens=1), 60)
    held = shares(tally, 60)
    assert held.has_room("likes", 40)
    assert not held.has_room("likes", 41)
    held.reserve(1, "likes", 30)
    assert not held.has_room("likes", 11)
    assert held.may_get_room("likes")
    held.ended(1)
    assert held.has_room("likes", 40)
    assert not held.may_get_room("likes")
    assert held.has_room("one", 10**9)


def test_what_a_killed_worker_had_spent_may_have_been_the_judges() -> None:
    tally = Tally()
    tally.settled("one", "m", Usage(input_tokens=1, output_tokens=1), 60)
    assert shares(tally, 60).has_room("likes", 100)
    assert not shares(tally, 90).has_room("likes", 71)


def test_a_shard_has_the_part_of_its_indices() -> None:
    sharding = Sharding(count=3, ends=(10,))
    assert part_of(None, None) == part_of(sharding, None) == 1
    assert [part_of(sharding, shard) for shard in range(3)] == [
        Fraction(3, 10),
        Fraction(3, 10),
        Fraction(4, 10),
    ]
