"""`seedwright export JOB` and `Client.export`: what they ask the API for, and what they say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.cli.main import run
from runtime.client import watching
from runtime.client.api_client import Client
from runtime.domain.errors import InputError, UnclearOutputError
from tests.fixtures.fake_api import JOB, TIME, FakeApi, job_document
from tests.fixtures.scripted_server import Script, scripted_server

EXPORT = f"POST /jobs/{JOB}/export"
TEMPLATE: dict[str, Any] = {
    "name": "t",
    "steps": [{"id": "a", "prompt": "Say {{ topic }}.", "model_tier": "cheap"}],
    "output": {"messages": [{"role": "assistant", "content": "steps.a.output"}]},
}


def exported(status: str, **more: Any) -> Script:
    export = {
        "status": status,
        "folder": "messages",
        "records": 4,
        "rows": 0,
        "message": None,
        "code": None,
        "requested_at": TIME,
        "ended_at": None,
        **more,
    }
    return Script(status=202, body=job_document("COMPLETED", 4, export=export))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.setattr(watching, "FIRST_INTERVAL_SECONDS", 0.001)
    with scripted_server() as server:
        monkeypatch.setenv("SEEDWRIGHT_API_URL", server.url)
        monkeypatch.setenv("SEEDWRIGHT_TOKEN", "token")
        api = FakeApi(server)
        api.usual[EXPORT] = exported("QUEUED")
        yield api


def test_the_command_asks_for_what_its_options_say(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(orjson.dumps(TEMPLATE))
    options = ["--template", str(path), "--split", "test=0.1,dev=0.2", "--split-by", "seed.topic"]
    more = ["--format", "csv", "--bom", "--keep", "topic,record.id", "--licence", "mit"]
    assert run(["export", JOB, *options, *more]) == 0
    (asked,) = api.asked(EXPORT)
    body = asked.json
    assert body.pop("template")["output"] == TEMPLATE["output"]
    assert body == {
        "split": {"test": 0.1, "dev": 0.2},
        "split_by": "seed.topic",
        "formats": ["CSV"],
        "byte_order_mark": True,
        "keep": ["topic", "record.id"],
        "licence": "mit",
    }
    said = capsys.readouterr().out
    assert "export to messages/ QUEUED" in said
    assert f"next: seedwright watch {JOB}" in said

    assert run(["export", JOB, "--as", "messages", "--split", "none"]) == 0
    assert api.asked(EXPORT)[-1].json == {"shape": "messages", "split": "none"}


def test_a_watch_waits_for_the_rows(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers[f"GET /jobs/{JOB}"] = [exported("RUNNING")]
    api.usual[f"GET /jobs/{JOB}"] = exported("COMPLETED", rows=3)
    assert run(["export", JOB, "--as", "messages", "--watch"]) == 0
    assert "export to messages/ COMPLETED, 3 rows" in capsys.readouterr().out
    assert len(api.asked(f"GET /jobs/{JOB}")) == 2
    api.usual[f"GET /jobs/{JOB}"] = exported("FAILED", message="the seeds are gone")
    assert run(["export", JOB, "--as", "messages", "--watch"]) == 1
    assert "FAILED, 4 records: the seeds are gone" in capsys.readouterr().out


def test_what_is_for_the_other_of_folder_and_job_is_refused(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", JOB, "--review", "form.csv"]) == 2
    assert "--review is for a folder" in capsys.readouterr().err
    assert run(["export", str(tmp_path), "--watch"]) == 2
    assert "--watch is for a job" in capsys.readouterr().err
    assert not api.asked(EXPORT)


def unclear(*details: tuple[str, str]) -> Script:
    listed = [{"field": place, "message": told} for place, told in details]
    error = {"code": "invalid_input", "message": "fill in the block", "details": listed}
    return Script(status=400, body={"error": error})


@pytest.mark.parametrize("more", [[], ["--json"], ["--watch"]])
def test_a_shape_that_is_not_certain_prints_the_block_to_fill_in(
    api: FakeApi, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """As a folder does; a terminal gets none of a server's control characters."""
    block = "# seed fields: seed.topic\noutput:\n  messages: FILL IN"
    api.usual[EXPORT] = unclear(("output", f"{block}\x1b[2J"))
    assert run(["export", JOB, "--as", "messages", *more]) == 2
    said = capsys.readouterr()
    assert said.out.startswith(block)
    assert "\x1b" not in said.out
    assert "fill in the block" in said.err
    client = Client(url=api.server.url, token="token")  # noqa: S106
    with pytest.raises(UnclearOutputError) as raised:
        client.export(JOB, "messages")
    assert raised.value.block.startswith(block)


@pytest.mark.parametrize(
    "details", [[("output", "is no mapping")], [("shape", "a\nb")], [("output", "a\nb")] * 2, []]
)
def test_what_is_no_block_is_not_printed(
    api: FakeApi, capsys: pytest.CaptureFixture[str], details: list[tuple[str, str]]
) -> None:
    api.usual[EXPORT] = unclear(*details)
    assert run(["export", JOB, "--as", "messages"]) == 2
    assert capsys.readouterr().out == ""


def test_python_asks_for_the_same(api: FakeApi) -> None:
    client = Client(url=api.server.url, token="token")  # noqa: S106
    job = client.export(JOB, "messages", split={"test": 0.5}, formats="csv", keep="topic")
    assert job.exporting
    assert job.export is not None
    assert job.export["folder"] == "messages"
    client.export(JOB, template=TEMPLATE)
    first, second = (each.json for each in api.asked(EXPORT))
    assert first == {
        "shape": "messages",
        "split": {"test": 0.5},
        "formats": ["CSV"],
        "keep": ["topic"],
    }
    assert [*second] == ["template"]
    with pytest.raises(InputError):
        client.export(JOB, split="test")
