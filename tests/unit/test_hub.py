"""Datasets on the Hub, pushed by the command and by Python to a double of it on loopback."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from io import StringIO
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from huggingface_hub import constants

import seedwright
from runtime.cli.main import run
from runtime.datasets.dataset import Dataset
from runtime.datasets.folder import DatasetFolder
from runtime.hub.target import read_target
from seedwright import (
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    NotFoundError,
    SeedwrightError,
    StorageError,
    StorageUnavailableError,
    UnauthenticatedError,
)
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import REPOSITORY, environment
from tests.fixtures.hub_double import TOKEN, HubDouble, Repository, hub_double
from tests.fixtures.kept.kept import COMMITS, unpack

REPO = "ada/reviews"
CARD = b"---\npretty_name: Reviews\n---\nMade by a test.\n"
FIRST = "data/train-00000-of-00002.parquet"
SECOND = "data/train-00001-of-00002.parquet"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    """The Hub of the environment, with a token for it; large files go by LFS, which the double
    has. Waits between attempts take no time.
    """
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    waits = SimpleNamespace(sleep=lambda _seconds: None)
    monkeypatch.setattr("huggingface_hub.utils._http.time", waits)
    with hub_double() as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        yield double


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a dataset leaves, and what is never pushed."""
    path = tmp_path / "reviews"
    for name in ("data", "data-jsonl", "notes"):
        (path / name).mkdir(parents=True)
    for name, content in {
        "README.md": CARD,
        FIRST: b"first" * 50_000,
        SECOND: b"second" * 50_000,
        "data-jsonl/train.jsonl": b'{"text":"a"}\n',
        "data/mine.txt": b"private",
        "report.html": b"<p>",
        "dataset.jsonl": b"private",
        "failures.jsonl": b"private",
        "notes/todo.md": b"private",
    }.items():
        (path / name).write_bytes(content)
    return path


PUSHED = {"README.md", FIRST, SECOND, "data-jsonl/train.jsonl", "report.html"}


def files_of(hub: HubDouble, branch: str = "main") -> dict[str, bytes]:
    return hub.repositories[REPO].branches[branch]


def dataset_in(folder: Path) -> Dataset:
    return Dataset(path=folder, files=(), report={})


# ── the command ────────────────────────────────────────────────────────────────────────────────


