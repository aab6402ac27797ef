"""Renders prompts, checks outputs against schemas that may take for ever, and decides checks of
texts, in a child process that can be killed, is limited in memory, and is reused.

    engine ──T──▶ child    once a template (child.py has the frames)
           ──R──▶          a batch of requests to render
           ──V──▶          a batch of outputs to check
           ──C──▶          a batch of texts to check
           ◀─────          one reply for each, as soon as it is there

The child is untrusted: what it sends is bounded and read as plain data. Replies come in order, so
when it takes too long or dies, the first request without a reply is the guilty one. It gets a
`RenderError` or `OutputCheckError`, and a new child goes on with the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from runtime.domain.checks.check import NO_CHECKS
from runtime.domain.errors import (
    ConfigurationError,
    OutputCheckError,
    RenderError,
    TemplateError,
)
from runtime.domain.templates.judging import KEEP_IF
from runtime.domain.templates.template import PROMPT, SYSTEM, WHEN, Template
from runtime.engine.rendering.frames import batches, frame, read_errors, read_passed, read_text
from runtime.engine.rendering.languages import (
    LANGUAGE,
    MODEL_BYTES,
    check_languages,
    needs_language,
)
from runtime.engine.rendering.loading import schemas_of, template_body
from runtime.engine.rendering.process import ChildProcess

MEMORY_BYTES: Final = 128 * 1024 * 1024
"""What the child may hold in all; some 30 MiB of it are Python and Jinja2."""
RENDER_SECONDS: Final = 0.7
"""For one text or one check. With a new child after it, a bomb is over within two seconds on a busy
machine.
"""
OUTPUT_CHARACTERS: Final = 400_000
START_SECONDS: Final = 20.0
"""How long a child may take to start and compile, on a machine that is busy."""

_SCHEMAS: Final = "schemas"

OUTPUT: Final = "output"
"""The part of a text of a row."""

_BYTES_PER_CHARACTER: Final = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderRequest:
    """One text to render: a `part` of `Step.sources()`, or its `when`; of a check, by its id, a
    `part` of `sources_of`. `entropy` (64 bits) keys what random filters draw; the draws of each
    step and part are their own. Seed, steps and samples hold JSON values. A text of a row is an
    `output` whose `step_id` is its position in the template's `output.rendered()`.
    """

    step_id: str
    part: str = PROMPT
    index: int
    seed: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    entropy: int = 0
    samples: Mapping[str, Any] = field(default_factory=dict)
    """What the template's samplers have drawn; empty for a template without any."""
    names: Mapping[str, Any] = field(default_factory=dict)
    """What a check sees besides, by name: `checks`, and a judge's condition `scores`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRequest:
    """One output, a JSON value, to be checked against the `output_schema` of its step."""

    step_id: str
    value: object


@dataclass(frozen=True, kw_only=True, slots=True)
class TextRequest:
    """One text, to be decided by a short form of the template's checks."""

    check_id: str
    text: str


ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work(Generic[ResultT]):
    """One kind of frame: its first byte, what it does, and how a reply is read."""

    kind: bytes
    doing: str
    read: Callable[[bytes], ResultT | RenderError]


