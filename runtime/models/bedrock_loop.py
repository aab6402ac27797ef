"""Models on Amazon Bedrock for workers and laptops: on an event loop, by Converse, or by OpenAI's
requests where a model's row says so.

botocore finds credentials, region, endpoint, proxies and certificates; nothing of it is on the way
of a call. Credentials that expire are renewed on another thread.
"""

from datetime import UTC, datetime
from typing import Final

from botocore.exceptions import NoCredentialsError

from runtime import sdk
from runtime.domain.models.abilities import Api
from runtime.domain.models.names import BEDROCK
from runtime.models.bedrock_errors import BedrockFailures
from runtime.models.chat import ChatCompletions
from runtime.models.converse import Converse
from runtime.models.dialect import Dialect
from runtime.models.loop_models import LoopModels
from runtime.models.responses import Responses
from runtime.models.transport.authorization import Authorization, FixedHeaders, SignedByKeys
from runtime.models.transport.hooks import SessionEvents
from runtime.models.transport.loop_thread import LoopThread
from runtime.models.transport.opening import OpenSocket, address_of, connect_socket
from runtime.models.transport.signing import Keys, Signer
from runtime.models.transport.trust import trusted

_OPENAI: Final = Dialect(
    provider=BEDROCK,
    server="Bedrock",
    base_path="/openai/v1",
    limit_field="max_completion_tokens",
    sends_seed=False,
)


def open_bedrock(
    access: sdk.BedrockAccess | None = None,
    *,
    timeouts: sdk.Timeouts | None = None,
    open_socket: OpenSocket = connect_socket,
    thread: LoopThread | None = None,
) -> LoopModels:
    """A client with what the SDK finds, on a loop of its own if none is given. Raises
    `ConfigurationError`.
    """
    access = access or sdk.bedrock_access()
    timeouts = timeouts or sdk.WORKER
    return LoopModels(
        families={
            Api.CONVERSE: Converse(),
            Api.CHAT: ChatCompletions(_OPENAI),
            Api.RESPONSES: Responses(_OPENAI),
        },
        usual=Api.CONVERSE,
        failures=BedrockFailures(),
        address=address_of(
            access.url,
            proxy=access.proxy,
            trust=lambda: trusted(access.authorities),
            connect_seconds=timeouts.connect,
        ),
        authorization=_authorization(access),
        headers={"User-Agent": sdk.USER_AGENT},
        longest_wait=timeouts.model,
        hook=SessionEvents(access.events),
        open_socket=open_socket,
        thread=thread,
    )


def _authorization(access: sdk.BedrockAccess) -> Authorization:
    if access.token is not None:
        return FixedHeaders({"Authorization": f"Bearer {access.token}"})
    credentials = access.credentials

    def fetch() -> Keys:
        if credentials is None:
            raise NoCredentialsError
        now = credentials.get_frozen_credentials()
        return Keys(access_key=now.access_key, secret_key=now.secret_key, token=now.token)

    return SignedByKeys(
        Signer(region=access.region, service=access.signing_name),
        fetch,
        # What is read from the environment or a file has no way to be renewed.
        expires=hasattr(credentials, "refresh_needed"),
        now=lambda: datetime.now(UTC),
    )
