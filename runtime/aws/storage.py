"""The storage of one AWS deployment: every adapter under the names that the environment gives,
made when it is first needed.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from runtime import sdk
from runtime.aws.announcer import EventsClient
from runtime.aws.budget_store import DynamoBudgetStore
from runtime.aws.checkpoint_versions import DynamoCheckpointVersions
from runtime.aws.cost_store import DynamoCostStore
from runtime.aws.executions import StatesClient
from runtime.aws.job_store import DynamoJobStore
from runtime.aws.monthly_budgets import DynamoMonthlyBudgets
from runtime.aws.objects import S3Objects
from runtime.aws.template_store import DynamoTemplateStore
from runtime.aws.work_queue import DynamoWorkQueue
from runtime.contract import environment as names
from runtime.contract.tables import (
    BUDGETS,
    CHECKPOINT_METADATA,
    COST_TRACKING,
    QUEUE,
    TEMPLATES,
    Table,
)
from runtime.domain.errors import ConfigurationError
from runtime.domain.ports import Clock
from runtime.models.bedrock import BedrockModels

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime.client import BedrockRuntimeClient
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_ecs.client import ECSClient
    from mypy_boto3_s3.client import S3Client


class Clients(Protocol):
    """One client of a service, shared by all adapters."""

    @property
    def dynamodb(self) -> "DynamoDBClient": ...
    @property
    def s3(self) -> "S3Client": ...
    @property
    def ecs(self) -> "ECSClient": ...
    @property
    def events(self) -> EventsClient: ...
    @property
    def step_functions(self) -> StatesClient: ...
    def open_bedrock(self, reply_seconds: float) -> "BedrockRuntimeClient": ...


class OwnClients:
    """Implements `Clients`; each is created when it is first needed. `concurrency` is how many
    calls to models are under way at a time.
    """

    def __init__(self, *, concurrency: int, timeouts: sdk.Timeouts) -> None:
        self._concurrency = concurrency
        self._timeouts = timeouts

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        return sdk.create_dynamodb_client(self._timeouts)

    @cached_property
    def s3(self) -> "S3Client":
        return sdk.create_s3_client(self._timeouts)

    @cached_property
    def ecs(self) -> "ECSClient":
        return sdk.create_ecs_client()

    @cached_property
    def events(self) -> EventsClient:
        client: EventsClient = sdk.create_events_client()
        return client

    @cached_property
    def step_functions(self) -> StatesClient:
        client: StatesClient = sdk.create_step_functions_client()
        return client

    def open_bedrock(self, reply_seconds: float) -> "BedrockRuntimeClient":
        """One for calls whose replies are waited for so long."""
        return sdk.create_bedrock_client(
            concurrency=self._concurrency, timeouts=self._timeouts, reply_seconds=reply_seconds
        )


class AwsStorage:
    """Ports of storage and models. A variable that an adapter misses is named by a
    `ConfigurationError` when the adapter is created.
    """

    def __init__(self, environment: Mapping[str, str], *, clock: Clock, clients: Clients) -> None:
        self._environment = environment
        self._clients = clients
        self.clock: Final = clock

    @cached_property
    def jobs(self) -> DynamoJobStore:
        return DynamoJobStore(client=self._clients.dynamodb, names=self._table, clock=self.clock)

    @cached_property
    def queue(self) -> DynamoWorkQueue:
        return DynamoWorkQueue(
            client=self._clients.dynamodb, table_name=self._table(QUEUE), clock=self.clock
        )

    @cached_property
    def templates(self) -> DynamoTemplateStore:
        return DynamoTemplateStore(
            client=self._clients.dynamodb, table_name=self._table(TEMPLATES), clock=self.clock
        )

    @cached_property
    def checkpoints(self) -> DynamoCheckpointVersions:
        return DynamoCheckpointVersions(
            client=self._clients.dynamodb, table_name=self._table(CHECKPOINT_METADATA)
        )

    @cached_property
    def costs(self) -> DynamoCostStore:
        return DynamoCostStore(
            client=self._clients.dynamodb, table_name=self._table(COST_TRACKING), clock=self.clock
        )

    @cached_property
    def budgets(self) -> DynamoBudgetStore:
        return DynamoBudgetStore(client=self._clients.dynamodb, names=self._table)

    @cached_property
    def monthly_budgets(self) -> DynamoMonthlyBudgets:
        return DynamoMonthlyBudgets(client=self._clients.dynamodb, table_name=self._table(BUDGETS))

    @cached_property
    def objects(self) -> S3Objects:
        return S3Objects(client=self._clients.s3, bucket_name=self._variable(names.BUCKET_NAME))

    @cached_property
    def models(self) -> BedrockModels:
        return BedrockModels(self._clients.open_bedrock)

    def _table(self, table: Table) -> str:
        return self._variable(table.variable)

    def _variable(self, name: str) -> str:
        self._require(name)
        return self._environment[name]

    def _require(self, *variables: str) -> None:
        missing = [name for name in variables if not self._environment.get(name)]
        if missing:
            raise ConfigurationError(f"missing environment variables: {', '.join(missing)}")
