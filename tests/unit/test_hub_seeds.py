"""Seeds from datasets of the Hub, fetched from a double of it on loopback."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

import seedwright
from runtime.cli.main import run
from runtime.domain.seeds import seeds as limits
from runtime.hub.repository import choose_files
from runtime.inputs.seeds import read_seeds
from seedwright import (
    ForbiddenError,
    InputError,
    NotFoundError,
    SeedError,
    SeedwrightError,
    StorageUnavailableError,
    UnauthenticatedError,
)
from tests.fixtures.command import write_inputs
from tests.fixtures.hub_double import TOKEN, HubDouble, Repository, hub_double

CARD = b"""\
---
configs:
- config_name: de
  data_files:
  - {split: train, path: "deutsch/train*"}
  - {split: test, path: deutsch/rest.jsonl}
- config_name: default
  data_files: all.csv
---
"""


def parquet(topic: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"topic": [topic]}), sink)
    return sink.getvalue()


def files() -> dict[str, bytes]:
    return {
        "data/train-00000-of-00002.parquet": parquet("one"),
        "data/train-00001-of-00002.parquet": parquet("two"),
        "data/test-00000-of-00001.parquet": parquet("three"),
        "more/x.jsonl.gz": gzip.compress(b'{"topic":"packed"}\n'),
        "dataset_infos.json": b"{}",
        "README.md": b"# Topics\n",
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    waits = SimpleNamespace(sleep=lambda _seconds: None)
    monkeypatch.setattr("huggingface_hub.utils._http.time", waits)
    with hub_double() as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        repository = Repository(private=True)
        repository.branches = {"main": files(), "v1": {"a.jsonl": b'{"topic":"old"}\n'}}
        double.repositories["ada/topics"] = repository
        yield double


def topics(source: str) -> list[Any]:
    return [row["topic"] for row in read_seeds(source, ("topic",)).rows]


@pytest.mark.usefixtures("hub")
def test_a_split_a_file_a_folder_and_a_revision_are_read() -> None:
    base = "hf://datasets/ada/topics"

    assert topics(base) == ["one", "two"]
    assert topics(f"{base}/test") == ["three"]
    assert topics(f"{base}/data/test") == ["three"]
    assert topics(f"{base}/data/train-00001-of-00002.parquet") == ["two"]
    assert topics(f"{base}/more") == ["packed"]
    assert topics(f"{base}@v1") == ["old"]


def test_the_commit_is_said_and_noted(hub: HubDouble, capsys: pytest.CaptureFixture[str]) -> None:
    head = hub.repositories["ada/topics"].head("main")

    assert run(["validate", "template.yaml", "--seeds", "hf://datasets/ada/topics"]) == 0
    out = capsys.readouterr().out
    found = read_seeds("hf://datasets/ada/topics", ("topic",))

    assert "hf://datasets/ada/topics: 2 seeds, each has what the template needs" in out
    assert f"data/train-00001-of-00002.parquet, at revision {head}" in out
    assert [each["revision"] for each in found.made_of["sources"]] == [head, head]


def test_the_card_says_what_a_config_is(hub: HubDouble) -> None:
    hub.repositories["ada/topics"].branches["main"] = {
        "README.md": CARD,
        "deutsch/train-1.jsonl": b'{"topic":"eins"}\n',
        "deutsch/train-2.jsonl": b'{"topic":"zwei"}\n',
        "deutsch/rest.jsonl": b'{"topic":"drei"}\n',
        "all.csv": b"topic\nall\n",
    }

    assert topics("hf://datasets/ada/topics") == ["all"]
    assert topics("hf://datasets/ada/topics/de") == ["eins", "zwei"]
    assert topics("hf://datasets/ada/topics/de/test") == ["drei"]


def test_anybody_reads_what_is_public_and_nobody_else_what_is_private(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(NotFoundError, match="for one that is private set HF_TOKEN"):
        topics("hf://datasets/ada/topics")

    hub.repositories["ada/topics"].private = False
    assert topics("hf://datasets/ada/topics") == ["one", "two"]
    assert hub.tokens == {""}

    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UnauthenticatedError, match="refused the token") as refused:
        topics("hf://datasets/ada/topics")
    assert "hf_wrong" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "error", "expected"),
    [
        ("hf://datasets/ada/other", NotFoundError, "no such dataset or revision"),
        ("hf://datasets/ada/topics@v9", NotFoundError, "no such dataset or revision"),
        ("hf://datasets/ada/topics/absent", InputError, "no such file, config or split: it has"),
        ("hf://datasets/ada", InputError, "not a name"),
        ("hf://datasets/ada/topics@..", InputError, "revision"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_what_the_hub_has_not_is_said(
    source: str, error: type[SeedwrightError], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        seedwright.validate("template.yaml", source)


@pytest.mark.parametrize(
    ("fault", "error"),
    [(403, ForbiddenError), ("cut", StorageUnavailableError), (503, StorageUnavailableError)],
)
def test_faults_of_the_hub_are_errors_of_the_tree(
    fault: Any, error: type[SeedwrightError], hub: HubDouble
) -> None:
    for part in ("/tree/", "/resolve/"):
        hub.faults = {part: [fault] * 30}
        with pytest.raises(error) as raised:
            topics("hf://datasets/ada/topics")
        assert "\n" not in str(raised.value)
        assert TOKEN not in str(raised.value)


@pytest.mark.usefixtures("hub")
def test_more_bytes_than_seeds_may_have_are_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SEED_BYTES", 100)
    with pytest.raises(SeedError, match=r"2 files of .* the limit is 100: name one of its files"):
        topics("hf://datasets/ada/topics")


def test_without_the_client_it_says_what_to_install(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "runtime.hub.downloads", None)
    with pytest.raises(seedwright.ConfigurationError, match=r"pip install \"seedwright\[hub\]\""):
        topics("hf://datasets/ada/topics")
    assert not hub.requests


@pytest.mark.parametrize("card", ["---\n[\n---\n", "---\nconfigs: 3\n---\n", "---\n", "", "x"])
def test_a_card_that_says_nothing_is_left_aside(card: str) -> None:
    names = ["train.csv", "test.csv", ".hidden/train.csv"]

    assert choose_files(names, "", card) == ["train.csv"]
    assert choose_files(["x.csv", "y.jsonl"], "", card) == ["x.csv", "y.jsonl"]
