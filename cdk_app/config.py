"""What differs between stages. Constructs read these settings and never ask for a stage's name."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

from cdk_app.servers import ModelServer, servers_from
from runtime.contract.executions import MAX_SHARDS

Network = Literal["public", "private"]
BundleFor = Literal["lambda", "this-machine"]
MonitoringReferences = Literal["weak", "both"]

MIN_ZONES: Final = 2
MAX_ZONES: Final = 6


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
    bundle_for: BundleFor = "lambda"
    """An emulator runs functions as processes of this machine, with packages built for it."""
    max_active_jobs: int = 10
    """Queued and running jobs that one user may have."""
    seed_quota_gib: int = 50
    """What the uploaded seeds of one user may take."""
    log_days: int = 30

    network: Network = "public"
    """docs/adr/0010 has the reasons: public subnets cost nothing, private ones need endpoints."""
    flow_logs: bool = False
    container_insights: bool = False
    zones: int = 3
    """Subnets of the workers, each in a zone of its own where the region has as many: subnets are
    free, and each zone has Spot machines of its own. cdk_app/zones.py has the regions where not
    every zone takes workers."""

    worker_cpu: int = 1024
    """1024 is one vCPU. A worker is one process, so more than one vCPU idles."""
    worker_memory_mib: int = 2048
    worker_disk_gib: int = 30
    """For the image and for temporary files. Seeds of 4 GiB are there once, Parquet twice: as it is
    and, at up to 8 GiB, as rows. Fargate gives 20 GiB for nothing, and takes 21 to 200."""
    worker_concurrency: int = 64
    """Model calls at a time, at most."""
    max_workers: int = 40
    """Workers of one sharded job at a time, at most. More than the quota of Spot vCPUs allows only
    wait for each other."""
    user_workers: int = 40
    """Workers of all jobs of one user at a time, at most, each shard counted."""
    worker_hours: int = 6
    """A job is split when one worker would take longer, by the estimate."""
    model_tokens_per_minute: int = 2_000_000
    """The account's quota for one model, as AWS counts it: a job is split as far as it takes to use
    it."""
    task_hours: int = 24
    """After so long the state machine ends a worker, whose shard goes on with the next one."""
    python_image: str | None = None
    """The base of the worker's image, with its digest; None for the one that
    `runtime/worker/Dockerfile` names."""

    price_file: Path | None = None
    """Prices of one's own, over the packaged ones (docs/prices.md): uploaded with the stacks, read
    by functions and workers; what it names may be called."""

    servers: tuple[ModelServer, ...] = ()
    """OpenAI-compatible servers that workers may call besides Bedrock (docs/models.md)."""

    alarm_email: str | None = None
    """Gets every alarm, once the address has confirmed the subscription."""
    oldest_queued_minutes: int = 15
    function_errors: int = 3
    """So many errors of all functions in five minutes raise an alarm."""
    reserve_sweeper: bool = False
    """One execution is kept for the sweeper. AWS refuses it where fewer than 100 would be left for
    everything else, so in every new account, which has ten."""
    monitoring_references: MonitoringReferences = "weak"
    """`both` is for one deployment over a stage whose stacks still export to monitoring."""

    monthly_budget_usd: int = 1000
    """What all jobs of a month may cost together; also the AWS Budget that writes to
    `alarm_email`."""
    user_monthly_budget_usd: int | None = None
    """What the jobs of one user may cost in a month; None for no such limit."""
    cost_tags_active: bool = False
    """The tags are activated for cost allocation, so the AWS Budget counts this stage alone. One
    that filters by a tag which is not active counts nothing; without, it counts the account."""

    @property
    def metrics_namespace(self) -> str:
        """Where the stage's own metrics are in CloudWatch."""
        return f"seedwright/{self.name}"


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

KEYS: Final = frozenset(
    {
        "stage",
        "network",
        "bundle_for",
        "monitoring_references",
        "self_sign_up",
        "reserve_sweeper",
        "cost_tags_active",
        "zones",
        "monthly_budget_usd",
        "user_monthly_budget_usd",
        "seed_quota_gib",
        "max_workers",
        "user_workers",
        "worker_hours",
        "model_tokens_per_minute",
        "alarm_email",
        "cors_origins",
        "python_image",
        "prices",
        "servers",
    }
)
"""Every context key that `stage_from` reads."""

_EMAIL: Final = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;.]+")
_ORIGIN: Final = re.compile(r"https://[^/\s]+|http://(?:localhost|127\.0\.0\.1)(?::\d+)?")
_IMAGE: Final = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")

