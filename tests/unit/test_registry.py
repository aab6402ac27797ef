"""Providers of models: which there are, what opens one, and which one a model's name means."""

import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from runtime.domain.errors import (
    ConfigurationError,
    InputError,
    ModelError,
    ModelErrorKind,
    PriceError,
    TemplateError,
)
from runtime.domain.models.calls import Message, ModelReply, ModelRequest
from runtime.domain.models.names import BEDROCK, BUILT_IN
from runtime.domain.models.price_table import PriceTable
from runtime.domain.models.reach import AWS
from runtime.domain.roles import Role
from runtime.domain.templates.template import Step
from runtime.engine.plan import make_plan
from runtime.models.loop_models import LoopModels
from runtime.models.registry import Backend, OpenedModels
from runtime.models.routing import RoutedModels
from runtime.models.threaded import ThreadedModels
from runtime.worker.pool import call_pool
from tests.fixtures.raw_server import answering, raw_server, whole
from tests.fixtures.worker_world import make_template, step

ON = date(2026, 11, 28)
HERE = "http://127.0.0.1:8000/v1"
NOVA = "amazon.nova-micro-v1:0"
FILE = """\
gpu:
  base_url: http://gpu.lan:8000/v1/
  free: true
  concurrency: 7
far:
  base_url: https://far.example/api/v1
  key: FAR_KEY
  api: responses
  prices:
    qwen/qwen3-32b: {input: 80, output: 240}
    fine/model: {input: 1, output: 2, cache_read: 0, refuses: [temperature], max_output_tokens: 99}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user who has a file of providers."""
    folder = tmp_path / "seedwright"
    folder.mkdir()
    (folder / "providers.yaml").write_text(FILE, encoding="utf-8")
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def backend(environment: dict[str, str], name: str = "bedrock", url: str | None = None) -> Backend:
    return Backend(name, url, environment=environment)


def resolved(table: PriceTable, name: str, provider: str) -> str:
    wanted = Step(id="write", prompt="x", model=name)
    return table.resolve_step(wanted, override=None, provider=provider, on=ON)


# ── which there are ────────────────────────────────────────────────────────────────────────────


def test_the_built_in_ones_and_those_of_the_users_file(environment: dict[str, str]) -> None:
    assert {*backend(environment).providers} == {*BUILT_IN, "gpu", "far"}
    assert {*backend({"XDG_CONFIG_HOME": "/nowhere"}).providers} == {*BUILT_IN}


def test_an_unknown_provider_is_told_which_there_are(environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"no provider 'azure' .* bedrock or local or gpu or far"):
        backend(environment, "azure")


BAD_FILES = {
    "not a name": ("Az ure: {base_url: 'http://x/v1'}", "'Az ure': a provider's name has"),
    "taken": ("local: {base_url: 'http://x/v1'}", "is not bedrock or local"),
    "no url": ("a: {free: true}", "'a': base_url is missing"),
    "no fields": ("a: http://x", "'a': must be fields"),
    "unknown": ("a: {base_url: 'http://x', url: y}", "unknown field 'url'; known are base_url"),
    "a path": ("a: {base_url: /v1}", "is not a URL such as http://127.0.0.1:8000/v1"),
    "a query": ("a: {base_url: 'http://x/v1?a=1'}", "ends where its path ends"),
    "a password": ("a: {base_url: 'http://u:p@x/v1'}", "holds no user and no password"),
    "an api": ("a: {base_url: 'http://x', api: converse}", "api must be chat or responses"),
    "a key": ("a: {base_url: 'http://x', key: 7}", "key must be a text"),
    "calls": ("a: {base_url: 'http://x', concurrency: 0}", "concurrency must be 1 to 1024"),
    "ours": ("a: {base_url: 'http://x', extra: {n: 2}}", "extra can't hold n"),
    "framing": ("a: {base_url: 'http://x', headers: {Content-Length: 2}}", "hold content-length"),
    "yaml": ("a: [", "is not valid YAML"),
    "a list": ("[a]", "must name providers"),
}


@pytest.mark.parametrize("bad", BAD_FILES, ids=str)
def test_a_file_that_can_not_be_used_is_refused(environment: dict[str, str], bad: str) -> None:
    text, words = BAD_FILES[bad]
    path = Path(environment["XDG_CONFIG_HOME"]) / "seedwright" / "providers.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        backend(environment)
    assert str(caught.value).startswith(f"{path}")
    assert words in str(caught.value)


