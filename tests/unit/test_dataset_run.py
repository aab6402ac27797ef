"""A run of a dataset as the command and Python see it: an outcome, an observer, a way to stop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.datasets.dataset import dataset_of
from runtime.datasets.outcome import Outcome
from runtime.datasets.request import DatasetRequest, read_request
from runtime.datasets.run import run_dataset
from runtime.datasets.stop import StopRequest
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.delivery import Delivery, OutputFormat
from runtime.domain.jobs.job import JobStatus, Progress
from runtime.domain.models.price_table import load_prices
from runtime.progress.meter import Meter
from tests.fixtures.bedrock_double import BedrockDouble

RECORDS = 6


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


class Listener:
    """Writes down what it hears, and may ask to stop."""

    def __init__(self, stop: StopRequest | None = None, *, after: int = 0) -> None:
        self.heard: list[str] = []
        self._stop = stop
        self._after = after

    def started(self, meter: Meter) -> None:
        self.heard.append(f"started at {meter.done}")

    def progress(self, progress: Progress) -> None:
        self.heard.append(f"{progress.records_generated}")
        if self._stop is not None and progress.records_generated >= self._after:
            self._stop.request()

    def notice(self, text: str) -> None:
        self.heard.append(text)

    def ended(self) -> None:
        self.heard.append("ended")


CSV = Delivery(output_formats=(OutputFormat.CSV,))


def request(**options: Any) -> DatasetRequest:
    template = {
        "name": "one",
        "steps": [{"id": "text", "prompt": "Say {{ topic }} {{ index }}.", "max_tokens": 20}],
    }
    arguments: dict[str, Any] = {"num_records": RECORDS, "backend": "bedrock", **options}
    return read_request(template, [{"topic": "tea"}], **arguments)


def run(out: Path, listener: Listener, stop: StopRequest | None = None, **options: Any) -> Outcome:
    return run_dataset(
        request(**options),
        out,
        prices=load_prices(),
        concurrency=1,
        observer=listener,
        stop=stop or StopRequest(),
        sample=2,
    )


def test_a_run_tells_its_observer_and_prints_nothing(
    double: BedrockDouble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listener = Listener()

    outcome = run(tmp_path, listener)

    assert listener.heard[0] == "started at 0"
    assert listener.heard[-2:] == [f"{RECORDS}", "ended"]
    assert (outcome.status, outcome.saved, outcome.generated_now) == ("COMPLETED", RECORDS, RECORDS)
    assert [orjson.loads(line)["index"] for line in outcome.sample] == [0, 1]
    assert [path.name for path in outcome.files] == ["dataset.jsonl", "dataset.parquet"]
    assert outcome.saved_text == "6 of 6 records"
    assert capfd.readouterr() == ("", "")
    assert double.calls == RECORDS


def test_a_complete_dataset_is_only_exported(double: BedrockDouble, tmp_path: Path) -> None:
    run(tmp_path, Listener(), delivery=Delivery())
    listener = Listener()

    outcome = run(tmp_path, listener, delivery=CSV)

    assert listener.heard == []
    assert (outcome.was_complete, outcome.generated_now) == (True, 0)
    assert [path.name for path in outcome.files] == ["dataset.csv"]
    assert double.calls == RECORDS


def test_a_stop_that_was_asked_for_before_the_run_pays_nothing(
    double: BedrockDouble, tmp_path: Path
) -> None:
    stop = StopRequest()
    stop.request()
    listener = Listener()

    outcome = run(tmp_path, listener, stop)

    assert (outcome.status, outcome.saved, outcome.files) == (JobStatus.QUEUED, 0, ())
    assert listener.heard[-1] == "ended"
    assert double.calls == 0


def test_a_stop_keeps_what_is_paid_for_and_the_next_run_goes_on(
    double: BedrockDouble, tmp_path: Path
) -> None:
    stop = StopRequest()

    outcome = run(tmp_path, Listener(stop, after=2), stop)

    assert 2 <= outcome.saved == double.calls < RECORDS
    assert outcome.status is JobStatus.QUEUED
    listener = Listener()
    assert run(tmp_path, listener).status is JobStatus.COMPLETED
    assert listener.heard[:2] == ["started at 0", f"{outcome.saved}"]
    assert double.calls == RECORDS


def test_records_that_two_batches_hold_are_given_once(
    double: BedrockDouble, tmp_path: Path
) -> None:
    """After a lease was lost two workers may have saved the same record."""
    dataset = dataset_of(run(tmp_path, Listener(), delivery=CSV))
    [batch] = tmp_path.glob(".seedwright/objects/jobs/*/outputs/batch-0001.jsonl")
    batch.with_name("batch-0002.jsonl").write_bytes(batch.read_bytes())

    assert sorted(record["index"] for record in dataset) == list(range(RECORDS))
    assert double.calls == RECORDS


def test_saved_records_whose_state_is_gone_are_named(double: BedrockDouble, tmp_path: Path) -> None:
    del double
    dataset = dataset_of(run(tmp_path, Listener(), delivery=CSV))
    (tmp_path / ".seedwright").rename(tmp_path / "elsewhere")

    with pytest.raises(NotFoundError, match="generate the dataset again"):
        list(dataset)
    assert not (tmp_path / ".seedwright").exists()
