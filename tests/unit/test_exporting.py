"""Rows again from what a dataset's folder holds: no model is opened and nothing is paid."""

import csv
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

import seedwright
from runtime.cli.main import run
from runtime.datasets.folder import DatasetFolder
from runtime.domain.errors import SeedError
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.kept import kept

RECORDS = 8
MODEL = "openai.gpt-oss-20b-1:0"
"""One whose replies fit a schema."""
SEEDS = [
    {"topic": "ships", "label": "a", "source": {"title": "One"}},
    {"topic": "tea", "label": "b", "source": {"title": "Two"}},
]
PAIR = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
    "additionalProperties": False,
}


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def template(**more: Any) -> dict[str, Any]:
    step = {
        "id": "ask",
        "prompt": "Ask {{ index }} about {{ topic }}.",
        "max_tokens": 200,
        "output_schema": PAIR,
    }
    return {"name": "pairs", "steps": [step], **more}


def text_template(**more: Any) -> dict[str, Any]:
    step = {"id": "text", "prompt": "Say {{ index }} of {{ topic }}.", "max_tokens": 20}
    return {"name": "texts", "steps": [{**step, "system": "Be brief."}], **more}


def generate(out: Path, chosen: Any = None, **options: Any) -> seedwright.Dataset:
    arguments: dict[str, Any] = {"n": RECORDS, "backend": "bedrock", "out": out, "seeds": SEEDS}
    arguments["model"] = MODEL
    return seedwright.generate(chosen or template(), **{**arguments, **options})


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """The document that a command prints, which has to succeed."""
    assert run([str(each) for each in (*arguments, "--json")]) == 0, capsys.readouterr().err
    return orjson.loads(capsys.readouterr().out)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that a user sees."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".seedwright" not in path.parts
    }


def configurations(folder: Path) -> list[dict[str, Any]]:
    front = (folder / "README.md").read_text().split("---\n")[1]
    found: list[dict[str, Any]] = yaml.safe_load(front)["configs"]
    return found


def messages(folder: Path) -> list[Any]:
    return [row["messages"] for row in pq.read_table(folder / "messages").to_pylist()]


# ── shapes, splits, formats ────────────────────────────────────────────────────────────────────


