"""What the state machine of a sharded job does, in Amazon States Language.

    Judge ──▶ Next ──┬─ generate ─▶ Shards ──┐     Shards: for each shard of the round
      ▲              ├─ export ───▶ Export ──┤       Spot, then on demand where the job allows it
      │              ├─ wait ─────▶ Wait ────┤
      └──────────────┼───────────────────────┘
                     └─ end ──────▶ End

`Judge` is the function `advance_job`, which reads from the tables what has become of each shard and
says what is next. Nothing is decided here by how a task ended: a Map tolerates every failure, and a
task that fails for good is a shard that the next round starts again.

A task that is waited for sends no heartbeats to Step Functions, so that `HeartbeatSeconds` would
end each after its time. Workers have leases instead: the sweeper stops a task whose beat stands
still. Every task has a timeout for the rest.
"""

from dataclasses import dataclass
from typing import Any, Final

from runtime.contract import environment as names
from runtime.contract.executions import MAP_LABEL, RETRY_NUMBERS, SHARD_BATCH

State = dict[str, Any]

RUN_TASK: Final = "arn:aws:states:::ecs:runTask.sync"
INVOKE: Final = "arn:aws:states:::lambda:invoke"

SPOT: Final = "FARGATE_SPOT"
ON_DEMAND: Final = "FARGATE"

JUDGE_SECONDS: Final = 90
"""More than the function takes at most."""
EXECUTION_DAYS: Final = 14
"""A quarter of what Step Functions allows: no job should take as long."""

_NO_TASK: Final = ("AmazonECS.Unknown", "ECS.AmazonECSException", "ECS.ServerException")
"""No machine, a used up quota, or a call of ECS that failed."""
_THROTTLED: Final = ("ECS.ThrottlingException", "ECS.TooManyRequestsException")
_LAMBDA: Final = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineParts:
    """What the definition names. Tokens of the CDK, mostly."""

    judge_arn: str
    partition: str
    cluster_arn: str
    task_family: str
    subnet_ids: list[str]
    security_group_id: str
    assign_public_ip: bool
    task_hours: int


def definition(parts: MachineParts) -> State:
    """The whole definition as a document."""
    return {
        "Comment": "Seedwright: a job in shards",
        "StartAt": "Judge",
        "TimeoutSeconds": EXECUTION_DAYS * 24 * 3600,
        "States": {
            "Judge": _judge(parts),
            "Next": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.next", "StringEquals": step, "Next": state}
                    for step, state in (
                        ("generate", MAP_LABEL),
                        ("export", "Export"),
                        ("wait", "Wait"),
                    )
                ],
                "Default": "End",
            },
            MAP_LABEL: _map(parts),
            **_work(parts, "Export", shard=False, then="Judge"),
            "Wait": {"Type": "Wait", "SecondsPath": "$.seconds", "Next": "Judge"},
            "End": {"Type": "Succeed"},
        },
    }


def _judge(parts: MachineParts) -> State:
    return {
        "Type": "Task",
        "Resource": _resource(INVOKE, parts),
        "Parameters": {"FunctionName": parts.judge_arn, "Payload.$": "$"},
        # What the function says is the whole state, so that nothing piles up in it.
        "OutputPath": "$.Payload",
        "TimeoutSeconds": JUDGE_SECONDS,
        "Retry": [
            _retry(_LAMBDA, first=2, most=60, times=8),
            # An error of the function itself: the tables don't answer, say.
            _retry(("States.TaskFailed", "States.Timeout"), first=10, most=120, times=5),
        ],
        "Next": "Next",
    }


def _map(parts: MachineParts) -> State:
    return {
        "Type": "Map",
        "Label": MAP_LABEL,
        "ItemsPath": "$.shards",
        "ItemSelector": {
            "job_id.$": "$.job_id",
            "shard.$": "$$.Map.Item.Value",
            "number.$": "$.number",
            "on_demand.$": "$.on_demand",
        },
        "MaxConcurrencyPath": "$.concurrency",
        "ToleratedFailurePercentage": 100,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Generate",
            "States": {
                **_work(parts, "Generate", shard=True, then="Left to the judge"),
                # Children's results together must stay below 256 KiB.
                "Left to the judge": {"Type": "Pass", "Result": {}, "End": True},
            },
        },
        "ResultPath": None,
        # What a Map doesn't tolerate: a fault of Step Functions, and a Map that somebody stopped.
        "Catch": [_caught("Judge")],
        "Next": "Judge",
    }


