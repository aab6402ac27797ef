"""What a failed call of Bedrock means, and in which words a user reads it.

It is decided by the class of the exception, the HTTP status and the error code:

    NOT_SENT      no connection, or a certificate that is refused before anything is sent
    IN_DOUBT      sent, and the reply is lost, cut off or unreadable; also HTTP 504
    THROTTLED     HTTP 429 with any code; a service quota
    QUOTA_USED_UP the same, where the message speaks of a day
    UNAVAILABLE   HTTP 503: the work was refused; credentials that have expired
    SERVER_FAULT  any other 5xx
    MODEL_FAILED  the model timed out or failed (408, 424)
    REJECTED      any other 4xx, or a request that fails botocore's own check
    FATAL         no access, no such model, no usable credentials or region

Where no code says what has to be done, texts of the service do. `_Said` and the patterns beside it
are the one place where a text decides anything; never does one that quotes a prompt.
"""

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import botocore.exceptions as sdk

from runtime.domain.errors import ModelError, ModelErrorKind, SchemaRefusedError
from runtime.domain.models.calls import ModelRequest
from runtime.models.quoting import DETAIL_LIMIT, quotes_prompt
from runtime.models.transport.exchange import WireFault

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
_SCHEMA_REFUSED: Final = (
    "Bedrock can't hold {model} to this output_schema: simplify it, above all properties that may"
    " be left out"
)
_TIMED_OUT: Final = (
    "no reply of {model} in time, the call may be billed: wait longer (call_timeout), or lower"
    " max_tokens"
)
_MESSAGES_BY_CODE: Final = {
    "accessdenied": "no access to {model}: allow bedrock:InvokeModel on it (and on its inference"
    " profile), and let an administrator call it once in this region, which turns model access on;"
    " that can take 15 minutes. Then resume",
    "resourcenotfound": "no model {model} in this region: check its id, the region, and whether"
    " it needs an inference profile id",
    "expiredtoken": "the AWS credentials for {model} have expired: renew them",
}

_A_DAY: Final = re.compile(r"\b(?:per|a) day\b|\bdaily\b", re.IGNORECASE)
"""In the message of a refusal that a quota of the day is the reason for ("Too many tokens per day,
please wait before trying again."): no code says so."""

_GRAMMAR: Final = re.compile(
    r"grammar compilation|compiled grammar|schema is too complex|schemas? contains? too many",
    re.IGNORECASE,
)
"""In a ValidationException for a schema that can't be compiled, or not in time."""


