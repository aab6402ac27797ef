"""Lines of log that alarms count, by their message. Worker and handlers write them, and the metric
filters of the infrastructure look for them: a message that changes here changes for both.
"""

from typing import Final

JOB_ENDED: Final = "job ended"
"""The worker, when a job ends; its field `status` says how."""

COST_ABOVE_WORST_CASE: Final = "a call cost more than its worst case"
"""The worker, when a model billed more than was reserved for the call."""

QUEUE_SWEPT: Final = "queue swept"
"""`sweep_queue`, at the end of each run; see `OLDEST_QUEUED_SECONDS`."""

OLDEST_QUEUED_SECONDS: Final = "oldest_queued_seconds"
"""A field of `QUEUE_SWEPT`: how long the oldest queued work has waited, 0 if there is none."""

CAPACITY_REFUSED: Final = "no capacity for a worker"
"""Whoever starts workers, each time AWS had no machine for one (a failure in `RunTask`'s answer).
The work stays queued."""
