"""A user's day: sign in, submit a job, lose its machine, download the dataset."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from runtime.contract.exit_codes import ExitCode
from tests.e2e.command import UserCommand
from tests.e2e.deployment import Deployment, wait_for
from tests.e2e.emulator.spot import NO_CAPACITY, RECLAIMED, STOP_CODE
from tests.e2e.observe import errors, exit_code, tasks_of
from tests.e2e.user import FEW_RECORDS, SMALL_JOB, User
from tests.fixtures.bedrock_double import BedrockDouble

RECORDS: Final = 300
NEAR: Final = 100
"""Records that are answered at once. They fill more than a batch."""
FAR_MS: Final = 4000
"""Of the others, while the first machine runs: it can't have finished when it is taken back."""
START_SECONDS: Final = 30.0
TEMPLATE: Final = """\
name: towns
steps:
  - id: text
    prompt: "Describe {{ town }}."
    model_tier: cheap
    max_tokens: 40
"""

Tell = Callable[[str], None]


def test_a_job_survives_the_loss_of_its_machine_and_pays_nothing_twice(
    deployment: Deployment, double: BedrockDouble, tmp_path: Path, tell: Tell
) -> None:
    # Given a job that runs on a Spot machine
    double.reset()
    double.faults([{"prompt": "far", "delay_ms": FAR_MS}])
    user = UserCommand(deployment, tmp_path)
    deployment.invite("ada@example.com")
    user.login("ada@example.com")
    job_id = _submit(user)
    tell(f"submitted a job of {RECORDS} records")
    wait_for("calls", lambda: double.calls > NEAR or None, seconds=START_SECONDS)

    # When AWS takes the machine back
    with deployment.without_sweeper():
        (first,) = tasks_of(deployment, "RUNNING")
        deployment.emulator.client("ecs").stop_task(
            cluster=deployment.outputs["ClusterArn"], task=first["taskArn"], reason=RECLAIMED
        )
        double.faults([])
        tell(f"took the machine back after {double.calls} calls")

        # Then the event starts another worker, which goes on where the first one stopped
        assert user.run("watch", job_id)["status"] == "COMPLETED"
    tell("the job is completed")
    ended = wait_for("two ended tasks", lambda: _ended(deployment, 2), seconds=START_SECONDS)
    assert [(task["stopCode"], exit_code(task)) for task in ended] == [
        (STOP_CODE, ExitCode.INTERRUPTED),
        ("EssentialContainerExited", 0),
    ]

    # And the dataset has each record once, each of them paid for once
    user.run("download", job_id, "--out", "towns")
    _check_dataset(tmp_path / "towns")
    assert double.stats()["paid"] == RECORDS
    assert double.stats()["paid_twice"] == 0
    assert errors(deployment.emulator) == []


def test_a_job_without_a_machine_waits_for_the_sweeper(deployment: Deployment, tell: Tell) -> None:
    # Given no Spot capacity
    user = User(deployment, "grace@example.com")
    no_capacity = deployment.emulator.folder / NO_CAPACITY
    no_capacity.touch()

    # When a job is submitted, it is accepted and says why it waits
    job_id = user.submit()["job_id"]
    job = user.call("GET", f"/jobs/{job_id}")
    assert job["status"] == "QUEUED"
    assert job["launch_error"]
    tell("a job waits for capacity")

    # Then the sweeper starts it once there is capacity again
    no_capacity.unlink()
    job = user.wait_until_ended(job_id)
    assert (job["status"], job["launch_error"]) == ("COMPLETED", None)
    assert len(user.dataset(job_id)) == FEW_RECORDS


def test_users_do_not_see_each_other(deployment: Deployment) -> None:
    ada, eve = User(deployment, "ada.l@example.com"), User(deployment, "eve@example.com")
    job = ada.submit()
    template_id = job["config"]["template_id"]
    for path in (f"/jobs/{job['job_id']}", f"/templates/{template_id}"):
        eve.call("GET", path, expect=404)
        eve.call("DELETE", path, expect=404)
    eve.call("GET", f"/jobs/{job['job_id']}/download", expect=404)
    eve.call(
        "POST",
        "/jobs",
        {**SMALL_JOB, "template_id": eve.save_template()}
        | {"seed_data_path": job["config"]["seed_data_path"]},
        expect=403,
    )
    assert ada.wait_until_ended(job["job_id"])["status"] == "COMPLETED"


def _submit(user: UserCommand) -> str:
    user.write("template.yaml", TEMPLATE)
    towns = [f"{'near' if n < NEAR else 'far'} town {n}" for n in range(RECORDS)]
    user.write("seeds.jsonl", "".join(f'{{"town": "{town}"}}\n' for town in towns))
    count = ("-n", str(RECORDS), "--seed-strategy", "sequential")
    job_id: str = user.run(
        "submit", "template.yaml", "--seeds", "seeds.jsonl", *count, "--budget", "5"
    )["job_id"]
    return job_id


def _ended(deployment: Deployment, count: int) -> list[dict[str, Any]] | None:
    tasks = [task for task in tasks_of(deployment, "STOPPED") if task["lastStatus"] == "STOPPED"]
    return tasks if len(tasks) == count else None


def _check_dataset(folder: Path) -> None:
    lines = (folder / "dataset.jsonl").read_bytes().splitlines()
    records = [json.loads(line) for line in lines]
    assert sorted(record["index"] for record in records) == list(range(RECORDS))
    assert all(record["generation_result"]["text"]["output"] for record in records)
    table = pq.read_table(folder / "dataset.parquet")
    assert table.num_rows == RECORDS
    assert set(table["index"].to_pylist()) == set(range(RECORDS))
