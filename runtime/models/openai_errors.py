"""What a refusal of an OpenAI-compatible server means, and in which words a user reads it.

Servers agree on the shape, `{"error": {"message", "type", "param", "code"}}`, and on little else:
`code` may be a word, a number or null, and OpenRouter sends an error with status 200 once a model
has begun. It is decided by status, code, type and parameter:

    NO_CREDIT     HTTP 402, or 429 with a code that says that the money is gone
    QUOTA_USED_UP HTTP 429 that asks to come back in more than ten minutes
    THROTTLED     any other 429
    TOO_LONG      prompt and reply don't fit the model's context
    FILTERED      a filter before the model refused the prompt
    FATAL         401, 403, 404, 405, and a redirect: no key, no access, no such model or URL
    UNAVAILABLE   503, 529
    IN_DOUBT      408, 504: somebody gave up waiting, and the model may not have
    SERVER_FAULT  any other 5xx
    MODEL_FAILED  an error inside of a reply
    REJECTED      any other 4xx; `SchemaRefusedError` where it is about the schema that came along

Where no code says it, the patterns below are the one place where a text decides anything; never
one that quotes a prompt.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from runtime.domain.errors import ModelError, ModelErrorKind, SchemaRefusedError
from runtime.domain.models.calls import ModelRequest
from runtime.models.quoting import DETAIL_LIMIT, quotes_prompt
from runtime.models.transport.exchange import WireFault
from runtime.models.wire import WireReply

_Kind = ModelErrorKind

LONGEST_PAUSE_SECONDS: Final = 600.0
"""Who asks to wait longer than that speaks of a quota that is used up."""

_LONGEST_QUOTA: Final = 31 * 86_400.0
"""Seconds. Who asks for more is not believed."""

_NO_KEY: Final = 401
_ABOUT_KEY: Final = "check the variable that holds it"

_KIND_BY_STATUS: Final = {
    401: _Kind.FATAL,
    402: _Kind.NO_CREDIT,
    403: _Kind.FATAL,
    404: _Kind.FATAL,
    405: _Kind.FATAL,
    408: _Kind.IN_DOUBT,
    429: _Kind.THROTTLED,
    503: _Kind.UNAVAILABLE,
    504: _Kind.IN_DOUBT,
    529: _Kind.UNAVAILABLE,
}
_KIND_BY_CODE: Final = {
    "insufficient_quota": _Kind.NO_CREDIT,
    "billing_hard_limit_reached": _Kind.NO_CREDIT,
    "billing_not_active": _Kind.NO_CREDIT,
    "insufficient_balance": _Kind.NO_CREDIT,
    "context_length_exceeded": _Kind.TOO_LONG,
    "exceed_context_size_error": _Kind.TOO_LONG,
    "content_filter": _Kind.FILTERED,
    "content_policy_violation": _Kind.FILTERED,
    "responsibleaipolicyviolation": _Kind.FILTERED,
    "model_not_found": _Kind.FATAL,
    "deploymentnotfound": _Kind.FATAL,
    "invalid_api_key": _Kind.FATAL,
}
"""Codes and types in lower case, of OpenAI, Azure, llama.cpp and DeepSeek."""

_MESSAGES: Final = {
    _Kind.NO_CREDIT: "the account at {server} has no credit left: pay in, or raise its limit; then"
    " resume",
    _Kind.QUOTA_USED_UP: "the quota of {model} at {server} is used up: resume later",
    _Kind.THROTTLED: "{server} throttles {model}: lower the concurrency or ask for more quota",
    _Kind.UNAVAILABLE: "{server} can't serve {model} now: try again later",
    _Kind.SERVER_FAULT: "{server} failed while serving {model}: try again later",
    _Kind.MODEL_FAILED: "{model} failed at {server}: try again or change the prompt",
    _Kind.IN_DOUBT: "{server} gave up on {model}, the call may be billed: lower max_tokens",
    _Kind.TOO_LONG: "the prompt of this record and its reply don't fit the context of {model}:"
    " shorten the prompt or lower max_tokens",
    _Kind.FILTERED: "a content filter of {server} refused this prompt",
    _Kind.REJECTED: "{server} refused this request to {model}: correct the prompt or the step",
    _Kind.FATAL: "{server} has no model {model}, or no such path: check the model's name and the"
    " base URL, which mostly ends with /v1",
}
_BY_STATUS: Final = {
    401: "{server} does not accept the key",
    403: "{server} does not let this key call {model}: grant it access, or use another key",
}
_SCHEMA_REFUSED: Final = "{server} can't hold {model} to this output_schema"
_REDIRECTED: Final = "{server} sends calls elsewhere: give the base URL that it redirects to"

_REFUSED_CERTIFICATE: Final = (
    "{server} shows a certificate that nobody here trusts: check its URL, or name the bundle of"
    " authorities in AWS_CA_BUNDLE"
)
_NOT_CONNECTED: Final = (
    "no connection to {server} for {model}: check that it runs, its URL and proxy"
)
_NOBODY_THERE: Final = (
    "nothing listens at {server}: start the server of {model}, or correct the port of its base URL;"
    " then run the job again"
)
_STOPPED: Final = "the call of {model} was stopped before it was sent"
_TIMED_OUT: Final = (
    "no reply of {model} in time, the call may be billed: wait longer (call_timeout), or lower"
    " max_tokens"
)
_LOST: Final = "the reply of {model} was lost, the call may be billed: check the network"

_CREDIT: Final = re.compile(
    r"insufficient (?:credit|balance|funds)|exceeded your current quota", re.IGNORECASE
)
_LENGTH: Final = re.compile(
    r"maximum context length|context (?:length|window|size)|max_model_len|too many tokens"
    r"|exceeds? the (?:available )?context|prompt is too long|input is too long",
    re.IGNORECASE,
)
_SCHEMA: Final = re.compile(
    r"response_format|text\.format|json[ _]?schema|grammar|structured output|guided", re.IGNORECASE
)
_SCHEMA_STATUSES: Final = frozenset({400, 404, 422, 501})
"""404 is OpenRouter's, which finds no endpoint that takes all parameters."""
_CODE_LIMIT: Final = 100