def _work(parts: MachineParts, name: str, *, shard: bool, then: str) -> dict[str, State]:
    """A worker: on Spot for as long as it takes, or on Spot at first where the job allows machines
    at the full price. One that fails for good is the judge's as well.
    """
    hurried, full_price = f"{name} on Spot first", f"{name} on demand"
    return {
        name: {
            "Type": "Choice",
            "Choices": [{"Variable": "$.on_demand", "BooleanEquals": True, "Next": hurried}],
            "Default": f"{name} on Spot",
        },
        f"{name} on Spot": {
            **_run_task(parts, SPOT, shard=shard, no_task=20, failed=20),
            "Catch": [_caught(then)],
            "Next": then,
        },
        hurried: {
            **_run_task(parts, SPOT, shard=shard, no_task=3, failed=6),
            "Catch": [_caught(full_price)],
            "Next": then,
        },
        full_price: {
            **_run_task(parts, ON_DEMAND, shard=shard, no_task=20, failed=20, extra=RETRY_NUMBERS),
            "Catch": [_caught(then)],
            "Next": then,
        },
    }


def _run_task(
    parts: MachineParts, provider: str, *, shard: bool, no_task: int, failed: int, extra: int = 0
) -> State:
    """A task that is waited for. Its launches are numbered by their retries, from `extra` on."""
    number = "States.MathAdd($.number, $$.State.RetryCount)"
    if extra:
        number = f"States.MathAdd({number}, {extra})"
    environment = [
        {"Name": name, "Value.$": value} for name, value in _variables(number, shard=shard).items()
    ]
    return {
        "Type": "Task",
        "Resource": _resource(RUN_TASK, parts),
        "Parameters": {
            "Cluster": parts.cluster_arn,
            "TaskDefinition": parts.task_family,
            "CapacityProviderStrategy": [{"CapacityProvider": provider, "Weight": 1}],
            "NetworkConfiguration": {
                "AwsvpcConfiguration": {
                    "Subnets": parts.subnet_ids,
                    "SecurityGroups": [parts.security_group_id],
                    "AssignPublicIp": "ENABLED" if parts.assign_public_ip else "DISABLED",
                }
            },
            "Overrides": {
                "ContainerOverrides": [{"Name": names.WORKER_CONTAINER, "Environment": environment}]
            },
            "PropagateTags": "TASK_DEFINITION",
        },
        "TimeoutSeconds": parts.task_hours * 3600,
        # The description of a task is some kilobytes, times the shards.
        "ResultPath": None,
        "Retry": [
            # The first rule that fits counts, and States.TaskFailed fits nearly all.
            _retry(_THROTTLED, first=5, most=120, times=8),
            _retry(_NO_TASK, first=20, most=300, times=no_task),
            # The machine was taken away, or the worker died: the next one goes on with the work.
            _retry(("States.TaskFailed",), first=10, most=60, times=failed),
        ],
    }


def _variables(number: str, *, shard: bool) -> dict[str, str]:
    """Of a worker, as intrinsic functions. Its name is that of `runtime.contract.tasks`."""
    if not shard:
        return {
            names.JOB_ID: "$.job_id",
            names.WORKER_OWNER: f"States.Format('{{}}/{{}}', $.job_id, {number})",
        }
    return {
        names.JOB_ID: "$.job_id",
        names.SHARD: "States.Format('{}', $.shard)",
        names.CHECKPOINT_INTERVAL: f"States.Format('{{}}', {SHARD_BATCH})",
        names.WORKER_OWNER: f"States.Format('{{}}/shard-{{}}/{{}}', $.job_id, $.shard, {number})",
    }


def _caught(following: str) -> State:
    return {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": following}


def _retry(errors: tuple[str, ...], *, first: int, most: int, times: int) -> State:
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": first,
        "BackoffRate": 2,
        "MaxDelaySeconds": most,
        "MaxAttempts": times,
        "JitterStrategy": "FULL",
    }


def _resource(arn: str, parts: MachineParts) -> str:
    return arn.replace("arn:aws:", f"arn:{parts.partition}:", 1)
