"""Starts workers as tasks on Fargate, on Spot machines unless it is asked for others, and stops
those whose work somebody else has.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from runtime.aws.failures import SDK_ERRORS, error_code
from runtime.aws.table import stamp
from runtime.contract import environment as names
from runtime.contract.tasks import STARTED_BY_MACHINE, TaskName, parse_task_name
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

_OF_A_SUBNET: Final = frozenset({"ClientException", "InvalidParameterException"})
"""Refusals that may be about the subnets: their zones may lack the processor or the platform."""

_GONE: Final = "InvalidParameterException"
"""What StopTask says of a task that ECS has forgotten."""

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
        provider = ON_DEMAND if on_demand else SPOT
        # Launches of this work, ever, that no worker has claimed it after and the quota hasn't
        # refused: that Fargate places its tasks well is not counted on again.
        came_to_nothing = number - 1 - item.attempt - item.quota_refusals > 0
        tries = subnet_tries(
            self._settings.subnet_ids, number=number, came_to_nothing=came_to_nothing
        )
        refusal: LaunchError | None = None
        for subnets in tries:
            refusal = self._run(name, created_at, provider, subnets)
            if refusal is None:
                return
        if refusal is not None:
            raise refusal

    def stop(self, owner: str) -> int:
        if parse_task_name(owner) is None:
            return 0  # a worker that somebody started by hand
        try:
            return sum(self._stop(arn) for arn in self._tasks_of(owner))
        except SDK_ERRORS as exc:
            raise LaunchError(
                f"the task of a lost worker could not be stopped ({error_code(exc)}):"
                f" stop the one that was started by {owner} in the ECS console"
            ) from exc

    def _tasks_of(self, owner: str) -> list[str]:
        """Those that run. ECS takes no other filter beside this one."""
        cluster = self._settings.cluster
        arns = self._client.list_tasks(cluster=cluster, startedBy=owner)["taskArns"]
        if arns:
            return arns
        # What a state machine has started bears its name, and says who it is in its environment.
        found = []
        pages = self._client.get_paginator("list_tasks")
        for page in pages.paginate(cluster=cluster, startedBy=STARTED_BY_MACHINE):
            if page["taskArns"]:
                reply = self._client.describe_tasks(cluster=cluster, tasks=page["taskArns"])
                found += [task["taskArn"] for task in reply["tasks"] if _owner_of(task) == owner]
        return found

    def _stop(self, arn: str) -> bool:
        try:
            self._client.stop_task(
                cluster=self._settings.cluster, task=arn, reason="Its work was given to another"
            )
        except SDK_ERRORS as exc:
            if error_code(exc) == _GONE:
                return False
            raise
        return True

    def _run(
        self, name: TaskName, created_at: datetime, provider: str, subnets: tuple[str, ...]
    ) -> LaunchError | None:
        """Start the task in one of `subnets`. What is returned other subnets may mend, and what is
        raised they may not.
        """
        settings = self._settings
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
                        "subnets": subnets,
                        "securityGroups": settings.security_group_ids,
                        "assignPublicIp": settings.assign_public_ip,
                    }
                },
                overrides={"containerOverrides": [_override(name)]},
                startedBy=str(name),
                clientToken=_client_token(name, created_at, subnets),
                # What a task costs shows under the tags of its cluster and its definition.
                enableECSManagedTags=True,
                propagateTags="TASK_DEFINITION",
            )
        except SDK_ERRORS as exc:
            error = LaunchError(
                f"the worker's task could not be started ({error_code(exc)}): it is tried again"
            )
            if error_code(exc) in _OF_A_SUBNET:
                return error
            raise error from exc
        # A lack of machines is a success without a task.
        for failure in reply.get("failures", ()):
            refusal = _launch_error(failure.get("reason", "no reason given"), provider)
            if isinstance(refusal, LaunchQuotaError):
                raise refusal
            return refusal
        # So ECS answers a token that it has heard of, an hour after its task's end, too.
        if any(task.get("lastStatus") == _STOPPED for task in reply.get("tasks", ())):
            raise LaunchError("the worker's task has stopped at once: it is tried again")
        return None


def subnet_tries(
    subnet_ids: tuple[str, ...], *, number: int, came_to_nothing: bool
) -> list[tuple[str, ...]]:
    """The subnets that each request of launch `number` names, in order; at most as many requests as
    there are subnets.

    Fargate places a task in one of the subnets that it is given, and may fail there without trying
    the others: the zone has no machine, or none of this processor. So all of them come first, and
    then one after the other. Where launches came to nothing already, perhaps after ECS had taken
    them, the choice is not left to Fargate. Each launch begins with another subnet: of as many in a
    row as there are subnets, each subnet is first once.
    """
    first = (number - 1) % len(subnet_ids)
    order = subnet_ids[first:] + subnet_ids[:first]
    alone: list[tuple[str, ...]] = [(subnet,) for subnet in order]
    return alone if came_to_nothing or len(order) == 1 else [order, *alone[:-1]]


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


def _owner_of(task: Any) -> str | None:
    """What the worker of a task calls itself, if that was given with its launch."""
    variables = (
        variable
        for override in task.get("overrides", {}).get("containerOverrides", ())
        for variable in override.get("environment", ())
    )
    named = (each["value"] for each in variables if each["name"] == names.WORKER_OWNER)
    return next(named, None)


def _client_token(name: TaskName, created_at: datetime, subnets: tuple[str, ...]) -> str:
    """By this ECS recognises a launch that it has heard of: 64 characters are the most it takes.

    A job that was deleted may come again under its id, and counts its launches from 1: the time
    keeps ECS from answering with the old job's task. The subnets tell the tries of one launch
    apart, because ECS refuses a token that comes with other parameters.
    """
    text = f"{name} {stamp(created_at)} {' '.join(subnets)}"
    return hashlib.sha256(text.encode()).hexdigest()
