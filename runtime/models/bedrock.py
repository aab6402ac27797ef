"""Models on Amazon Bedrock, through the Converse API.

One `converse` is at most one HTTP request, as long as the client was built with
`retries={"total_max_attempts": 1}`: Converse has no idempotency token, so a retry inside the SDK
would pay twice without anybody knowing. Retrying is the worker's business.

What a failure means is decided by the class of the exception, the HTTP status and the error code:

    NOT_SENT      no connection, or a certificate that is refused before anything is sent
    IN_DOUBT      sent, and the reply is lost, cut off or unreadable; also HTTP 504
    THROTTLED     HTTP 429 with any code; a service quota
    QUOTA_USED_UP the same, where the message speaks of a day
    UNAVAILABLE   HTTP 503: the work was refused; credentials that have expired
    SERVER_FAULT  any other 5xx
    MODEL_FAILED  the model timed out or failed (408, 424)
    REJECTED      any other 4xx, or a request that fails botocore's own check
    FATAL         no access, no such model, no usable credentials or region
"""

import json
import math
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import botocore.exceptions as sdk

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.jobs.record import clean_text
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.models.timeouts import SHORTEST_SECONDS
from runtime.domain.plain_text import plain_line

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_bedrock_runtime.type_defs import (
        ContentBlockOutputTypeDef,
        ConverseRequestTypeDef,
        ConverseResponseTypeDef,
        InferenceConfigurationTypeDef,
        TokenUsageTypeDef,
    )

_Kind = ModelErrorKind

_KIND_BY_CODE: Final = {
    "throttling": _Kind.THROTTLED,
    "toomanyrequests": _Kind.THROTTLED,
    "modelnotready": _Kind.THROTTLED,
    "servicequotaexceeded": _Kind.THROTTLED,
    "serviceunavailable": _Kind.UNAVAILABLE,
    "internalserver": _Kind.SERVER_FAULT,
    "expiredtoken": _Kind.UNAVAILABLE,
    "requestexpired": _Kind.UNAVAILABLE,
    "modeltimeout": _Kind.MODEL_FAILED,
    "modelerror": _Kind.MODEL_FAILED,
    "validation": _Kind.REJECTED,
    "accessdenied": _Kind.FATAL,
    "resourcenotfound": _Kind.FATAL,
    "unrecognizedclient": _Kind.FATAL,
    "invalidclienttokenid": _Kind.FATAL,
    "invalidsignature": _Kind.FATAL,
    "incompletesignature": _Kind.FATAL,
    "signaturedoesnotmatch": _Kind.FATAL,
    "missingauthenticationtoken": _Kind.FATAL,
    "optinrequired": _Kind.FATAL,
}
"""Error codes in lower case, without the suffix "Exception" that some senders leave out."""

_KIND_BY_STATUS: Final = {
    408: _Kind.MODEL_FAILED,
    424: _Kind.MODEL_FAILED,
    429: _Kind.THROTTLED,
    503: _Kind.UNAVAILABLE,
    504: _Kind.IN_DOUBT,  # a gateway gave up waiting; the model may not have
}

_KIND_BY_CLASS: Final = (
    (sdk.EndpointConnectionError, _Kind.NOT_SENT),
    (sdk.ConnectTimeoutError, _Kind.NOT_SENT),
    (sdk.ProxyConnectionError, _Kind.NOT_SENT),
    # The provider of credentials is asked before the request is sent; it may be back soon.
    (sdk.CredentialRetrievalError, _Kind.NOT_SENT),
    (sdk.MetadataRetrievalError, _Kind.NOT_SENT),
    (sdk.NoCredentialsError, _Kind.FATAL),
    (sdk.PartialCredentialsError, _Kind.FATAL),
    (sdk.NoAuthTokenError, _Kind.FATAL),
    (sdk.TokenRetrievalError, _Kind.FATAL),
    (sdk.SSOError, _Kind.FATAL),
    (sdk.LoginError, _Kind.FATAL),
    (sdk.ProfileNotFound, _Kind.FATAL),
    (sdk.BaseEndpointResolverError, _Kind.FATAL),
    (sdk.EndpointProviderError, _Kind.FATAL),
    (sdk.InvalidRegionError, _Kind.FATAL),
    (sdk.ParamValidationError, _Kind.REJECTED),
)
"""Everything else is IN_DOUBT: what might have been sent is presumed to be paid."""

