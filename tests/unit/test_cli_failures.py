"""B2: `--max-failures` decides whether failed records are an error, and nothing else."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from runtime.cli.main import run
from runtime.client import watching
from runtime.domain.errors import InputError
from runtime.inputs.options import read_share, share_text
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import generate_arguments, write_inputs
from tests.fixtures.fake_api import JOB, FakeApi, job_document
from tests.fixtures.scripted_server import Script, scripted_server

RECORDS = 20


@pytest.mark.parametrize(
    ("text", "share"),
    [("10%", "0.1"), ("0.1", "0.1"), (" 12.5 %", "0.125"), ("0", "0"), ("1", "1"), ("100%", "1")],
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, share: str) -> None:
    assert read_share(text) == Decimal(share)


@pytest.mark.parametrize("text", ["", "%", "10", "101%", "-1%", "ten", "nan", "inf", "1e400%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"give a share such as 10% or 0\.1"):
        read_share(text)


@pytest.mark.parametrize(
    ("share", "text"), [("0.1", "10%"), ("0.125", "12.5%"), ("1", "100%"), ("0.33333", "33.3%")]
)
def test_a_share_for_people(share: str, text: str) -> None:
    assert share_text(Decimal(share)) == text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_b2_more_failures_than_allowed_have_an_exit_code_of_their_own(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        double.faults([{"effect": "ValidationException", "every": 4}])

        assert run(generate_arguments(RECORDS)) == 4
        said = capsys.readouterr()
        assert "error: 5 of 20 records failed: 25%, and --max-failures allows 10%" in said.err
        listed = "why records failed: out/failures.jsonl"
        assert listed in said.err
        assert "--retry-failed tries" in said.err
        assert "a larger --max-failures accepts them" in said.err
        assert "15 of 20 records, 5 failed" in said.out

        for given, code in (("24.9%", 4), ("0.25", 0), ("25%", 0), ("0", 4)):
            assert run(generate_arguments(RECORDS, "--json", "--max-failures", given)) == code
            report = orjson.loads(capsys.readouterr().out)
            assert (report["status"], report["failed"]) == ("COMPLETED", 5)
            assert run(["resume", "out", "--json", "--max-failures", given]) == code
            capsys.readouterr()
        assert run(generate_arguments(RECORDS, "--max-failures", "30")) == 2
        assert double.calls == RECORDS
    assert (folder / "out" / "dataset.jsonl").exists()


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(watching, "FIRST_INTERVAL_SECONDS", 0.001)
    with scripted_server() as server:
        monkeypatch.setenv("SEEDWRIGHT_API_URL", server.url)
        monkeypatch.setenv("SEEDWRIGHT_TOKEN", "token")
        yield FakeApi(server)


def test_b2_a_watch_ends_as_generate_does(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    ended = Script(body=job_document("COMPLETED", 3, failed_records=1))
    api.usual[f"GET /jobs/{JOB}"] = ended

    assert run(["watch", JOB]) == 4
    said = capsys.readouterr().err
    assert "error: 1 of 4 records failed: 25%, and --max-failures allows 10%" in said
    assert f"next: seedwright resume {JOB} --retry-failed" in said
    assert run(["watch", JOB, "--max-failures", "25%"]) == 0

    api.usual[f"POST /jobs/{JOB}/resume"] = ended
    more = ["-n", "9", "--retry-failed", "--budget", "2", "--watch", "--max-failures", "0.3"]
    assert run(["resume", JOB, *more]) == 0
    (asked,) = api.asked(f"POST /jobs/{JOB}/resume")
    assert asked.json == {"num_records": 9, "retry_failed": True, "budget_limit": "2"}
    assert run(["resume", JOB, "--concurrency", "3"]) == 2
