"""A server that answers what would make a client write to other places than its user named."""

from pathlib import Path
from typing import Any

import pytest

from runtime.cli.main import run
from runtime.client.api_client import Client
from runtime.domain.errors import ConfigurationError, InputError
from tests.fixtures.fake_api import JOB, FakeApi
from tests.fixtures.hostile_api import DOWNLOAD, file, page
from tests.fixtures.scripted_server import Script


@pytest.fixture
def api(fake_api: FakeApi) -> FakeApi:
    return fake_api


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("out", [None, "out"])
def test_e8_a_folder_has_the_name_that_was_typed(
    api: FakeApi, tmp_path: Path, out: str | None
) -> None:
    for answered in ("../../victim", "/srv/victim", "", None, "a\x1bb"):
        api.usual[DOWNLOAD] = Script(body=page([file(api)], job_id=answered))
        api.usual["GET /objects/0"] = Script(body=b"{}\n")
        more = [] if out is None else ["--out", out]
        before = everything(tmp_path.parent)
        assert run(["download", JOB, *more]) == 0
        written = {each.partition("/")[2] for each in everything(tmp_path.parent) - before}
        assert written <= {f"{out or f'datasets/{JOB}'}/dataset.jsonl"}
    api.usual["GET /jobs/x%2F..%2F..%2Fvictim/download"] = api.usual[DOWNLOAD]
    client = Client(url=api.server.url, token="token")  # noqa: S106
    with pytest.raises(InputError, match="is not the id of a job"):
        client.download("x/../../victim")


@pytest.mark.parametrize(
    "name",
    [
        "../dataset.jsonl",
        "/srv/dataset.jsonl",
        "exports/../../victim.jsonl",
        "exports/.bashrc",
        "exports/-rf.csv",
        "exports/a/b/dataset.jsonl",
        "exports/dataset.sh",
        "exports/dataset.jsonl\n",
        "exports/da\x1btaset.jsonl",
        "exports//dataset.jsonl",
        "exports/c:\\dataset.jsonl",
        "dataset.partial.jsonl",
        "",
        3,
        None,
    ],
)
def test_e8_only_files_that_a_dataset_has_are_written(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: Any
) -> None:
    before = everything(tmp_path)
    api.usual[DOWNLOAD] = Script(body=page([file(api, name)]))
    assert run(["download", JOB, "--out", "out"]) == 2
    assert "which is refused" in capsys.readouterr().err
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1:1/x",
        "http://169.254.169.254/latest/meta-data",
        "https://user:secret@e.com/x",
        "/objects/0",
        "http://[",
        "",
    ],
)
def test_e8_a_url_is_https_or_the_servers_own(
    api: FakeApi, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    api.usual[DOWNLOAD] = Script(body=page([file(api, url=url)]))
    assert run(["download", JOB, "--out", "out"]) == 2
    assert "neither HTTPS nor its own" in capsys.readouterr().err

    upload = api.usual["POST /seed-data/upload-url"].body
    api.usual["POST /seed-data/upload-url"] = Script(body={**upload, "url": url})
    assert run(["seeds", "upload", "seeds.jsonl"]) == 2
    assert "neither HTTPS nor its own" in capsys.readouterr().err


def test_e8_redirects_are_not_followed_and_files_end_where_they_should(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.usual[DOWNLOAD] = Script(body=page([file(api)]))
    api.usual["GET /objects/0"] = Script(status=302, headers={"location": "/objects/1"})
    assert run(["download", JOB, "--out", "out"]) == 2
    api.usual["GET /objects/0"] = Script(body=b"{}\n" * 9)
    assert run(["download", JOB, "--out", "out"]) == 1
    assert "longer than the API said" in capsys.readouterr().err
    assert not everything(tmp_path / "out")
    assert not api.asked("GET /objects/1")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "text",
        page([{}]),
        page([3]),  # type: ignore[list-item]
        {**page([]), "files": {"kind": "x"}},
        {**page([]), "status": "[/x]"},
    ],
)
def test_e8_an_answer_of_another_shape_is_one_line(
    api: FakeApi, capsys: pytest.CaptureFixture[str], body: Any
) -> None:
    api.usual[DOWNLOAD] = api.usual[f"GET /jobs/{JOB}"] = Script(body=body)
    for command in (["download", JOB], ["status", JOB], ["cancel", JOB], ["jobs"]):
        api.usual["GET /jobs"] = api.usual[f"DELETE /jobs/{JOB}"] = Script(body=body)
        assert run(command) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(ConfigurationError):
        Client(url=api.server.url, token="token").job(JOB)  # noqa: S106


def test_g6_failures_of_before_go_when_there_are_none(api: FakeApi, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "failures.partial.jsonl").write_text("old\n")
    batch = file(api, "outputs/batch-0001.jsonl", kind="batch", size=99)
    api.usual[DOWNLOAD] = Script(body=page([batch], status="RUNNING", complete=False))
    api.usual["GET /objects/0"] = Script(body=b'{"index": 0}\n')
    assert run(["download", JOB, "--out", "out"]) == 0
    assert everything(out) == {"dataset.partial.jsonl"}
