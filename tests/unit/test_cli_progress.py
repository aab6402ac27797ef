"""What the command shows: rates, lines, tables and figures."""

import io
import logging
from datetime import date
from pathlib import Path

import orjson
import pytest

from runtime.cli.commands.models import model_rows
from runtime.cli.main import run
from runtime.cli.report import show_records
from runtime.datasets.engine_parts import log_to
from runtime.domain.jobs.job import Progress
from runtime.domain.models.price_table import load_prices
from runtime.engine.dry_run import example_of
from runtime.progress.displays import Plain
from runtime.progress.meter import Goal, Meter
from tests.fixtures.clock import ManualClock
from tests.fixtures.command import write_inputs


@pytest.fixture
def meter(clock: ManualClock) -> Meter:
    return Meter(Goal(records=100, budget_nano=1_000_000_000), clock.monotonic)


def progress(records: int, failed: int = 0) -> Progress:
    return Progress(
        records_generated=records, failed_records=failed, tokens_used=10 * records, cost_nano=2500
    )


def test_rates_count_only_this_run(meter: Meter, clock: ManualClock) -> None:
    meter.update(progress(40))
    clock.advance(10)
    meter.update(progress(60))

    assert (meter.generated_now, meter.rate, meter.token_rate) == (20, 2.0, 20.0)
    assert meter.pace() == "60/100 records · 2.0 records/s · 0:20 left"
    assert meter.cost() == "600 tokens · $0.0000025 of $1.00 · 0 failed"


def test_time_left_counts_failed_records_as_done(meter: Meter, clock: ManualClock) -> None:
    meter.update(progress(0))
    assert meter.left() == "-:--"
    clock.advance(3600)
    meter.update(progress(0, failed=10))

    assert meter.left() == "9:00:00"


def test_a_finished_run_keeps_its_duration(meter: Meter, clock: ManualClock) -> None:
    meter.update(progress(0))
    clock.advance(5)
    meter.update(progress(10))
    meter.stop()
    clock.advance(100)

    assert (meter.seconds, meter.rate) == (5, 2)


class BrokenStream(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_stream_that_is_gone_does_not_end_the_job(meter: Meter, clock: ManualClock) -> None:
    with Plain(meter, BrokenStream()) as display:
        clock.advance(60)
        display.update(progress(7))

    assert meter.done == 7


def test_plain_lines_come_at_the_start_every_five_seconds_and_at_the_end(
    meter: Meter, clock: ManualClock
) -> None:
    stream = io.StringIO()
    with Plain(meter, stream) as display:
        for second in range(12):
            display.update(progress(second))
            clock.advance(1)

    counts = [line.split("/")[0] for line in stream.getvalue().splitlines()]
    assert counts == ["0", "5", "10", "11"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk without space")
def test_a_log_that_can_not_be_written_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("runtime")
    before = logger.handlers, logger.level, logger.propagate
    try:
        with log_to(Path("/dev/full")):
            logger.warning("something")
    finally:
        logger.handlers, logger.level, logger.propagate = before

    assert capsys.readouterr().err == ""


def record(output: object) -> bytes:
    return orjson.dumps(
        {"index": 0, "seed_data_id": "row-1", "generation_result": {"a": {"output": output}}}
    )


def test_a_model_can_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_records([record("a\x1b[2Jb\x07"), record({"field": "c\x1b]0;title\x07"})])

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "field" in shown


def test_models_say_when_they_end() -> None:
    rows = {row["model"]: row for row in model_rows(load_prices(), date(2027, 4, 1))}

    ended = rows["mistral.mistral-7b-instruct-v0:2"]
    assert (ended["valid_until"], ended["usable"]) == ("2027-03-30", False)
    assert rows["amazon.nova-micro-v1:0"]["usable"]
    assert rows["amazon.nova-micro-v1:0"]["api"] == "converse"


def test_models_are_printed_whole_or_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    lines = capsys.readouterr().out
    assert run(["models", "--json"]) == 0
    document = orjson.loads(capsys.readouterr().out)

    names = [row["model"] for row in document["models"]]
    assert "us.anthropic.claude-sonnet-4-5-20250929-v1:0" in names
    assert [name for name in names if f"\n{name} " not in lines] == []
    assert "2027-03-30" in lines


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    return tmp_path


def test_estimate_gives_three_figures_in_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    arguments = ["estimate", "template.yaml", "--seeds", "seeds.jsonl", "-n", "1000"]
    assert run([*arguments, "--json"]) == 0
    document = orjson.loads(capsys.readouterr().out)
    assert run(arguments) == 0
    text = capsys.readouterr().out

    figures = [float(document[f"{name}_usd"]) for name in ("lowest", "likely", "highest")]
    assert 0 < figures[0] < figures[1] < figures[2]
    assert document["models"] == ["amazon.nova-micro-v1:0"]
    assert text.splitlines()[0] == "1000 records with amazon.nova-micro-v1:0:"


def test_validate_shows_the_prompts_of_the_first_seed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    assert run(["validate", "template.yaml", "--seeds", "seeds.jsonl"]) == 0

    shown = capsys.readouterr().out
    assert "needs topic of every seed" in shown
    assert "seeds.jsonl: 3 seeds" in shown
    assert shown.endswith("── text: prompt ──\nWrite sentence 0 about ships.\n")


def test_validate_shows_what_a_row_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = (folder / "template.yaml").read_text(encoding="utf-8")
    output = "\noutput:\n  columns: {text: steps.text.output}\n  keep: [topic, record.index]\n"
    (folder / "template.yaml").write_text(template + output, encoding="utf-8")
    assert run(["validate", "template.yaml", "--seeds", "seeds.jsonl"]) == 0
    shown = capsys.readouterr().out
    rows = shown[shown.index("rows:") : shown.index("── text")]
    assert rows.splitlines()[:4] == [
        *("rows: columns", "  text: string", "  topic: string", "  record_index: int64"),
    ]
    row = orjson.loads(rows[rows.index("{") :])
    assert row == {"text": "«output of text»", "topic": "ships", "record_index": 0}
    assert run(["validate", "template.yaml"]) == 0
    assert "topic: json" in capsys.readouterr().out

    prompts = "\nkeep_prompts: true\noutput:\n  columns: {asked: steps.text.prompt}\n"
    (folder / "template.yaml").write_text(template + prompts, encoding="utf-8")
    assert run(["validate", "template.yaml"]) == 0
    assert "«prompt of text»" in capsys.readouterr().out

    (folder / "template.yaml").write_text(template + "\noutput: records\n", encoding="utf-8")
    assert run(["validate", "template.yaml"]) == 0
    assert "rows: records, as they are stored" in capsys.readouterr().out


def test_an_example_has_the_shape_of_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["x", "y"]},
            "lines": {"type": "array", "items": {"properties": {"text": {"type": "string"}}}},
            "count": {"type": ["integer", "null"]},
            "always": {"const": 7},
        },
    }

    assert example_of(schema, "word") == {
        "kind": "x",
        "lines": [{"text": "word"}],
        "count": 1,
        "always": 7,
    }


@pytest.mark.parametrize("command", ["generate", "demo", "validate", "estimate", "models"])
def test_help_of_each_command_has_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0

    assert f"Example: seedwright {command}" in " ".join(capsys.readouterr().out.split())


def test_version_and_help_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("seedwright 0.")
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().out
