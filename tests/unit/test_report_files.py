"""The report where people find it: in the folder of a dataset, and from the command and Python."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.bootstrap import SystemClock
from runtime.cli.main import run as run_command
from runtime.contract.keys import export_key, failures_key, report_key
from runtime.datasets.dataset import dataset_of
from runtime.datasets.folder import REPORT
from runtime.datasets.observer import Shown
from runtime.datasets.outcome import Outcome
from runtime.datasets.request import read_request
from runtime.datasets.run import run_dataset
from runtime.datasets.statistics import read_statistics
from runtime.datasets.stop import StopRequest
from runtime.domain.errors import InputError, StorageFullError
from runtime.domain.jobs.delivery import Delivery, OutputFormat
from runtime.domain.jobs.job import JobStatus
from runtime.domain.models.price_table import load_prices
from runtime.export.batches import Batches
from runtime.export.exporter import Exporter
from runtime.export.formats import ExportRecord
from runtime.export.report.writing import Report, export_with_report
from runtime.local.storage import open_storage
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.reports import JOB_ID, a_job, a_line

RECORDS = 6


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


class Quiet(Shown):
    """Shows nothing."""

    def __init__(self) -> None:
        pass

    def started(self, meter: Any) -> None:
        del meter

    def progress(self, progress: Any) -> None:
        del progress

    def activity(self, activity: Any) -> None:
        del activity

    def ended(self) -> None:
        pass


def generate(out: Path, *, stop: StopRequest | None = None, **options: Any) -> Outcome:
    template = {
        "name": "one",
        "steps": [{"id": "text", "prompt": "Say {{ topic }} {{ index }}.", "max_tokens": 20}],
    }
    arguments: dict[str, Any] = {"num_records": RECORDS, "backend": "bedrock", **options}
    return run_dataset(
        read_request(template, [{"topic": "tea"}], **arguments),
        out,
        prices=load_prices(),
        concurrency=1,
        observer=Quiet(),
        stop=stop or StopRequest(),
    )


def state_of(out: Path) -> Path:
    """The report in the folder's state."""
    [job] = (out / ".seedwright" / "objects" / "jobs").iterdir()
    return job / REPORT


# ── in the folder ──────────────────────────────────────────────────────────────────────────────


def test_a_dataset_comes_with_its_report(double: BedrockDouble, tmp_path: Path) -> None:
    double.faults([{"effect": "ValidationException", "prompt": "tea 4"}])

    outcome = generate(tmp_path)

    assert outcome.report == tmp_path / REPORT
    assert outcome.notices == ()
    page = outcome.report.read_text(encoding="utf-8")
    assert f"<dd>{RECORDS - 1}<small>of {RECORDS} asked for</small>" in page
    assert "<dt>Failed</dt><dd>1<small>1 of their own" in page
    [failure] = orjson.loads(b"[" + (tmp_path / "failures.jsonl").read_bytes() + b"]")
    assert failure["kind"] in page
    assert outcome.progress.cost_nano > 0
    assert read_statistics(tmp_path).cost_nano == outcome.progress.cost_nano


def test_a_folder_of_before_gets_its_report_without_a_call(
    double: BedrockDouble, tmp_path: Path
) -> None:
    generate(tmp_path)
    first = (tmp_path / REPORT).read_bytes()
    state_of(tmp_path).unlink()
    (tmp_path / REPORT).unlink()

    outcome = generate(tmp_path)

    assert outcome.was_complete
    assert (tmp_path / REPORT).read_bytes() == first
    assert double.calls == RECORDS


def test_a_report_that_is_older_than_the_dataset_is_made_again(
    double: BedrockDouble, tmp_path: Path
) -> None:
    """Its writing failed, or the process died, after the dataset was published."""
    del double
    generate(tmp_path)
    first = (tmp_path / REPORT).read_bytes()
    dataset = next(state_of(tmp_path).parent.glob("exports/dataset.jsonl")).stat().st_mtime_ns
    state_of(tmp_path).unlink()  # not the published file, which is the same one by another name
    state_of(tmp_path).write_bytes(b"older")
    os.utime(state_of(tmp_path), ns=(dataset - 1, dataset - 1))

    generate(tmp_path)

    assert (tmp_path / REPORT).read_bytes() == first


