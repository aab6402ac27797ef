"""The event that each job which ends is announced with, on EventBridge's default bus."""

from typing import Final

SOURCE: Final = "seedwright"
JOB_ENDED: Final = "Job Ended"
"""Its detail type; `runtime.domain.jobs.ended` has the detail."""

DEFAULT_BUS: Final = "default"
"""Where rules of the account look for events."""
