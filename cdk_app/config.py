"""What differs between stages. Constructs read these settings and never ask for a stage's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

Network = Literal["public", "private"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """The settings of one deployment. `name` prefixes its stacks: `seedwright-dev-stateful`."""

    name: str

    retain_data: bool
    """Tables, bucket and users outlive the stacks, and deleting them is refused."""
    noncurrent_days: int = 90
    """How long replaced and deleted objects are kept. A job pins the version of its seeds, so this
    is also how long after a seed file was replaced an old job can still be resumed."""

    self_sign_up: bool = False
    """Whether strangers may register. Every user can spend money on models."""
    cors_origins: tuple[str, ...] = ()
    """Origins of browser clients, such as https://app.example.com; none by default."""
    throttle_rate: int = 50
    """Requests per second to the API, all users together."""
    throttle_burst: int = 100

    python_version: str = "3.13"
    """Of the Lambda functions; `worker/Dockerfile` names its own."""
    log_days: int = 30

    network: Network = "public"
    """docs/adr/0010 has the reasons: public subnets cost nothing, private ones need endpoints."""
    flow_logs: bool = False
    container_insights: bool = False

    worker_cpu: int = 1024
    """1024 is one vCPU. A worker is one process, so more than one vCPU idles."""
    worker_memory_mib: int = 2048
    worker_concurrency: int = 64
    """Model calls at a time, at most."""

    alarm_email: str | None = None
    """Gets every alarm, once the address has confirmed the subscription."""
    oldest_queued_minutes: int = 15
    function_errors: int = 3
    """So many errors of all functions in five minutes raise an alarm."""


DEV: Final = StageConfig(name="dev", retain_data=False)
PROD: Final = StageConfig(
    name="prod",
    retain_data=True,
    log_days=90,
    flow_logs=True,
    container_insights=True,
    throttle_rate=200,
    throttle_burst=400,
)

STAGES: Final[Mapping[str, StageConfig]] = {stage.name: stage for stage in (DEV, PROD)}


def stage_from(context: Callable[[str], object]) -> StageConfig:
    """The stage that the CDK context asks for, DEV by default, with what else it sets:

        cdk deploy --all -c stage=prod -c network=private -c alarm_email=ops@example.com

    `context` gives a key's value or None. Raises `ValueError` that names the key.
    """
    name = context("stage") or DEV.name
    stage = STAGES.get(str(name))
    if stage is None:
        raise ValueError(f"unknown stage {name!r}: choose one of {', '.join(STAGES)}")
    changes: dict[str, Any] = {}
    if (network := context("network")) is not None:
        if network not in {"public", "private"}:
            raise ValueError(f"unknown network {network!r}: choose public or private")
        changes["network"] = network
    if (email := context("alarm_email")) is not None:
        if "@" not in str(email):
            raise ValueError(f"alarm_email is no address: {email!r}")
        changes["alarm_email"] = str(email)
    if (origins := context("cors_origins")) is not None:
        changes["cors_origins"] = tuple(_origin(each) for each in str(origins).split(","))
    if (sign_up := context("self_sign_up")) is not None:
        if str(sign_up).lower() not in {"true", "false"}:
            raise ValueError(f"self_sign_up is true or false, not {sign_up!r}")
        changes["self_sign_up"] = str(sign_up).lower() == "true"
    return replace(stage, **changes)


def _origin(text: str) -> str:
    origin = text.strip().rstrip("/")
    if not origin.startswith(("https://", "http://localhost", "http://127.0.0.1")):
        raise ValueError(f"cors_origins takes https origins, comma separated, not {text!r}")
    return origin