def test_another_shape_stands_beside_the_first_one(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = generate(tmp_path)
    before, calls = contents(tmp_path), double.calls

    arguments = ("export", tmp_path, "--as", "messages", "--split", "test=0.4,validation=0.2")
    more = ("--format", "jsonl,csv", "--bom", "--keep", "label,source.title", "--keep", "record.id")
    done = command(capsys, *arguments, *more, "--licence", "cc-by-4.0")

    counts = done["rows"]["counts"]
    assert (sum(counts.values()), done["records"], done["complete"]) == (RECORDS, RECORDS, True)
    assert set(counts) <= {"train", "test", "validation"}
    assert double.calls == calls
    card = (tmp_path / "README.md").read_text()
    assert [each["config_name"] for each in configurations(tmp_path)] == ["default", "messages"]
    assert "license: cc-by-4.0" in card
    kept_ones = {name: body for name, body in contents(tmp_path).items() if name in before}
    assert kept_ones == {**before, "README.md": card.encode()}
    pairs = {(row["question"], row["answer"]) for row in own.rows()}
    found = list(own.rows("messages"))
    assert {tuple(turn["content"] for turn in row["messages"]) for row in found} == pairs
    assert {row["label"] for row in found} == {"a", "b"}
    assert {row["source_title"] for row in found} == {"One", "Two"}
    assert len({row["record_id"] for row in found}) == RECORDS
    texts = list((tmp_path / "messages-csv").glob("*.csv"))
    assert len(texts) == len(counts) == len(list((tmp_path / "messages-jsonl").glob("*.jsonl")))
    assert all(path.read_bytes().startswith(b"\xef\xbb\xbf") for path in texts)
    # Whoever is given the folder reads everything in it as Parquet.
    assert pq.read_table(tmp_path / "messages").num_rows == RECORDS
    assert len(pd.read_parquet(tmp_path / "messages")) == RECORDS


def test_the_same_export_gives_the_same_bytes_and_another_one_replaces_it(
    double: BedrockDouble, tmp_path: Path
) -> None:
    dataset = generate(tmp_path)
    dataset.export("messages", split={"test": 0.5}, formats="jsonl")
    first = contents(tmp_path)
    dataset.export("messages", split={"test": 0.5}, formats="jsonl")
    assert contents(tmp_path) == first

    done = dataset.export("messages")

    assert done.rows.counts == {"train": RECORDS}
    (left,) = (tmp_path / "messages").iterdir()
    assert left.name == "train-00000-of-00001.parquet"
    del double


def test_one_source_stays_in_one_split(double: BedrockDouble, tmp_path: Path) -> None:
    del double
    topics = {f"topic {number}" for number in range(6)}
    dataset = generate(tmp_path, n=18, seeds=[{"topic": topic} for topic in sorted(topics)])
    dataset.export(split={"test": 0.5}, split_by="seed.topic", keep="topic")
    found: dict[str, list[str]] = {}
    for path in (tmp_path / "data").glob("*.parquet"):
        split = path.name.partition("-")[0]
        found[split] = [str(row["topic"]) for row in pq.read_table(path).to_pylist()]
    # Each split has sources, and all three rows of each.
    assert set(found) == {"train", "test"}
    assert not set(found["train"]) & set(found["test"])
    assert Counter([*found["train"], *found["test"]]) == dict.fromkeys(topics, 3)


@pytest.mark.parametrize(
    ("chosen", "roles"),
    [
        (text_template(keep_prompts=True), ["system", "user", "assistant"]),
        (template(), ["user", "assistant"]),
    ],
    ids=["kept prompts", "properties"],
)
def test_what_is_asked_and_answered_is_certain_by_name(
    double: BedrockDouble, tmp_path: Path, chosen: Any, roles: list[str]
) -> None:
    del double
    generate(tmp_path, chosen, n=2).export("messages")
    assert [[turn["role"] for turn in row] for row in messages(tmp_path)] == [roles] * 2
    assert all(turn["content"] for row in messages(tmp_path) for turn in row)


def test_a_shape_that_is_not_certain_prints_the_block_to_fill_in(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, calls = tmp_path / "out", 2
    generate(out, text_template(), n=calls)
    capsys.readouterr()
    assert run(["export", str(out), "--as", "messages"]) == 2
    printed = capsys.readouterr()
    assert "# seed fields: seed.topic" in printed.out
    assert "--template" in printed.err

    block = yaml.safe_load(printed.out)
    block["output"]["messages"][0]["content"] = "Tell me of {{ topic }}."
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({**text_template(), **block}))
    assert run(["export", str(out), "--template", str(tmp_path / "t.yaml")]) == 0
    assert {row[0]["content"] for row in messages(out)} == {
        "Tell me of ships.",
        "Tell me of tea.",
    }
    with pytest.raises(seedwright.InputError) as unclear:
        generate(out, text_template(), n=calls).export("preference")
    assert "chosen: FILL IN" in unclear.value.block  # type: ignore[attr-defined]
    assert double.calls == calls


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"as_": "mesages"}, "did you mean"),
        ({"as_": "records"}, "dataset.*"),
        ({"split": "test"}, "test=0.1"),
        ({"split": {"test": 2}}, "between 0 and 1"),
        ({"split_by": "seed.topic"}, "needs a split"),
        ({"keep": "steps.ask.output"}, "make a column of it"),
        ({"formats": "xml"}, "format 'xml' is unknown"),
        ({"licence": "CC BY"}, "cc-by-4.0"),
        ({"review": "no-such-file.csv"}, "no such file"),
        ({"template": text_template()}, "step text of the template differs"),
        ({"as_": "columns", "template": template()}, "a template says its shape"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_changes(
    shared: Path, options: dict[str, Any], problem: str
) -> None:
    before = contents(shared)
    dataset = seedwright.Dataset(path=shared, files=(), report={})
    with pytest.raises(seedwright.InputError) as refused:
        dataset.export(**options)
    assert problem in str(refused.value)
    assert contents(shared) == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that no test changes."""
    out = tmp_path_factory.mktemp("shared") / "out"
    with BedrockDouble() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        generate(out, n=2)
    return out


def test_a_folder_of_somebody_else_is_not_written_into(
    double: BedrockDouble, tmp_path: Path
) -> None:
    del double
    dataset = generate(tmp_path, n=2)
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "mine.txt").write_text("mine")
    with pytest.raises(seedwright.InputError, match="was not made here"):
        dataset.export("messages")
    assert contents(tmp_path / "messages") == {"mine.txt": b"mine"}


# ── what is not complete, what grows ───────────────────────────────────────────────────────────


def test_rows_of_every_shape_follow_the_records(double: BedrockDouble, tmp_path: Path) -> None:
    generate(tmp_path, n=3).export("messages", split={"test": 0.5}, licence="mit")
    first = len(messages(tmp_path))

    grown = generate(tmp_path, n=RECORDS)

    assert (first, len(messages(tmp_path))) == (3, RECORDS)
    assert [each["folder"] for each in grown.report["rows"]] == ["data", "messages"]
    assert "license: mit" in (tmp_path / "README.md").read_text()
    assert double.calls == RECORDS
    again = contents(tmp_path)
    generate(tmp_path, n=RECORDS)
    assert contents(tmp_path) == again


def test_a_stopped_dataset_exports_what_it_has(double: BedrockDouble, tmp_path: Path) -> None:
    def stop(snapshot: seedwright.Snapshot) -> None:
        if snapshot.records >= 2:
            raise KeyboardInterrupt

    double.faults([{"delay_ms": 100}])  # or all records may be there before anybody looks
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, on_progress=stop, concurrency=1)
    calls = double.calls
    dataset = seedwright.Dataset(path=tmp_path, files=(), report={})

    done = dataset.export("messages")

    assert (done.complete, double.calls) == (False, calls)
    assert 2 <= done.rows.rows == len(messages(tmp_path)) < RECORDS
    assert done.records_text == f"{done.rows.rows} of {RECORDS} records, not complete"
    assert f"it has {done.rows.rows} of {RECORDS} records" in (tmp_path / "README.md").read_text()
    generate(tmp_path)
    assert len(messages(tmp_path)) == len(list(dataset.rows())) == RECORDS
    assert "not complete" not in (tmp_path / "README.md").read_text()


def test_what_is_noted_of_fewer_records_is_not_believed(
    double: BedrockDouble, tmp_path: Path
) -> None:
    """As an export that ends just after a run might leave it."""
    first = generate(tmp_path, n=2)
    first.export("messages", licence="mit")
    (note,) = (tmp_path / ".seedwright").glob("objects/jobs/*/rows.json")
    old = note.read_bytes()
    generate(tmp_path, n=4)
    note.write_bytes(old)

    again = generate(tmp_path, n=4)

    assert [each["counts"] for each in again.report["rows"]] == [{"train": 4}] * 2
    assert double.calls == 4


def test_a_damaged_line_is_counted_and_not_only_left_out(
    double: BedrockDouble, tmp_path: Path
) -> None:
    dataset = generate(tmp_path)
    (batch,) = (tmp_path / ".seedwright").rglob("batch-0001.jsonl")
    batch.write_bytes(batch.read_bytes()[:-50])

    done = dataset.export()

    assert sum(done.rows.counts.values()) == RECORDS - 1
    lost = f"1 record of {RECORDS} could not be read"
    assert any(lost in notice for notice in done.notices)
    assert lost in (tmp_path / "README.md").read_text()
    assert double.calls == RECORDS


def test_fields_that_no_seed_has_are_named(double: BedrockDouble, tmp_path: Path) -> None:
    generate(tmp_path)
    # What was begun goes on, also with a template whose rows read what no seed has.
    dataset = generate(tmp_path, template(split={"test": 0.5, "by": "seed.sorce"}))
    done = dataset.export("messages", keep=["topci", "label"])
    text = " ".join(done.notices)
    for path in ("topci", "sorce"):
        assert f"No seed has a value at {path}" in text
    assert "at label" not in text
    assert "No seed has a value at sorce" in (tmp_path / "README.md").read_text()
    assert double.calls == RECORDS


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"output": {"columns": {"x": "seed.labl"}}},
            'seed.labl, which no seed has, did you mean "seed.label"?',
        ),
        (
            {"output": {"columns": {"x": "steps.ask.output"}, "keep": ["sorce.title"]}},
            'did you mean "seed.source.title"?',
        ),
        ({"split": {"test": 0.5, "by": "seed.sourc"}}, 'did you mean "seed.source"?'),
        ({"output": {"columns": {"x": "About {{ lable }}"}}}, 'did you mean "seed.label"?'),
        (
            {"output": {"columns": {"x": "seed.zz"}}},
            "seed.zz, which no seed has. A field that has no value yet is null in a seed",
        ),
    ],
)
def test_rows_that_read_what_no_seed_has_are_refused_before_anything_is_paid(
    double: BedrockDouble, tmp_path: Path, more: dict[str, Any], told: str
) -> None:
    wrong = template(**more)
    asked: list[Callable[[], object]] = [
        lambda: seedwright.validate(wrong, SEEDS),
        lambda: seedwright.estimate(wrong, SEEDS, n=1, model=MODEL),
        lambda: seedwright.preview(wrong, SEEDS, n=1, model=MODEL, backend="bedrock"),
        lambda: generate(tmp_path / "out", wrong),
    ]
    for ask in asked:
        with pytest.raises(SeedError) as caught:
            ask()
        assert told in str(caught.value)
    assert double.calls == 0
    assert not (tmp_path / "out").exists()


def test_a_field_of_some_seeds_or_of_nulls_is_no_typing_error(
    double: BedrockDouble, tmp_path: Path
) -> None:
    seeds = [{"topic": "ships", "note": None}, {"topic": "tea", "label": "b"}]
    chosen = template(output={"columns": {"x": "{{ topic }}"}, "keep": ["label", "note"]})
    assert seedwright.validate(chosen, seeds).seeds == 2
    dataset = generate(tmp_path, chosen, seeds=seeds, seed_strategy="ordered")
    assert Counter(row["label"] for row in dataset.rows()) == {None: 4, "b": 4}
    assert double.calls == RECORDS


def test_another_shape_keeps_what_the_template_keeps(double: BedrockDouble, tmp_path: Path) -> None:
    columns = {"question": "steps.ask.output.question"}
    dataset = generate(
        tmp_path, template(output={"columns": columns, "keep": ["label", "record.id"]})
    )
    done = dataset.export("alpaca")
    assert {"label", "record_id"} <= done.rows.columns.keys()
    assert next(iter(dataset.rows("alpaca")))["label"] in {"a", "b"}
    assert double.calls == RECORDS


def test_what_only_the_journal_has_is_said(double: BedrockDouble, tmp_path: Path) -> None:
    """As after a kill: the next run saves it, an export can't have it."""
    dataset = generate(tmp_path)
    state = tmp_path / ".seedwright"
    line = (tmp_path / "dataset.jsonl").read_text().splitlines()[0]
    entry = {"index": RECORDS, "tokens": 1, "failed": False, "line": line}
    (journal,) = (state / "journals").glob("*.jsonl")
    journal.write_bytes(orjson.dumps(entry) + b"\n" + orjson.dumps({**entry, "failed": True})[:9])

    done = dataset.export("messages")

    assert any("1 finished record may not be in it yet" in each for each in done.notices)
    assert any(f"seedwright resume {tmp_path}" in each for each in done.notices)
    assert double.calls == RECORDS


def test_a_text_that_no_record_gives_is_mended_by_the_next_run(
    double: BedrockDouble, tmp_path: Path
) -> None:
    """The rows are missing and the run is not lost; another output needs no call."""
    text = "{% if label == 'c' %}{{ topic }}{% else %}{{ [][0] }}{% endif %}"
    wrong = generate(tmp_path, template(output={"columns": {"x": text}}))
    assert (len(wrong), wrong.failed) == (RECORDS, 0)
    assert "gave no row" in (tmp_path / "README.md").read_text()
    mended = generate(tmp_path, template(output={"columns": {"x": "{{ topic }}"}}))
    assert {row["x"] for row in mended.rows()} == {"ships", "tea"}
    assert double.calls == RECORDS


def test_of_one_there_is_one_and_without_rows_nothing_is_loaded(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = template(output={"columns": {"x": "{{ [][0] }}"}})
    (tmp_path / "t.json").write_bytes(orjson.dumps(wrong))
    (tmp_path / "s.jsonl").write_bytes(orjson.dumps(SEEDS[0]))
    out = tmp_path / "out"
    arguments = ["generate", "t.json", "--seeds", "s.jsonl", "-n", "1", "--backend", "bedrock"]
    paths = [str(tmp_path / each) if "." in each else each for each in arguments]
    assert run([*paths, "--model", MODEL, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "1 of 1 record, 0 failed" in said.out
    assert "rows: columns · none" in said.out.splitlines()
    assert "load_dataset" not in said.out
    assert "1 record gave no row: x: " in said.err
    assert run(["export", str(out)]) == 0
    assert "made of 1 of 1 record\nrows: columns · none\n" in capsys.readouterr().out
    assert run(["report", str(out)]) == 0
    assert capsys.readouterr().out.startswith("1 of 1 record, 0 failed")
    assert "<small>in 1 call</small>" in (out / "report.html").read_text()
    assert double.calls == 1


def test_a_licence_stays_on_the_card(double: BedrockDouble, tmp_path: Path) -> None:
    del double
    generate(tmp_path, n=1).export(licence="mit")
    generate(tmp_path, n=2)
    assert "license: mit" in (tmp_path / "README.md").read_text()


def test_a_dataset_that_somebody_generates_is_read_beside_them(
    double: BedrockDouble, tmp_path: Path
) -> None:
    del double
    dataset = generate(tmp_path, n=2)
    with DatasetFolder(tmp_path).locked():
        assert dataset.export("messages").rows.rows == 2


def test_rows_that_can_not_follow_are_removed_and_that_is_said(
    double: BedrockDouble, tmp_path: Path
) -> None:
    del double
    dataset = generate(tmp_path, n=2)
    form = dataset.review(tmp_path / "form.jsonl", as_="messages")
    dataset.export("messages", review=form)
    (tmp_path / ".seedwright" / "review-messages.jsonl").write_bytes(b"{")

    grown = generate(tmp_path, n=4)

    assert not (tmp_path / "messages").exists()
    assert any("can't be made again" in notice for notice in grown.report["notices"])
    assert generate(tmp_path, n=4).report["notices"] == []
    assert len(list(grown.rows())) == 4


# ── review ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_review_is_applied_and_stays_until_it_is_ended(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    dataset = generate(tmp_path / "out", n=5)
    form = tmp_path / f"form.{ending}"
    written = command(capsys, "review", dataset.path, "--out", form)
    assert written == {"path": str(form), "rows": 5}
    judge(form, {0: {"keep": False}, 3: {"edit": {"answer": "Edited."}}})
    filled = form.read_bytes()
    assert run(["review", str(dataset.path), "--out", str(form)]) == 2
    assert form.read_bytes() == filled

    done = command(capsys, "export", dataset.path, "--review", form)

    rows = done["rows"]
    assert (rows["counts"], rows["dropped"], rows["edited"]) == ({"train": 4}, 1, 1)
    assert "A review left out 1 row and changed 1" in (dataset.path / "README.md").read_text()
    form.unlink()
    generate(tmp_path / "out", n=RECORDS)
    after = list(dataset.rows())
    assert len(after) == RECORDS - 1
    assert [row["answer"] for row in after].count("Edited.") == 1
    assert dataset.export().rows.dropped == 1
    assert dataset.export(review="none").rows.rows == RECORDS
    assert double.calls == RECORDS


def test_a_review_leaves_rows_as_they_were_asked_for(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also rows that only a template could say: the command that `review` names is right."""
    out = tmp_path / "out"
    dataset = generate(out, text_template(), n=5)
    turns = [{"role": "user", "content": "seed.topic"}]
    turns.append({"role": "assistant", "content": "steps.text.output"})
    said = text_template(output={"messages": turns}, split={"test": 0.4})
    made = dataset.export(template=said, formats="csv", keep="label")
    dataset.export(split={"test": 0.4}, formats="csv", keep="label")
    before = contents(out)

    assert run(["review", str(out), "--as", "messages"]) == 0
    then = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert then[:4] == ["then:", "seedwright", "export", str(out)]
    judge(out / "review.csv", {0: {"edit": {"label": "changed"}}})
    done = command(capsys, *then[2:])
    dataset.export(licence="mit")

    assert done["rows"]["counts"] == made.rows.counts
    assert done["rows"]["edited"] == 1
    assert contents(out).keys() - before.keys() == {"review.csv"}
    assert [row["label"] for row in dataset.rows("messages")].count("changed") == 1
    # What the template said is remembered where `--as` alone is not certain.
    assert dataset.export("messages", split="none").rows.counts == {"train": 5}
    assert double.calls == 5


def test_other_rows_are_another_edition_to_those_who_remember_the_first(
    double: BedrockDouble, tmp_path: Path
) -> None:
    """`datasets` finds what it has read by the folder's name and the words of its configuration,
    and so would give the rows of before.
    """
    out, form = tmp_path / "out", tmp_path / "form.csv"
    dataset = generate(out, n=5)
    seen = [configurations(out)]

    dataset.export()
    assert configurations(out) == seen[0]
    dataset.review(form)
    judge(form, {0: {"edit": {"answer": "Edited."}}})
    dataset.export(review=form)
    seen.append(configurations(out))
    judge(form, {1: {"edit": {"answer": "Edited."}}})
    dataset.export(review=form)
    seen.append(configurations(out))
    generate(out, n=RECORDS)
    seen.append(configurations(out))
    shutil.rmtree(out)
    generate(out, n=5)
    seen.append(configurations(out))

    editions = [each["description"] for (each,) in seen]
    assert len(set(editions)) == len(seen)
    assert double.calls == RECORDS + 5


def test_a_sample_of_rows_to_judge_is_the_same_again(double: BedrockDouble, tmp_path: Path) -> None:
    del double
    dataset = generate(tmp_path / "out")
    first = dataset.review(tmp_path / "a.csv", n=3)
    ids = [row["id"] for row in csv.DictReader(first.read_text().splitlines())]
    assert len(ids) == len(set(ids)) == 3
    assert dataset.review(tmp_path / "b.csv", n=3).read_bytes() == first.read_bytes()
    numbers = [int(each.rpartition("-")[2]) for each in ids]
    assert numbers == sorted(numbers) != [0, 1, 2]


def judge(form: Path, verdicts: dict[int, dict[str, Any]]) -> None:
    """Fill in a form by the number of its rows, as a person would."""
    if form.suffix == ".jsonl":
        rows = [orjson.loads(line) for line in form.read_bytes().splitlines()]
        for number, verdict in verdicts.items():
            rows[number] |= verdict
        form.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return
    with form.open(newline="") as file:
        table = list(csv.reader(file))
    for number, verdict in verdicts.items():
        if "keep" in verdict:
            table[number + 1][1] = "no"
        table[number + 1][2] = orjson.dumps(verdict.get("edit") or {}).decode()
    with form.open("w", newline="") as file:
        csv.writer(file).writerows(table)


# ── CSV for spreadsheets ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bom", [True, False])
def test_csv_begins_with_a_byte_order_mark_where_it_is_asked_for(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, bom: bool
) -> None:
    del double
    (tmp_path / "t.json").write_bytes(orjson.dumps(text_template()))
    (tmp_path / "s.json").write_bytes(orjson.dumps(SEEDS))
    arguments = ["generate", tmp_path / "t.json", "--seeds", tmp_path / "s.json", "-n", 2]
    arguments += ["--backend", "bedrock", "--format", "csv", "--out", tmp_path / "out"]
    command(capsys, *arguments, *(["--bom"] if bom else []))

    for name in ("dataset.csv", "data-csv/train.csv"):
        body = (tmp_path / "out" / name).read_bytes()
        assert body.startswith(b"\xef\xbb\xbf") is bom
        assert len(list(csv.DictReader(body.decode("utf-8-sig").splitlines()))) == 2


# ── folders of before ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("commit", kept.COMMITS)
def test_a_folder_of_before_gets_rows_and_stays_as_it_is(
    commit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.unpack(commit, "datasets", tmp_path)
    folder = tmp_path / "complete"
    before = contents(folder)

    assert run(["export", str(folder)]) == 2
    assert "--as" in capsys.readouterr().err
    done = command(capsys, "export", folder, "--as", "columns")

    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"README.md", "columns/train-00000-of-00001.parquet"}
    assert done["rows"]["counts"] == {"train": done["records"]}
