"""What commands, previews and reports show of conditions, earlier turns and batches of seeds."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.cli.main import run
from runtime.domain.jobs.record import SKIPPED, Record
from runtime.export.report.page import render_page
from runtime.export.report.writing import statistics_of
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.reports import Page, a_job, statistics_for
from tests.fixtures.worker_world import step

SHOWN = """
name: shown
batch_of: 2
steps:
  - id: ask
    prompt: '{{ seeds[0].topic }} {{ seeds[1].topic }}'
    messages:
      - {role: user, content: 'An example, please'}
      - {role: assistant, content: 'On {{ seeds[1].topic }}'}
  - {id: never, prompt: x, when: index > 5}
"""


def test_validate_shows_conditions_turns_and_the_first_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template, seeds = tmp_path / "t.yaml", tmp_path / "s.jsonl"
    template.write_text(SHOWN, encoding="utf-8")
    seeds.write_text('{"topic": "tea"}\n{"topic": "ice"}\n', encoding="utf-8")
    assert run(["validate", str(template), "--seeds", str(seeds)]) == 0
    shown = capsys.readouterr().out
    assert "2 steps, needs topic of every seed, 2 seeds a record" in shown
    assert "    when: index > 5" in shown
    assert shown.endswith(
        "── ask: user, before the prompt ──\nAn example, please\n\n"
        "── ask: assistant, before the prompt ──\nOn ice\n\n"
        "── ask: prompt ──\ntea ice\n\n"
        "never: skipped with this seed, by its when\n"
    )
    seeds.write_text('{"topic": "tea"}\n{"theme": "ice"}\n', encoding="utf-8")
    assert run(["validate", str(template), "--seeds", str(seeds)]) == 2
    assert "record 2: the template needs 'topic'" in capsys.readouterr().err


def test_a_preview_shows_turns_and_what_is_skipped_and_calls_the_rest(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go"}]
    document = {
        "name": "n",
        "batch_of": 2,
        "steps": [
            step("a", "{{ seeds[1].product }}", messages=turns),
            step("b", "x", when=False),
            step("c", "x", when="steps.a.output == ''"),
        ],
    }
    created = api_world.post("/templates", document)
    assert created.status == 201, created
    stored = created.body["document"]
    assert (stored["batch_of"], stored["steps"][1]["when"]) == (2, "false")
    assert stored["steps"][0]["messages"] == turns
    path = f"/templates/{created.body['template_id']}/preview"
    data = {"product": "kettle"}

    shown = api_world.post(path, {"data": data}).body["steps"]
    assert (shown[0]["prompt"], shown[0]["messages"]) == ("kettle", turns)
    assert [each["skipped"] for each in shown] == [False, True, False]

    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        ran = api_world.post(path, {"data": data, "run_model": True}).body
        api_world.ports.models.close()
        assert double.calls == 1
    assert [(each["step_id"], each["messages"]) for each in ran["steps"]] == [("a", turns)]
    assert (ran["stopped"], ran["row"]["row"]["b"]) == (None, None)


def test_the_report_counts_who_skipped_which_step() -> None:
    lines = [
        Record(
            job_id="j",
            index=index,
            timestamp=datetime(2026, 11, 28, tzinfo=UTC),
            seed_data_id="s",
            generation_result={
                "a": SKIPPED if index else {"output": {"n": 1}, "model": "m", "stop_reason": "x"},
                "b": SKIPPED,
            },
        ).line()
        for index in range(3)
    ]
    found = statistics_of(MemoryObjects(), a_job(3), lines)
    assert [(each.step, each.records, each.skipped) for each in found.steps] == [
        ("a", 1, 2),
        ("b", 0, 3),
    ]
    columns = [(column.name, column.values, column.nulls) for column in found.columns]
    assert columns == [("a.n", 1, 0)]
    assert "skipped" in Page(render_page(found)).text
    assert "skipped" not in Page(render_page(statistics_for([{"a": "x"}]))).text
