"""The process that renders prompts and checks outputs: untrusted, limited, expendable.

    python -m runtime.engine.rendering.child MEMORY_BYTES OUTPUT_CHARACTERS [schemas] [language]

`renderer` is its parent and talks to it over one socket, descriptor 0. A frame is a length
(4 bytes, big endian) and a body. The first byte of a body from the parent is its kind:

    T  a template as JSON {"sources": {key: source}, "fragments": {name: source},
       "schemas": {step id: JSON Schema}, of schemas those that may take for ever,
       "checks": {check id: [kind, argument]}}                      → one reply
    R  frames, each a request as JSON {"key", "index", "seed", "steps", "entropy", "samples",
       "names": {name: value}, what else it sees}                   → one reply for each, in order
    V  frames, each an output as JSON {"key": step id, "value"}     → one reply for each, in order
    C  frames, each a text as JSON {"key": check id, "text"}        → one reply for each, in order

A reply is JSON {"text": …}, of an output {"errors": […]}, of a text {"passed": …}, or
{"error": …}. At the end of the stream, so also when the parent dies, the process ends. It starts no
process and opens no file. What it can't render it reports without a prompt or a value of the seed;
what is wrong with an output quotes the output.
"""

import os
import signal
import sys
import unicodedata  # noqa: F401 - Python loads it for the first name that isn't ASCII, from a file
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import orjson
from jinja2 import Template, nodes
from jinja2.exceptions import FilterArgumentError, UndefinedError

from runtime.confinement import allow_cpu, give_up_privileges, limit_resources
from runtime.domain.checks.check import TextKind
from runtime.domain.templates.syntax import value_names
from runtime.engine.rendering.environment import (
    CALLED,
    PromptEnvironment,
    RefusedError,
    bounded_range,
)
from runtime.engine.rendering.filters import build_filters
from runtime.engine.rendering.languages import LANGUAGE, load_languages
from runtime.engine.rendering.nulls import NullError, holds_null
from runtime.engine.rendering.process import LENGTH_BYTES
from runtime.engine.rendering.text_checks import PatternError, text_tests

if TYPE_CHECKING:
    from runtime.engine.schema_check import SchemaCheck

MAX_MESSAGE_CHARACTERS: Final = 300
CPU_SECONDS: Final = 60
"""Processor time for one frame: the last resort if the parent can't kill."""


