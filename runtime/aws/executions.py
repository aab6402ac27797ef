"""Executions of the state machine that works on sharded jobs. What it does is in
`cdk_app/machine_definition.py`, and what it asks in `runtime/service/rounds.py`.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NoReturn, Protocol

from runtime.aws.failures import SDK_ERRORS, error_code
from runtime.aws.table import stamp
from runtime.contract.executions import execution_name
from runtime.domain.errors import LaunchError
from runtime.domain.service_ports import WorkItem

_BEGUN: Final = "ExecutionAlreadyExists"
_UNKNOWN: Final = "ExecutionDoesNotExist"
_LIVE: Final = frozenset({"RUNNING", "PENDING_REDRIVE"})


class StatesClient(Protocol):
    """What is needed of the SDK's client."""

    def start_execution(self, **request: Any) -> Mapping[str, Any]: ...
    def describe_execution(self, **request: Any) -> Mapping[str, Any]: ...
    def stop_execution(self, **request: Any) -> Mapping[str, Any]: ...


class StepFunctionsExecutions:
    """Implements `service_ports.Executions`."""

    def __init__(self, *, client: StatesClient, machine_arn: str) -> None:
        self._client = client
        self._machine_arn = machine_arn

    def begin_execution(self, item: WorkItem, *, number: int, created_at: datetime) -> None:
        try:
            self._client.start_execution(
                stateMachineArn=self._machine_arn,
                name=execution_name(item.job_id, stamp(created_at), number),
                input=json.dumps({"job_id": item.job_id, "execution": number}),
            )
        except SDK_ERRORS as exc:
            if error_code(exc) != _BEGUN:
                _raise(exc, "the job's execution could not be started")

    def is_running(self, job_id: str, *, number: int, created_at: datetime) -> bool:
        arn = self._arn(job_id, number, created_at)
        try:
            reply = self._client.describe_execution(executionArn=arn)
        except SDK_ERRORS as exc:
            if error_code(exc) == _UNKNOWN:
                return False
            _raise(exc, "the job's execution could not be looked at")
        return reply["status"] in _LIVE

    def stop(self, job_id: str, *, number: int, created_at: datetime) -> bool:
        arn = self._arn(job_id, number, created_at)
        try:
            self._client.stop_execution(executionArn=arn, cause="The job has ended")
        except SDK_ERRORS as exc:
            # One that has ended is stopped once more without an error.
            if error_code(exc) == _UNKNOWN:
                return False
            _raise(exc, "the job's execution could not be stopped")
        return True

    def _arn(self, job_id: str, number: int, created_at: datetime) -> str:
        executions = self._machine_arn.replace(":stateMachine:", ":execution:", 1)
        return f"{executions}:{execution_name(job_id, stamp(created_at), number)}"


def _raise(exc: Exception, what: str) -> NoReturn:
    raise LaunchError(f"{what} ({error_code(exc)}): it is tried again") from exc