class ServerFailures:
    """The `Failures` of a server, under the name that users read. One that `is_here`, on this
    machine, and was never there, is no outage: its port is wrong, or nobody has started it.
    """

    def __init__(self, server: str, *, is_here: bool = False) -> None:
        self._server = server
        self._is_here = is_here

    def fault(self, fault: WireFault, request: ModelRequest) -> ModelError:
        if self._is_here and fault.refused and fault.first:
            return _error(_Kind.FATAL, _NOBODY_THERE, request, self._server, fault.code)
        if fault.kind is _Kind.NOT_SENT:
            text = _REFUSED_CERTIFICATE if fault.code == "SSLError" else _NOT_CONNECTED
        else:
            text = _TIMED_OUT if fault.timed_out else _LOST
        message = f"{text.format(model=request.model, server=self._server)} ({fault.code})"
        return ModelError(fault.kind, message, service_code=fault.code, timed_out=fault.timed_out)

    def broken(self, error: Exception, request: ModelRequest) -> ModelError:
        code = type(error).__name__  # its text may quote anything
        return _error(_Kind.NOT_SENT, _STOPPED, request, self._server, code)


def refused(
    reply: WireReply, request: ModelRequest, server: str, *, about_key: str = ""
) -> ModelError:
    """What a reply that is not a success means for the call of `request`. `about_key` is what to do
    where it is about the key.
    """
    error = error_in(_parsed(reply.body))
    if 300 <= reply.status < 400:  # noqa: PLR2004 - never followed: the key is for this host only
        return _error(_Kind.FATAL, _REDIRECTED, request, server, code=str(reply.status))
    return _understood(
        error, reply.status, request, server, headers=reply.headers, about_key=about_key
    )


def failed_inside(error: Mapping[str, Any], request: ModelRequest, server: str) -> ModelError:
    """The same for an error in a reply that began as a success: the model had been asked, so it may
    be billed whatever it says.
    """
    code, _, said = _words(error)
    hidden = quotes_prompt(said, request)
    detail = code if hidden or not said else f"{code}: {said}"
    return _error(_Kind.MODEL_FAILED, _MESSAGES[_Kind.MODEL_FAILED], request, server, code, detail)


def unreadable(request: ModelRequest, server: str) -> ModelError:
    """The error for a success that holds no completion."""
    text = "the reply of {server} is no completion of {model}, the call may be billed"
    return _error(_Kind.IN_DOUBT, text, request, server, code="unreadable")


def error_in(document: object) -> Mapping[str, Any]:
    """The error of a body; empty where there is none."""
    if not isinstance(document, Mapping):
        return {}
    error = document.get("error")
    if isinstance(error, str):
        return {"message": error}
    if isinstance(error, Mapping):
        return error
    # vLLM before 0.10 and FastAPI's own refusals.
    said = document.get("message") or document.get("detail")
    return {"message": said, "code": document.get("code")} if said else {}


