"""The one factory of AWS SDK clients: every timeout, retry and pool size is set here.

The SDK is imported when the first client is created, so that importing this module costs nothing.
Clients are thread safe; make one of a kind per process and share it.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.domain.errors import ConfigurationError
from runtime.domain.models.timeouts import SHORTEST_SECONDS
from runtime.proxies import proxy_of

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime.client import BedrockRuntimeClient
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_ecs.client import ECSClient
    from mypy_boto3_s3.client import S3Client


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """How long a process waits for AWS, in seconds, and how often it asks, first try included.

    Every storage write may be sent twice: conditions or tokens make it safe. A throttled request
    waits up to 1, 2, 4, … seconds before the next try.
    """

    connect: float
    table: float
    object: float
    attempts: int
    model: float | None = None
    """Longest wait for a model, whatever a call asks for."""


WORKER: Final = Timeouts(connect=5.0, table=10.0, object=60.0, attempts=5)
"""Minutes hardly matter."""

REQUEST: Final = Timeouts(connect=1.0, table=2.5, object=6.0, model=25.0, attempts=3)
"""Somebody waits, and the function is ended after 15 seconds (29 where it reads files or calls
models): an error has to come before that, or the client never reads what it is."""

LAUNCH_SECONDS: Final = 5.0
LAUNCH_ATTEMPTS: Final = 2
"""A task that can't be started within a request is started by the sweeper a minute later."""

USER_AGENT: Final = "seedwright"
"""A fixed one for model calls: botocore builds its own twice for every call."""


def create_dynamodb_client(timeouts: Timeouts = WORKER) -> "DynamoDBClient":
    """For all tables. Raises `ConfigurationError`."""
    client: DynamoDBClient = _create(
        "dynamodb",
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.table,
        retries={"total_max_attempts": timeouts.attempts, "mode": "standard"},
        max_pool_connections=10,
    )
    return client


def create_s3_client(timeouts: Timeouts = WORKER) -> "S3Client":
    """For the bucket. Raises `ConfigurationError`."""
    client: S3Client = _create(
        "s3",
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.object,
        retries={"total_max_attempts": timeouts.attempts, "mode": "standard"},
        max_pool_connections=10,
        # Signed addresses: version 4 and the bucket's host in its region. Without these the SDK
        # signs them by version 2 for some regions, which encrypted buckets refuse, and for the
        # global host, which redirects what is posted.
        signature_version="s3v4",
        s3={
            "us_east_1_regional_endpoint": "regional",
            # What stands for AWS elsewhere has no host for each bucket.
            "addressing_style": "auto" if _has_own_endpoint("S3") else "virtual",
        },
    )
    return client


def create_ecs_client() -> "ECSClient":
    """For starting tasks, which a token makes safe to retry, and stopping them. Raises
    `ConfigurationError`.
    """
    client: ECSClient = _create(
        "ecs",
        connect_timeout=REQUEST.connect,
        read_timeout=LAUNCH_SECONDS,
        retries={"total_max_attempts": LAUNCH_ATTEMPTS, "mode": "standard"},
        max_pool_connections=1,
    )
    return client


def create_events_client() -> Any:
    """For events of EventBridge, which who hears them takes twice. Raises `ConfigurationError`."""
    return _create(
        "events",
        connect_timeout=REQUEST.connect,
        read_timeout=REQUEST.table,
        retries={"total_max_attempts": REQUEST.attempts, "mode": "standard"},
        max_pool_connections=1,
    )


def create_step_functions_client() -> Any:
    """For executions, whose names make it safe to begin them twice. Raises `ConfigurationError`."""
    return _create(
        "stepfunctions",
        connect_timeout=REQUEST.connect,
        read_timeout=LAUNCH_SECONDS,
        retries={"total_max_attempts": LAUNCH_ATTEMPTS, "mode": "standard"},
        max_pool_connections=1,
    )


def create_bedrock_client(
    *, concurrency: int, timeouts: Timeouts = WORKER, reply_seconds: float = SHORTEST_SECONDS
) -> "BedrockRuntimeClient":
    """For `concurrency` simultaneous model calls, whose replies are waited for `reply_seconds`. One
    call is one HTTP request: the SDK would pay again for a retry, because Converse has no
    idempotency token. Raises `ConfigurationError`.
    """
    client: BedrockRuntimeClient = _create(
        "bedrock-runtime",
        connect_timeout=timeouts.connect,
        read_timeout=reply_seconds if timeouts.model is None else timeouts.model,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=concurrency,
        user_agent=USER_AGENT,
        parameter_validation=False,  # a tenth of the CPU of a call; requests are built by us
    )
    return client


