"""The composition root: picks adapters and wires them. Nothing runs at import, and heavy adapters
are imported only when they are picked.
"""

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from runtime.contract import environment as names
from runtime.domain.errors import ConfigurationError
from runtime.domain.models.calls import ModelClient
from runtime.domain.models.names import BEDROCK
from runtime.domain.models.price_table import PriceTable, load_prices, load_prices_over
from runtime.domain.models.reach import AWS
from runtime.domain.ports import Clock, Ports
from runtime.domain.service_ports import ApiPorts, ApiSettings, WorkItem

if TYPE_CHECKING:
    from runtime.local.api import LocalApi
    from runtime.local.storage import LocalStorage


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return monotonic()


def random_id() -> str:
    """A fresh random UUID."""
    return str(uuid.uuid4())


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


def local_engine(
    directory: Path, *, models: ModelClient, provider: str, prices: PriceTable
) -> LocalEngine:
    """Storage in a directory with any model behind it. Raises `ConfigurationError`."""
    from runtime.local.storage import open_storage  # noqa: PLC0415

    storage = open_storage(directory, clock=SystemClock())
    return _engine_on(storage, models=models, provider=provider, prices=prices)


def _engine_on(
    storage: "LocalStorage", *, models: ModelClient, provider: str, prices: PriceTable
) -> LocalEngine:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalService:
    """The laptop's API and, on the same storage, the engine for a worker in this process. `close`
    closes both: after the server and the worker have stopped.
    """

    api: "LocalApi"
    engine: LocalEngine

    def close(self) -> None:
        self.engine.close()


def local_api(
    directory: Path,
    *,
    models: ModelClient,
    provider: str,
    prices: PriceTable,
    base_url: str,
    on_launch: Callable[[WorkItem], None],
    settings: ApiSettings | None = None,
    clock: Clock | None = None,
    new_id: Callable[[], str] = random_id,
) -> LocalService:
    """What a server on this machine works with: storage in a directory, any model behind it.

    `base_url` is the server's address (`runtime.server.listener.Listener.base_url`). `on_launch` is
    called from the server's threads when there is work for a worker; to set an event is enough.
    Raises `ConfigurationError` or `StorageError`.
    """
    from runtime.local.api import LocalApi  # noqa: PLC0415
    from runtime.local.storage import open_storage  # noqa: PLC0415

    storage = open_storage(directory, clock=clock or SystemClock())
    try:
        api = LocalApi(
            storage,
            models=models,
            provider=provider,
            prices=prices,
            base_url=base_url,
            new_id=new_id,
            on_launch=on_launch,
            settings=settings,
        )
    except BaseException:
        storage.close()
        raise
    return LocalService(
        api=api, engine=_engine_on(storage, models=models, provider=provider, prices=prices)
    )


def aws_ports(
    environment: Mapping[str, str], *, concurrency: int, clock: Clock | None = None
) -> Ports:
    """DynamoDB, S3, Bedrock and the stage's servers under the names the environment gives.

    Raises `ConfigurationError` that names every missing variable, before any call.
    """
    missing = [name for name in names.WORKER_REQUIRED if not environment.get(name)]
    if missing:
        raise ConfigurationError(f"missing environment variables: {', '.join(missing)}")
    from runtime.aws.storage import AwsStorage, OwnClients  # noqa: PLC0415
    from runtime.models.stage_servers import open_models, servers_in  # noqa: PLC0415
    from runtime.sdk import WORKER  # noqa: PLC0415

    storage = AwsStorage(
        environment,
        clock=clock or SystemClock(),
        clients=OwnClients(concurrency=concurrency, timeouts=WORKER),
    )
    return Ports(
        clock=storage.clock,
        queue=storage.queue,
        jobs=storage.jobs,
        templates=storage.templates,
        checkpoints=storage.checkpoints,
        costs=storage.costs,
        budgets=storage.budgets,
        objects=storage.objects,
        models=open_models(servers_in(environment), environment),
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

    return AwsApi(
        os.environ if environment is None else environment,
        clock=clock or SystemClock(),
        provider=BEDROCK,
        load_prices=prices_of,
        new_id=random_id,
    )


def prices_of(environment: Mapping[str, str]) -> PriceTable:
    """The packaged price table, with the prices of the stage's servers and the override file that
    the environment names, as seen from the environment's region.
    """
    reach, files = AWS, list[tuple[str, bytes]]()
    if environment.get(names.SERVERS):
        from runtime.models.stage_servers import (  # noqa: PLC0415 - few stages have any
            price_files,
            reach_over,
            servers_in,
        )

        servers = servers_in(environment)
        reach, files = reach_over(servers), price_files(servers)
    override = environment.get(names.PRICES_FILE)
    if override and override.startswith("s3://"):
        from runtime.aws.objects import S3Objects  # noqa: PLC0415
        from runtime.sdk import create_s3_client  # noqa: PLC0415

        bucket, _, key = override.removeprefix("s3://").partition("/")
        objects = S3Objects(client=create_s3_client(), bucket_name=bucket)
        prices = load_prices_over([*files, (override, objects.get(key))], reach=reach)
    else:
        prices = load_prices(Path(override) if override else None, reach=reach, more=files)
    return prices.seen_from(environment.get(names.REGION) or None)