_MESSAGES: Final = {
    _Kind.NOT_SENT: "no connection to Bedrock for {model}: check network, proxy and region",
    _Kind.IN_DOUBT: "the reply of {model} was lost, the call may be billed: check the network",
    _Kind.QUOTA_USED_UP: "the account's quota of the day for {model} is used up: resume tomorrow,"
    " or ask AWS for a higher one in Service Quotas",
    _Kind.THROTTLED: "Bedrock throttles {model}: lower the concurrency or ask for more quota",
    _Kind.UNAVAILABLE: "Bedrock can't serve {model} now: try again later",
    _Kind.SERVER_FAULT: "Bedrock failed while serving {model}: try again later",
    _Kind.MODEL_FAILED: "{model} failed or timed out on its side: try again or lower max_tokens",
    _Kind.REJECTED: "Bedrock refused this request to {model}: correct the prompt or the step",
    _Kind.FATAL: "AWS refused the credentials or region for {model}: check both, then start again",
}
_TIMED_OUT: Final = (
    "no reply of {model} in time, the call may be billed: wait longer (call_timeout), or lower"
    " max_tokens"
)
_MESSAGES_BY_CODE: Final = {
    "accessdenied": "no access to {model}: allow bedrock:InvokeModel on it (and on its inference"
    " profile) and grant model access in this region",
    "resourcenotfound": "no model {model} in this region: check its id, the region, and whether"
    " it needs an inference profile id",
    "expiredtoken": "the AWS credentials for {model} have expired: renew them",
}

_A_DAY: Final = re.compile(r"\b(?:per|a) day\b|\bdaily\b", re.IGNORECASE)
"""In the message of a refusal that a quota of the day is the reason for ("Too many tokens per day,
please wait before trying again."): no code says so. Text decides here, and nowhere else."""

_QUOTE_LENGTH: Final = 16
"""So many characters in common with a prompt make an error text a quotation of it."""
_DETAIL_LIMIT: Final = 400
_CODE_LIMIT: Final = 100
_MAX_TOKENS: Final = 10**9
"""Of one kind in one call. A larger count says nothing: its cost would fit no table."""


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
            return _reply(self._client(request.timeout_seconds).converse(**_arguments(request)))
        except Exception as exc:  # noqa: BLE001 - whatever it is, a call may have been paid
            # The SDK's or the service's text may quote a prompt: then no traceback shows it.
            quoting = _quotes_prompt(exc, request)
            raise _model_error(exc, request, quoting=quoting) from (None if quoting else exc)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _client(self, seconds: float) -> "BedrockRuntimeClient":
        rounded = float(math.ceil(seconds))
        with self._lock:
            if rounded not in self._clients:
                self._clients[rounded] = self._open_client(rounded)
            return self._clients[rounded]


# ── request ────────────────────────────────────────────────────────────────────────────────────


def _arguments(request: ModelRequest) -> "ConverseRequestTypeDef":
    inference: InferenceConfigurationTypeDef = {"maxTokens": request.max_tokens}
    if request.temperature is not None:
        inference["temperature"] = request.temperature
    arguments: ConverseRequestTypeDef = {
        "modelId": request.model,
        "messages": [
            {"role": message.role.value, "content": [{"text": message.text}]}
            for message in request.messages
        ],
        "inferenceConfig": inference,
    }
    if request.system:
        arguments["system"] = [{"text": request.system}]
    if request.output_schema is not None:
        # A YAML template may hold dates in an enum; `default` writes them as the text they were.
        text = json.dumps(request.output_schema, default=str)
        arguments["outputConfig"] = {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"name": "output", "schema": text}},
            }
        }
    return arguments


# ── reply ──────────────────────────────────────────────────────────────────────────────────────


def _reply(response: "ConverseResponseTypeDef") -> ModelReply:
    """Raises `KeyError` or `TypeError` when the answer is not a completion."""
    blocks = response["output"]["message"]["content"]
    return ModelReply(
        text=clean_text("".join(block.get("text", "") for block in blocks)),
        reasoning=clean_text("\n\n".join(_thoughts(blocks))) or None,
        usage=_usage(response.get("usage")),
        stop_reason=response.get("stopReason", "end_turn"),
    )


