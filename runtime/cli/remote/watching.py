"""Follows a job to its end: live progress, patience with the network, the exit code of the job."""

import time
from collections.abc import Mapping
from typing import Any, Final

from runtime.cli.exit_codes import EXIT_CODES
from runtime.cli.remote.job_views import describe, job_path, print_next
from runtime.cli.remote.output import print_json, say
from runtime.client.connection import connect
from runtime.client.http import ApiClient
from runtime.contract.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.job import ACTIVE, JobStatus, Progress
from runtime.domain.money.amounts import from_usd
from runtime.progress.displays import Display, make_display
from runtime.progress.meter import Goal, Meter

FIRST_INTERVAL_SECONDS: Final = 0.25
LONGEST_INTERVAL_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 600.0
"""How long an API that can't be reached is asked again."""

_GROWTH: Final = 0.02
"""The interval is this share of the time that has passed: short jobs look live, long ones ask
little.
"""

Job = Mapping[str, Any]


def watch(job_id: str, profile: str | None, *, json: bool) -> int:
    """`watch`. The exit code says how the job ended."""
    api = connect(profile).api
    return follow(api, api.get(job_path(job_id)), json=json)


def follow(api: ApiClient, job: Job, *, json: bool) -> int:
    """Follow a job that was just read; the exit code."""
    goal = Goal(records=job["config"]["num_records"], budget_nano=from_usd(job["budget_limit"]))
    meter = Meter(goal, time.monotonic)
    if JobStatus(job["status"]) in ACTIVE:
        try:
            with make_display(meter, json=json) as display:
                job = _to_the_end(api, job, display)
        except KeyboardInterrupt:
            say(f"\nThe job goes on. next: seedwright watch {job['job_id']}")
            return EXIT_INTERRUPTED
    return _report(job, json=json)


def _to_the_end(api: ApiClient, job: Job, display: Display) -> Job:
    began = last_answer = time.monotonic()
    lost = False
    while True:
        display.update(progress_of(job))
        if JobStatus(job["status"]) not in ACTIVE:
            return job
        passed = time.monotonic() - began
        time.sleep(min(max(passed * _GROWTH, FIRST_INTERVAL_SECONDS), LONGEST_INTERVAL_SECONDS))
        try:
            job = api.get(job_path(job["job_id"]))
        except StorageUnavailableError as error:
            if time.monotonic() - last_answer > PATIENCE_SECONDS:
                raise
            if not lost:
                say(f"{error}. Trying again for {PATIENCE_SECONDS / 60:.0f} minutes.")
            lost = True
        else:
            if lost:
                say("The API answers again.")
            lost, last_answer = False, time.monotonic()


def progress_of(job: Job) -> Progress:
    """The counters of a job."""
    return Progress(
        records_generated=job["records_generated"],
        failed_records=job["failed_records"],
        tokens_used=job["tokens_used"],
        cost_nano=from_usd(job["cost_estimate"]),
    )


def _report(job: Job, *, json: bool) -> int:
    if json:
        print_json(job)
    else:
        for line in describe(job):
            print(line)
        print_next(job)
    return EXIT_CODES.get(JobStatus(job["status"]), EXIT_FAILED)
