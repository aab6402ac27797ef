"""What somebody with a server of models is told who has just begun: wrong ports, keys, prices, and
why records failed.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.bootstrap import local_api
from runtime.cli.figures import count_lines
from runtime.cli.main import run as command
from runtime.domain.errors import JobFailedError, ModelError, ModelErrorKind, PriceError
from runtime.domain.jobs.job import Progress
from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.models.calls import Message, ModelClient, ModelRequest
from runtime.domain.roles import Role
from runtime.export.reasons import MAX_CHARACTERS, common_reason
from runtime.models.provider_file import ServerSettings
from runtime.models.registry import Backend
from runtime.models.servers import open_server
from seedwright import generate
from tests.fixtures.api import Api
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import ManualClock
from tests.fixtures.local_api import BASE_URL, NoModels

FATAL, NOT_SENT = ModelErrorKind.FATAL, ModelErrorKind.NOT_SENT


@pytest.fixture(scope="module")
def running() -> Iterator[BedrockDouble]:
    with BedrockDouble() as double:
        yield double


@pytest.fixture
def double(running: BedrockDouble) -> BedrockDouble:
    running.reset()
    return running


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def unused_url() -> str:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/v1"


def request() -> ModelRequest:
    messages = (Message(role=Role.USER, text="Say hello."),)
    return ModelRequest(model="openai/m", messages=messages, max_tokens=20)


def refused(models: ModelClient) -> ModelError:
    with pytest.raises(ModelError) as caught:
        models.converse(request())
    return caught.value


def failure(settings: ServerSettings, environment: dict[str, str] | None = None) -> ModelError:
    with closing(open_server(settings, environment or {})) as models:
        return refused(models)


def template(**fields: Any) -> dict[str, Any]:
    step = {"id": "text", "prompt": "Write text {{ index }}.", "max_tokens": 60, **fields}
    return {"name": "served", "steps": [step], "output": "records"}


# ── a wrong port ───────────────────────────────────────────────────────────────────────────────


def test_a_port_of_this_machine_where_nothing_listens_ends_the_run_at_once(tmp_path: Path) -> None:
    url = unused_url()
    with pytest.raises(JobFailedError) as caught:
        generate(template(model="m"), n=40, backend="openai", base_url=url, out=tmp_path / "out")
    host = url.removeprefix("http://").removesuffix("/v1")
    assert f"nothing listens at {host}" in str(caught.value)
    assert "port of its base URL" in str(caught.value)


def test_a_server_that_was_there_before_is_an_outage() -> None:
    settings = ServerSettings(name="openai", base_url=unused_url())
    models = open_server(settings, {})
    port = int(settings.base_url.partition("127.0.0.1:")[2].partition("/")[0])
    with BedrockDouble(port=port) as server:
        models.converse(request())
        assert server.calls == 1
    # The first may still be written to the connection that is left.
    kinds = [refused(models).kind for _ in range(2)]
    assert kinds[-1] is NOT_SENT
    models.close()


def test_elsewhere_a_refused_connection_may_be_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of another machine, which leads to this one here."""
    settings = ServerSettings(name="openai", base_url=unused_url())
    assert failure(settings).kind is FATAL
    monkeypatch.setattr("runtime.models.servers.is_loopback", lambda _url: False)
    assert failure(settings).kind is NOT_SENT


# ── keys ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "environment", "says"),
    [
        ("ROUTER_KEY", {"ROUTER_KEY": "sk-secret"}, "does not accept the key: check ROUTER_KEY"),
        ("ROUTER_KEY", {}, "none was sent, so set ROUTER_KEY"),
        (None, {}, "none was sent, so name the variable that holds it as `key` of openai"),
    ],
)
def test_a_refused_key_is_named_by_its_variable(
    double: BedrockDouble, key: str | None, environment: dict[str, str], says: str
) -> None:
    double.faults([{"effect": "said", "status": 401, "message": "bad key sk-secret"}])
    error = failure(
        ServerSettings(name="openai", base_url=f"{double.url}/v1", key=key), environment
    )
    assert says in str(error)
    assert "sk-secret" not in str(error)


# ── prices ─────────────────────────────────────────────────────────────────────────────────────


def price_error(model: str, backend: Backend) -> str:
    with pytest.raises(PriceError) as caught:
        generate(template(model=model), n=1, backend=backend.name, base_url=backend.base_url)
    return str(caught.value)


@pytest.mark.parametrize(("model", "backend"), [("m", "openai"), ("openai/m", "bedrock")])
def test_who_has_named_no_server_is_told_how_to(model: str, backend: str) -> None:
    said = price_error(model, Backend(backend))
    assert "--backend openai --base-url URL, or OPENAI_BASE_URL" in said
    assert "api.openai.com" in said


def test_who_has_named_one_is_not() -> None:
    url = "https://far.example/v1"
    assert "--base-url" not in price_error("m", Backend("openai", url))


