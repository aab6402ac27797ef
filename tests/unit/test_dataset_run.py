"""A run of a dataset as the command and Python see it: an outcome, an observer, a way to stop."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import orjson
import pytest

from runtime.datasets.background import BackgroundRun
from runtime.datasets.dataset import dataset_of
from runtime.datasets.observer import Observer
from runtime.datasets.outcome import Outcome
from runtime.datasets.request import DatasetRequest, read_request
from runtime.datasets.run import run_dataset
from runtime.datasets.stop import StopRequest
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.activity import Activity, WaitReason
from runtime.domain.jobs.delivery import Delivery, OutputFormat
from runtime.domain.jobs.job import JobStatus, Progress
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.models.price_table import load_prices
from runtime.models import registry
from runtime.models.threaded import ThreadedModels
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
        self.activities: list[Activity] = []
        self._stop = stop
        self._after = after

    def started(self, meter: Meter) -> None:
        self.heard.append(f"started at {meter.done}")

    def progress(self, progress: Progress) -> None:
        self.heard.append(f"{progress.records_generated}")
        if self._stop is not None and progress.records_generated >= self._after:
            self._stop.request()

    def activity(self, activity: Activity) -> None:
        self.activities.append(activity)

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


def run(out: Path, listener: Observer, stop: StopRequest | None = None, **options: Any) -> Outcome:
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
    assert listener.heard[:2] == [f"started at {outcome.saved}", f"{outcome.saved}"]
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


# ── what a run waits for (F2) ──────────────────────────────────────────────────────────────────


@pytest.fixture
def _every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports as often as the loop turns."""
    monkeypatch.setattr("runtime.worker.activity_report.ACTIVITY_SECONDS", 0.0)


@pytest.mark.usefixtures("_every_turn")
@pytest.mark.parametrize(
    ("effect", "reason"),
    [
        ("ThrottlingException", WaitReason.THROTTLED),
        ("ServiceUnavailableException", WaitReason.UNAVAILABLE),
        ("InternalServerException", WaitReason.FAILING),
    ],
)
def test_f2_a_run_says_what_it_waits_for(
    double: BedrockDouble, tmp_path: Path, effect: str, reason: WaitReason
) -> None:
    double.faults([{"effect": effect, "times": 1}, {"effect": "reply", "delay_ms": 20}])
    listener = Listener()

    run(tmp_path, listener)

    # Whether there is a turn without a call in flight depends on the jitter of the retry.
    assert {each.in_flight for each in listener.activities} - {0} == {1}
    waiting = [each for each in listener.activities if each.waiting_until is not None]
    assert {each.reason for each in waiting} == {reason}
    assert {each.reason for each in listener.activities if each not in waiting} == {None}


class _SlowModel:
    """Plays the embedded model."""

    def converse(self, request: ModelRequest) -> ModelReply:
        del request
        return ModelReply(text="Tea.", usage=Usage(input_tokens=1, output_tokens=1))

    def close(self) -> None:
        pass


@pytest.mark.usefixtures("_every_turn")
def test_f2_a_model_that_has_to_be_loaded_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = replace(
        registry.PROVIDERS["local"], open=lambda calls, _: ThreadedModels(_SlowModel(), calls)
    )
    monkeypatch.setattr(registry, "PROVIDERS", {"local": provider})
    listener = Listener()

    run(tmp_path, listener, backend="local")

    first, *_, last = listener.activities
    assert first == Activity(reason=WaitReason.LOADING)
    assert last.reason is None


class _Shown(Listener):
    """Sees what a display would show with each record."""

    def started(self, meter: Meter) -> None:
        self.meter = meter
        self.reasons = [meter.activity and meter.activity.reason]

    def progress(self, progress: Progress) -> None:
        del progress
        self.reasons.append(self.meter.activity and self.meter.activity.reason)


@pytest.mark.usefixtures("double")
def test_f2_with_worker_processes_the_model_is_loaded_once_there_is_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes of their own tell the parent their counters alone."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    loading = replace(registry.PROVIDERS["bedrock"], loads=True)
    monkeypatch.setattr(registry, "PROVIDERS", {**registry.PROVIDERS, "bedrock": loading})
    shown = _Shown()
    run_dataset(
        request(shards=2),
        tmp_path / "out",
        prices=load_prices(),
        concurrency=1,
        observer=shown,
        stop=StopRequest(),
        workers=2,
    )
    assert WaitReason.LOADING in shown.reasons
    assert shown.reasons[-1] is None


@pytest.mark.usefixtures("_every_turn")
def test_f2_what_is_waited_for_reaches_the_thread_that_shows_it(
    double: BedrockDouble, tmp_path: Path
) -> None:
    del double
    listener = Listener()

    BackgroundRun(lambda relay, stop: run(tmp_path, relay, stop), listener).run()

    assert Activity(in_flight=1, last_reply=ANY) in listener.activities