_REFUSALS: Final = frozenset({"accessdenied", "resourcenotfound"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """What Bedrock says, with one of these codes, of a model that can't be called at all, and what
    a user has to do. `is_access`: somebody has to grant something.
    """

    pattern: re.Pattern[str]
    advice: str
    codes: frozenset[str] = _REFUSALS
    is_access: bool = True


_SAYINGS: Final = (
    # Models that are sold through the marketplace; it says "not authorized" of actions there, too.
    _Said(
        pattern=re.compile("marketplace", re.IGNORECASE),
        advice="the account has no subscription of {model} yet: let an administrator call it once,"
        " who may aws-marketplace:Subscribe and ViewSubscriptions. A new subscription can take 15"
        " minutes, and what it has begun to answer may be denied once more; resume goes on",
    ),
    _Said(
        pattern=re.compile(r"not authorized to perform:? *bedrock:", re.IGNORECASE),
        advice="the policy of this role or user does not allow {model}: allow bedrock:InvokeModel"
        " on it and on its inference profile. A deployment allows the models of its price file:"
        " add this one there and deploy. Then resume",
    ),
    _Said(
        pattern=re.compile("access to the model with the specified model id", re.IGNORECASE),
        advice="the account has no access to {model} in this region: let an administrator call it"
        " once there, or turn it on under Model access of the Bedrock console. A new subscription"
        " can take 15 minutes; resume goes on",
    ),
    _Said(
        pattern=re.compile("use[ -]case (?:details|form)", re.IGNORECASE),
        codes=_REFUSALS | {"validation"},
        advice="Anthropic asks for a use case before {model} answers: let an administrator fill in"
        " the form in the Bedrock console, once an account. It can take 15 minutes; resume goes on",
    ),
    _Said(
        pattern=re.compile(
            "reached the end of its life|marked by provider as legacy", re.IGNORECASE
        ),
        advice="{model} has reached its end of life, or is kept only for accounts that used it of"
        " late: choose another model, see `seedwright models`",
        is_access=False,
    ),
    _Said(
        pattern=re.compile("with on-demand throughput isn.t supported", re.IGNORECASE),
        codes=frozenset({"validation"}),
        advice="{model} is not called by this id here: put the prefix of an inference profile"
        " before it, such as us. or global.; see `seedwright models`",
        is_access=False,
    ),
)
"""The first that fits decides, texts as they were in 2025 and 2026; for others the code does."""

_CALL: Final = "Converse"
_CODE_LIMIT: Final = 100


class BedrockFailures:
    """The `Failures` of all calls of Bedrock's runtime."""

    def fault(self, fault: WireFault, request: ModelRequest) -> ModelError:
        return _without_answer(fault.kind, fault.code, request, timed_out=fault.timed_out)

    def broken(self, error: Exception, request: ModelRequest) -> ModelError:
        return bedrock_error(error, request)


def bedrock_error(exc: Exception, request: ModelRequest) -> ModelError:
    """The error for a call of `request` that failed, in words that quote no prompt."""
    return model_error(exc, request, quoting=is_quotation(exc, request))


def model_error(exc: Exception, request: ModelRequest, *, quoting: bool) -> ModelError:
    """What `exc` means for the call of `request`; `quoting` says that its text may hold a piece of
    a prompt. Then nobody is shown it, and nothing is read out of it.
    """
    if not isinstance(exc, sdk.ClientError):
        kind, code = _kind_of_class(exc), type(exc).__name__
        timed_out = isinstance(exc, sdk.ReadTimeoutError)
        return _without_answer(kind, code, request, timed_out=timed_out)
    code = " ".join(str(exc.response.get("Error", {}).get("Code", "")).split())[:_CODE_LIMIT]
    key = code.casefold().removesuffix("exception")
    said = " ".join(str(exc.response.get("Error", {}).get("Message", "")).split())[:DETAIL_LIMIT]
    kind = _kind_of_answer(key, exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    denied, text = False, _MESSAGES[kind]
    if exc.operation_name == _CALL:  # else it asked for credentials, before ours was sent
        kind, text, denied = _meaning(key, kind, "" if quoting else said)
    detail = code
    if kind in {_Kind.REJECTED, _Kind.FATAL} and not quoting:
        # Only here does the service say what to change, such as a limit of the model.
        detail = f"{code}: {said}" if said else code
        if kind is _Kind.REJECTED and request.output_schema is not None and _GRAMMAR.search(said):
            message = f"{_SCHEMA_REFUSED.format(model=request.model)} ({detail})"
            return SchemaRefusedError(kind, message, service_code=code)
    message = f"{text.format(model=request.model)} ({detail})"
    return ModelError(kind, message, service_code=code, denied=denied)


def _without_answer(
    kind: ModelErrorKind, code: str, request: ModelRequest, *, timed_out: bool
) -> ModelError:
    """The error of a call of `request` that got no answer; `code` is botocore's name for why."""
    text = (_TIMED_OUT if timed_out else _MESSAGES[kind]).format(model=request.model)
    return ModelError(kind, f"{text} ({code})", service_code=code, timed_out=timed_out)


def _meaning(key: str, kind: ModelErrorKind, said: str) -> tuple[ModelErrorKind, str, bool]:
    """What a refusal with this code and these words is: its kind, its message, and whether somebody
    has to grant access.
    """
    if kind is _Kind.THROTTLED and _A_DAY.search(said):
        return _Kind.QUOTA_USED_UP, _MESSAGES[_Kind.QUOTA_USED_UP], False
    if kind in {_Kind.REJECTED, _Kind.FATAL}:
        for saying in _SAYINGS:
            if key in saying.codes and saying.pattern.search(said):
                return _Kind.FATAL, saying.advice, saying.is_access
    denied = kind is _Kind.FATAL and key == "accessdenied"
    return kind, _MESSAGES_BY_CODE.get(key, _MESSAGES[kind]), denied


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


def is_quotation(exc: Exception, request: ModelRequest) -> bool:
    """Whether the error's text holds a piece of a prompt, or is too long to tell."""
    return isinstance(exc, sdk.ParamValidationError) or quotes_prompt(str(exc), request)
