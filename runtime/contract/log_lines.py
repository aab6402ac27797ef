"""Lines of log that alarms count, by their message. Worker and handlers write them, and the metric
filters of the infrastructure look for them: a message that changes here changes for both.
"""

from typing import Final

JOB_ENDED: Final = "job ended"
"""The worker, when a job ends; its field `status` says how, `FAULT` whose fault a failure is."""

FAULT: Final = "fault"
"""A field of `JOB_ENDED` where the status is FAILED: `USERS_FAULT` or `OWN_FAULT`."""
USERS_FAULT: Final = "user"
"""The user's, who alone can mend it: seeds or a template that don't fit."""
OWN_FAULT: Final = "service"
"""The deployment's or AWS's: whoever runs it has to look."""

JOB_GIVEN_UP: Final = "job given up"
"""Whoever finds a worker dead, when it was one too many: the job has failed, and no worker is left
to say so."""

COST_ABOVE_WORST_CASE: Final = "a call cost more than its worst case"
"""The worker, when a model billed more than was reserved for the call."""

QUEUE_SWEPT: Final = "queue swept"
"""`sweep_queue`, at the end of each run; see `OLDEST_QUEUED_SECONDS`."""

OLDEST_QUEUED_SECONDS: Final = "oldest_queued_seconds"
"""A field of `QUEUE_SWEPT`: how long the oldest queued work has waited, 0 if there is none."""

WORKER_NOT_STARTED: Final = "worker not started"
"""Whoever starts workers, each time that it could not: mostly AWS had no machine. The work stays
queued."""

WORKER_AT_QUOTA: Final = "worker waits for quota"
"""Whoever starts workers, instead of `WORKER_NOT_STARTED`, when the account runs as many machines
as it may. The work stays queued."""
