"""Whole datasets from OpenAI-compatible servers: money, schemas, pauses, and several providers in
one job.
"""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.domain.errors import BudgetExceededError, InputError, JobFailedError, PriceError
from seedwright import generate, resume
from tests.fixtures.bedrock_double import BedrockDouble, RuleDocument
from tests.fixtures.command import SERVER_MODEL, billed_nano, server_prices
from tests.fixtures.model_calls import no_call_past_the_hook

STARS = {"type": "object", "required": ["stars"], "properties": {"stars": {"type": "integer"}}}
NOVA = "amazon.nova-micro-v1:0"


@pytest.fixture(scope="module")
def running() -> Iterator[BedrockDouble]:
    with BedrockDouble() as double:
        yield double


@pytest.fixture
def double(
    running: BedrockDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[BedrockDouble]:
    running.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with no_call_past_the_hook(running):
        yield running


def template(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"name": "served", "steps": list(steps), "output": "records"}


def text(name: str = "text", **fields: Any) -> dict[str, Any]:
    return {"id": name, "prompt": f"Write {name} {{{{ index }}}}.", "max_tokens": 60, **fields}


def rate(**fields: Any) -> dict[str, Any]:
    return text("rate", output_schema=STARS, **fields)


def results(path: Path) -> list[dict[str, Any]]:
    lines = (path / "dataset.jsonl").read_bytes().splitlines()
    return [orjson.loads(line)["generation_result"] for line in lines]


def spent_nano(dataset: Any) -> int:
    return int(Decimal(dataset.report["cost_usd"]).scaleb(9))


# ── money ──────────────────────────────────────────────────────────────────────────────────────


def test_n5_a_server_on_this_machine_is_free_and_its_dataset_goes_on(
    double: BedrockDouble, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    url = f"{double.url}/v1"

    found = generate(
        template(text(model="any/thing")), n=3, backend="openai", base_url=url, out=out
    )
    again = resume(out, n=5)

    assert len(found) == 3
    assert len(again) == 5
    assert double.calls == 5
    assert {each["text"]["model"] for each in results(out)} == {"openai/any/thing"}
    assert {each.model for each in double.requests} == {"any/thing"}


def test_n5_what_bills_is_refused_without_a_price_before_anything_is_sent(
    double: BedrockDouble, tmp_path: Path
) -> None:
    with pytest.raises(PriceError, match="openai has no price for 'any'"):
        generate(
            template(text(model="any")),
            n=1,
            backend="openai",
            base_url="http://198.51.100.1/v1",
            out=tmp_path / "out",
        )
    assert double.calls == 0
    assert not (tmp_path / "out").exists()


def test_a_folder_does_not_say_by_itself_who_gets_its_prompts(
    double: BedrockDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    url = f"{double.url}/v1"
    generate(template(text(model="m")), n=1, backend="openai", base_url=url, out=out)
    server = out / ".seedwright" / "server.json"
    server.write_bytes(orjson.dumps({"base_url": "https://far.example/v1"}))

    with pytest.raises(InputError, match=r"were at https://far\.example/v1: give it as --base-url"):
        resume(out, n=2)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert len(resume(out, n=2)) == 2


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_n3_the_bill_of_a_server_is_booked_and_never_passes_the_budget(
    double: BedrockDouble, tmp_path: Path, api: str
) -> None:
    """Replies, faults and timeouts: at every end the account is at least the bill."""
    servers = tmp_path / "config" / "seedwright"
    servers.mkdir(parents=True)
    (servers / "providers.yaml").write_text(f"openai: {{base_url: '{double.url}/v1', api: {api}}}")
    double.faults(
        [
            {"effect": "InternalServerException", "every": 7, "paid": True, "times": 2},
            {"effect": "reset_before_reply", "every": 9, "times": 2},
            {"effect": "no_usage", "every": 11},
        ]
    )
    with pytest.raises(BudgetExceededError) as caught:
        generate(
            template(text(model=SERVER_MODEL)),
            n=500,
            budget="0.002",
            backend="openai",
            prices=server_prices(tmp_path),
            out=tmp_path / "out",
            concurrency=4,
        )
    spent = spent_nano(caught.value.dataset)
    assert 0 < billed_nano(double) <= spent <= 2_000_000


def test_a_timeout_is_presumed_spent_and_the_record_is_asked_for_again(
    double: BedrockDouble, tmp_path: Path
) -> None:
    double.faults([{"effect": "timeout", "times": 1, "paid": True}])

    found = generate(
        template(text(model=SERVER_MODEL)),
        n=2,
        backend="openai",
        base_url=f"{double.url}/v1",
        prices=server_prices(tmp_path),
        out=tmp_path / "out",
        call_timeout=1,
    )

    assert len(found) == 2
    assert double.calls == 3
    worst = (len("Write text 0.") + 512) * 150 + 60 * 600
    assert spent_nano(found) >= worst


def test_an_empty_purse_ends_the_job_and_it_goes_on_once_there_is_money(
    double: BedrockDouble, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    double.faults([{"effect": "reply", "times": 2}, {"effect": "insufficient_quota"}])
    with pytest.raises(JobFailedError, match="has no credit left"):
        generate(
            template(text(model="m")),
            n=20,
            backend="openai",
            base_url=f"{double.url}/v1",
            out=out,
            concurrency=2,
        )
    assert double.calls <= 2 + 2
    double.faults([])
    assert len(resume(out)) == 20


# ── schemas ────────────────────────────────────────────────────────────────────────────────────

NO_SCHEMAS: dict[str, RuleDocument] = {
    "refused": {
        "effect": "ValidationException",
        "schema": True,
        "message": "response_format is not supported",
    },
    "ignored": {"effect": "reply", "schema": True, "text": "Four stars, I would say."},
    "only json": {"effect": "reply", "schema": True, "text": '{"rating": 4}'},
}


def rated(double: BedrockDouble, tmp_path: Path) -> list[dict[str, Any]]:
    generate(
        template(rate(model="m")),
        n=8,
        backend="openai",
        base_url=f"{double.url}/v1",
        out=tmp_path / "out",
        concurrency=4,
    )
    return results(tmp_path / "out")


@pytest.mark.parametrize("fault", NO_SCHEMAS, ids=str)
def test_a_server_without_schemas_is_found_out_by_one_call(
    double: BedrockDouble, tmp_path: Path, fault: str
) -> None:
    said: RuleDocument = {"effect": "reply", "schema": False, "text": '{"stars": 4}'}
    double.faults([NO_SCHEMAS[fault], said])

    outputs = rated(double, tmp_path)

    assert [each["rate"]["output"] for each in outputs] == [{"stars": 4}] * 8
    with_schema = [each for each in double.requests if "response_format" in each.body]
    assert len(with_schema) == 1
    assert double.calls == 9
    assert "JSON Schema" in double.requests[-1].body["messages"][0]["content"]


def test_a_server_with_schemas_holds_the_model_to_them(
    double: BedrockDouble, tmp_path: Path
) -> None:
    outputs = rated(double, tmp_path)

    assert all(isinstance(each["rate"]["output"]["stars"], int) for each in outputs)
    assert double.calls == 8
    assert all("response_format" in each.body for each in double.requests)
    ((_, use),) = double.schemas.items()
    assert use.most_before_answer == 1


# ── pauses, and several providers ──────────────────────────────────────────────────────────────


def test_nothing_is_sent_before_the_time_that_the_server_named(
    double: BedrockDouble, tmp_path: Path
) -> None:
    pause: RuleDocument = {
        "effect": "ThrottlingException",
        "times": 1,
        "headers": {"retry-after-ms": "700"},
    }
    double.faults([pause])
    began = time.time()

    found = generate(
        template(text(model="m")),
        n=3,
        backend="openai",
        base_url=f"{double.url}/v1",
        out=tmp_path / "out",
        concurrency=1,
    )

    stats = double.stats()
    assert len(found) == 3
    assert double.calls == 4
    assert (stats["last_call"] or 0) - began >= 0.7
    refused, next_one, *_ = double.requests
    assert refused.effect == "ThrottlingException"
    # Others were ready to go, and waited as well: then the one that was refused goes first.
    assert next_one.body["messages"] == refused.body["messages"]


def test_several_providers_share_a_job_each_with_its_prices_and_its_calls(
    double: BedrockDouble, tmp_path: Path
) -> None:
    servers = tmp_path / "config" / "seedwright"
    servers.mkdir(parents=True)
    (servers / "providers.yaml").write_text(
        f"slow: {{base_url: '{double.url}/v1', concurrency: 1}}\n"
        f"openai: {{base_url: '{double.url}/v1', api: responses}}\n"
    )
    double.faults([{"effect": "reply", "model": "tiny", "delay_ms": 20}])

    found = generate(
        template(
            rate(model="slow/tiny"),
            text("b", model=f"openai/{SERVER_MODEL}"),
            text("c", model=f"bedrock/{NOVA}"),
            text("d"),
        ),
        n=6,
        backend="bedrock",
        prices=server_prices(tmp_path),
        out=tmp_path / "out",
    )

    assert len(found) == 6
    (first, *_) = results(tmp_path / "out")
    assert {name: each["model"] for name, each in first.items()} == {
        "rate": "slow/tiny",
        "b": f"openai/{SERVER_MODEL}",
        "c": NOVA,
        "d": NOVA,
    }
    calls = double.stats()["usage_by_model"]
    assert calls.keys() == {"tiny", SERVER_MODEL, NOVA}
    ways = {(each.model, tuple(each.body)[1]) for each in double.requests}
    (most,) = (use.most for (model, _), use in double.schemas.items() if model == "tiny")
    assert most == 1, "its provider takes one call at a time"
    assert ("tiny", "messages") in ways
    assert (SERVER_MODEL, "input") in ways
