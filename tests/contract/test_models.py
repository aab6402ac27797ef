"""What every client of models promises (`runtime/domain/models/calls.py`): the embedded model, a
server of llama.cpp, and the doubles of Bedrock and of OpenAI's servers, behind the clients that
workers have. The models' own words are not compared.
"""

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import pytest

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import BackgroundModels, Message, ModelReply, ModelRequest
from runtime.domain.roles import Role
from runtime.domain.templates.grammar_schema import for_grammar
from runtime.domain.templates.service_schema import for_service
from runtime.models.bedrock_loop import open_bedrock
from runtime.models.llama import EMBEDDED_MODEL, LlamaModels
from runtime.models.provider_file import ServerSettings
from runtime.models.servers import open_server
from runtime.models.threaded import ThreadedModels
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.llama_server import KEY, llama_server

KINDS = ("embedded", "llama server", "chat", "responses", "bedrock")
STARS: dict[str, Any] = {
    "type": "object",
    "properties": {"stars": {"type": "integer", "enum": [1, 2, 3]}},
    "required": ["stars"],
}
SECONDS = 60
"""How long a machine under load may take."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of client. `open` makes a new one of it."""

    model: str
    open: Callable[[], BackgroundModels]
    calls: int
    """As many at a time as it is used with."""
    schema: Mapping[str, object] | None


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        yield _kind(request.param, stack, patch)


def _kind(name: str, stack: ExitStack, patch: pytest.MonkeyPatch) -> Kind:
    words = for_service(STARS).schema
    if name == "embedded":
        grammar = for_grammar(STARS).schema
        return Kind(model=EMBEDDED_MODEL, open=_embedded, calls=2, schema=grammar)
    if name == "llama server":
        url = stack.enter_context(llama_server())
        return Kind(model="openai/any", open=_server(url, Api.CHAT), calls=2, schema=words)
    double = stack.enter_context(BedrockDouble(latency_ms=20))
    if name == "bedrock":
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(variable, "testing")
        patch.setenv("AWS_REGION", "us-east-1")
        model = "openai.gpt-oss-20b-1:0"
        return Kind(model=model, open=open_bedrock, calls=4, schema=words)
    return Kind(
        model="openai/any", open=_server(f"{double.url}/v1", Api(name)), calls=4, schema=words
    )


def _embedded() -> BackgroundModels:
    return ThreadedModels(LlamaModels(slots=2, context_tokens=1024), 2)


def _server(url: str, api: Api) -> Callable[[], BackgroundModels]:
    settings = ServerSettings(name="openai", base_url=url, api=api, key="KEY")
    return lambda: open_server(settings, {"KEY": KEY})


@pytest.fixture(scope="module")
def models(kind: Kind) -> Iterator[BackgroundModels]:
    with closing(kind.open()) as client:
        yield client


def ask(kind: Kind, text: str = "Say hello to Ada.", **fields: Any) -> ModelRequest:
    turns = fields.pop("messages", (Message(role=Role.USER, text=text),))
    values = {"model": kind.model, "max_tokens": 4, "temperature": 0.0, **fields}
    return ModelRequest(messages=turns, **values)


def read(reply: ModelReply) -> int:
    """Tokens of the prompt, wherever they were found."""
    assert reply.usage is not None
    return reply.usage.total - reply.usage.output_tokens


class Heard:
    """What `begin` tells, and on which thread."""

    def __init__(self) -> None:
        self.ends: queue.SimpleQueue[tuple[int, ModelReply | ModelError]] = queue.SimpleQueue()
        self.threads: set[int] = set()

    def of(self, call: int) -> Callable[[ModelReply | ModelError], None]:
        def ended(result: ModelReply | ModelError) -> None:
            self.threads.add(threading.get_ident())
            self.ends.put((call, result))

        return ended

    def next(self, count: int) -> dict[int, ModelReply | ModelError]:
        """The next so many, by call: each has ended once."""
        found = [self.ends.get(timeout=SECONDS) for _ in range(count)]
        assert len(dict(found)) == count
        return dict(found)


