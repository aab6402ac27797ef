"""`import seedwright`: datasets from Python, with the same promises as the command."""

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pytest

import seedwright
from runtime.datasets.background import BackgroundRun
from runtime.datasets.observer import Called
from runtime.progress.meter import Goal, Meter
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import ManualClock
from tests.fixtures.command import (
    REPOSITORY,
    environment,
    generate_arguments,
    run,
    write_inputs,
)

RECORDS = 12
TEMPLATE: Mapping[str, Any] = {
    "name": "one-step",
    "steps": [
        {
            "id": "text",
            "prompt": "Write sentence {{ index }} about {{ topic }}.",
            "max_tokens": 40,
        }
    ],
}
SEEDS = [{"topic": "ships"}, {"topic": "tea"}, {"topic": "snow"}]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble(latency_ms=5) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def generate(out: Path, **options: Any) -> seedwright.Dataset:
    arguments: dict[str, Any] = {"n": RECORDS, "backend": "bedrock", "out": out, **options}
    return seedwright.generate(
        arguments.pop("template", TEMPLATE), arguments.pop("seeds", SEEDS), **arguments
    )


def outputs_of(records: Iterator[dict[str, Any]]) -> dict[int, object]:
    return {each["index"]: each["generation_result"] for each in records}


# ── what it gives ──────────────────────────────────────────────────────────────────────────────


def test_a_dataset_is_its_records_files_and_figures(double: BedrockDouble, tmp_path: Path) -> None:
    dataset = generate(tmp_path / "out")

    assert dataset.path == tmp_path / "out"
    assert [path.name for path in dataset.files] == ["dataset.jsonl", "dataset.parquet"]
    assert len(dataset) == RECORDS
    assert sorted(record["index"] for record in dataset) == list(range(RECORDS))
    assert dataset.failures == []
    assert dataset.to_arrow().num_rows == RECORDS
    frame = dataset.to_pandas()
    assert orjson.loads(frame.generation_result[0])["text"]["output"]
    assert (dataset.report["status"], dataset.report["records"]) == ("COMPLETED", RECORDS)
    assert 0 < Decimal(dataset.report["cost_usd"]) < 1
    assert (double.calls, double.stats()["paid_twice"]) == (RECORDS, 0)