def test_a_rate_of_the_file_is_checked_like_any(environment: dict[str, str]) -> None:
    path = Path(environment["XDG_CONFIG_HOME"]) / "seedwright" / "providers.yaml"
    path.write_text("a: {base_url: 'http://x', prices: {m: {input: 0.5, output: 1}}}")
    with pytest.raises(PriceError, match=r"model 'm': field 'input': must be null or whole"):
        backend(environment).prices()


# ── where openai is ────────────────────────────────────────────────────────────────────────────


def test_a_url_is_openais_alone(environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match="--base-url is for --backend openai, not for gpu"):
        backend(environment, "gpu", HERE)


def test_the_flag_goes_before_the_environment_before_the_file_before_openai(
    environment: dict[str, str],
) -> None:
    path = Path(environment["XDG_CONFIG_HOME"]) / "seedwright" / "providers.yaml"
    path.write_text("openai: {base_url: 'https://proxy.example/v1', free: true}")
    named = {**environment, "OPENAI_BASE_URL": "http://10.0.0.1:1/v1"}

    assert backend(named, "openai", HERE).providers["openai"].server == "127.0.0.1:8000"
    assert backend(named, "openai").providers["openai"].server == "10.0.0.1:1"
    assert backend(environment, "openai").providers["openai"].server == "proxy.example"
    assert backend({"XDG_CONFIG_HOME": "/x"}, "openai").providers["openai"].server == (
        "api.openai.com"
    )
    assert backend(environment, "openai").providers["openai"].is_free
    # What the file says of one server does not hold for another.
    assert not backend(named, "openai").providers["openai"].is_free


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:8/v1", "http://127.9/v1"],
)
def test_n5_this_machine_is_free_whatever_it_serves(url: str) -> None:
    table = backend({"XDG_CONFIG_HOME": "/x"}, "openai", url).prices()
    if url == "http://127.9/v1":  # not an address that everybody reads alike
        with pytest.raises(PriceError):
            resolved(table, "any/thing", "openai")
        return
    model_id = resolved(table, "any/thing", "openai")
    assert model_id == "openai/any/thing"
    assert table.price(model_id, ON).worst_case(prompt_bytes=10**6, max_tokens=10**6) == 0


def test_n5_elsewhere_a_price_is_asked_for_with_what_to_write(environment: dict[str, str]) -> None:
    table = backend(environment, "openai", "https://api.example/v1").prices()
    with pytest.raises(PriceError, match=r"openai has no price for 'gpt-5'.*--prices.*free: true"):
        resolved(table, "gpt-5", "openai")
    with pytest.raises(
        PriceError, match=r"far has no price .* it has far/qwen/qwen3-32b, far/fine"
    ):
        resolved(table, "far/other", "openai")
    with pytest.raises(PriceError, match="openai has no model for model_tier 'cheap': name one"):
        table.resolve_step(Step(id="a", prompt="x"), override=None, provider="openai", on=ON)


def test_n5_a_job_that_was_free_is_not_free_at_another_server(environment: dict[str, str]) -> None:
    """The table that a job keeps says nothing of servers: that is the process's to know."""
    kept = backend(environment, "openai", HERE).prices().encode()
    away = backend(environment, "openai", "https://api.example/v1")

    with pytest.raises(PriceError, match="openai has no price"):
        resolved(PriceTable.decode(kept, reach=away.reach), "gpt-5", "openai")