def test_a_reply_has_text_a_bill_and_the_reason_of_its_end(
    kind: Kind, models: BackgroundModels
) -> None:
    reply = models.converse(ask(kind))
    assert reply.text.strip()
    assert reply.usage is not None
    assert reply.usage.input_tokens > 0
    assert 0 < reply.usage.output_tokens <= 4
    assert reply.usage.total == reply.usage.input_tokens + reply.usage.output_tokens + (
        reply.usage.cache_read_tokens + reply.usage.cache_write_tokens
    )
    assert reply.stop_reason in {"end_turn", "max_tokens"}


def test_a_reply_is_cut_at_its_limit_and_says_so(kind: Kind, models: BackgroundModels) -> None:
    reply = models.converse(ask(kind, "Count from one to one hundred, in words.", max_tokens=3))
    assert reply.stop_reason == "max_tokens"
    assert reply.usage is not None
    assert reply.usage.output_tokens == 3


def test_system_and_earlier_turns_are_read_and_billed(kind: Kind, models: BackgroundModels) -> None:
    turns = (
        Message(role=Role.USER, text="I am Ada, and I have a lighthouse."),
        Message(role=Role.ASSISTANT, text="Good evening, Ada."),
        Message(role=Role.USER, text="Say hello to Ada."),
    )
    short, long = (
        models.converse(ask(kind, max_tokens=1)),
        models.converse(ask(kind, messages=turns, system="You keep a lighthouse.", max_tokens=1)),
    )
    assert short.usage is not None
    assert long.usage is not None
    assert long.usage.total >= short.usage.total + 10


def test_text_of_any_alphabet_and_none_is_sent(kind: Kind, models: BackgroundModels) -> None:
    reply = models.converse(ask(kind, "雪は白い 🗼 \ud800 \x00 é", max_tokens=2))
    reply.text.encode()  # no half of a character comes back


def test_a_schema_holds_the_reply(kind: Kind, models: BackgroundModels) -> None:
    reply = models.converse(ask(kind, "Rate it.", output_schema=kind.schema, max_tokens=20))
    assert jsonschema_rs.validator_for(STARS).is_valid(json.loads(reply.text))


def test_the_same_request_has_the_same_reply(kind: Kind, models: BackgroundModels) -> None:
    """What a record that is asked for again depends on; the seed is in the request."""
    wanted = ask(kind, seed=7, max_tokens=3)
    assert models.converse(wanted).text == models.converse(wanted).text


def test_calls_in_the_background_end_once_each_on_another_thread(
    kind: Kind, models: BackgroundModels
) -> None:
    heard, texts = Heard(), ["Say red.", "Say blue.", "Say that the grass is green, please.", "Hi."]
    for call, text in enumerate(texts):
        models.begin(ask(kind, text, max_tokens=3), heard.of(call))
    ends = heard.next(len(texts))
    assert all(isinstance(each, ModelReply) for each in ends.values()), ends
    assert threading.get_ident() not in heard.threads
    alone = models.converse(ask(kind, texts[2], max_tokens=3))
    found = ends[2]
    assert isinstance(found, ModelReply)
    assert read(found) == read(alone), "its own reply"


def test_a_call_is_withdrawn_or_ends(kind: Kind, models: BackgroundModels) -> None:
    heard = Heard()
    begun = [models.begin(ask(kind, max_tokens=2), heard.of(call)) for call in range(4)]
    left = [call for call, each in enumerate(begun) if not each.withdraw()]
    ends = heard.next(len(left))
    assert sorted(ends) == left
    models.converse(ask(kind, max_tokens=1))  # whatever was begun before has ended by then
    assert heard.ends.empty()
    assert not any(each.withdraw() for each in begun)


def test_who_closes_gets_an_end_of_every_call_and_of_later_ones(kind: Kind) -> None:
    models, heard = kind.open(), Heard()
    begun = [models.begin(ask(kind, max_tokens=40), heard.of(call)) for call in range(kind.calls)]
    models.close()
    models.begin(ask(kind), heard.of(-1))
    ends = heard.next(len(begun) + 1)
    last = ends[-1]
    assert isinstance(last, ModelError)
    assert last.kind in {ModelErrorKind.NOT_SENT, ModelErrorKind.FATAL}, "nothing was billed"
    models.close()