STAGES: Final[Mapping[str, StageConfig]] = {stage.name: stage for stage in (DEV, PROD)}


def stage_from(context: Callable[[str], object]) -> StageConfig:
    """The stage that the CDK context asks for, DEV by default, with what else it sets:

        cdk deploy --all -c stage=prod -c network=private -c alarm_email=ops@example.com

    `context` gives a key's value or None. Raises `ValueError` that names the key.
    """
    name = _choice(context, "stage", STAGES) or DEV.name
    changes: dict[str, Any] = {
        "network": _choice(context, "network", ("public", "private")),
        "bundle_for": _choice(context, "bundle_for", ("lambda", "this-machine")),
        "monitoring_references": _choice(context, "monitoring_references", ("weak", "both")),
        "self_sign_up": _switch(context, "self_sign_up"),
        "reserve_sweeper": _switch(context, "reserve_sweeper"),
        "cost_tags_active": _switch(context, "cost_tags_active"),
        "zones": _number(context, "zones", least=MIN_ZONES, most=MAX_ZONES),
        "monthly_budget_usd": _number(context, "monthly_budget_usd", least=1),
        "user_monthly_budget_usd": _number(context, "user_monthly_budget_usd", least=1),
        "seed_quota_gib": _number(context, "seed_quota_gib", least=1, most=10**6),
        "max_workers": _number(context, "max_workers", least=1, most=MAX_SHARDS),
        "user_workers": _number(context, "user_workers", least=1, most=10_000),
        "worker_hours": _number(context, "worker_hours", least=1, most=1000),
        "model_tokens_per_minute": _number(context, "model_tokens_per_minute", least=1),
    }
    if (email := context("alarm_email")) is not None:
        if _EMAIL.fullmatch(str(email)) is None:
            raise ValueError(f"alarm_email {email!r} is not one address, such as ops@example.com")
        changes["alarm_email"] = str(email)
    if (origins := context("cors_origins")) is not None:
        changes["cors_origins"] = tuple(_origin(each) for each in str(origins).split(","))
    if (image := context("python_image")) is not None:
        if _IMAGE.fullmatch(str(image)) is None:
            raise ValueError(f"python_image {image!r} has no digest: write name:tag@sha256:…")
        changes["python_image"] = str(image)
    if (prices := context("prices")) is not None:
        changes["price_file"] = _price_file(str(prices))
    if (servers := context("servers")) is not None:
        changes["servers"] = servers_from(servers)
    given = {key: value for key, value in changes.items() if value is not None}
    stage = replace(STAGES[name], **given)
    if stage.servers and stage.network == "private":
        raise ValueError(
            "servers: workers of a private network have no way to the internet, so none of"
            f" {', '.join(each.name for each in stage.servers)} could be called: leave them out, or"
            " deploy with network=public"
        )
    return stage


def check_keys(keys: Iterable[str]) -> None:
    """Raises `ValueError` for a context key that is nearly one of `KEYS`: it would be ignored."""
    for key in keys:
        near = [] if key in KEYS else get_close_matches(key, KEYS, n=1, cutoff=0.75)
        if near:
            raise ValueError(f"context {key!r} is unknown: did you mean {near[0]}?")


def _choice(context: Callable[[str], object], key: str, choices: Iterable[str]) -> str | None:
    value = context(key)
    if value is None:
        return None
    text = str(value).lower()  # the command line gives text, a file may give true
    if text not in choices:
        raise ValueError(f"unknown {key} {value!r}: choose one of {', '.join(choices)}")
    return text


def _switch(context: Callable[[str], object], key: str) -> bool | None:
    text = _choice(context, key, ("true", "false"))
    return None if text is None else text == "true"


def _number(
    context: Callable[[str], object], key: str, *, least: int, most: int = 10**9
) -> int | None:
    value = context(key)
    if value is None:
        return None
    text = str(value)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"{key} takes a whole number from {least} to {most}, not {text!r}")
    return int(text)


def _price_file(text: str) -> Path:
    path = Path(text).absolute()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ValueError(f"prices {text!r} is not a price file that can be read: {exc}") from exc
    if not isinstance(document, dict):
        raise ValueError(f"prices {text!r} is not a price file: it must hold a JSON object")  # noqa: TRY004 - as any other value
    return path


def _origin(text: str) -> str:
    origin = text.strip().rstrip("/")
    if _ORIGIN.fullmatch(origin) is None:
        raise ValueError(f"cors_origins takes https origins, separated by commas, not {text!r}")
    return origin
