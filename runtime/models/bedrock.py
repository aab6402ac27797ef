"""Models on Amazon Bedrock, through the Converse API of boto3: for functions, which make few calls.

One `converse` is at most one HTTP request, as long as the client was built with
`retries={"total_max_attempts": 1}`: Converse has no idempotency token, so a retry inside the SDK
would pay twice without anybody knowing. Retrying is the worker's business.

What a failure means, and how a user reads it, is in `bedrock_errors`.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runtime import sdk
from runtime.domain.errors import ModelError, ModelErrorKind, SeedwrightError
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import ModelClient, ModelReply, ModelRequest
from runtime.domain.models.timeouts import SHORTEST_SECONDS
from runtime.models.bedrock_errors import is_quotation, model_error
from runtime.models.converse import converse_arguments, converse_reply

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

_OPENAI: Final = frozenset({Api.CHAT, Api.RESPONSES})


class BedrockModels:
    """A `ModelClient` on `bedrock-runtime` clients, which must not retry by themselves.

    `open_client` makes one that waits so many seconds for a reply: botocore knows that only of a
    client. There are few, one for each limit of tokens, and the first is made at once, so that a
    missing region is known before anything is begun.

    Models whose row says so are called by OpenAI's requests, at the same endpoint.
    """

    def __init__(self, open_client: "Callable[[float], BedrockRuntimeClient]") -> None:
        self._open_client = open_client
        self._lock = threading.Lock()
        self._clients = {SHORTEST_SECONDS: open_client(SHORTEST_SECONDS)}
        self._loop: ModelClient | None = None

    def converse(self, request: ModelRequest) -> ModelReply:
        try:
            client: Any = self._client(request.timeout_seconds)
            if request.api in _OPENAI:
                waited = replace(request, timeout_seconds=client.meta.config.read_timeout)
                return self._other().converse(waited)
            return converse_reply(client.converse(**converse_arguments(request)))
        except ModelError:
            raise
        except SeedwrightError as exc:  # nothing was sent
            raise ModelError(ModelErrorKind.FATAL, str(exc), service_code=exc.code) from exc
        except Exception as exc:  # noqa: BLE001 - whatever it is, a call may have been paid
            # The SDK's or the service's text may quote a prompt: then no traceback shows it.
            quoting = is_quotation(exc, request)
            raise model_error(exc, request, quoting=quoting) from (None if quoting else exc)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        if self._loop is not None:
            self._loop.close()

    def _client(self, seconds: float) -> "BedrockRuntimeClient":
        rounded = float(math.ceil(seconds))
        with self._lock:
            if rounded not in self._clients:
                self._clients[rounded] = self._open_client(rounded)
            return self._clients[rounded]

    def _other(self) -> ModelClient:
        """The client for what boto3 has no operation for."""
        from runtime.models.bedrock_loop import open_bedrock  # noqa: PLC0415 - few models need it

        with self._lock:
            if self._loop is None:
                config: Any = self._clients[SHORTEST_SECONDS].meta.config
                timeouts = replace(sdk.WORKER, connect=config.connect_timeout)
                self._loop = open_bedrock(timeouts=timeouts)
            return self._loop