def test_a_listed_price_counts_on_this_machine_too(
    environment: dict[str, str], tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_text(
        '{"models": [{"id": "gpt-5", "provider": "openai", "name": "x", "input": 5, "output": 9,'
        ' "cache_read": null, "cache_write": null, "profiles": {}, "structured_output": true,'
        ' "context_tokens": 9, "max_output_tokens": 9, "valid_from": null, "valid_until": null,'
        ' "source": "s", "checked": "2026-11-28"}]}'
    )
    table = backend(environment, "openai", HERE).prices(own)
    assert table.price("openai/gpt-5", ON).input == 5
    assert PriceTable.decode(table.encode()).prices == table.prices


def test_prices_of_the_file_have_whole_rows(environment: dict[str, str]) -> None:
    table = backend(environment).prices()
    qwen, fine = table.price("far/qwen/qwen3-32b", ON), table.price("far/fine/model", ON)
    assert (qwen.input, qwen.output, qwen.cache_read) == (80, 240, 80)
    assert (fine.cache_read, fine.max_output_tokens) == (0, 99)
    assert table.version.count("+") == 1


# ── which model a name means ───────────────────────────────────────────────────────────────────

NAMES = [
    (NOVA, "bedrock", NOVA),
    (f"bedrock/{NOVA}", "openai", NOVA),
    (f"bedrock/{NOVA}", "bedrock", NOVA),
    ("local/smollm2-135m", "bedrock", "local/smollm2-135m"),
    ("meta-llama/Llama-3.1-8B", "openai", "openai/meta-llama/Llama-3.1-8B"),
    ("openai/gpt-oss-20b", "openai", "openai/gpt-oss-20b"),
    ("openai/openai/gpt-oss-20b", "gpu", "openai/openai/gpt-oss-20b"),
    ("gpu/Qwen/Qwen3-8B", "bedrock", "gpu/Qwen/Qwen3-8B"),
    ("qwen/qwen3-32b", "far", "far/qwen/qwen3-32b"),
    ("openai.gpt-oss-20b-1:0", "bedrock", "openai.gpt-oss-20b-1:0"),
]


@pytest.mark.parametrize(("name", "default", "model_id"), NAMES)
def test_a_prefix_counts_if_it_names_a_provider(
    environment: dict[str, str], name: str, default: str, model_id: str
) -> None:
    table = backend({**environment, "OPENAI_BASE_URL": HERE}).prices()
    assert resolved(table, name, default) == model_id


def test_a_model_of_bedrock_is_not_taken_for_another_providers(environment: dict[str, str]) -> None:
    table = backend(environment).prices()
    with pytest.raises(PriceError, match=rf"`--backend bedrock` or the name bedrock/{NOVA}"):
        resolved(table, NOVA, "far")
    # A server that serves whatever it is asked for may have a model of that name.
    assert resolved(table, NOVA, "gpu") == f"gpu/{NOVA}"


def test_on_aws_there_is_bedrock_alone() -> None:
    table = PriceTable.decode(backend({"XDG_CONFIG_HOME": "/x"}).prices().encode(), reach=AWS)
    for name in ("openai/gpt-5", "local/smollm2-135m"):
        with pytest.raises(PriceError):
            resolved(table, name, BEDROCK)


def test_a_step_that_asks_for_what_its_model_refuses_is_told_before(
    environment: dict[str, str],
) -> None:
    table = backend({**environment, "OPENAI_BASE_URL": HERE}).prices()

    def plan(**fields: Any) -> None:
        template = make_template(step(**{"model": "openai/m", **fields}))
        make_plan(template, table, provider=BEDROCK, model=None, on=ON)

    plan(temperature=2, stop=["a"])
    plan(model=NOVA, temperature=1)
    cases: dict[str, dict[str, Any]] = {
        "far/fine/model takes no temperature:": {"model": "far/fine/model", "temperature": 0.5},
        "far/qwen/qwen3-32b takes no stop:": {"model": "far/qwen/qwen3-32b", "stop": ["a"]},
        f"{NOVA} takes no temperature of 1.5, only 0 to 1:": {"model": NOVA, "temperature": 1.5},
    }
    for refused, fields in cases.items():
        with pytest.raises(TemplateError, match=refused):
            plan(**fields)


# ── what opens one ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def opened(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[OpenedModels]:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    name, concurrency, used = request.param
    models = backend(environment, name).open(concurrency, providers=used)
    yield models
    models.client.close()


OPENED = [
    (("bedrock", None, ()), 32, 32),
    (("bedrock", 5, ()), 5, 5),
    (("bedrock", None, ("bedrock", "gpu")), 39, 32),
]


@pytest.mark.parametrize(("opened", "calls", "own"), OPENED, indirect=["opened"])
def test_a_client_is_opened_for_so_many_calls(opened: OpenedModels, calls: int, own: int) -> None:
    assert opened.concurrency == calls
    assert opened.limits["bedrock"] == own
    assert opened.limits["local"] <= 2
    assert isinstance(opened.client, RoutedModels)
    assert isinstance(opened.client._clients["bedrock"], LoopModels)


def test_all_providers_of_a_job_are_called_on_one_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "seedwright"
    folder.mkdir()
    reply = whole(b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}')
    with (
        raw_server(answering(reply)) as one,
        raw_server(answering(reply)) as other,
        raw_server(answering(whole())) as aws,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", aws.url)
        lines = [f"{name}: {{base_url: {at.url}}}" for name, at in (("a", one), ("b", other))]
        (folder / "providers.yaml").write_text("\n".join(lines), encoding="utf-8")
        models = backend({"XDG_CONFIG_HOME": str(tmp_path)}, "a").open(providers=["b"]).client
        loops = [each for each in threading.enumerate() if each.name == "model-calls"]
        for name in ("a/m", "b/m", NOVA):
            message = Message(role=Role.USER, text="x")
            asked = ModelRequest(model=name, messages=(message,), max_tokens=1)
            assert models.converse(asked).text == "yes"
        new = [
            each
            for each in threading.enumerate()
            if each.name == "model-calls" and each not in loops
        ]
        models.close()
    assert len(new) == 1
    assert [len(each.requests) for each in (one, other, aws)] == [1, 1, 1]


def test_what_a_provider_lacks_is_known_before_anything_is_sent(
    environment: dict[str, str],
) -> None:
    with pytest.raises(ConfigurationError, match=r"far at far\.example wants a key: set FAR_KEY"):
        backend(environment, "gpu").open(providers=["far"])


class Recorded:
    """Says which provider was asked."""

    def __init__(self, name: str) -> None:
        self.name, self.closed = name, False

    def converse(self, request: ModelRequest) -> ModelReply:
        return ModelReply(text=f"{self.name}: {request.model}", usage=None)

    def close(self) -> None:
        self.closed = True


def test_a_call_goes_to_the_provider_that_its_model_names() -> None:
    clients = {name: Recorded(name) for name in ("bedrock", "local", "gpu")}
    asked: list[str] = []

    def opener(name: str) -> ThreadedModels:
        asked.append(name)
        if name == "broken":
            raise ConfigurationError("no key")
        return ThreadedModels(clients[name], 1)

    names = [*clients, "broken"]
    openers = {name: (lambda name=name: opener(name)) for name in names}
    models = RoutedModels(openers, opened=["bedrock"], unnamed="bedrock")

    def said(model: str) -> str:
        wanted = ModelRequest(
            model=model, messages=(Message(role=Role.USER, text="x"),), max_tokens=1
        )
        return models.converse(wanted).text

    assert asked == ["bedrock"]
    assert said("gpu/meta-llama/x") == said("gpu/meta-llama/x") == "gpu: gpu/meta-llama/x"
    assert said("local/smollm2-135m") == "local: local/smollm2-135m"
    assert said("meta/x") == "bedrock: meta/x"
    assert asked == ["bedrock", "gpu", "local"]
    with pytest.raises(ModelError, match="no key") as caught:
        said("broken/x")
    assert caught.value.kind is ModelErrorKind.FATAL
    models.close()
    assert all(client.closed for client in clients.values())


def test_a_server_is_opened_with_what_the_file_says(environment: dict[str, str]) -> None:
    models = backend({**environment, "FAR_KEY": "sk"}, "far").open()
    assert isinstance(models.client, RoutedModels)
    client = models.client._clients["far"]
    assert isinstance(client, LoopModels)
    assert (client._headers["Host"], client._base) == ("far.example", "/api/v1")
    models.client.close()


def test_one_pool_begins_calls_of_all_providers_and_what_can_not_be_opened_ends_at_once() -> None:
    def opener(name: str) -> ThreadedModels:
        if name == "broken":
            raise ConfigurationError("no key")
        return ThreadedModels(Recorded(name), 1)

    names = ["bedrock", "gpu", "broken"]
    openers = {name: (lambda name=name: opener(name)) for name in names}
    models = RoutedModels(openers, opened=["bedrock"], unnamed="bedrock")
    pool = call_pool(models, 4)
    for call, model in enumerate(("gpu/x", "y", "broken/x")):
        messages = (Message(role=Role.USER, text="x"),)
        pool.submit(call, ModelRequest(model=model, messages=messages, max_tokens=1))
    ended: dict[int, ModelReply | ModelError] = {}
    while len(ended) < 3:
        found = pool.wait(20)
        assert found
        ended |= {each.call: each.result for each in found}
    assert [each.text for each in (ended[0], ended[1]) if isinstance(each, ModelReply)] == [
        "gpu: gpu/x",
        "bedrock: y",
    ]
    assert isinstance(ended[2], ModelError)
    assert ended[2].kind is ModelErrorKind.FATAL
    assert pool.withdraw() == []
    models.close()
    pool.submit(3, ModelRequest(model="y", messages=(), max_tokens=1))
    (late,) = pool.wait(20)
    assert isinstance(late.result, ModelError)
    assert late.result.kind is ModelErrorKind.NOT_SENT
