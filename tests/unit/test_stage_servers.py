"""Servers that a stage on AWS names: workers call them with a key, and who takes jobs only knows
them.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.contract.environment import SERVERS
from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import ConfigurationError
from runtime.domain.jobs.job import JobStatus
from runtime.worker.__main__ import settings_of
from tests.fixtures.api import Api
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_api import API_ENVIRONMENT, open_aws_api
from tests.fixtures.aws_faults import no_retry_pauses
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import ManualClock
from tests.fixtures.worker_world import WorkerWorld, make_template, step

KEY = "sk-of-the-stage"
PRICE = {"input": 80, "output": 240}


def documents(url: str, **more: Any) -> str:
    """What the stage gives, with one server at that address."""
    gpu = {"base_url": url, "key": "SEEDWRIGHT_KEY_GPU", "prices": {"acme/large": PRICE}, **more}
    return json.dumps({"gpu": gpu})


@pytest.fixture
def server() -> Iterator[BedrockDouble]:
    """An OpenAI-compatible server beside Bedrock."""
    with BedrockDouble() as double:
        yield double


def test_a_worker_calls_the_server_with_its_key_and_pays_its_price(
    world: WorkerWorld, server: BedrockDouble
) -> None:
    template = make_template(
        step(model="gpu/acme/large"),
        step("answer", "Answer {{ steps.review.output }}"),
    )
    job_id = world.create_job(template, num_records=3)
    code = world.run(variables={SERVERS: documents(f"{server.url}/v1"), "SEEDWRIGHT_KEY_GPU": KEY})

    assert code is ExitCode.DONE
    assert len(world.dataset(job_id)) == 3
    assert (server.calls, world.double.calls) == (3, 3)
    assert {each.headers["authorization"] for each in server.requests} == {f"Bearer {KEY}"}
    assert {each.body["model"] for each in server.requests} == {"acme/large"}
    used = server.stats()["usage_by_model"]["acme/large"]
    paid = used["inputTokens"] * 80 + used["outputTokens"] * 240
    nova = world.double.stats()["usage_by_model"]["us.amazon.nova-micro-v1:0"]
    paid += nova["inputTokens"] * 35 + nova["outputTokens"] * 140
    assert world.account(job_id).spent_nano == paid


def test_a_worker_without_the_key_sends_nothing_there(
    world: WorkerWorld, server: BedrockDouble
) -> None:
    """Where the server is elsewhere; ECS doesn't start a task without its secret."""
    job_id = world.create_job(make_template(step(model="gpu/acme/large")), num_records=3)
    elsewhere = documents("https://gpu.example.com/v1")

    assert world.run(variables={SERVERS: elsewhere}) is ExitCode.JOB_FAILED
    job = world.job(job_id)
    assert job.status is JobStatus.FAILED
    assert "SEEDWRIGHT_KEY_GPU" in (job.error_message or "")
    assert server.calls == 0


def test_a_server_gets_as_many_calls_at_a_time_as_the_stage_says() -> None:
    url = "https://gpu.example.com/v1"
    assert settings_of({SERVERS: documents(url, concurrency=4)}).limits == {"gpu": 4}
    assert settings_of({SERVERS: documents(url)}).limits == {"gpu": 32}
    with pytest.raises(ConfigurationError, match=SERVERS):
        settings_of({SERVERS: "{"})


# ── who takes jobs ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def api(aws: FakeAws, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A stage with a server that costs, and no key of it."""
    no_retry_pauses(monkeypatch)
    servers = documents("https://gpu.example.com/v1")
    return Api(open_aws_api(aws, clock, variables={**API_ENVIRONMENT, SERVERS: servers}))


def template_on(model: str) -> dict[str, Any]:
    return {
        "name": "Reviews",
        "steps": [{"id": "review", "prompt": "Review it.", "model": model, "max_tokens": 64}],
    }


def test_jobs_on_the_server_are_estimated_and_created(api: Api) -> None:
    created = api.post("/templates", template_on("gpu/acme/large"))
    assert created.status == 201, created
    order = {"template_id": created.body["template_id"], "num_records": 10}

    estimate = api.post("/jobs/estimate", order)
    assert estimate.status == 200, estimate
    # Ten replies of 64 tokens at the rate of the stage are the most that they may cost.
    assert estimate.body["highest_usd"] >= 10 * 64 * 240 / 10**9

    job = api.post("/jobs", {**order, "budget_limit": 1, "output_format": "JSONL"})
    assert job.status == 201, job


def test_a_job_may_name_the_server_for_all_its_steps(api: Api) -> None:
    created = api.post("/templates", template_on("amazon.nova-micro-v1:0"))
    order = {"template_id": created.body["template_id"], "num_records": 1}
    estimate = api.post("/jobs/estimate", {**order, "model": "gpu/acme/large"})
    assert estimate.status == 200, estimate


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("cpu/acme/large", ["no provider 'cpu'", "bedrock, gpu"]),
        ("gpu/acme/small", ["no price for 'acme/small'", "it has gpu/acme/large", "stage"]),
    ],
)
def test_an_unknown_server_or_model_is_refused_with_what_can_be_called(
    api: Api, model: str, says: list[str]
) -> None:
    refused = [api.post("/templates", template_on(model))]
    created = api.post("/templates", template_on("gpu/acme/large"))
    order = {"template_id": created.body["template_id"], "num_records": 1, "model": model}
    refused.append(api.post("/jobs", {**order, "budget_limit": 1, "output_format": "JSONL"}))
    for reply in refused:
        assert reply.status == 400, reply
        for words in says:
            assert words in reply.body["error"]["message"]


def test_a_preview_shows_prompts_and_calls_no_server_without_a_key(api: Api) -> None:
    created = api.post("/templates", template_on("gpu/acme/large"))
    path = f"/templates/{created.body['template_id']}/preview"
    assert api.post(path, {}).body["steps"][0]["model"] == "gpu/acme/large"

    refused = api.post(path, {"run_model": True})
    assert refused.status == 400
    assert "only workers have the key of gpu" in refused.body["error"]["message"]
