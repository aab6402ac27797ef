"""Renders prompts in a child process that can be killed, is limited in memory, and is reused.

    engine ──T──▶ child    once a template (child.py has the frames)
           ──R──▶          a batch of requests
           ◀─────          one reply for each, as soon as it is rendered

The child is untrusted: what it sends is bounded and read as plain data. Replies come in order, so
when it takes too long or dies, the first request without a reply is the guilty one. It gets a
`RenderError`, and a new child goes on with the rest.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any, Final, Literal, Self

import orjson

from runtime.domain.errors import ConfigurationError, RenderError, TemplateError
from runtime.domain.templates.template import Template

MEMORY_BYTES: Final = 128 * 1024 * 1024
"""What the child may hold in all; some 30 MiB of it are Python and Jinja2."""
RENDER_SECONDS: Final = 0.7
"""For one text. With a new child after it, a bomb is over within two seconds on a busy machine."""
OUTPUT_CHARACTERS: Final = 400_000
START_SECONDS: Final = 20.0
"""How long a child may take to start and compile, on a machine that is busy."""
MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""Largest seed, with the outputs of earlier steps, as JSON."""

_LENGTH_BYTES: Final = 4
_BYTES_PER_CHARACTER: Final = 6
_MAX_ERROR_CHARACTERS: Final = 300
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderRequest:
    """One text to render. `entropy` (64 bits) keys what random filters draw; the draws of each
    step and part are their own. Seed and steps hold JSON values.
    """

    step_id: str
    part: Literal["prompt", "system"] = "prompt"
    index: int
    seed: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    entropy: int = 0


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
        self._arguments = (str(memory_bytes), str(output_characters))
        self._render_seconds = render_seconds
        self._reply_bytes = output_characters * _BYTES_PER_CHARACTER + 1024
        self._document: bytes | None = None if template is None else _template_body(template)
        self._child: _Child | None = None
        self._loaded: bytes | None = None

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
        self._document = _template_body(template)
        self._ready_child()

    def execute_template(self, requests: Sequence[RenderRequest]) -> list[str | RenderError]:
        """The text of each request, or why it has none, in order and in one round trip.

        Raises `TemplateError` and `ConfigurationError` as `load` does.
        """
        results: list[str | RenderError] = []
        batch: list[bytes] = []
        size = 0
        for request in requests:
            body = _request_body(request)
            if isinstance(body, RenderError) or size + len(body) > MAX_REQUEST_BYTES:
                results += self._render(batch)
                batch, size = [], 0
            if isinstance(body, RenderError):
                results.append(body)
            else:
                batch.append(body)
                size += len(body)
        return results + self._render(batch)

    def close(self) -> None:
        """End the child. The engine may be used again; it starts a new one."""
        child, self._child, self._loaded = self._child, None, None
        if child is not None:
            child.kill()

    def _render(self, batch: Sequence[bytes]) -> list[str | RenderError]:
        results: list[str | RenderError] = []
        retried = -1
        while len(results) < len(batch):
            guilty = len(results)
            try:
                for text in self._exchange(batch[guilty:]):
                    results.append(text)  # noqa: PERF402 - keeps what came before a failure
            except TimeoutError:
                seconds = f"{self._render_seconds:g}"
                results.append(RenderError(f"rendering took longer than {seconds} seconds"))
            except (OSError, ValueError):
                # Killed from outside, perhaps between two batches, or by its own limits: a second
                # death over the same request tells.
                if retried == len(results):
                    results.append(RenderError("the render process died: too much memory, perhaps"))
                else:
                    retried = len(results)
        return results

    def _exchange(self, batch: Sequence[bytes]) -> Iterator[str | RenderError]:
        child = self._ready_child()
        try:
            child.send(b"R" + b"".join(batch), self._render_seconds)
            for _ in batch:
                yield _reply_of(child.receive(self._render_seconds))
        except BaseException:
            # Whatever stopped this, a reply may still be on its way: nobody may read it later.
            self.close()
            raise

    def _started_child(self) -> "_Child":
        if self._child is None:
            self._child = _Child(self._arguments, self._reply_bytes)
        return self._child

    def _ready_child(self) -> "_Child":
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

    def _loaded_child(self, document: bytes) -> "_Child":
        child = self._started_child()
        if self._loaded == document:
            return child
        try:
            child.send(b"T" + document, START_SECONDS)
            reply = _reply_of(child.receive(START_SECONDS))
        except BaseException:
            self.close()
            raise
        if isinstance(reply, RenderError):
            raise TemplateError(str(reply)) from reply
        self._loaded = document
        return child


