"""What the operations of the API and the event handlers work with on AWS."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

from runtime.aws.announcer import EventBridgeAnnouncer
from runtime.aws.executions import StepFunctionsExecutions
from runtime.aws.job_catalog import DynamoJobCatalog
from runtime.aws.launcher import EcsLauncher, TaskSettings
from runtime.aws.links import S3Links
from runtime.aws.storage import AwsStorage, Clients, OwnClients
from runtime.aws.table import Table
from runtime.aws.template_catalog import DynamoTemplateCatalog
from runtime.aws.upload_ledgers import DynamoUploadLedgers
from runtime.aws.work_catalog import DynamoWorkCatalog
from runtime.contract import environment as names
from runtime.contract.environment import SEED_QUOTA_GIB as SEED_QUOTA
from runtime.contract.tables import BUDGETS, JOBS, QUEUE, TEMPLATES
from runtime.domain.errors import ConfigurationError
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.accounts import parse_limit
from runtime.domain.ports import Clock
from runtime.domain.seeds.uploads import parse_quota
from runtime.domain.service_ports import ApiSettings
from runtime.sdk import REQUEST

MODEL_CALLS: Final = 4
"""Calls to models that a preview makes at a time, at most."""

_MAX_NUMBER: Final = 100_000


class AwsApi(AwsStorage):
    """Implements `service_ports.ApiPorts`. A function is given the variables of what it may touch,
    and no others: each port asks for its own when it is first used.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        clock: Clock,
        provider: str,
        load_prices: Callable[[Mapping[str, str]], PriceTable],
        new_id: Callable[[], str],
        clients: Clients | None = None,
    ) -> None:
        super().__init__(
            environment,
            clock=clock,
            clients=clients or OwnClients(concurrency=MODEL_CALLS, timeouts=REQUEST),
        )
        self.provider: Final = provider
        self.new_id: Final = new_id
        self._load_prices = load_prices

    @cached_property
    def settings(self) -> ApiSettings:
        defaults, quota = ApiSettings(), self._environment.get(SEED_QUOTA)
        return ApiSettings(
            max_active_jobs=self._number(names.MAX_ACTIVE_JOBS, defaults.max_active_jobs),
            lease_seconds=self._number(names.LEASE_SECONDS, defaults.lease_seconds),
            max_workers=self._number(names.MAX_WORKERS, defaults.max_workers),
            user_workers=self._number(names.USER_WORKERS, defaults.user_workers),
            worker_hours=self._number(names.WORKER_HOURS, defaults.worker_hours),
            worker_calls=self._number(names.WORKER_CONCURRENCY, defaults.worker_calls),
            model_tokens_per_minute=self._number(
                names.MODEL_TOKENS_PER_MINUTE, defaults.model_tokens_per_minute, most=10**9
            ),
            monthly_nano=self._limit(names.MONTHLY_BUDGET_USD, defaults.monthly_nano),
            user_monthly_nano=self._limit(
                names.USER_MONTHLY_BUDGET_USD, defaults.user_monthly_nano
            ),
            seed_bytes=defaults.seed_bytes if not quota else parse_quota(quota, name=SEED_QUOTA),
        )

    @cached_property
    def prices(self) -> PriceTable:
        return self._load_prices(self._environment)

    @cached_property
    def job_catalog(self) -> DynamoJobCatalog:
        return DynamoJobCatalog(client=self._clients.dynamodb, names=self._table, clock=self.clock)

    @cached_property
    def work(self) -> DynamoWorkCatalog:
        return DynamoWorkCatalog(
            client=self._clients.dynamodb, table_name=self._table(QUEUE), clock=self.clock
        )

    @cached_property
    def launcher(self) -> EcsLauncher:
        self._require(*names.LAUNCH_REQUIRED)
        return EcsLauncher(client=self._clients.ecs, settings=TaskSettings.of(self._environment))

    @cached_property
    def executions(self) -> StepFunctionsExecutions:
        return StepFunctionsExecutions(
            client=self._clients.step_functions, machine_arn=self._variable(names.STATE_MACHINE)
        )

    @cached_property
    def announcer(self) -> EventBridgeAnnouncer:
        return EventBridgeAnnouncer(
            client=self._clients.events,
            jobs=Table(self._clients.dynamodb, self._table(JOBS)),
            stage=self._variable(names.STAGE),
        )

    @cached_property
    def template_catalog(self) -> DynamoTemplateCatalog:
        return DynamoTemplateCatalog(
            client=self._clients.dynamodb, table_name=self._table(TEMPLATES), clock=self.clock
        )

    @cached_property
    def upload_ledgers(self) -> DynamoUploadLedgers:
        return DynamoUploadLedgers(client=self._clients.dynamodb, table_name=self._table(BUDGETS))

    @cached_property
    def links(self) -> S3Links:
        return S3Links(client=self._clients.s3, bucket_name=self._variable(names.BUCKET_NAME))

    def _limit(self, name: str, default: int | None) -> int | None:
        """Nano-USD; None without a limit."""
        text = self._environment.get(name)
        return default if not text else parse_limit(text, name=name)

    def _number(self, name: str, default: int, *, most: int = _MAX_NUMBER) -> int:
        text = self._environment.get(name) or str(default)
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise ConfigurationError(f"{name} must be a whole number from 1 to {most}")
        return int(text)