@dataclass(frozen=True, kw_only=True, slots=True)
class BedrockAccess:
    """What the SDK knows of Bedrock's runtime, for who calls it without a client.

    `credentials` are botocore's, None where it found none; `token` is the API key that the
    environment gives instead. `proxy` is a URL, `authorities` a file of certificates. `events` are
    those of the session, where calls to AWS are seen.
    """

    url: str
    region: str
    signing_name: str
    credentials: Any
    token: str | None
    proxy: str | None
    authorities: str | None
    events: Any


def bedrock_access() -> BedrockAccess:
    """Found as for a client of boto3: region, profile, endpoint URL, proxies, certificates. Raises
    `ConfigurationError`.
    """
    from botocore.httpsession import get_cert_path  # noqa: PLC0415 - as below
    from botocore.utils import get_token_from_environment  # noqa: PLC0415

    session = _session()
    client = _create("bedrock-runtime", session=session)
    url, name = client.meta.endpoint_url, client.meta.service_model.signing_name
    client.close()
    authorities: Any = (
        session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True
    )
    return BedrockAccess(
        url=url,
        region=client.meta.region_name,
        signing_name=name,
        credentials=session.get_credentials(),
        token=get_token_from_environment(name),
        proxy=proxy_of(url),
        authorities=get_cert_path(authorities),
        events=session.get_component("event_emitter"),
    )


def region_here(profile: str | None = None) -> str | None:
    """The region that clients of this process call, as far as it is known without calling anybody:
    by the environment, else by the AWS profile, the one named or that of the environment.
    """
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if named:
        return named
    if not Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser().is_file():
        return None
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as in `_create`
    from botocore.session import Session  # noqa: PLC0415

    try:
        region: str | None = Session(profile=profile).get_config_variable("region")
    except BotoCoreError:  # a profile that is not there is reported where a client is made
        return None
    return region


READER_CONNECT_SECONDS: Final = 3.0
READER_SECONDS: Final = 10.0
READER_ATTEMPTS: Final = 2
"""Somebody looks at an account by many small questions, any of which may stay without an answer."""


def create_reader(service: str, *, region: str | None, profile: str | None) -> Any:
    """A client for a few questions to any service, in the region and with the credentials of the
    environment where none are given. Raises `ConfigurationError`.
    """
    return _create(
        service,
        region=region,
        profile=profile,
        connect_timeout=READER_CONNECT_SECONDS,
        read_timeout=READER_SECONDS,
        retries={"total_max_attempts": READER_ATTEMPTS, "mode": "standard"},
    )


def regions_of(service: str) -> frozenset[str]:
    """The regions that have the service, as far as the SDK knows."""
    from botocore.session import Session  # noqa: PLC0415 - as below

    return frozenset(Session().get_available_regions(service))


def _has_own_endpoint(service: str) -> bool:
    return any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", f"AWS_ENDPOINT_URL_{service}"))


@cache
def _service_models() -> Any:
    """The SDK's descriptions of services, read once and shared: the largest part of a client."""
    from botocore.loaders import Loader  # noqa: PLC0415 - as below

    class Models(Loader):
        """Takes every folder for a service. The SDK looks into all 400 of them, for each kind of
        description, to find out whether there is the one that it opens next: 0.1 s a client.
        """

        def list_available_services(self, type_name: str) -> list[str]:
            del type_name
            folders = (os.scandir(path) for path in self.search_paths if Path(path).is_dir())
            return sorted({each.name for folder in folders for each in folder if each.is_dir()})

    more = filter(None, os.environ.get("AWS_DATA_PATH", "").split(os.pathsep))
    return Models([os.path.expanduser(os.path.expandvars(path)) for path in more])  # noqa: PTH111


def _session(profile: str | None = None) -> Any:
    # Imported here: 0.2 s that a laptop run without AWS never pays. boto3's own session adds
    # resources and transfers, which nobody here uses, for a quarter of that again.
    from botocore.session import Session  # noqa: PLC0415

    session = Session()
    if profile is not None:
        session.set_config_variable("profile", profile)
    session.register_component("data_loader", _service_models())
    return session


def _create(
    service: Any,
    *,
    region: str | None = None,
    profile: str | None = None,
    session: Any = None,
    **settings: Any,
) -> Any:
    from botocore.config import Config  # noqa: PLC0415 - as above
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        return (session or _session(profile)).create_client(
            service,
            # ECS, Lambda and other SDKs say AWS_REGION; botocore alone reads AWS_DEFAULT_REGION.
            region_name=region or os.environ.get("AWS_REGION") or None,
            config=Config(tcp_keepalive=True, **settings),
        )
    except (BotoCoreError, ValueError) as exc:
        raise ConfigurationError(
            f"no AWS client for {service} ({type(exc).__name__}):"
            " set AWS_REGION and check the AWS profile and credentials"
        ) from exc