def test_a_report_that_cannot_be_published_is_said(
    double: BedrockDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del double
    generate(tmp_path)
    state_of(tmp_path).unlink()

    def full(*_: Any, **__: Any) -> None:
        raise StorageFullError("the disk is full: free some space")

    monkeypatch.setattr("runtime.local.objects.DirectoryObjects.put", full)
    outcome = generate(tmp_path)

    assert (outcome.status, outcome.report) == (JobStatus.COMPLETED, None)
    assert outcome.notices == (
        f"{REPORT} could not be written: {tmp_path}/.seedwright/log.jsonl says why",
    )
    assert "report not written" in (tmp_path / ".seedwright" / "log.jsonl").read_text()
    assert not (tmp_path / REPORT).exists()


def test_a_page_of_somebody_else_stays(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = b"<html>my own</html>"
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / REPORT).write_bytes(mine)
    with pytest.raises(InputError, match=f"{REPORT} exists and was not generated here"):
        generate(tmp_path / "new")
    assert double.calls == 0

    begun = tmp_path / "begun"
    generate(begun)
    (begun / REPORT).unlink()
    (begun / REPORT).write_bytes(mine)

    outcome = generate(begun)

    assert (outcome.status, outcome.report) == (JobStatus.COMPLETED, None)
    assert outcome.notices == (f"{REPORT} was not written: the folder has another one",)
    assert outcome.document()["notices"] == list(outcome.notices)
    assert run_command(["report", str(begun)]) == 0
    assert "was not made here and stays as it is" in capsys.readouterr().err
    assert (begun / REPORT).read_bytes() == mine


# ── with an export ─────────────────────────────────────────────────────────────────────────────


class NoPage(MemoryObjects):
    """Has no room for a report."""

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        if key.endswith(REPORT):
            raise StorageFullError("the disk is full: free some space")
        super().put(key, body, content_type=content_type)


class Later(MemoryObjects):
    """Knows what was there when the report came."""

    def __init__(self) -> None:
        super().__init__()
        self.before: set[str] = set()

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        if key.endswith(REPORT):
            self.before = set(self.bodies)
        super().put(key, body, content_type=content_type)


def save(objects: MemoryObjects, records: int = 5) -> None:
    lines = [a_line(index, {"ask": f"Tea {index}?"}) for index in range(records)]
    Batches(objects).save_batch(JOB_ID, 1, lines)


def test_the_report_follows_the_dataset_and_counts_each_record_once() -> None:
    objects = Later()
    save(objects)
    Batches(objects).save_batch(JOB_ID, 2, [a_line(0, {"ask": "again"})])
    objects.put(failures_key(JOB_ID), b"", content_type="x")

    export_with_report(Exporter(objects), objects, a_job(5), expected=5)

    assert export_key(JOB_ID, "jsonl") in objects.before
    assert objects.content_types[report_key(JOB_ID)] == "text/html; charset=utf-8"
    assert b"<dd>5<small>of 5 asked for</small>" in objects.bodies[report_key(JOB_ID)]


def test_a_report_that_cannot_be_written_costs_no_dataset(
    caplog: pytest.LogCaptureFixture,
) -> None:
    objects = NoPage()
    save(objects)

    with caplog.at_level(logging.WARNING, logger="runtime"):
        export_with_report(Exporter(objects), objects, a_job(5), expected=5)

    assert objects.bodies[export_key(JOB_ID, "jsonl")].count(b"\n") == 5
    assert [record.message for record in caplog.records] == ["report not written"]


def test_a_record_that_cannot_be_counted_costs_no_dataset(
    caplog: pytest.LogCaptureFixture,
) -> None:
    objects = MemoryObjects()
    report = Report(objects, JOB_ID)
    record = ExportRecord.parse(a_line(0, {"ask": "Tea?"}))

    with caplog.at_level(logging.WARNING, logger="runtime"):
        report.add(record._replace(document={}))
        report.add(record)
        written = report.write(a_job(1))

    assert not written
    assert objects.bodies == {}
    assert [record.message for record in caplog.records] == ["report not written"]


def test_who_has_lost_the_job_writes_no_report() -> None:
    objects = MemoryObjects()
    save(objects)

    export_with_report(Exporter(objects), objects, a_job(5), expected=5, may_write=lambda: False)

    assert report_key(JOB_ID) not in objects.bodies


# ── from the command and Python ────────────────────────────────────────────────────────────────


def test_the_command_and_python_say_what_the_page_says(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double.faults([{"effect": "ValidationException", "prompt": "tea 4"}])
    dataset = dataset_of(generate(tmp_path))
    page = (tmp_path / REPORT).read_bytes()
    (tmp_path / REPORT).unlink()
    capsys.readouterr()

    assert run_command(["report", str(tmp_path), "--json"]) == 0
    printed = orjson.loads(capsys.readouterr().out)
    assert run_command(["report", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert printed == orjson.loads(orjson.dumps(dataset.statistics()))
    assert (printed["records"], printed["failed"]) == (RECORDS - 1, 1)
    assert lines[0].startswith(f"{RECORDS - 1} of {RECORDS} records, 1 failed · $")
    assert lines[-1] == str(tmp_path / REPORT)
    assert (tmp_path / REPORT).read_bytes() == page


def test_a_stopped_dataset_has_statistics_of_what_there_is(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double.faults([{"effect": "AccessDeniedException", "prompt": "tea 3"}])

    outcome = generate(tmp_path, delivery=Delivery(output_formats=(OutputFormat.CSV,)))

    assert outcome.status is JobStatus.FAILED
    assert (outcome.report, outcome.notices) == (None, ())
    assert run_command(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{outcome.saved} of {RECORDS} records")


@pytest.mark.usefixtures("double")
def test_what_only_the_journal_has_is_in_no_figure_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a kill: a record that a batch has, too, two that none has, paid steps of a third."""
    outcome = generate(tmp_path)
    entries = [
        {"index": 2, "tokens": 900, "failed": False, "line": "{}"},
        {"index": 6, "tokens": 5, "steps": {}, "invalid": None},
        {"index": 6, "tokens": 7, "failed": False, "line": "{}"},
        {"index": 7, "tokens": 20, "failed": True, "line": "{}"},
        {"index": 8, "tokens": 100, "steps": {}, "invalid": None},
    ]
    (journal,) = (tmp_path / ".seedwright" / "journals").glob("*.jsonl")
    torn = orjson.dumps(entries[2] | {"index": 9})[:-4]
    journal.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in entries) + torn)
    with closing(open_storage(tmp_path / ".seedwright", clock=SystemClock())) as storage:
        account = storage.budgets.get_account(outcome.job_id)
        ((work_id, hold),) = account.holds.items()
        held = replace(hold, sequence=hold.sequence + 1, nano=3_000_000)
        storage.budgets.change_hold(
            outcome.job_id, work_id, expected=hold, new=held, spent_nano=2_000_000
        )
    capsys.readouterr()

    assert run_command(["report", str(tmp_path), "--json"]) == 0
    printed = orjson.loads(capsys.readouterr().out)
    assert run_command(["report", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert printed["unsaved"] == {
        "records": 1,
        "failed": 1,
        "tokens": 132,
        "cost_usd": "0.005",
    }
    assert (printed["records"], printed["missing"]) == (RECORDS, 0)
    said = "1 finished record, 1 failed record, 132 tokens, at most $0.005"
    assert lines[1].startswith(f"not counted yet: {said}")
    assert lines[1].endswith(f"`seedwright resume {tmp_path}` does")
    page = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert f"in none of the other figures: {said}" in page
    assert "<bdi>finished, not saved yet</bdi>: 1" in page


def test_a_folder_without_a_dataset_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", str(tmp_path)]) == 2
    assert "holds no dataset" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