def test_card_rows_and_report_are_pushed_and_nothing_else(
    hub: HubDouble, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", str(folder), REPO, "--message", "First"]) == 0
    assert files_of(hub) == {name: (folder / name).read_bytes() for name in PUSHED}
    assert hub.repositories[REPO].private
    assert hub.repositories[REPO].messages == ["First"]
    assert hub.tokens == {TOKEN}
    shown = capfd.readouterr()
    assert "not pushed: data/mine.txt, dataset.jsonl, failures.jsonl, notes/" in shown.err
    assert shown.err.startswith(f"5 files, 550.1 KB, to {hub.url}/datasets/{REPO}\n")
    assert f"sending {FIRST}\n" in shown.err
    assert shown.out.splitlines()[-1] == f"{hub.url}/datasets/{REPO} (private)"
    assert TOKEN not in shown.out + shown.err
    assert "HTTP" not in shown.err  # of huggingface_hub's own words there is none


def test_the_same_push_sends_nothing_again(
    hub: HubDouble, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", str(folder), REPO]) == 0
    hub.requests.clear()
    capfd.readouterr()
    assert run(["push", str(folder), REPO, "--json"]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    document = orjson.loads(shown.out)
    assert {each["name"] for each in document["files"]} == PUSHED
    assert not any(each["sent"] for each in document["files"])
    assert set(hub.requests) == {"GET datasets"}
    assert len(hub.repositories[REPO].messages) == 1


def test_older_parts_of_the_rows_go_and_what_others_put_there_stays(
    hub: HubDouble, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", str(folder), REPO]) == 0
    own = {"LICENSE", "data/mine.parquet", "data-jsonl/words.jsonl"}
    own |= {"old/train-00000-of-00001.parquet"}
    files_of(hub).update(dict.fromkeys(own, b"of the user"))
    (folder / SECOND).unlink()
    (folder / FIRST).rename(folder / "data/train-00000-of-00001.parquet")
    (folder / "data-jsonl/train.jsonl").unlink()
    capfd.readouterr()
    assert run(["push", str(folder), REPO, "--json"]) == 0
    gone = {FIRST, SECOND, "data-jsonl/train.jsonl"}
    assert set(orjson.loads(capfd.readouterr().out)["removed"]) == gone
    assert set(files_of(hub)) == {
        *(PUSHED - gone),
        *own,
        "data/train-00000-of-00001.parquet",
    }
    assert len(hub.repositories[REPO].messages) == 2  # rows came and went in one commit


def test_a_branch_is_created_and_public_is_asked_for(hub: HubDouble, folder: Path) -> None:
    assert run(["push", str(folder), REPO, "--public", "--revision", "v2"]) == 0
    assert not hub.repositories[REPO].private
    assert files_of(hub) == {}
    assert set(files_of(hub, "v2")) == PUSHED


def test_nothing_goes_where_everybody_reads_unless_it_is_asked_for(
    hub: HubDouble, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories[REPO] = Repository(private=False)
    assert run(["push", str(folder), REPO]) == 2
    assert "everybody can read it: push with --public" in capsys.readouterr().err
    assert files_of(hub) == {}
    assert run(["push", str(folder), REPO, "--public"]) == 0


def test_a_private_repository_is_never_made_public(
    hub: HubDouble, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories[REPO] = Repository(private=True)
    assert run(["push", str(folder), REPO, "--public"]) == 0
    assert "stays private" in capsys.readouterr().err
    assert hub.repositories[REPO].private


def test_a_link_gives_nothing_away(hub: HubDouble, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"private")
    (folder / "data/test-00000-of-00001.parquet").symlink_to(secret)
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(secret)
    (folder / "more").symlink_to(folder / "data")
    assert run(["push", str(folder), REPO]) == 0
    assert set(files_of(hub)) == PUSHED - {"report.html"}


# ── going on, and failures of the Hub ──────────────────────────────────────────────────────────


def test_a_push_that_was_cut_goes_on_with_the_rest(hub: HubDouble, folder: Path) -> None:
    second = (folder / SECOND).read_bytes()
    cut = f"/signed/{sha256(second).hexdigest()}"
    hub.faults[cut] = ["cut"] * 6  # as often as huggingface_hub tries
    seen: list[tuple[int, int]] = []
    with pytest.raises(StorageUnavailableError, match="what has arrived is not sent a second time"):
        dataset_in(folder).push_to_hub(REPO, on_progress=lambda *counts: seen.append(counts))
    assert files_of(hub) == {}  # all or nothing is to be seen
    assert hub.requests["bytes of large files"] == 250_000
    total = sum((folder / name).stat().st_size for name in PUSHED)
    assert all(0 <= done <= total == of for done, of in seen)
    assert any(later < earlier for (earlier, _), (later, _) in pairwise(seen))
    seen.clear()
    dataset_in(folder).push_to_hub(REPO, on_progress=lambda *counts: seen.append(counts))
    assert hub.requests["bytes of large files"] == 250_000 + len(second)
    assert set(files_of(hub)) == PUSHED
    assert seen[-1] == (total, total)


def test_one_failure_of_the_hub_is_none_of_the_user(
    hub: HubDouble, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = StringIO()  # huggingface_hub would tell of each attempt, with signed URLs
    for handler in logging.getLogger("huggingface_hub").handlers:
        monkeypatch.setattr(handler, "stream", written)
    hub.faults["preupload"] = [500]
    hub.faults["lfs/objects/batch"] = [503]
    dataset_in(folder).push_to_hub(REPO)
    assert set(files_of(hub)) == PUSHED
    assert written.getvalue() == ""
    logging.getLogger("huggingface_hub").warning("of somebody else")
    assert written.getvalue() == "of somebody else\n"


ECHO = {"error": f"no: {TOKEN} \x1b[2J {'x' * 5000}"}


@pytest.mark.parametrize(
    ("place", "status", "kind", "words"),
    [
        ("repos/create", 401, UnauthenticatedError, "hf auth login"),
        ("repos/create", 403, ForbiddenError, "may not write to ada/reviews: give it write access"),
        ("/revision/main", 404, NotFoundError, "choose another one"),
        ("/commit/", 409, ConflictError, "changed meanwhile: push again"),
        ("/commit/", 412, ConflictError, "changed meanwhile: push again"),
        ("/commit/", 429, LimitError, "wait, then push again"),
        ("/commit/", 400, InputError, "correct it and push again"),
        ("/commit/", 502, StorageUnavailableError, "wait, then push again"),
        ("/signed/", 403, ForbiddenError, "may not write"),
    ],
)
def test_a_refusal_says_what_to_do(
    hub: HubDouble,
    folder: Path,
    place: str,
    status: int,
    kind: type[SeedwrightError],
    words: str,
) -> None:
    if place == "/revision/main":  # the repository is there, and is not a dataset
        hub.repositories[REPO] = Repository(private=True)
    hub.faults[place] = [(status, ECHO)] * 9
    with pytest.raises(kind) as caught:
        dataset_in(folder).push_to_hub(REPO)
    text = str(caught.value)
    assert type(caught.value) is kind
    assert words in text
    assert TOKEN not in text
    assert text.isprintable()
    assert len(text) < 700
    assert caught.value.__cause__ is caught.value.__context__ is None  # it would quote signed URLs


NO_HUB = {
    "no JSON": b"<html>",
    "a list": b"[]",
    "null": b"null",
    "nothing in it": b"{}",
    "other types": b'{"id": 7, "sha": null, "private": "no", "tags": 5, "files": 1}',
    "no end": b'"' + b"x" * (17 << 20) + b'"',
}


@pytest.mark.parametrize("place", ["/revision/main", "/tree/", "/preupload/", "/commit/"])
def test_what_is_no_hub_is_said_to_be_none(hub: HubDouble, folder: Path, place: str) -> None:
    for name, answer in NO_HUB.items():
        hub.repositories[REPO] = Repository(private=True)
        if place == "/tree/" and name in {"a list", "nothing in it"}:
            continue  # a repository without files
        hub.faults[place] = [(200, answer)]
        with pytest.raises(SeedwrightError) as caught:
            dataset_in(folder).push_to_hub(REPO)
        assert type(caught.value) is StorageError, name
        assert ("without an end" in str(caught.value)) == (name == "no end")
        assert "check the endpoint" in str(caught.value)
        assert len(str(caught.value)) < 200


def test_nobody_there(hub: HubDouble, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.server.shutdown()
    hub.server.server_close()
    assert run(["push", str(folder), REPO]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: the connection to {hub.url} failed: check the network")


# ── tokens ─────────────────────────────────────────────────────────────────────────────────────


def test_without_a_token_it_is_said_how_to_get_one(
    hub: HubDouble, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UnauthenticatedError, match=r"/settings/tokens, then set HF_TOKEN or run"):
        dataset_in(folder).push_to_hub(REPO)
    assert not hub.requests


def test_the_token_that_is_stored_is_taken_and_one_that_is_given_goes_before_it(
    hub: HubDouble, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    dataset_in(folder).push_to_hub(REPO)
    (tmp_path / "token").write_text("another", encoding="utf-8")
    dataset_in(folder).push_to_hub(REPO, token=TOKEN)
    assert hub.tokens == {TOKEN}


# ── what is refused before anything is sent ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "repo", ["reviews", "a/b/c", "/x", "ada/", "ada/a b", "ada/../x", "ada/a--b", "ada/x.git", 7]
)
def test_a_name_that_the_hub_does_not_take(hub: HubDouble, folder: Path, repo: Any) -> None:
    with pytest.raises(InputError, match="name"):
        dataset_in(folder).push_to_hub(repo)
    assert not hub.requests


@pytest.mark.parametrize(
    "url", ["http://hub.example", "ftp://x", "hub", "https://u:p@h", "https://[x"]
)
def test_a_token_is_sent_to_no_such_endpoint(url: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint"):
        read_target(REPO, {"HF_ENDPOINT": url})


def test_the_public_hub_is_where_it_goes_by_itself() -> None:
    target = read_target(REPO, {})
    assert (target.url, target.private) == (f"https://huggingface.co/datasets/{REPO}", True)


@pytest.mark.parametrize("options", [{"revision": "a b"}, {"revision": "a..b"}, {"message": " "}])
def test_other_options_are_checked(options: dict[str, str]) -> None:
    with pytest.raises(InputError):
        read_target(REPO, {}, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["README.md", "data"])
def test_no_card_or_no_rows(hub: HubDouble, folder: Path, missing: str) -> None:
    (folder / missing).rename(folder / "elsewhere.d")
    if missing == "data":
        for each in (folder / "elsewhere.d").glob("*.parquet"):
            each.unlink()
    with pytest.raises(
        InputError, match=r"has no .*: put the card there as README\.md, and the rows as data/"
    ):
        dataset_in(folder).push_to_hub(REPO)
    assert not hub.requests


def test_what_a_refused_push_says_to_run_is_what_it_takes(
    hub: HubDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dataset of before there were rows."""
    unpack(COMMITS[-1], "datasets", tmp_path)
    out = tmp_path / "complete"
    assert run(["push", str(out), REPO]) == 2
    said = capsys.readouterr().err
    assert f"`seedwright export {out} --as columns`" in said
    assert run(["export", str(out), "--as", "columns"]) == 0
    assert run(["push", str(out), REPO]) == 0
    assert set(files_of(hub)) == {"README.md", "columns/train-00000-of-00001.parquet"}


def test_every_configuration_is_pushed_and_what_is_not_is_named(
    hub: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its splits and its copies as text; a later push takes back what is there no more."""
    pair = {name: {"type": "string"} for name in ("question", "answer")}
    schema = {"type": "object", "properties": pair, "required": list(pair)}
    step = {
        "id": "ask",
        "prompt": "Ask {{ index }} about {{ topic }}.",
        "output_schema": {**schema, "additionalProperties": False},
    }
    template = {"name": "pairs", "steps": [step], "split": {"test": 0.5}}
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        model: dict[str, Any] = {"backend": "bedrock", "model": "openai.gpt-oss-20b-1:0"}
        seeds = [{"topic": "tea"}]
        dataset = seedwright.generate(template, n=6, out=tmp_path, seeds=seeds, **model)
    dataset.export("messages", formats=["jsonl", "csv"])
    (tmp_path / "messages-csv" / "mine.csv").write_bytes(b"private")
    (tmp_path / "mine-jsonl").mkdir()
    (tmp_path / "mine-jsonl" / "train.jsonl").write_bytes(b"private")

    pushed = dataset.push_to_hub(REPO)

    parts = [f"{split}-00000-of-00001.parquet" for split in ("test", "train")]
    rows = {f"{folder}/{part}" for folder in ("data", "messages") for part in parts}
    texts = [f"{split}.{text}" for text in ("csv", "jsonl") for split in ("test", "train")]
    copies = {f"messages-{name.rpartition('.')[2]}/{name}" for name in texts}
    own = {f"data-jsonl/{split}.jsonl" for split in ("test", "train")}
    assert set(files_of(hub)) == {"README.md", "report.html", *rows, *own, *copies}
    assert pushed.left_out == (
        *(".seedwright/", "dataset.jsonl", "dataset.parquet"),
        *("messages-csv/mine.csv", "mine-jsonl/"),
    )

    dataset.export("messages", split="none")
    assert set(dataset.push_to_hub(REPO).removed) == {f"messages/{parts[0]}", *copies}


def test_no_folder(hub: HubDouble, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["push", "nowhere", REPO]) == 2
    assert "nowhere is not the folder of a dataset" in capsys.readouterr().err
    assert not hub.requests


def test_without_the_extra_it_is_said_how_to_install_it(
    hub: HubDouble, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("runtime.hub.uploads", "runtime.hub.session", "runtime.hub.failures"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigurationError, match=r'pip install "seedwright\[hub\]"'):
        dataset_in(folder).push_to_hub(REPO)
    assert not hub.requests


# ── a dataset that was generated here ──────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that an earlier commit has generated: one that was stopped, one that is complete."""
    path = tmp_path_factory.mktemp("generated")
    unpack(COMMITS[-1], "datasets", path)
    for name in ("stopped", "complete"):
        (path / name / "README.md").write_bytes(CARD)
        (path / name / "data").mkdir()
        (path / name / "data/train-00000-of-00001.parquet").write_bytes(b"rows")
    return path


def test_a_dataset_that_is_complete_is_pushed_without_a_word(
    hub: HubDouble, generated: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = generated / "complete"
    pushed = dataset_in(out).push_to_hub(REPO)
    assert pushed.url == f"{hub.url}/datasets/{REPO}"
    assert set(files_of(hub)) == {"README.md", "data/train-00000-of-00001.parquet"}
    assert {".seedwright/", "dataset.jsonl"} <= set(pushed.left_out)
    assert capfd.readouterr() == ("", "")
    taken = pytest.raises(ConfigurationError, match="another process is generating")
    with DatasetFolder(out).locked(), taken:
        dataset_in(out).push_to_hub(REPO)


def test_a_dataset_that_is_not_complete_stays_at_home(hub: HubDouble, generated: Path) -> None:
    out = generated / "stopped"
    (out / "dataset.partial.jsonl").write_bytes(b"{}\n")
    for _ in range(2):
        with pytest.raises(InputError, match="is not complete: before a push run `seedwright resu"):
            dataset_in(out).push_to_hub(REPO)
        (out / "dataset.partial.jsonl").unlink(missing_ok=True)  # its job says the same
    assert not hub.requests


def test_what_the_progress_function_raises_is_raised(hub: HubDouble, folder: Path) -> None:
    def stop(done: int, total: int) -> None:
        if 0 < done < total:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        dataset_in(folder).push_to_hub(REPO, on_progress=stop)
    assert files_of(hub) == {}


def test_the_client_of_the_hub_is_imported_by_a_push_alone() -> None:
    code = (
        "import sys, seedwright, runtime.cli.commands.push; seedwright.Dataset\n"
        "sys.exit('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment(), check=False
    )
    assert done.returncode == 0
