"""What an operator relies on: alarms that arrive, stages that don't touch, a limit over all jobs,
large jobs that go, and a task that hangs and is stopped.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.e2e.conftest import Tell
from tests.e2e.deployment import Deployment, wait_for
from tests.e2e.observe import tasks_of
from tests.e2e.user import FEW_RECORDS, SMALL_JOB, User
from tests.fixtures.bedrock_double import BedrockDouble

MANY_OBJECTS: Final = 2100
"""More than a request deletes, and more than a page lists."""
SECONDS: Final = 60.0
LONG_MS: Final = 60_000


def test_an_alarm_reaches_its_subscriber(deployment: Deployment) -> None:
    emulator = deployment.emulator
    sqs, sns = emulator.client("sqs"), emulator.client("sns")
    cloudwatch = emulator.client("cloudwatch")
    queue = sqs.create_queue(QueueName="operators")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    (topic,) = deployment.resources("AWS::SNS::Topic").values()
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn["QueueArn"],
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
    names = deployment.resources("AWS::CloudWatch::Alarm").values()
    alarm = next(name for name in names if "FailedJobs" in name)

    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a try")

    def received() -> Any:
        messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")
        return messages[0] if messages else None

    message = json.loads(wait_for("the alarm", received, seconds=SECONDS)["Body"])
    assert json.loads(message["Message"])["AlarmName"] == alarm


def test_two_stages_side_by_side_do_not_touch(
    deployment: Deployment, other_stage: Deployment, tell: Tell
) -> None:
    here, there = User(deployment, "mary@example.com"), User(other_stage, "joan@example.com")
    job_id = here.submit()["job_id"]
    other_id = there.submit()["job_id"]
    assert here.wait_until_ended(job_id)["status"] == "COMPLETED"
    assert there.wait_until_ended(other_id)["status"] == "COMPLETED"
    tell("both stages have made a dataset")
    # Neither knows the other's jobs, users or tasks.
    here.call("GET", f"/jobs/{other_id}", expect=404)
    there.call("GET", f"/jobs/{job_id}", expect=404)
    token = deployment.sign_up("kay@example.com")
    assert other_stage.call("GET", "/jobs", token=token).status == 401
    shared = {
        name
        for name in deployment.outputs.keys() & other_stage.outputs.keys()
        if deployment.outputs[name] == other_stage.outputs[name]
    }
    assert shared <= {"Region"}


def test_jobs_over_the_monthly_limit_are_refused(deployment: Deployment) -> None:
    user = User(deployment, "karen@example.com")
    job_id = user.submit()["job_id"]
    assert user.wait_until_ended(job_id)["status"] == "COMPLETED"
    # The stage may spend 1000 USD a month, and has spent a little: a job may not take all of it.
    job = {"template_id": user.save_template(), "seed_data_path": user.upload(), **SMALL_JOB}
    refused = user.call("POST", "/jobs", {**job, "budget_limit": 1000}, expect=402)
    assert refused["error"]["code"] == "monthly_budget"
    month = user.call("GET", "/dashboard/summary")["month"]
    assert 0 < month["left_usd"] < month["limit_usd"] == 1000
    user.wait_until_ended(user.call("POST", "/jobs", job, expect=201)["job_id"])


def test_a_large_job_that_is_deleted_goes(deployment: Deployment, tell: Tell) -> None:
    user = User(deployment, "anita@example.com")
    job_id = user.submit()["job_id"]
    assert user.wait_until_ended(job_id)["status"] == "COMPLETED"
    (bucket,) = (
        name
        for key, name in deployment.resources("AWS::S3::Bucket").items()
        if "stateful" in key and "dev" in key
    )
    s3 = deployment.emulator.client("s3")
    for number in range(MANY_OBJECTS):
        key = f"jobs/{job_id}/outputs/batch-{10_000 + number}.jsonl"
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    tell(f"the job has {MANY_OBJECTS} objects")

    user.call("DELETE", f"/jobs/{job_id}?action=delete", expect=202)

    def gone() -> bool | None:
        reply = user.reply("GET", f"/jobs/{job_id}")
        return True if reply.status == 404 else None

    wait_for("the end of the deletion", gone, seconds=SECONDS)
    assert s3.list_object_versions(Bucket=bucket, Prefix=f"jobs/{job_id}/").get("Versions") is None


def test_a_worker_that_hangs_is_stopped_and_its_job_goes_on(
    deployment: Deployment, double: BedrockDouble, tell: Tell
) -> None:
    double.reset()
    double.faults([{"prompt": "town 3", "delay_ms": LONG_MS}])
    user = User(deployment, "radia@example.com")
    before = {task["taskArn"] for task in tasks_of(deployment, "RUNNING", "STOPPED")}
    job_id = user.submit()["job_id"]
    wait_for("calls", lambda: double.calls >= FEW_RECORDS or None, seconds=SECONDS)
    (first,) = (t for t in tasks_of(deployment, "RUNNING") if t["taskArn"] not in before)

    with _hanging(deployment):
        tell("the worker hangs")
        double.faults([])
        # The sweeper sees that nobody beats, and the next worker takes the job to its end.
        job = user.wait_until_ended(job_id)
        assert job["status"] == "COMPLETED"
        records = user.dataset(job_id)
        assert sorted(each["index"] for each in records) == list(range(FEW_RECORDS))

        def stopped() -> Any:
            tasks = tasks_of(deployment, "STOPPED")
            return next((t for t in tasks if t["taskArn"] == first["taskArn"]), None)

        found = wait_for("the stop of the first task", stopped, seconds=SECONDS)
        assert found["startedBy"] == first["startedBy"]
        # Only that one: the second worker ended by itself.
        others = [t for t in tasks_of(deployment, "STOPPED") if t["taskArn"] not in before]
        asked = [t["taskArn"] for t in others if t.get("stopCode") == "UserInitiated"]
        assert set(asked) <= {first["taskArn"]}


@contextmanager
def _hanging(deployment: Deployment) -> Iterator[None]:
    """The only worker that runs is stopped as a whole, without a word to anybody."""
    group = os.getpgid(deployment.emulator.pid)
    listed = subprocess.run(
        ["/bin/ps", "-eo", "pid,pgid,args"], capture_output=True, text=True, check=True
    )
    (worker,) = (
        int(pid)
        for pid, own, *words in (line.split() for line in listed.stdout.splitlines()[1:])
        if int(own) == group and "runtime.worker" in words
    )
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGKILL)