def test_the_report_has_the_figures_of_the_command(double: BedrockDouble, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    command = run(
        generate_arguments(RECORDS, "--json", out="command"),
        cwd=tmp_path,
        env=environment(double.url),
    )
    printed = orjson.loads(command.stdout)

    seeds = tmp_path / "seeds.jsonl"
    report = dict(generate(tmp_path / "python", seeds=str(seeds)).report)

    differing = {"files", "seconds", "records_per_second"}
    assert {*printed} == {*report}
    assert {name: report[name] for name in report if name not in differing} == {
        name: printed[name] for name in printed if name not in differing
    }


@pytest.mark.parametrize(
    "seeds",
    ["seeds.jsonl", SEEDS, pd.DataFrame(SEEDS), pa.Table.from_pylist(SEEDS)],
    ids=["file", "list", "frame", "table"],
)
def test_python_goes_on_where_the_command_stopped(
    double: BedrockDouble, tmp_path: Path, seeds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its seeds came in: it is the same dataset."""
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    rows = [orjson.loads(line) for line in Path("seeds.jsonl").read_bytes().splitlines()]
    Path("seeds.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    command = run(
        generate_arguments(RECORDS, "--budget", "0.00003"),
        cwd=tmp_path,
        env=environment(double.url),
    )
    assert command.returncode == 3

    dataset = generate(tmp_path / "out", template="template.yaml", seeds=seeds, budget=1)

    assert len(dataset) == RECORDS
    assert (double.calls, double.stats()["paid_twice"]) == (RECORDS, 0)


def test_the_folder_is_named_after_the_template(
    double: BedrockDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del double
    monkeypatch.chdir(tmp_path)

    dataset = seedwright.generate(TEMPLATE, SEEDS, n=2, backend="bedrock", formats="csv")

    assert dataset.files == (Path("datasets/one-step/dataset.csv"),)
    assert len(list(dataset)) == 2  # from what is saved: a CSV can't give them back as they were
    with pytest.raises(seedwright.NotFoundError, match="formats='parquet'"):
        dataset.to_arrow()


def test_a_dataset_whose_files_are_gone_says_so(double: BedrockDouble, tmp_path: Path) -> None:
    del double
    dataset = generate(tmp_path / "out", n=2, formats="jsonl")
    dataset.files[0].unlink()

    with pytest.raises(seedwright.NotFoundError, match="generate the dataset again"):
        list(dataset)


def test_a_preview_is_generated_and_kept_nowhere(
    double: BedrockDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)

    found = seedwright.preview(TEMPLATE, SEEDS, n=4, backend="bedrock")

    assert [record["index"] for record in found] == [0, 1, 2, 3]
    assert (double.calls, found.report["records"], found.report["files"]) == (4, 4, [])
    assert list(tmp_path.rglob("*")) == [temporary]
    dataset = generate(tmp_path / "out")
    assert outputs_of(iter(found)).items() <= outputs_of(iter(dataset)).items()


def test_a_preview_keeps_to_its_budget(double: BedrockDouble) -> None:
    with pytest.raises(seedwright.BudgetExceededError) as caught:
        seedwright.preview(TEMPLATE, SEEDS, n=50, backend="bedrock", budget="0.00005")

    assert 0 < len(caught.value.dataset) == double.calls < 50


def test_a_preview_that_is_stopped_promises_nothing(double: BedrockDouble) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        seedwright.preview(
            TEMPLATE, SEEDS, backend="bedrock", on_progress=lambda counters: 1 // counters.failed
        )

    assert not hasattr(caught.value, "__notes__")
    assert double.calls <= 3


def test_estimate_and_validate_call_no_model(double: BedrockDouble) -> None:
    figures = seedwright.estimate(TEMPLATE, SEEDS, n=1000)
    checked = seedwright.validate(TEMPLATE, SEEDS)

    assert 0 < figures.lowest_usd < figures.likely_usd < figures.highest_usd
    assert figures.models == ("amazon.nova-micro-v1:0",)
    assert (checked.needs, checked.seeds) == (("topic",), 3)
    assert checked.steps[0].prompt == "Write sentence 0 about ships."
    assert seedwright.validate(TEMPLATE).steps[0].prompt is None
    assert double.calls == 0


# ── what goes wrong ────────────────────────────────────────────────────────────────────────────


def test_a_budget_that_ends_early_raises_with_what_there_is(
    double: BedrockDouble, tmp_path: Path
) -> None:
    with pytest.raises(seedwright.BudgetExceededError) as caught:
        generate(tmp_path / "out", n=100, budget="0.0001")

    dataset = caught.value.dataset
    assert isinstance(dataset, seedwright.Dataset)
    assert 0 < len(dataset) == len(list(dataset)) == double.calls < 100
    assert "make the same call with a larger budget" in str(caught.value)
    assert len(generate(tmp_path / "out", n=100)) == double.calls == 100


def test_a_job_that_fails_raises_with_what_is_saved(double: BedrockDouble, tmp_path: Path) -> None:
    double.faults([{"effect": "AccessDeniedException", "prompt": "sentence 7 "}])
    with pytest.raises(seedwright.JobFailedError) as caught:
        generate(tmp_path / "out", concurrency=1)

    dataset = caught.value.dataset
    assert 0 < len(list(dataset)) == dataset.report["records"] < RECORDS
    assert dataset.report["status"] == "FAILED"
    assert "To try again, make the same call" in str(caught.value)
    double.faults([])
    assert len(generate(tmp_path / "out")) == RECORDS


def test_when_every_record_failed_the_failures_are_there(
    double: BedrockDouble, tmp_path: Path
) -> None:
    double.faults([{"effect": "ValidationException"}])
    with pytest.raises(seedwright.JobFailedError, match="every record failed") as caught:
        generate(tmp_path / "out", n=3)

    assert {each["kind"] for each in caught.value.dataset.failures} == {"rejected"}
    assert len(caught.value.dataset) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n": 0}, "-n is 0"),
        ({"n": "5"}, "-n is '5': give a whole number"),
        ({"formats": 5}, "the output formats are a text or a list of texts"),
        ({"prices": {}}, "prices is the path of a file"),
        ({"on_progress": 5}, "on_progress is a function"),
        ({"seeds": "a\0b"}, "not the name of a file"),
        ({"seeds": pd.Series(["tea"])}, "a path, a list of mappings, or a table"),
        ({"budget": "ten"}, "more than 0 and at most 1000 USD"),
        ({"backend": "azure"}, "no provider 'azure' of models: choose bedrock or local or openai"),
        ({"formats": ["xml"]}, "format 'xml' is unknown"),
        ({"seed_strategy": "best"}, "seed strategy 'best' is unknown"),
        ({"random_seed": "1"}, "the random seed is a whole number, not '1'"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"model": "amazon.nova-micro"}, "did you mean amazon.nova-micro-v1:0"),
        ({"prices": "absent.json"}, "absent.json"),
        ({"seeds": [{"tpic": 1}]}, "seeds, record 1: the template needs 'topic'"),
        ({"template": "absent.yaml"}, "absent.yaml: no such file"),
    ],
)
def test_wrong_arguments_raise_before_anything_is_started(
    options: dict[str, Any], expected: str, double: BedrockDouble, tmp_path: Path
) -> None:
    with pytest.raises(seedwright.InputError) as caught:
        generate(tmp_path / "out", **options)

    assert expected in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert double.calls == 0


@pytest.mark.parametrize("out", ["", ".", 5, b"out"])
def test_a_dataset_has_a_folder_of_its_own(out: Any, double: BedrockDouble) -> None:
    with pytest.raises(seedwright.InputError, match="out is the path of a folder"):
        generate(out)
    assert double.calls == 0


def test_what_an_earlier_call_published_is_there_still(
    double: BedrockDouble, tmp_path: Path
) -> None:
    assert generate(tmp_path / "out", n=2).to_arrow().num_rows == 2
    again = generate(tmp_path / "out", n=2, formats="csv")
    assert [path.name for path in again.files] == ["dataset.csv"]
    assert again.to_arrow().num_rows == 2
    assert double.calls == 2


def test_none_leaves_an_option_at_its_default(double: BedrockDouble, tmp_path: Path) -> None:
    left: dict[str, Any] = {"formats": None, "random_seed": None, "seed_strategy": None}
    dataset = generate(tmp_path / "out", n=2, **left)
    assert [path.name for path in dataset.files] == ["dataset.jsonl", "dataset.parquet"]
    generate(tmp_path / "out", n=2)
    assert double.calls == 2


# ── progress, and being stopped ────────────────────────────────────────────────────────────────


def test_progress_is_told_in_the_thread_that_asked(double: BedrockDouble, tmp_path: Path) -> None:
    del double
    seen: list[tuple[int, seedwright.Snapshot]] = []

    generate(
        tmp_path / "out",
        on_progress=lambda counters: seen.append((threading.get_ident(), counters)),
    )

    first, last = seen[0][1], seen[-1][1]
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    assert (first.records, first.requested, first.seconds_left) == (0, RECORDS, None)
    assert (last.records, last.failed, last.seconds_left) == (RECORDS, 0, 0)
    assert 0 < last.cost_usd < last.budget_usd == 1
    counts = [counters.records for _, counters in seen]
    assert counts == sorted(counts)


def test_what_progress_raises_stops_the_run_and_saves_it(
    double: BedrockDouble, tmp_path: Path
) -> None:
    def enough(counters: seedwright.Snapshot) -> None:
        if counters.records >= 3:
            raise LookupError("enough")

    with pytest.raises(LookupError) as caught:
        generate(tmp_path / "out", n=60, concurrency=1, on_progress=enough)

    paid = double.calls
    assert 3 <= paid < 60
    assert caught.value.__notes__ == [
        f"{paid} of 60 records are saved in {tmp_path / 'out'}. To go on, make the same call."
    ]
    assert len(generate(tmp_path / "out", n=60)) == 60
    assert (double.calls, double.stats()["paid_twice"]) == (60, 0)


def test_an_interruption_while_the_end_is_taken_does_not_wait_for_ever() -> None:
    """Python raises Ctrl-C between any two instructions, also after the last event was read."""
    run = BackgroundRun(lambda _observer, _stop: "done", Called(lambda _counters: None))
    forward = run._forward

    def interrupted(observer: Any) -> None:
        forward(observer)
        raise KeyboardInterrupt

    run._forward = interrupted  # type: ignore[method-assign]
    raised: list[BaseException] = []

    def call() -> None:
        try:
            run.run()
        except KeyboardInterrupt as error:
            raised.append(error)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(30)
    assert len(raised) == 1
    assert run.result == "done"


def test_counters_that_are_outdated_are_left_out(clock: ManualClock) -> None:
    """A slow function does not hold up the run, and hears the newest counters last."""
    meter = Meter(Goal(records=100, budget_nano=1), clock.monotonic)
    seen: list[int] = []
    finished = threading.Event()

    def work(observer: Any, _stop: object) -> str:
        observer.started(meter)
        for records in range(1, 101):
            progress = progress_of(records)
            meter.update(progress)
            observer.progress(progress)
        finished.set()
        return "done"

    def slow(counters: seedwright.Snapshot) -> None:
        assert finished.wait(30)
        seen.append(counters.records)

    assert BackgroundRun(work, Called(slow)).run() == "done"
    assert seen[-1] == 100
    assert len(seen) <= 3


def progress_of(records: int) -> Any:
    return import_module("runtime.domain.jobs.job").Progress(records_generated=records)


# ── where it works, and what it leaves alone ───────────────────────────────────────────────────


def state_of_the_process() -> dict[str, object]:
    return {
        "handlers": [
            signal.getsignal(each)
            for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
        ],
        "alarm": signal.getitimer(signal.ITIMER_REAL),
        "gc": (gc.isenabled(), gc.get_threshold()),
        "logging": state_of_logging(),
        "folder": Path.cwd(),
        "threads": {each.name for each in threading.enumerate()},
        "environment": dict(os.environ),
    }


def state_of_logging() -> list[object]:
    return [
        logging.raiseExceptions,
        *(
            (list(each.handlers), each.level, each.propagate, each.disabled)
            for each in (logging.getLogger(), logging.getLogger("runtime"))
        ),
    ]


def test_the_process_is_left_as_it_was(
    double: BedrockDouble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = logging.NullHandler()
    logging.getLogger("runtime").addHandler(own)
    try:
        logged = state_of_logging()
        generate(tmp_path / "warm", n=1)  # what is imported once is no change of the process
        assert state_of_logging() == logged
        before, frozen = state_of_the_process(), gc.get_freeze_count()
        generate(tmp_path / "out")
        double.faults([{"effect": "AccessDeniedException"}])
        with pytest.raises(seedwright.JobFailedError):
            generate(tmp_path / "failed")
        double.faults([])
        with pytest.raises(ZeroDivisionError):
            generate(tmp_path / "stopped", n=60, on_progress=lambda counters: 1 // counters.failed)
        assert state_of_the_process() == before
        assert gc.get_freeze_count() <= frozen  # what was frozen before may have been freed
    finally:
        logging.getLogger("runtime").removeHandler(own)

    assert capfd.readouterr() == ("", "")


def test_it_works_in_two_threads_at_once(double: BedrockDouble, tmp_path: Path) -> None:
    other = [{"topic": "sand"}]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(generate, tmp_path / "first", concurrency=2)
        second = pool.submit(generate, tmp_path / "second", concurrency=2, seeds=other)
        datasets = first.result(60), second.result(60)

    assert [len(list(dataset)) for dataset in datasets] == [RECORDS, RECORDS]
    assert double.stats()["paid_twice"] == 0
    for dataset in datasets:
        log = (dataset.path / ".seedwright" / "log.jsonl").read_bytes().splitlines()
        jobs = {orjson.loads(line).get("job_id") for line in log} - {None}
        assert jobs == {dataset.report["job_id"]}


def test_a_second_call_on_the_folder_is_refused_at_once(
    double: BedrockDouble, tmp_path: Path
) -> None:
    refused: list[str] = []
    double.faults([{"effect": "reply", "delay_ms": 2500, "times": 1}])  # it is not over before

    def second(counters: seedwright.Snapshot) -> None:
        if counters.records == 0:
            with pytest.raises(seedwright.ConfigurationError) as caught:
                generate(tmp_path / "out")
            refused.append(str(caught.value))

    assert len(generate(tmp_path / "out", on_progress=second)) == RECORDS
    assert "is generating into" in refused[0]
    assert double.calls == RECORDS


def test_it_works_beside_a_running_event_loop(double: BedrockDouble, tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        inside = generate(tmp_path / "inside")
        beside = await asyncio.to_thread(generate, tmp_path / "beside")
        return len(inside), len(beside)

    assert asyncio.run(main()) == (RECORDS, RECORDS)
    assert double.calls == 2 * RECORDS


# ── the package ────────────────────────────────────────────────────────────────────────────────


def test_every_name_leads_to_what_it_names() -> None:
    for name in seedwright.__all__:
        if name == "Client" and find_spec("runtime.client.api_client") is None:
            continue
        assert getattr(seedwright, name).__name__ == name
    assert sorted(seedwright.__all__) == seedwright.__all__
    assert {*seedwright.__all__} <= {*dir(seedwright)}
    with pytest.raises(AttributeError, match="has no attribute 'generat'"):
        _ = seedwright.generat  # type: ignore[attr-defined]
    assert (REPOSITORY / "seedwright" / "py.typed").exists()


def python(code: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_import_is_light(tmp_path: Path) -> None:
    code = "import sys, seedwright; print(*(name for name in sys.modules if '.' in name))"
    imported = python(code, tmp_path).stdout.split()

    assert [name for name in imported if name.startswith("runtime.")] == []
    generating = python("import sys, seedwright as s; s.generate; print(*sys.modules)", tmp_path)
    heavy = {"rich", "pyarrow", "boto3", "botocore", "pandas", "typer", "xllamacpp", "IPython"}
    assert heavy & {*generating.stdout.split()} == set()


def test_without_pandas_it_says_what_to_install(double: BedrockDouble, tmp_path: Path) -> None:
    generate(tmp_path / "out", n=1, formats="parquet")
    code = (
        "import sys, seedwright; from pathlib import Path\n"
        "class Hidden:\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'pandas': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden)\n"
        "files = (Path('out/dataset.parquet'),)\n"
        "dataset = seedwright.Dataset(path=Path('out'), files=files, report={})\n"
        "print(dataset.to_arrow().num_rows)\n"
        "dataset.to_pandas()"
    )

    done = python(code, tmp_path)

    assert done.stdout == "1\n"
    assert done.stderr.splitlines()[-1].endswith("not installed: run `pip install pandas`")
    assert double.calls == 1


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.path.insert(0, '.'); import runtime, seedwright",
        "import sys; sys.path.insert(0, '.'); import seedwright",
        "import sys; sys.modules['runtime'] = type(sys)('runtime'); import seedwright",
    ],
    ids=["imported", "in front", "made"],
)
def test_another_module_of_the_name_is_named(code: str, tmp_path: Path) -> None:
    (tmp_path / "runtime.py").write_text("VALUE = 1\n", encoding="utf-8")

    done = python(code, tmp_path)

    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: Seedwright's own package 'runtime' is hidden by another")
    assert last.endswith("rename it, or take its folder off sys.path")