class Renderer:
    """Holds one template at a time, renders its texts, and decides its checks of texts. It checks
    outputs of steps where it is made for `schemas`, and tells languages where it is for `language`.
    """

    def __init__(
        self, output_characters: int, *, schemas: bool = False, language: bool = False
    ) -> None:
        self._output_characters = output_characters
        self._languages = load_languages() if language else None
        self._draws: Random | None = None
        self._key = ""
        self._namespace: Mapping[str, Any] = {}
        # Python imports some codecs and modules on first use, and later no file can be opened.
        self._load(
            {"warm": "{{ 'up'|random }}"},
            {},
            {"warm": {"type": "string"}} if schemas else {},
            {"warm": (TextKind.CODE, "python")},
        )
        self._tests["warm"]("x = '\\d'")
        self._render({"key": "warm", "index": 0, "seed": {}, "steps": {}, "entropy": 0})

    def load(self, body: bytes) -> dict[str, str]:
        """Compile a template; the reply says whether that worked."""
        try:
            document = orjson.loads(body)
            self._load(
                document["sources"],
                document["fragments"],
                document.get("schemas", {}),
                document.get("checks", {}),
            )
        except (MemoryError, SystemError):  # the second is Python's compiler without memory
            return {"error": "compiling the template takes too much memory: make it shorter"}
        except PatternError as exc:
            return {"error": str(exc)[:MAX_MESSAGE_CHARACTERS]}
        except Exception as exc:  # noqa: BLE001 - whatever it is, the parent has to hear of it
            return {"error": f"the template can't be compiled: {type(exc).__name__}"}
        return {"text": ""}

    def render(self, body: bytes | memoryview) -> dict[str, str]:
        """Render one request."""
        self._namespace = {}  # frees the seed before
        try:
            request = orjson.loads(body)
            return {"text": self._render(request)}
        except Exception as exc:  # noqa: BLE001 - one record's failure, reported to the parent
            return {"error": self._explain(exc)[:MAX_MESSAGE_CHARACTERS]}

    def check(self, body: bytes | memoryview) -> dict[str, Any]:
        """Check one output."""
        try:
            request = orjson.loads(body)
            return {"errors": self._checks[request["key"]].errors(request["value"])}
        except Exception as exc:  # noqa: BLE001 - one record's failure, told to the parent
            return {"error": f"the output can't be checked: {type(exc).__name__}"}

    def test(self, body: bytes | memoryview) -> dict[str, Any]:
        """Decide a check of one text."""
        try:
            request = orjson.loads(body)
            return {"passed": self._tests[request["key"]](request["text"])}
        except Exception as exc:  # noqa: BLE001 - as above
            return {"error": f"the text can't be checked: {type(exc).__name__}"}

    def _load(
        self,
        sources: Mapping[str, str],
        fragments: Mapping[str, str],
        schemas: Mapping[str, Mapping[str, object]],
        checks: Mapping[str, Sequence[Any]],
    ) -> None:
        environment = PromptEnvironment(build_filters(self._current))
        environment.fragments.sources = fragments
        templates = {
            key: Template.from_code(environment, environment.compile(source, f"\0{key}"), {})
            for key, source in sources.items()
        }
        for name in fragments:
            environment.get_template(name)
        self._checks = {key: _compiled(schema) for key, schema in schemas.items()}
        self._tests = text_tests(checks, self._languages)
        self._environment, self._templates = environment, templates
        self._sources = {**fragments, **{f"\0{key}": text for key, text in sources.items()}}

    def _current(self) -> Random:
        """The generator of this render, made when something is drawn."""
        if self._draws is None:
            self._draws = Random(self._key)  # noqa: S311 - repeatable on purpose
        return self._draws

    def _render(self, request: Mapping[str, Any]) -> str:
        template = self._templates[request["key"]]
        self._draws, self._key = None, f"{request['entropy']}/{request['key']}"
        seed = request["seed"]
        self._namespace = namespace = {
            **seed,
            # Without samplers the name is the seed's, as any other.
            **({"samples": samples} if (samples := request.get("samples")) else {}),
            **request.get("names", {}),
            "seed": seed,
            "steps": request["steps"],
            "index": request["index"],
            "range": bounded_range,
        }
        pieces: list[str] = []
        size = 0
        for piece in template.root_render_func(template.new_context(namespace, shared=True)):
            size += len(piece)
            if size > self._output_characters:
                raise RefusedError(f"the text is longer than {self._output_characters} characters")
            pieces.append(piece)
        return "".join(pieces)

    # ── errors ─────────────────────────────────────────────────────────────────────────────────

    def _explain(self, exc: Exception) -> str:
        name, line = _position(exc.__traceback__)
        fragment = "" if name is None or name.startswith("\0") else f'fragment "{name}", '
        place = f"{fragment}line {line}: " if line else ""
        if isinstance(exc, UndefinedError):
            part = str(exc).rpartition(".")[2]
            value = self._named(name, line, lambda path: not self._values_at(path), last=part)
            return (
                f"{place}{value or 'a value'} is undefined; add it to the seed or use | default(…)"
            )
        if isinstance(exc, NullError):
            value = self._null_value(name, line)
            if value.startswith('"steps.'):
                return f"{place}{value}: its step was skipped or gave it so; use | default(…)"
            return f"{place}{value}; give it a value in the seed or use | default(…)"
        if isinstance(exc, (MemoryError, orjson.JSONDecodeError)):  # of JSON that the parent wrote
            return f"{place}rendering needs too much memory"
        # Python's TypeErrors name types, never values.
        if isinstance(exc, (RefusedError, FilterArgumentError, TypeError)):
            return f"{place}{' '.join(str(exc).split())}"
        return f"{place}{type(exc).__name__}"

    def _null_value(self, name: str | None, line: int) -> str:
        null = self._named(name, line, lambda path: self._values_at(path) == [None])
        if null is None:
            holder = self._named(
                name, line, lambda path: any(map(holds_null, self._values_at(path)))
            )
            return f"{holder} holds a null" if holder else "a value is null"
        return f"{null} is null"

    def _named(
        self,
        name: str | None,
        line: int,
        is_guilty: Callable[[str], bool],
        *,
        last: str | None = None,
    ) -> str | None:
        """`author.name` where Jinja2 knows only `name`, or not even that: the first such value of
        the line. A name that the seed chose isn't shown.
        """
        tree = self._environment.parse(self._sources.get(name or "", ""))
        found = [(node.lineno, node.name, node.name) for node in tree.find_all(nodes.Name)]
        for at, part, text in (*value_names(tree), *found):
            plain = text.removesuffix(CALLED)
            here = at == line and last in {None, part.removesuffix(CALLED)}
            if here and is_guilty(plain):
                return f'"{plain}"'
        return None

    def _values_at(self, path: str) -> list[object]:
        """The value to which the names that every template sees lead; empty if there is none."""
        value: object = self._namespace
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return []
            value = value[part]
        return [value]


