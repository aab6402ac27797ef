"""Starts workers as tasks on Fargate, on Spot machines unless it is asked for others."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from runtime.aws.failures import SDK_ERRORS, error_code
from runtime.aws.table import stamp
from runtime.contract import environment as names
from runtime.contract.tasks import TaskName
from runtime.domain.errors import ConfigurationError, LaunchError, LaunchQuotaError
from runtime.domain.service_ports import WorkItem

if TYPE_CHECKING:
    from mypy_boto3_ecs.client import ECSClient

SPOT: Final = "FARGATE_SPOT"
ON_DEMAND: Final = "FARGATE"

_QUOTAS: Final[Mapping[str, str]] = {
    SPOT: "Fargate Spot vCPU resource count",
    ON_DEMAND: "Fargate On-Demand vCPU resource count",
}
"""What Service Quotas calls the number of vCPUs in use at a time, by capacity provider."""

_AT_QUOTA: Final = re.compile(r"reached the limit on the number of (vCPUs|tasks)", re.IGNORECASE)
"""ECS gives no code with a failure: these words alone tell a used up quota from a lack of
machines, and are looked for nowhere else."""

_STOPPED: Final = "STOPPED"

_REASON_CHARACTERS: Final = 200
"""Of the words that ECS gives with a failure."""

PublicIp = Literal["ENABLED", "DISABLED"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSettings:
    """Which task, and where it runs."""

    cluster: str
    task_definition: str
    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]
    assign_public_ip: PublicIp

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "TaskSettings":
        """From variables that are all there. Raises `ConfigurationError`."""
        public_ip = environment[names.ASSIGN_PUBLIC_IP]
        if public_ip not in {"ENABLED", "DISABLED"}:
            raise ConfigurationError(f"{names.ASSIGN_PUBLIC_IP} must be ENABLED or DISABLED")
        return cls(
            cluster=environment[names.CLUSTER],
            task_definition=environment[names.TASK_DEFINITION],
            subnet_ids=_ids(environment, names.SUBNET_IDS),
            security_group_ids=_ids(environment, names.SECURITY_GROUP_IDS),
            assign_public_ip=cast("PublicIp", public_ip),
        )


def _ids(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    ids = tuple(part.strip() for part in environment[name].split(",") if part.strip())
    if not ids:
        raise ConfigurationError(f"{name} must name at least one")
    return ids


class EcsLauncher:
    """Implements `service_ports.Launcher`."""

    def __init__(self, *, client: "ECSClient", settings: TaskSettings) -> None:
        self._client = client
        self._settings = settings

    def launch(self, item: WorkItem, *, number: int, created_at: datetime, on_demand: bool) -> None:
        name = TaskName(job_id=item.job_id, shard=item.shard, number=number)
        settings = self._settings
        provider = ON_DEMAND if on_demand else SPOT
        try:
            reply = self._client.run_task(
                cluster=settings.cluster,
                taskDefinition=settings.task_definition,
                count=1,
                # A launchType beside it is refused. Both providers in one strategy would be a
                # proportion and no fallback.
                capacityProviderStrategy=[{"capacityProvider": provider, "weight": 1}],
                networkConfiguration={
                    "awsvpcConfiguration": {
                        "subnets": settings.subnet_ids,
                        "securityGroups": settings.security_group_ids,
                        "assignPublicIp": settings.assign_public_ip,
                    }
                },
                overrides={"containerOverrides": [_override(name)]},
                startedBy=str(name),
                clientToken=_client_token(name, created_at),
                # What a task costs shows under the tags of its cluster and its definition.
                enableECSManagedTags=True,
                propagateTags="TASK_DEFINITION",
            )
        except SDK_ERRORS as exc:
            raise LaunchError(
                f"the worker's task could not be started ({error_code(exc)}): it is tried again"
            ) from exc
        # A lack of machines is a success without a task.
        for failure in reply.get("failures", ()):
            raise _launch_error(failure.get("reason", "no reason given"), provider)
        # So ECS answers a token that it has heard of, an hour after its task's end, too.
        if any(task.get("lastStatus") == _STOPPED for task in reply.get("tasks", ())):
            raise LaunchError("the worker's task has stopped at once: it is tried again")


def _launch_error(reason: str, provider: str) -> LaunchError:
    """What a failure in a reply means, by its words."""
    text = " ".join(reason.split())
    if _AT_QUOTA.search(text):
        return LaunchQuotaError(
            "the AWS account runs as many workers as its quota allows: the job waits in the queue"
            f" for one of them to end. For more at a time ask AWS for a larger"
            f' "{_QUOTAS[provider]}" in Service Quotas, AWS Fargate'
        )
    return LaunchError(
        f"no machine for a worker now ({text[:_REASON_CHARACTERS]}): it is tried again"
    )


def _override(name: TaskName) -> Any:
    variables = {
        names.JOB_ID: name.job_id,
        names.WORKER_OWNER: str(name),
        **({} if name.shard is None else {names.SHARD: str(name.shard)}),
    }
    return {
        "name": names.WORKER_CONTAINER,
        "environment": [{"name": key, "value": value} for key, value in variables.items()],
    }


def _client_token(name: TaskName, created_at: datetime) -> str:
    """By this ECS recognises a launch that it has heard of: 64 characters are the most it takes.

    A job that was deleted may come again under its id, and counts its launches from 1: the time
    keeps ECS from answering with the old job's task.
    """
    return hashlib.sha256(f"{name} {stamp(created_at)}".encode()).hexdigest()
