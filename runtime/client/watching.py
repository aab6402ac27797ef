"""Follows a job to its end, through times in which the API can't be reached."""

import time
from typing import Final

from runtime.client.http import ApiClient
from runtime.client.jobs import Job, get_job
from runtime.client.observer import Observer
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.wording import sentence

FIRST_INTERVAL_SECONDS: Final = 0.25
LONGEST_INTERVAL_SECONDS: Final = 5.0
OUTAGE_TIMEOUT_SECONDS: Final = 600.0
"""How long an API that can't be reached is asked again."""

_GROWTH: Final = 0.02
"""The interval is this share of the time that has passed: short jobs look live, long ones ask
little.
"""


def watch_job(api: ApiClient, job: Job, observer: Observer) -> Job:
    """Read a job again and again until it has ended, and so has what it exports; what it is then.

    Raises `NotFoundError` when it is deleted meanwhile, `StorageUnavailableError` when the API is
    away for more than `OUTAGE_TIMEOUT_SECONDS`.
    """
    began = last_answer = time.monotonic()
    lost = False
    while True:
        observer.progress(job)
        if job.ended and not job.exporting:
            return job
        passed = time.monotonic() - began
        time.sleep(min(max(passed * _GROWTH, FIRST_INTERVAL_SECONDS), LONGEST_INTERVAL_SECONDS))
        try:
            job = get_job(api, job.job_id)
        except StorageUnavailableError as error:
            if time.monotonic() - last_answer > OUTAGE_TIMEOUT_SECONDS:
                raise
            if not lost:
                minutes = OUTAGE_TIMEOUT_SECONDS / 60
                observer.warning(f"{sentence(error)} Trying again for {minutes:.0f} minutes.")
            lost = True
        else:
            if lost:
                observer.warning("The API answers again.")
            lost, last_answer = False, time.monotonic()