def _compiled(schema: Mapping[str, object]) -> "SchemaCheck":
    from runtime.engine.schema_check import SchemaCheck  # noqa: PLC0415 - takes 40 ms to load

    return SchemaCheck(schema)


def _position(traceback: TracebackType | None) -> tuple[str | None, int]:
    """Name and line of the innermost template in a traceback."""
    name, line = None, 0
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            name, line = template.name, template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return name, line


# ── the process ────────────────────────────────────────────────────────────────────────────────


def serve(stream: BinaryIO, renderer: Renderer) -> None:
    """Answer the frames of a socket until it ends."""
    socket = stream.fileno()
    answers = {b"R": renderer.render, b"V": renderer.check, b"C": renderer.test}
    while body := _read_frame(stream):
        allow_cpu(CPU_SECONDS)
        if body[:1] == b"T":
            _reply(socket, renderer.load(body[1:]))
        else:
            answer = answers[body[:1]]
            for request in _split(memoryview(body)[1:]):
                _reply(socket, answer(request))


def _read_frame(stream: BinaryIO) -> bytes:
    """The next body; empty at the end of the stream."""
    header = stream.read(LENGTH_BYTES)
    return stream.read(int.from_bytes(header)) if len(header) == LENGTH_BYTES else b""


def _split(body: memoryview) -> Iterator[memoryview]:
    start = 0
    while start < len(body):
        end = start + LENGTH_BYTES
        end += int.from_bytes(body[start:end])
        yield body[start + LENGTH_BYTES : end]
        start = end


def _reply(socket: int, reply: Mapping[str, Any]) -> None:
    try:
        body = orjson.dumps(reply)
    except TypeError:
        # A template can write half of a surrogate pair, which no UTF-8 text holds.
        body = orjson.dumps({"error": "the text isn't valid Unicode"})
    rest = memoryview(len(body).to_bytes(LENGTH_BYTES) + body)
    while rest:
        rest = rest[os.write(socket, rest) :]


def main() -> None:
    """Serve the parent until it closes the socket."""
    # Ctrl-C and a polite kill are the parent's business: it still needs its prompts.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    memory_bytes, output_characters = (int(argument) for argument in sys.argv[1:3])
    schemas, language = (word in sys.argv[3:] for word in ("schemas", LANGUAGE))
    with open(0, "rb", closefd=False) as stream:
        renderer = Renderer(output_characters, schemas=schemas, language=language)
        give_up_privileges()
        limit_resources(memory_bytes)
        try:
            serve(stream, renderer)
        except OSError:
            os._exit(0)  # the parent is gone


if __name__ == "__main__":
    main()