def _thoughts(blocks: "Sequence[ContentBlockOutputTypeDef]") -> Iterator[str]:
    """The readable blocks of reasoning; a provider may encrypt others."""
    for block in blocks:
        text = block.get("reasoningContent", {}).get("reasoningText", {}).get("text")
        if text:
            yield text


def _usage(usage: "TokenUsageTypeDef | None") -> Usage | None:
    if not usage:
        return None
    counts: tuple[object, ...] = (
        usage.get("inputTokens"),
        usage.get("outputTokens"),
        usage.get("cacheReadInputTokens", 0),
        usage.get("cacheWriteInputTokens", 0),
    )
    tokens = [
        count
        for count in counts
        if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= _MAX_TOKENS
    ]
    if len(tokens) != len(counts):
        return None
    return Usage(
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cache_read_tokens=tokens[2],
        cache_write_tokens=tokens[3],
    )


# ── errors ─────────────────────────────────────────────────────────────────────────────────────


def _model_error(exc: Exception, request: ModelRequest, *, quoting: bool) -> ModelError:
    if not isinstance(exc, sdk.ClientError):
        kind, code = _kind_of_class(exc), type(exc).__name__
        timed_out = isinstance(exc, sdk.ReadTimeoutError)
        text = (_TIMED_OUT if timed_out else _MESSAGES[kind]).format(model=request.model)
        return ModelError(kind, f"{text} ({code})", service_code=code, timed_out=timed_out)
    code = " ".join(str(exc.response.get("Error", {}).get("Code", "")).split())[:_CODE_LIMIT]
    key = code.casefold().removesuffix("exception")
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = " ".join(str(exc.response.get("Error", {}).get("Message", "")).split())
    kind = _kind_of_answer(key, status)
    if kind is _Kind.THROTTLED and _A_DAY.search(said[:_DETAIL_LIMIT]):
        kind = _Kind.QUOTA_USED_UP
    text = _MESSAGES[kind]
    if exc.operation_name == "Converse":  # else a call for credentials, made before ours
        text = _MESSAGES_BY_CODE.get(key, text)
    detail = code
    if kind in {_Kind.REJECTED, _Kind.FATAL} and not quoting:
        # Only here does the service say what to change, such as a limit of the model.
        detail = f"{code}: {said[:_DETAIL_LIMIT]}" if said else code
    return ModelError(kind, f"{text.format(model=request.model)} ({detail})", service_code=code)


def _kind_of_answer(key: str, status: int) -> ModelErrorKind:
    throttled = status == 429  # noqa: PLR2004 - the one status that outranks its code
    kind = _Kind.THROTTLED if throttled else _KIND_BY_CODE.get(key) or _KIND_BY_STATUS.get(status)
    if kind is not None:
        return kind
    return _Kind.REJECTED if 400 <= status < 500 else _Kind.SERVER_FAULT  # noqa: PLR2004


def _kind_of_class(exc: Exception) -> ModelErrorKind:
    if isinstance(exc, sdk.SSLError):
        # A certificate is checked before the request is written; any other TLS fault (an early
        # end of the stream, an alert) can also come after it.
        refused = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _chain(exc))
        return _Kind.NOT_SENT if refused else _Kind.IN_DOUBT
    matches = (kind for kinds, kind in _KIND_BY_CLASS if isinstance(exc, kinds))
    return next(matches, _Kind.IN_DOUBT)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = exc
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _quotes_prompt(exc: Exception, request: ModelRequest) -> bool:
    """Whether the error's text holds a piece of a prompt, or is too long to tell."""
    if isinstance(exc, sdk.ParamValidationError) or len(str(exc)) > 5 * _DETAIL_LIMIT:
        return True
    # Compared as they are shown: in one line of plain text, where white space is no difference.
    text = _as_shown(str(exc))
    prompts = [_as_shown(message.text) for message in request.messages]
    if request.system:
        prompts.append(_as_shown(request.system))
    pieces = {text[at : at + _QUOTE_LENGTH] for at in range(len(text) - _QUOTE_LENGTH + 1)}
    return any(
        (len(prompt) < _QUOTE_LENGTH and prompt in text) or any(piece in prompt for piece in pieces)
        for prompt in prompts
    )


def _as_shown(text: str) -> str:
    return " ".join(plain_line(text).split())
