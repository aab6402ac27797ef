"""Models on Amazon Bedrock, through the Converse API of boto3: for functions, which make few calls.

One `converse` is at most one HTTP request, as long as the client was built with
`retries={"total_max_attempts": 1}`: Converse has no idempotency token, so a retry inside the SDK
would pay twice without anybody knowing. Retrying is the worker's business.

What a failure means, and how a user reads it, is in `bedrock_errors`.
"""

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.domain.models.calls import ModelReply, ModelRequest
from runtime.domain.models.timeouts import SHORTEST_SECONDS
from runtime.models.bedrock_errors import model_error, quotes_prompt
from runtime.models.converse import converse_arguments, converse_reply

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient


class BedrockModels:
    """A `ModelClient` on `bedrock-runtime` clients, which must not retry by themselves.

    `open_client` makes one that waits so many seconds for a reply: botocore knows that only of a
    client. There are few, one for each limit of tokens, and the first is made at once, so that a
    missing region is known before anything is begun.
    """

    def __init__(self, open_client: "Callable[[float], BedrockRuntimeClient]") -> None:
        self._open_client = open_client
        self._lock = threading.Lock()
        self._clients = {SHORTEST_SECONDS: open_client(SHORTEST_SECONDS)}

    def converse(self, request: ModelRequest) -> ModelReply:
        try:
            return converse_reply(
                self._client(request.timeout_seconds).converse(**converse_arguments(request))
            )
        except Exception as exc:  # noqa: BLE001 - whatever it is, a call may have been paid
            # The SDK's or the service's text may quote a prompt: then no traceback shows it.
            quoting = quotes_prompt(exc, request)
            raise model_error(exc, request, quoting=quoting) from (None if quoting else exc)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _client(self, seconds: float) -> "BedrockRuntimeClient":
        rounded = float(math.ceil(seconds))
        with self._lock:
            if rounded not in self._clients:
                self._clients[rounded] = self._open_client(rounded)
            return self._clients[rounded]
