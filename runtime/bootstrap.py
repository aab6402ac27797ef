"""The composition root: picks adapters and wires them. Nothing runs at import, and heavy adapters
are imported only when they are picked.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

from runtime.contract import environment as names
from runtime.contract.tables import CHECKPOINT_METADATA, COST_TRACKING, JOBS, QUEUE, TEMPLATES
from runtime.domain.api_ports import ApiPorts
from runtime.domain.errors import ConfigurationError
from runtime.domain.ports import Clock, ModelClient, Ports
from runtime.domain.pricing import PriceTable, load_prices

BEDROCK: Final = "bedrock"


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return monotonic()


def process_owner() -> str:
    """A name for this process that no other living process has: what started it may give one."""
    given = os.environ.get(names.WORKER_OWNER)
    if given:
        return given
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalEngine:
    """The laptop's engine. `path_of` is the file of an object, for publishing without a copy."""

    ports: Ports
    path_of: Callable[[str], Path]
    close: Callable[[], None]


def embedded_model(slots: int) -> ModelClient:
    """The model that comes with the package. Raises `ConfigurationError` if it isn't installed."""
    from runtime.local.llama import LlamaModels  # noqa: PLC0415

    return LlamaModels(slots=slots)


def bedrock_models(concurrency: int) -> ModelClient:
    """Bedrock with the credentials and region that boto3 finds."""
    from runtime.aws.bedrock import BedrockModels  # noqa: PLC0415
    from runtime.aws.clients import create_bedrock_client  # noqa: PLC0415

    return BedrockModels(create_bedrock_client(concurrency=concurrency))


def local_engine(
    directory: Path, *, models: ModelClient, provider: str, prices: PriceTable
) -> LocalEngine:
    """Storage in a directory with any model behind it. Raises `ConfigurationError`."""
    from runtime.local.storage import open_storage  # noqa: PLC0415

    storage = open_storage(directory, clock=SystemClock())

    def close() -> None:
        models.close()
        storage.close()

    return LocalEngine(
        ports=Ports(
            clock=storage.clock,
            queue=storage.queue,
            jobs=storage.jobs,
            templates=storage.templates,
            checkpoints=storage.checkpoints,
            costs=storage.costs,
            budgets=storage.budgets,
            objects=storage.objects,
            models=models,
            provider=provider,
            prices=prices,
            open_journal=storage.open_journal,
        ),
        path_of=storage.objects.path_of,
        close=close,
    )


def aws_ports(
    environment: Mapping[str, str], *, concurrency: int, clock: Clock | None = None
) -> Ports:
    """DynamoDB, S3 and Bedrock under the names the environment gives.

    Raises `ConfigurationError` that names every missing variable, before any call.
    """
    missing = [name for name in names.WORKER_REQUIRED if not environment.get(name)]
    if missing:
        raise ConfigurationError(f"missing environment variables: {', '.join(missing)}")
    return _aws_ports(environment, concurrency=concurrency, clock=clock or SystemClock())


def _aws_ports(environment: Mapping[str, str], *, concurrency: int, clock: Clock) -> Ports:
    from runtime.aws import clients  # noqa: PLC0415
    from runtime.aws.bedrock import BedrockModels  # noqa: PLC0415
    from runtime.aws.budget_store import DynamoBudgetStore  # noqa: PLC0415
    from runtime.aws.checkpoint_versions import DynamoCheckpointVersions  # noqa: PLC0415
    from runtime.aws.cost_store import DynamoCostStore  # noqa: PLC0415
    from runtime.aws.job_store import DynamoJobStore  # noqa: PLC0415
    from runtime.aws.objects import S3Objects  # noqa: PLC0415
    from runtime.aws.template_store import DynamoTemplateStore  # noqa: PLC0415
    from runtime.aws.work_queue import DynamoWorkQueue  # noqa: PLC0415

    tables = clients.create_dynamodb_client()
    jobs, queue = environment[JOBS.variable], environment[QUEUE.variable]
    return Ports(
        clock=clock,
        queue=DynamoWorkQueue(client=tables, table_name=queue, clock=clock),
        jobs=DynamoJobStore(client=tables, table_name=jobs, queue_table_name=queue, clock=clock),
        templates=DynamoTemplateStore(
            client=tables, table_name=environment[TEMPLATES.variable], clock=clock
        ),
        checkpoints=DynamoCheckpointVersions(
            client=tables, table_name=environment[CHECKPOINT_METADATA.variable]
        ),
        costs=DynamoCostStore(
            client=tables, table_name=environment[COST_TRACKING.variable], clock=clock
        ),
        budgets=DynamoBudgetStore(client=tables, table_name=jobs),
        objects=S3Objects(
            client=clients.create_s3_client(), bucket_name=environment[names.BUCKET_NAME]
        ),
        models=BedrockModels(clients.create_bedrock_client(concurrency=concurrency)),
        provider=BEDROCK,
        prices=prices_of(environment),
    )


def aws_api(
    environment: Mapping[str, str] | None = None, *, clock: Clock | None = None
) -> ApiPorts:
    """What the handlers on AWS work with; by default under the names of this process's environment.

    Nothing is read or connected before an operation needs it: a variable that is missing then is
    named by a `ConfigurationError`.
    """
    from runtime.aws.api import AwsApi  # noqa: PLC0415

    return AwsApi(os.environ if environment is None else environment, clock=clock or SystemClock())


def prices_of(environment: Mapping[str, str]) -> PriceTable:
    """The packaged price table, with the override file that the environment names."""
    override = environment.get(names.PRICES_FILE)
    return load_prices(Path(override) if override else None)
