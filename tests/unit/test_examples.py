"""The examples are what newcomers run first: all of them must fit the engine as they stand."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import seedwright
from runtime.domain.jobs.sampling import Draws
from runtime.domain.outputs.types import type_text
from runtime.domain.templates.seed_needs import seed_needs
from runtime.engine.dry_run import render_record
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine
from tests.fixtures.examples import (
    EXAMPLES,
    NAMES,
    load_seeds,
    load_template,
    seed_file,
    seed_source,
    template_file,
)
from tests.fixtures.seed_files import missing_paths

SEEDED = sorted(path.parent.name for path in EXAMPLES.glob("*/seeds.*"))
QUOTED = {"question-answer": "passage", "keywords-summary": "text"}
"""Examples whose seeds quote published texts, and the field that holds the quote."""

OUTPUTS: dict[str, dict[str, object]] = {
    "question-answer": {"question": {"question": "What did Alice read?"}},
    "guided-dialogue": {
        "interest": {"asks_again": True},
        **{
            step: f"Could you tell me about it, please? I ask for the {step}."
            for step in ("question", "answer", "second_question", "second_answer", "third_question")
        },
    },
    "help-desk-chats": {"ask": {"question": "When is it open on Saturday?"}},
    "order-extraction": {
        "order": {
            "customer": "Ada",
            "items": [{"name": "tulips", "count": 3}, {"name": "roses", "count": 1}],
            "total": 12.75,
            "express": False,
            "wish": None,
        }
    },
}
"""Outputs as their schemas allow them, where a later step reads more than plain text."""

MESSAGES = "list<struct<role: string, content: string>>"
PREFERENCES = dict.fromkeys(("prompt", "chosen", "rejected"), MESSAGES)
TRAINED = {
    "balanced-tickets": {"text": "string", "label": "string", "style": "string"},
    "guided-dialogue": {"messages": MESSAGES},
    "handbook-questions": {
        "prompt": "string",
        "completion": "string",
        "file": "string",
        "page": "int64",
    },
    "help-desk-chats": {"messages": MESSAGES, "title": "string"},
    "answer-preferences": PREFERENCES,
    "even-tickets": {"text": "string", "label": "string"},
    "grounded-answers": {
        "prompt": "string",
        "completion": "string",
        "file": "string",
        "heading": "string",
    },
    "kept-and-rejected": PREFERENCES,
    "support-tickets": {"text": "string", "label": "string", "style": "string"},
    "order-extraction": {
        "prompt": "string",
        "completion": "string",
        "customer": "string",
        "items": "list<struct<name: string, count: int64>>",
        "total": "float64",
        "express": "bool",
        "wish": "string",
    },
    "kitchen-tools": {
        "messages": "list<struct<role: string, content: string, tool_calls: list<json>>>",
        "tools": "list<json>",
    },
}
"""Examples whose rows go into a trainer as they are, and the columns that it gets."""


def trainer_code(name: str) -> str:
    """The Python at the end of a template, without the marks of a comment."""
    end = template_file(name).read_text(encoding="utf-8").partition("\n# Into a trainer")[2]
    return "\n".join(line[4:] for line in end.splitlines()[1:])


def test_there_are_seven_examples_with_seeds_in_three_formats() -> None:
    assert len(NAMES) >= 7
    assert {seed_file(name).suffix for name in SEEDED} == {".csv", ".json", ".jsonl"}
    assert max(len(load_seeds(name)) for name in SEEDED) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_template_is_named_like_its_folder_and_described(name: str) -> None:
    template = load_template(name)

    assert template.name == name
    assert template.description


@pytest.mark.parametrize("name", SEEDED)
def test_every_seed_has_every_required_path(name: str) -> None:
    template, seeds = load_template(name), load_seeds(name)

    assert template.schema_requirements
    assert list(missing_paths(seeds, template.schema_requirements)) == []
    assert len(seeds) >= 12


@pytest.mark.parametrize("name", SEEDED)
def test_seeds_are_unique_and_have_no_empty_field(name: str) -> None:
    seeds = load_seeds(name)
    ids = [seed["id"] for seed in seeds if "id" in seed]
    contents = [json.dumps({**seed, "id": None}, sort_keys=True) for seed in seeds]

    assert len(set(ids)) == len(ids)
    assert len(set(contents)) == len(contents)
    assert not [seed for seed in seeds if any(value in ("", None, []) for value in seed.values())]


@pytest.mark.parametrize(("name", "field"), QUOTED.items())
def test_every_quoted_text_has_a_source_that_the_readme_lists(name: str, field: str) -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    for seed in load_seeds(name):
        source = seed["source"]
        assert len(seed[field]) > 100
        assert source["year"] < 1927
        row = rf"\| {re.escape(source['author'])} \| {re.escape(source['title'])} "
        assert re.search(rf"{row}\| {source['year']} \| [^|]*{name}", readme), seed["id"]


def test_only_the_known_examples_quote() -> None:
    assert {name for name in SEEDED if "source" in load_seeds(name)[0]} == set(QUOTED)


@pytest.mark.parametrize("name", SEEDED)
def test_readme_has_the_command_and_the_number_of_seeds(name: str) -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    path = seed_file(name)

    assert f"generate examples/{name}/template.yaml --seeds examples/{name}/{path.name} " in readme
    assert re.search(
        rf"^\| \[{name}\].*\| {len(load_seeds(name))}, `{path.name}` \|$", readme, re.MULTILINE
    )


@pytest.mark.parametrize("name", SEEDED)
def test_every_seed_renders_to_a_short_prompt_in_every_step(name: str) -> None:
    template, seeds = load_template(name), load_seeds(name)
    steps = {
        step.id: {"output": OUTPUTS.get(name, {}).get(step.id, "An output.")}
        for step in template.steps
    }
    requests = [
        RenderRequest(
            step_id=step.id, part="prompt", index=index, seed=seed, steps=steps, entropy=index
        )
        for step in template.steps
        for index, seed in enumerate(seeds)
    ]

    with TemplateEngine(template) as engine:
        prompts = engine.execute_template(requests)

    assert len(prompts) == len(requests)
    check_prompts(prompts)


def check_prompts(prompts: Sequence[object]) -> None:
    for prompt in prompts:
        assert isinstance(prompt, str), prompt
        # The embedded model has 2048 tokens for prompt and reply.
        assert 40 < len(prompt) < 2000
        assert "\n\n\n" not in prompt
        assert "{{" not in prompt
        assert "{%" not in prompt


@pytest.mark.parametrize("name", NAMES)
def test_replies_are_short(name: str) -> None:
    assert all(step.max_tokens <= 160 for step in load_template(name).steps)


def test_topics_go_round_the_labels_of_the_schema() -> None:
    [step] = load_template("topic-classification").steps
    assert step.output_schema is not None
    labels = [seed["label"] for seed in load_seeds("topic-classification")]
    cycle = labels[:4]

    assert labels == cycle * (len(labels) // 4)
    assert Counter(labels) == dict.fromkeys(cycle, 5)
    for label in cycle:
        jsonschema_rs.validate(dict(step.output_schema), {"label": label, "text": "x" * 60})
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(dict(step.output_schema), {"label": "other", "text": "x" * 60})


def test_reviews_ask_for_each_rating_equally_often_and_with_its_sentiment() -> None:
    template, seeds = load_template("product-reviews"), load_seeds("product-reviews")
    requests = [
        RenderRequest(
            step_id="review", part="prompt", index=index, seed=seeds[0], steps={}, entropy=0
        )
        for index in range(10)
    ]

    with TemplateEngine(template) as engine:
        prompts = [str(prompt) for prompt in engine.execute_template(requests)]

    asked = [re.findall(r'"sentiment": "(\w+)", "rating": (\d)', prompt) for prompt in prompts]
    assert Counter(pair for [pair] in asked) == {
        ("positive", "5"): 2,
        ("positive", "4"): 2,
        ("neutral", "3"): 2,
        ("negative", "2"): 2,
        ("negative", "1"): 2,
    }
    for prompt, [(_, rating)] in zip(prompts, asked, strict=True):
        assert (seeds[0]["strength"] in prompt) == (int(rating) >= 3)
        assert (seeds[0]["weakness"] in prompt) == (int(rating) <= 3)


def test_generated_seeds_lead_from_topics_to_articles(tmp_path: Path) -> None:
    folder = EXAMPLES / "generated-seeds"
    topics = tmp_path / "topics.jsonl"
    topics.write_text(json.dumps({"id": "r-0", "topics": ["Old clocks", "Night trains"]}))

    first = seedwright.validate(folder / "topics.yaml", folder / "areas.csv")
    second = seedwright.validate(folder / "articles.yaml", topics, explode="topics", unique=True)

    assert (first.seeds, second.seeds) == (12, 2)
    assert list(first.sample.columns) == ["topics"]
    assert "about this subject: Old clocks." in str(second.steps[0].prompt)
    assert second.sample.row is not None
    assert second.sample.row["source_id"] == "r-0"


def test_five_labels_in_three_styles_need_no_seeds_and_come_equally_often() -> None:
    template = load_template("balanced-tickets")
    assert seed_needs(template) == ()

    with TemplateEngine(template) as engine:
        prompts = [
            render_record(engine, template, None, job_id="", index=index, draws=Draws())[0].prompt
            for index in range(30)
        ]

    check_prompts(prompts)
    found = Counter(
        match.groups()
        for prompt in prompts
        if (match := re.match(r"A (\w+) message about (\w+),", prompt))
    )
    assert len(found) == 15
    assert set(found.values()) == {2}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert "generate examples/balanced-tickets/template.yaml -n 30 --budget 0.10" in readme


@pytest.mark.parametrize("name", TRAINED)
def test_rows_of_an_example_are_what_its_trainer_takes(name: str) -> None:
    """The columns, and at the end of the file the lines that load them."""
    checked = seedwright.validate(template_file(name), seed_source(name), backend="local")

    assert {column: type_text(kind) for column, kind in checked.sample.columns.items()} == TRAINED[
        name
    ]
    code = trainer_code(name)
    compile(code, name, "exec")
    assert f'load_dataset("datasets/{name}", split="train")' in code
    assert code.endswith(("trainer.train()", "train_dataset=rows).train()"))


def test_every_example_whose_output_is_said_ends_with_a_trainer() -> None:
    said = {name for name in NAMES if "\noutput:" in template_file(name).read_text("utf-8")}

    assert said == set(TRAINED)


def test_extracted_order_is_json_to_learn_from_and_columns_to_check() -> None:
    checked = seedwright.validate(
        template_file("order-extraction"), seed_file("order-extraction"), backend="local"
    )

    row = dict(checked.sample.row or {})
    assert json.loads(row.pop("completion")) == {
        name: row[name] for name in ("customer", "items", "total", "express", "wish")
    }


def test_tickets_have_each_label_in_each_style() -> None:
    pairs = Counter((seed["label"], seed["style"]) for seed in load_seeds("support-tickets"))

    assert len(pairs) == 16
    assert set(pairs.values()) == {1}


def test_called_tools_are_the_tools_of_the_seeds() -> None:
    """The schema of the calls and the tools in the seeds say the same twice."""
    schema: Any = load_template("kitchen-tools").steps[1].output_schema
    calls = schema["properties"]["tool_calls"]["items"]["properties"]["function"]["anyOf"]
    called = {
        call["properties"]["name"]["const"]: set(call["properties"]["arguments"]["properties"])
        for call in calls
    }

    for seed in load_seeds("kitchen-tools"):
        functions = [each["function"] for each in seed["tools"]]
        assert {each["name"]: set(each["parameters"]["properties"]) for each in functions} == called
        assert seed["tool"] in called