class TemplateEngine:
    """Owns the child. Used from one thread.

    `start` begins to start the child and returns; everything else starts it when it is needed.
    """

    def __init__(
        self,
        template: Template | None = None,
        *,
        memory_bytes: int = MEMORY_BYTES,
        render_seconds: float = RENDER_SECONDS,
        output_characters: int = OUTPUT_CHARACTERS,
    ) -> None:
        self._output_characters = output_characters
        self._render_seconds = render_seconds
        self._reply_bytes = output_characters * _BYTES_PER_CHARACTER + 1024
        self._memory_bytes = memory_bytes
        self._document: bytes | None = None
        self._checks = NO_CHECKS
        self._words: frozenset[str] = frozenset()
        """What the child loads before it may open no file: a library for schemas, languages."""
        self._child: ChildProcess | None = None
        self._loaded: bytes | None = None
        if template is not None:
            self._set(template)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the child in the background. Raises `ConfigurationError` if that fails."""
        self._started_child()

    def load(self, template: Template) -> None:
        """Use `template`, with all its includes resolved, from now on.

        Raises `TemplateError` if it can't be compiled, `ConfigurationError` if no child starts.
        """
        self._set(template)
        self._ready_child()

    def execute_template(self, requests: Sequence[RenderRequest]) -> list[str | RenderError]:
        """The text of each request, or why it has none, in order and in one round trip.

        Raises `TemplateError` and `ConfigurationError` as `load` does.
        """
        texts: list[str | RenderError] = self._inbatches(
            _RENDERING, [_render_body(request) for request in requests]
        )
        return [
            RenderError(f"the {request.part} is empty") if _is_empty_turn(request, text) else text
            for request, text in zip(requests, texts, strict=True)
        ]

    def check_outputs(
        self, requests: Sequence[CheckRequest]
    ) -> list[tuple[str, ...] | OutputCheckError]:
        """What is wrong with each output, nothing for one that fits, or why that can't be told; in
        order and in one round trip. The loaded template's schema has to be one that is not plain.

        Raises `TemplateError` and `ConfigurationError` as `load` does.
        """
        found = self._inbatches(_CHECKING, [_check_body(request) for request in requests])
        return [
            OutputCheckError(str(each)) if isinstance(each, RenderError) else each for each in found
        ]

    def check_output(self, step_id: str, value: object) -> tuple[str, ...]:
        """`check_outputs` for one. Raises `OutputCheckError`."""
        (found,) = self.check_outputs([CheckRequest(step_id=step_id, value=value)])
        if isinstance(found, OutputCheckError):
            raise found
        return found

    def check_texts(self, requests: Sequence[TextRequest]) -> list[bool | RenderError]:
        """Whether each text passes its check, or why that can't be told; in order and in one round
        trip.

        Raises `TemplateError` and `ConfigurationError` as `load` does, the first also where a
        language is to be told without the extra.
        """
        if requests and needs_language(self._checks):
            check_languages(self._checks)
            self._load_first(LANGUAGE)
        return self._inbatches(_DECIDING, [_text_body(request) for request in requests])

    def close(self) -> None:
        """End the child. The engine may be used again; it starts a new one."""
        child, self._child, self._loaded = self._child, None, None
        if child is not None:
            child.kill()

    def _set(self, template: Template) -> None:
        self._document = template_body(template)
        self._checks = template.checks
        if schemas_of(template):
            self._load_first(_SCHEMAS)

    def _load_first(self, word: str) -> None:
        """Have the child load something at its start, if need be another child."""
        if word not in self._words:
            self._words |= {word}
            self.close()

    def _inbatches(
        self, work: _Work[ResultT], bodies: Sequence[bytes | RenderError]
    ) -> list[ResultT | RenderError]:
        results: list[ResultT | RenderError] = []
        for batch in batches(bodies):
            if isinstance(batch, RenderError):
                results.append(batch)
            else:
                executed = self._execute(work, batch)
                results += executed
        return results

    def _execute(self, work: _Work[ResultT], batch: Sequence[bytes]) -> list[ResultT | RenderError]:
        results: list[ResultT | RenderError] = []
        retried = -1
        while len(results) < len(batch):
            guilty = len(results)
            try:
                for result in self._exchange(work, batch[guilty:]):
                    results.append(result)  # noqa: PERF402 - keeps what came before a failure
            except TimeoutError:
                seconds = f"{self._render_seconds:g}"
                results.append(RenderError(f"{work.doing} took longer than {seconds} seconds"))
            except (OSError, ValueError):
                # Killed from outside, perhaps between two batches, or by its own limits: a second
                # death over the same request tells.
                if retried == len(results):
                    results.append(RenderError("the render process died: too much memory, perhaps"))
                else:
                    retried = len(results)
        return results

    def _exchange(
        self, work: _Work[ResultT], batch: Sequence[bytes]
    ) -> Iterator[ResultT | RenderError]:
        child = self._ready_child()
        try:
            child.send(work.kind + b"".join(batch), self._render_seconds)
            for _ in batch:
                yield work.read(child.receive(self._render_seconds))
        except BaseException:
            # Whatever stopped this, a reply may still be on its way: nobody may read it later.
            self.close()
            raise

    def _started_child(self) -> ChildProcess:
        if self._child is None:
            memory = self._memory_bytes + (MODEL_BYTES if LANGUAGE in self._words else 0)
            arguments = (str(memory), str(self._output_characters), *sorted(self._words))
            self._child = ChildProcess(arguments, self._reply_bytes)
        return self._child

    def _ready_child(self) -> ChildProcess:
        if self._document is None:
            raise TemplateError("no template is loaded: call load() first")
        # An idle child may have been killed since it was last used.
        with suppress(OSError, ValueError):
            return self._loaded_child(self._document)
        try:
            return self._loaded_child(self._document)
        except (OSError, ValueError) as exc:
            raise ConfigurationError(
                "the render process did not start: is Seedwright installed completely?"
            ) from exc

    def _loaded_child(self, document: bytes) -> ChildProcess:
        child = self._started_child()
        if self._loaded == document:
            return child
        try:
            child.send(b"T" + document, START_SECONDS)
            reply = read_text(child.receive(START_SECONDS))
        except BaseException:
            self.close()
            raise
        if isinstance(reply, RenderError):
            raise TemplateError(str(reply)) from reply
        self._loaded = document
        return child


def _is_empty_turn(request: RenderRequest, text: str | RenderError) -> bool:
    """No model takes an empty turn; an empty system text is left out."""
    is_turn = request.part not in {SYSTEM, WHEN, KEEP_IF, OUTPUT}
    return is_turn and isinstance(text, str) and not text.strip()


def _render_body(request: RenderRequest) -> bytes | RenderError:
    return frame(
        {
            "key": f"{request.step_id}/{request.part}",
            "index": request.index,
            "seed": request.seed,
            "steps": request.steps,
            "entropy": request.entropy,
            "samples": request.samples,
            "names": request.names,
        },
        holder="the seed",
        whole="the seed and the earlier outputs are",
    )


def _check_body(request: CheckRequest) -> bytes | RenderError:
    return frame(
        {"key": request.step_id, "value": request.value},
        holder="the output",
        whole="the output is",
    )


def _text_body(request: TextRequest) -> bytes | RenderError:
    return frame(
        {"key": request.check_id, "text": request.text}, holder="the text", whole="the text is"
    )


_RENDERING: Final = _Work(kind=b"R", doing="rendering", read=read_text)
_CHECKING: Final = _Work(kind=b"V", doing="checking the output", read=read_errors)
_DECIDING: Final = _Work(kind=b"C", doing="checking the text", read=read_passed)