def _understood(
    error: Mapping[str, Any],
    status: int,
    request: ModelRequest,
    server: str,
    *,
    headers: Mapping[str, str],
    about_key: str,
) -> ModelError:
    code, kinds, said = _words(error)
    said = "" if quotes_prompt(said, request) else said
    kind = _kind(status, kinds, said, error)
    pause = _pause(headers)
    if kind is _Kind.THROTTLED and pause is not None and pause > LONGEST_PAUSE_SECONDS:
        kind = _Kind.QUOTA_USED_UP
    code = code or str(status)
    by_status = _BY_STATUS.get(status) if kind is _Kind.FATAL else None
    if status == _NO_KEY and by_status is not None:
        by_status = f"{by_status}: {about_key or _ABOUT_KEY}"
    # Of a refused key nothing is repeated: some servers quote it.
    shows = kind in {_Kind.REJECTED, _Kind.FATAL, _Kind.TOO_LONG} and said and status != _NO_KEY
    detail = f"{code}: {said}" if shows else code
    if _is_about_schema(kind, status, request, f"{error.get('param')} {said}"):
        text = f"{_SCHEMA_REFUSED.format(server=server, model=request.model)} ({detail})"
        return SchemaRefusedError(_Kind.REJECTED, text, service_code=code)
    return _error(
        kind,
        by_status or _MESSAGES[kind],
        request,
        server,
        code,
        detail,
        denied=by_status is not None,
        retry_after=_within(pause, _LONGEST_QUOTA if kind is _Kind.QUOTA_USED_UP else None),
    )


def _kind(
    status: int, codes: frozenset[str], said: str, error: Mapping[str, Any]
) -> ModelErrorKind:
    for code, kind in _KIND_BY_CODE.items():
        if code in codes:
            return kind
    if status == 429 and _CREDIT.search(said):  # noqa: PLR2004 - the money is gone, in words only
        return _Kind.NO_CREDIT
    if 400 <= status < 500 and status not in _KIND_BY_STATUS and _LENGTH.search(said):  # noqa: PLR2004
        return _Kind.TOO_LONG
    metadata = error.get("metadata")
    if status == 403 and isinstance(metadata, Mapping) and metadata.get("reasons"):  # noqa: PLR2004
        return _Kind.FILTERED  # OpenRouter's moderation
    known = _KIND_BY_STATUS.get(status)
    if known is not None:
        return known
    return _Kind.REJECTED if 400 <= status < 500 else _Kind.SERVER_FAULT  # noqa: PLR2004


def _is_about_schema(kind: ModelErrorKind, status: int, request: ModelRequest, said: str) -> bool:
    open_kinds = {_Kind.REJECTED, _Kind.SERVER_FAULT, _Kind.FATAL}
    asked = request.output_schema is not None and status in _SCHEMA_STATUSES
    return asked and kind in open_kinds and bool(_SCHEMA.search(said))


def _words(error: Mapping[str, Any]) -> tuple[str, frozenset[str], str]:
    """The code that logs have, all codes in lower case, and the message in one line."""
    inner = error.get("innererror")
    codes = [error.get("code"), error.get("type")]
    if isinstance(inner, Mapping):
        codes.append(inner.get("code"))
    words = [" ".join(code.split())[:_CODE_LIMIT] for code in codes if isinstance(code, str)]
    said = error.get("message")
    text = " ".join(said.split())[:DETAIL_LIMIT] if isinstance(said, str) else ""
    return next(iter(words), ""), frozenset(word.casefold() for word in words), text


def _pause(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: a number, or a date against the server's own clock."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        until = parsedate_to_datetime(headers["retry-after"])
        return max((until - parsedate_to_datetime(headers["date"])).total_seconds(), 0.0)
    except (KeyError, ValueError, TypeError):
        return None


def _within(pause: float | None, most: float | None) -> float | None:
    return None if pause is None else min(pause, most or LONGEST_PAUSE_SECONDS)


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _error(
    kind: ModelErrorKind,
    text: str,
    request: ModelRequest,
    server: str,
    code: str,
    detail: str | None = None,
    *,
    denied: bool = False,
    retry_after: float | None = None,
) -> ModelError:
    message = f"{text.format(model=request.model, server=server)} ({detail or code})"
    return ModelError(kind, message, service_code=code, denied=denied, retry_after=retry_after)
