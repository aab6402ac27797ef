"""Jobs whose template has judges: their calls are counted, paid and named as those of steps are."""

from runtime.contract.exit_codes import ExitCode
from tests.fixtures.bedrock_double import RuleDocument
from tests.fixtures.worker_world import MODEL, SCHEMA_MODEL, WorkerWorld, make_template, step

JUDGE = {
    "id": "quality",
    "judge": {
        "model": SCHEMA_MODEL,
        "max_tokens": 64,
        "scores": [
            {"name": "tone", "description": "How is it?", "options": {"2": "good", "1": "bad"}}
        ],
    },
}


def test_the_calls_of_a_judge_are_counted_beside_those_of_steps(world: WorkerWorld) -> None:
    rows = [{"product": f"p{number}"} for number in range(4)]
    job_id = world.create_job(make_template(step("a"), checks=[JUDGE]), rows, num_records=4)
    assert world.run() is ExitCode.DONE
    progress = world.job(job_id).progress
    assert {name: (each.model, each.calls) for name, each in progress.steps.items()} == {
        "a": (MODEL, 4),
        "quality": (SCHEMA_MODEL, 4),
    }
    assert progress.cost_nano == sum(each.cost_nano for each in progress.steps.values())
    assert progress.steps["quality"].cost_nano > 0
    assert progress.records_generated == 4
    assert world.double.stats()["received"] == 8


def test_a_judge_that_can_t_be_called_fails_its_record_as_a_step_does(world: WorkerWorld) -> None:
    job_id = world.create_job(
        make_template(step("a"), checks=[JUDGE]), [{"product": "p"}], num_records=2
    )
    cut: RuleDocument = {
        "model": SCHEMA_MODEL,
        "times": 1,
        "effect": "reply",
        "text": '{"tone": {"reas',
        "stop_reason": "max_tokens",
    }
    world.double.faults([cut])
    assert world.run() is ExitCode.DONE
    (failure,) = world.failures(job_id)
    assert (failure["step"], failure["kind"]) == ("quality", "truncated")