class _Child:
    """One process and the socket to it. Every failure of the socket is an `OSError`, and a reply
    that is too large a `ValueError`; after either the child is of no more use.
    """

    def __init__(self, arguments: Sequence[str], reply_bytes: int) -> None:
        self._reply_bytes = reply_bytes
        self._buffer = bytearray()
        self._socket, theirs = socket.socketpair()
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "runtime.engine.rendering.child", *arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                # Its own session: what a terminal sends to the parent's group doesn't reach it.
                start_new_session=True,
            )
        except OSError as exc:
            self._socket.close()
            raise ConfigurationError(
                f"the render process can't be started: {exc.strerror}"
            ) from exc
        finally:
            theirs.close()

    def send(self, body: bytes, seconds: float) -> None:
        self._socket.settimeout(seconds)
        self._socket.sendall(len(body).to_bytes(_LENGTH_BYTES) + body)

    def receive(self, seconds: float) -> bytes:
        deadline = monotonic() + seconds
        self._fill(_LENGTH_BYTES, deadline)
        end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES])
        if end > self._reply_bytes:
            raise ValueError("a reply is too large")
        self._fill(end, deadline)
        body = bytes(self._buffer[_LENGTH_BYTES:end])
        del self._buffer[:end]
        return body

    def kill(self) -> None:
        self._socket.close()
        self.process.kill()
        self.process.wait()

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._buffer) < size:
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("the child is gone")
            self._buffer += received


def _environment() -> dict[str, str]:
    """What Python needs to start, and no secret. The parent's import path stands for its folder."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    paths = (os.path.abspath(path) for path in sys.path)  # noqa: PTH100 - "" is the current folder
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def _template_body(template: Template) -> bytes:
    missing = [name for name in template.includes if name not in template.fragments]
    if missing:
        raise TemplateError(f'include "{missing[0]}" is not resolved: resolve the includes first')
    sources = {f"{step.id}/prompt": step.prompt for step in template.steps}
    sources |= {
        f"{step.id}/system": step.system for step in template.steps if step.system is not None
    }
    return orjson.dumps({"sources": sources, "fragments": dict(template.fragments)})


def _request_body(request: RenderRequest) -> bytes | RenderError:
    """The request as one frame."""
    try:
        body = orjson.dumps(
            {
                "key": f"{request.step_id}/{request.part}",
                "index": request.index,
                "seed": request.seed,
                "steps": request.steps,
                "entropy": request.entropy,
            }
        )
    except TypeError:
        return RenderError("the seed holds a value that JSON can't")
    if len(body) > MAX_REQUEST_BYTES:
        megabytes = MAX_REQUEST_BYTES // 1024**2
        return RenderError(f"the seed and the earlier outputs are larger than {megabytes} MiB")
    return len(body).to_bytes(_LENGTH_BYTES) + body


def _reply_of(body: bytes) -> str | RenderError:
    """A reply, from a process that may say anything. Raises `ValueError` if it is no reply."""
    reply = orjson.loads(body)
    match reply:
        case {"text": str(text)}:
            return text
        case {"error": str(message)}:
            return RenderError(" ".join(message.split())[:_MAX_ERROR_CHARACTERS])
    raise ValueError("not a reply")
