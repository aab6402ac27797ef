"""A job with checks, in shards and rounds, whose workers are killed without a word: it ends with
exactly the records that were asked for. `make proof` runs it with 2000 of them.
"""

import os
import signal
from typing import Any, Final

import orjson

from runtime.contract.keys import RECORDS, REJECTED_PARTS
from tests.e2e.conftest import Tell
from tests.e2e.deployment import Deployment, wait_for
from tests.e2e.observe import workers_of
from tests.e2e.user import User
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.checked_job import (
    CALLS_PER_RECORD,
    TEMPLATE,
    judge,
    records_from_environment,
    rules,
)

WANTED: Final = records_from_environment(150)
SHARDS: Final = 4
MANY: Final = 1000
KILLED_AT: Final = (0.1, 0.2, 0.3, 0.8 if WANTED > MANY else 0.4)
"""Shares of the calls that the job needs. Late in a small job a lease would run out once more."""
SECONDS: Final = 60.0 + WANTED / 5


def test_a_checked_job_in_shards_survives_four_kills_and_has_the_records_asked_for(
    deployment: Deployment, double: BedrockDouble, tell: Tell
) -> None:
    # Given a job in shards, of which two tries in five end in the dataset
    double.reset()
    double.faults(rules(WANTED))
    user = User(deployment, "katherine@example.com")
    job = {
        "template_id": user.save_template(TEMPLATE),
        "num_records": WANTED,
        "shards": SHARDS,
        "budget_limit": 5,
    }
    job_id = user.call("POST", "/jobs", job, expect=201)["job_id"]

    # When four of its workers are killed, each another's shard where there is one
    killed: list[int] = []
    for share in KILLED_AT:
        calls = int(share * WANTED * CALLS_PER_RECORD)

        def is_reached(calls: int = calls) -> bool | None:
            return double.calls >= calls or None

        wait_for("calls", is_reached, seconds=SECONDS)
        workers = wait_for("a worker", lambda: workers_of(job_id) or None, seconds=SECONDS)
        shard = min(workers, key=lambda shard: (killed.count(shard), shard))
        os.kill(workers[shard], signal.SIGKILL)
        killed.append(shard)
        tell(f"killed the worker of shard {shard} after {double.calls} calls")

    # Then the state machine takes it to its end, and the rows are those by hand
    job = user.wait_until_ended(job_id, seconds=SECONDS)
    assert (job["status"], job["accepted"]) == ("COMPLETED", WANTED), job
    stored, rejected = (
        _lines(deployment, kind.prefix(job_id)) for kind in (RECORDS, REJECTED_PARTS)
    )
    judged = judge(stored, rejected, WANTED)
    dataset = sorted(record["index"] for record in user.dataset(job_id))
    assert dataset == list(judged.accepted)
    assert job["checks"]["tries"] == judged.tries
    paid = double.stats()
    tell(
        f"{len(dataset)} records of {judged.tries} tries ({judged.rate:.0%}), {judged.left_out}"
        f" repeats left out, {paid['paid']} calls, {paid['paid_twice']} of them twice"
    )


def _lines(deployment: Deployment, prefix: str) -> list[dict[str, Any]]:
    s3, bucket = deployment.emulator.client("s3"), deployment.outputs["BucketName"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    bodies = (
        s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
        for page in pages
        for each in page.get("Contents", [])
    )
    return [orjson.loads(line) for body in bodies for line in body.splitlines()]
