"""The stacks of a stage: what they are called, and what in them somebody looks for from outside."""

from typing import Final

PROJECT: Final = "seedwright"
"""What the names of all stacks begin with, and so those of what is in them."""

STATEFUL: Final = "stateful"
WORKER: Final = "worker"
ORCHESTRATION: Final = "orchestration"
API: Final = "api"
EVENTS: Final = "events"
MONITORING: Final = "monitoring"

STACKS: Final = (STATEFUL, WORKER, ORCHESTRATION, API, EVENTS, MONITORING)
"""In the order in which they are deployed."""

BOOTSTRAP_VERSION: Final = 6
"""The least version of `cdk bootstrap` by which they can be deployed; each template asks for it."""

BOOTSTRAP_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"
"""Where `cdk bootstrap` keeps its version, in the parameter store of the region."""


def stack_name(stage: str, what: str) -> str:
    """`seedwright-dev-events`, for one of `STACKS`."""
    return f"{PROJECT}-{stage}-{what}"