# ── how a run ends ─────────────────────────────────────────────────────────────────────────────

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ran(double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Runs `generate` on the double: its exit code, output and error."""
    path = tmp_path / "t.json"
    path.write_bytes(orjson.dumps(template(model="m")))

    def run(records: int, *more: str) -> tuple[int, str, str]:
        capsys.readouterr()
        server = ["--backend", "openai", "--base-url", f"{double.url}/v1"]
        out = ["--out", str(tmp_path / "out")]
        code = command(["generate", str(path), "-n", str(records), *server, *out, *more])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(("asked", "seconds"), [("5400", 5400), ("1e300", 31 * 86_400)])
def test_a_job_says_when_the_server_wants_to_be_asked_again(
    ran: Ran, double: BedrockDouble, asked: str, seconds: int
) -> None:
    double.faults([{"effect": "ThrottlingException", "headers": {"retry-after": asked}}])
    began = datetime.now(UTC)
    _, out, _ = ran(3, "--json")
    document = orjson.loads(out)
    assert document["error_code"] == "quota_used_up"
    late = datetime.fromisoformat(document["retry_after"]) - began - timedelta(seconds=seconds)
    assert timedelta() <= late < timedelta(minutes=1)


def test_the_reason_that_most_records_failed_for_is_said_at_the_end(
    ran: Ran, double: BedrockDouble
) -> None:
    double.faults(
        [
            {"prompt": "text 0", "effect": "ValidationException", "message": "text 0 is too odd"},
            {"effect": "ValidationException", "message": "top_k \x1b[31m must be even"},
        ]
    )
    _, _, error = ran(3)
    (line,) = [each for each in error.splitlines() if each.startswith("error:")]
    assert "every record failed: see failures.jsonl; 2 of 3 with rejected:" in line
    assert "must be even" in line
    assert "\x1b" not in line


def test_some_failures_have_their_reason_too(ran: Ran, double: BedrockDouble) -> None:
    double.faults([{"prompt": "text 1", "effect": "ValidationException", "message": "odd words"}])
    _, _, error = ran(3)
    (line,) = [each for each in error.splitlines() if each.startswith("most often:")]
    assert "1 of 1 with rejected:" in line
    assert "odd words" in line


def test_no_bill_is_spoken_of_where_nothing_bills(ran: Ran, double: BedrockDouble) -> None:
    double.faults([{"prompt": "text 1", "effect": "no_usage"}])
    _, out, _ = ran(3)
    assert "bills nothing" in out
    assert "billed" not in out
    assert "tokens unknown: 1 call of which the server gave no usage, at no cost" in out


def test_calls_of_models_that_bill_are_presumed_beside_others() -> None:
    steps = {
        "free": StepTotals(model="openai/m", calls=3, presumed=2),
        "paid": StepTotals(model="n", calls=3, presumed=1, presumed_nano=10**9),
    }
    presumed, unknown = count_lines(Progress(steps=steps))
    assert presumed == "presumed: 1 call that may have been billed, counted with $1.00"
    assert unknown.startswith("tokens unknown: 2 calls")


def test_a_reason_is_short_and_damaged_lines_are_no_reason() -> None:
    long = orjson.dumps({"kind": "rejected", "message": "a\n" * 1000})
    lines = b"\n".join([b"{", b"[]", b'{"kind": "x"}', long, long])
    reason = common_reason(BytesIO(lines))
    assert reason.startswith("2 of 2 with rejected: a a a")
    assert len(reason) <= len("2 of 2 with ") + MAX_CHARACTERS
    assert common_reason(BytesIO()) == ""


def test_workers_and_shards_without_effect_are_said(ran: Ran) -> None:
    ran(3)
    says = "the dataset has 1 part, as it was begun"
    _, _, error = ran(3, "--workers", "4")
    assert f"4 workers were asked for and at most 1 could work: {says}" in error
    _, _, error = ran(3, "--shards", "2")
    assert f"2 shards were asked for without effect: {says}" in error
    _, _, error = ran(3)
    assert says not in error


# ── a template that names no model ─────────────────────────────────────────────────────────────


@pytest.fixture
def api(tmp_path: Path, clock: ManualClock) -> Iterator[Api]:
    """What `serve --backend openai` answers with."""
    service = local_api(
        tmp_path / "data",
        models=NoModels(),
        provider="openai",
        prices=Backend("openai", "http://127.0.0.1:8000/v1").prices(),
        base_url=BASE_URL,
        on_launch=lambda _item: None,
        clock=clock,
    )
    with closing(service):
        yield Api(service.api)


def test_a_job_may_name_the_model_that_its_template_leaves_open(api: Api) -> None:
    created = api.post("/templates", template())
    assert created.status == 201, created
    order = {"template_id": created.body["template_id"], "num_records": 1}
    named = api.post("/jobs", {**order, "budget_limit": 1, "model": "m"})
    assert named.status == 201, named

    open_still = api.post("/jobs", {**order, "budget_limit": 1})
    assert open_still.status == 400
    assert "name one, by --model" in open_still.body["error"]["message"]


def test_what_a_job_could_not_mend_is_refused_with_the_template(api: Api) -> None:
    for wrong in ({"model_tier": "best-of-all"}, {"model": "bedrock/unknown-model"}):
        assert api.post("/templates", template(**wrong)).status == 400
