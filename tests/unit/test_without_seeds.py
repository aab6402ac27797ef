"""Datasets without seeds: a template that reads none needs none, everywhere."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

import seedwright
from runtime.cli.main import run
from runtime.domain.errors import InputError, SeedError, TemplateError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.samplers import persons
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.seed_needs import seed_needs
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.worker_world import WorkerWorld, make_template, step

LABELS = ["praise", "complaint", "question"]
STYLES = ["plain", "formal"]
SAMPLERS: list[dict[str, Any]] = [
    {"name": "label", "sampler_type": "category", "params": {"values": LABELS}},
    {"name": "style", "sampler_type": "category", "params": {"values": STYLES}},
    {
        "name": "stars",
        "sampler_type": "uniform",
        "params": {"low": 1, "high": 3},
        "conditional_params": {"label == 'praise'": {"low": 4, "high": 5}},
        "convert_to": "int",
    },
]
PROMPT = "A {{ samples.style }} {{ samples.label }} of {{ samples['stars'] }} stars, {{ index }}."
TEMPLATE: dict[str, Any] = {
    "name": "reviews",
    "keep_prompts": True,
    "samplers": SAMPLERS,
    "product": ["label", "style"],
    "steps": [{"id": "text", "prompt": PROMPT, "max_tokens": 20}],
    "output": {
        "columns": {
            "text": "steps.text.output",
            "label": "samples.label",
            "title": "{{ samples.label | upper }}",
            "seed": "seed.id",
        },
        "keep": ["samples.stars"],
    },
    "split": {"test": 0.5, "by": "samples.label"},
}
FEW, MANY = 6, 12
ALPACA = {
    "instruction": "steps.text.prompt",
    "input": "samples.style",
    "output": "steps.text.output",
}


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def generate(out: Path, n: int = MANY, **options: Any) -> seedwright.Dataset:
    arguments: dict[str, Any] = {"backend": "bedrock", "formats": "jsonl", **options}
    template = arguments.pop("template", TEMPLATE)
    return seedwright.generate(template, n=n, out=out, **arguments)


def prompts(out: Path) -> dict[int, tuple[str, str]]:
    lines = map(orjson.loads, (out / "dataset.jsonl").read_bytes().splitlines())
    return {
        each["index"]: (each["seed_data_id"], each["generation_result"]["text"]["prompt"])
        for each in lines
    }


def rows(out: Path) -> list[dict[str, Any]]:
    found = [pq.read_table(path).to_pylist() for path in sorted(out.glob("data/*.parquet"))]
    return [row for part in found for row in part]


# ── a run ──────────────────────────────────────────────────────────────────────────────────────


def test_a_dataset_without_seeds_is_balanced_and_its_rows_have_the_samples(
    double: BedrockDouble, tmp_path: Path
) -> None:
    generate(tmp_path / "a")

    found = rows(tmp_path / "a")
    assert double.calls == len(found) == MANY
    assert Counter(row["label"] for row in found) == dict.fromkeys(LABELS, 4)
    assert all(row["title"] == row["label"].upper() for row in found)
    assert all((row["stars"] >= 4) is (row["label"] == "praise") for row in found)
    assert {row["seed"] for row in found} == {f"row-{number}" for number in range(1, MANY + 1)}
    split = {
        name: {
            row["label"]
            for path in (tmp_path / "a" / "data").glob(f"{name}-*.parquet")
            for row in pq.read_table(path).to_pylist()
        }
        for name in ("train", "test")
    }
    assert split["train"]
    assert split["test"]
    assert split["train"].isdisjoint(split["test"])
    [train] = (tmp_path / "a" / "data").glob("train-*.parquet")
    types = {field.name: str(field.type) for field in pq.read_schema(train)}
    assert types["label"] == "string"
    assert types["stars"] == "int64"
    asked = prompts(tmp_path / "a")
    combinations = Counter(text.split(" of ")[0] for _, text in asked.values())
    assert len(combinations) == 6
    assert set(combinations.values()) == {2}
    assert {index: seed for index, (seed, _) in asked.items()} == {
        index: f"row-{index + 1}" for index in range(MANY)
    }


def test_a_run_that_is_stopped_grows_and_resumes_with_the_same_draws(
    double: BedrockDouble, tmp_path: Path
) -> None:
    def stop(counters: seedwright.Snapshot) -> None:
        if counters.records >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "a", FEW, on_progress=stop, concurrency=1)
    seedwright.resume(tmp_path / "a")
    generate(tmp_path / "a", MANY)

    assert double.calls == MANY
    generate(tmp_path / "b", MANY, concurrency=4)
    assert prompts(tmp_path / "a") == prompts(tmp_path / "b")
    key = {row["seed"]: row for row in rows(tmp_path / "a")}
    assert key == {row["seed"]: row for row in rows(tmp_path / "b")}
    generate(tmp_path / "c", MANY, random_seed=1)
    assert prompts(tmp_path / "c") != prompts(tmp_path / "b")


@pytest.mark.usefixtures("double")
def test_seeds_may_be_multiplied_with_samples(tmp_path: Path) -> None:
    template = {
        "name": "both",
        "samplers": SAMPLERS[:2],
        "product": ["seed", "style"],
        "steps": [{"id": "text", "prompt": "{{ topic }} {{ samples.style }}", "max_tokens": 9}],
        "output": {"columns": {"topic": "seed.topic", "style": "samples.style"}},
    }
    seeds = [{"topic": "tea"}, {"topic": "rain"}, {"topic": "snow"}]

    generate(tmp_path, 6, template=template, seeds=seeds)

    found = Counter((row["topic"], row["style"]) for row in rows(tmp_path))
    assert found == {(seed["topic"], style): 1 for seed in seeds for style in STYLES}


# ── what needs seeds ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ({"prompt": "About {{ topic }} by {{ seed.author.name }}."}, ("author.name", "topic")),
        ({"prompt": "All of {{ seed | tojson }}"}, ("seed",)),
        ({"prompt": "{% for key in seed %}{{ key }}{% endfor %} x"}, ("seed",)),
        ({"output": {"columns": {"a": "seed.label"}}}, ("label",)),
        ({"output": {"columns": {"a": "x {{ source }}"}}}, ("source",)),
        ({"split": {"test": 0.1, "by": "seed.source"}}, ("source",)),
        ({"samplers": SAMPLERS, "product": ["label", "seed"]}, ("seed",)),
        ({"schema_requirements": ["topic"]}, ("topic",)),
        ({"prompt": "{{ samples.style }}"}, ("samples.style",)),
        ({"prompt": "{{ topic | default('tea') }} {% if x is defined %}{{ x }}{% endif %}"}, ()),
        ({"prompt": "{{ index }} {{ [1, 2] | random }}"}, ()),
        ({"output": {"columns": {"a": "seed.id"}}}, ()),
    ],
)
def test_what_a_template_reads_of_its_seeds(
    more: dict[str, Any], needs: tuple[str, ...], tmp_path: Path
) -> None:
    document = {
        "name": "t",
        "steps": [{"id": "a", "prompt": more.pop("prompt", "Say it.")}],
        **more,
    }

    assert seed_needs(parse_template(document)) == needs
    if needs:
        with pytest.raises(SeedError, match=f"the template reads {needs[0]}"):
            generate(tmp_path / "a", template=document)
        assert not (tmp_path / "a").exists()


def test_a_seed_field_that_is_called_samples_goes_on() -> None:
    """Of a template without samplers; with some it is read as `seed.samples`."""
    old = {"name": "t", "steps": [{"id": "a", "prompt": "{{ samples.style }} {{ samples }}"}]}
    seeds = [{"samples": {"style": "odd"}}]
    checked = seedwright.validate(old, seeds)
    assert checked.needs == ("samples", "samples.style")
    assert (checked.steps[0].prompt or "").startswith("odd")
    assert "seed.samples" in str(
        parse_template({**old, "output": {"columns": {"a": "steps.a.output"}, "keep": ["samples"]}})
    )

    new = {
        "name": "t",
        "samplers": SAMPLERS,
        "steps": [{"id": "a", "prompt": "{{ samples.label }} {{ seed.samples.style }}"}],
    }
    prompt = seedwright.validate(new, seeds).steps[0].prompt or ""
    assert prompt.split()[0] in LABELS
    assert prompt.split()[1] == "odd"


@pytest.mark.parametrize(
    ("by", "hint"), [("label", ', did you mean "samples.label"?'), ("seed", ""), (3, "")]
)
def test_a_split_by_a_bare_name_is_told_both_ways_to_say_it(by: object, hint: str) -> None:
    document = {
        "name": "t",
        "samplers": SAMPLERS,
        "steps": [{"id": "a", "prompt": "{{ samples.label }}"}],
        "split": {"test": 0.1, "by": by},
    }
    with pytest.raises(TemplateError) as caught:
        parse_template(document)
    said = re.search(
        r"by must be a path, such as seed.source or samples\.\w+(.*)", str(caught.value)
    )
    assert said is not None
    assert said[1] == hint


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ("{{ samples.lable }}", 'there is no sampler "lable", did you mean "label"?'),
        ("{% set samples = 1 %}x", "can't be set"),
        ("{{ samples.__class__ }}", 'names that begin with "_"'),
    ],
)
def test_an_unknown_sample_is_refused_with_a_hint(prompt: str, problem: str) -> None:
    steps = [{"id": "a", "prompt": prompt}]
    with pytest.raises(TemplateError, match=problem):
        parse_template({"name": "t", "samplers": SAMPLERS, "steps": steps})


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"output": {"columns": {"a": "samples.stlye"}}}, 'did you mean "style"'),
        ({"output": {"columns": {"a": "samples.style.x"}}}, 'samples.style has no "x"'),
        ({"split": {"test": 0.1, "by": "samples.stlye"}}, 'did you mean "style"'),
    ],
)
def test_an_unknown_sample_in_rows_is_refused(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        parse_template({**TEMPLATE, **more})


# ── the command and Python before anything is paid ─────────────────────────────────────────────


def test_the_command_works_without_seeds(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "template.json"
    path.write_bytes(orjson.dumps(TEMPLATE))

    assert run(["validate", str(path)]) == 0
    shown = capsys.readouterr().out
    assert 'label: "' in shown
    assert "samples of the first record:" in shown
    assert "text: prompt" in shown
    assert run(["estimate", str(path), "-n", "1000"]) == 0
    assert "1000 records" in capsys.readouterr().out.replace("1,000", "1000")
    arguments = ["generate", str(path), "-n", "6", "--backend", "bedrock"]
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert len(prompts(tmp_path / "out")) == 6 == double.calls


@pytest.mark.usefixtures("double")
def test_validation_shows_what_the_first_record_of_a_run_has(tmp_path: Path) -> None:
    checked = seedwright.validate(TEMPLATE)

    generate(tmp_path, 1)

    assert checked.steps[0].prompt == prompts(tmp_path)[0][1]
    assert checked.samples["label"] in LABELS
    assert checked.sample.row is not None
    assert checked.sample.row["label"] == checked.samples["label"]
    assert seedwright.estimate(TEMPLATE, n=10).records == 10


def test_persons_are_drawn_by_an_extra_that_is_named_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = {"locale": "de_DE", "sex": "Female", "age_range": [30, 40]}
    template = {
        "name": "t",
        "samplers": [{"name": "who", "sampler_type": "person_from_faker", "params": params}],
        "steps": [{"id": "a", "prompt": "{{ samples.who.first_name }}, {{ samples.who.age }}"}],
        "output": {"columns": {"who": "samples.who", "age": "samples.who.age"}},
    }
    pytest.importorskip("faker")
    checked = seedwright.validate(template)
    assert checked == seedwright.validate(template)
    assert 30 <= checked.samples["who"]["age"] <= 40
    assert str(checked.sample.columns["age"]) == "int64"
    assert checked.sample.row is not None
    assert checked.sample.row["who"]["sex"] == "Female"
    params["locale"] = "xx_YY"
    with pytest.raises(TemplateError, match="there is no locale 'xx_YY'"):
        seedwright.validate(template)

    monkeypatch.setattr(persons, "find_spec", lambda _name: None)
    with pytest.raises(TemplateError, match=r'pip install "seedwright\[faker\]"'):
        seedwright.validate(template)


@pytest.mark.usefixtures("double")
def test_rows_of_seeds_can_not_be_made_of_a_dataset_without_any(tmp_path: Path) -> None:
    dataset = generate(tmp_path, 2)

    with pytest.raises(InputError, match="the dataset has no seeds, and its rows read topic"):
        dataset.export(template={**TEMPLATE, "output": {"columns": {"topic": "seed.topic"}}})
    dataset.export(template={**TEMPLATE, "output": {"alpaca": ALPACA}})
    assert {row["input"] for row in dataset.rows("alpaca")} <= set(STYLES)


# ── the API and its worker ─────────────────────────────────────────────────────────────────────


def api_template(world: ApiWorld, **more: Any) -> str:
    reply = world.post("/templates", {**TEMPLATE, **more})
    assert reply.status == 201, reply
    assert reply.body["document"]["samplers"][0]["params"] == {"values": LABELS}
    template_id: str = reply.body["template_id"]
    return template_id


def test_a_job_without_seeds_is_stored_and_shown(api_world: ApiWorld) -> None:
    template_id = api_template(api_world)
    body = {"template_id": template_id, "num_records": 6, "budget_limit": 5}

    estimated = api_world.post("/jobs/estimate", {"template_id": template_id, "num_records": 6})
    created = api_world.post("/jobs", body)
    previewed = api_world.post(f"/templates/{template_id}/preview", {})

    assert (estimated.status, estimated.body["seeds_read"]) == (200, 0)
    assert created.status == 201, created
    config = created.body["config"]
    assert (config["seed_data_path"], config["seed_version"]) == (None, None)
    assert api_world.job(created.body["job_id"]).config.seed_data_path is None
    assert previewed.body["samples"]["label"] in LABELS
    assert previewed.body["samples"]["label"] in previewed.body["steps"][0]["prompt"]
    assert previewed.body["row"]["row"]["label"] == previewed.body["samples"]["label"]


@pytest.mark.parametrize("path", ["/jobs", "/jobs/estimate"])
def test_s1_6_a_template_that_reads_seeds_needs_their_path(api_world: ApiWorld, path: str) -> None:
    template_id = api_template(api_world, output={"columns": {"a": "seed.topic"}})
    body = {"template_id": template_id, "num_records": 6}
    more = {} if path == "/jobs/estimate" else {"budget_limit": 5}

    for given in ({}, {"seed_data_path": None}):
        reply = api_world.post(path, {**body, **more, **given})

        assert reply.status == 400
        field = {"field": "seed_data_path", "message": "is required"}
        assert reply.body["error"]["details"] == [field]
        assert "the template reads topic of a seed" in reply.message


def test_a_worker_needs_no_seeds(world: WorkerWorld) -> None:
    """Another worker, which comes after one that was stopped, draws the same."""
    template = make_template(
        step(prompt=PROMPT), samplers=SAMPLERS, product=["label", "style"], keep_prompts=True
    )
    job_id = world.create_job(
        template, seeds=[], num_records=6, seed_data_path=None, seed_version=None
    )

    world.run()

    assert world.job(job_id).status is JobStatus.COMPLETED
    found = {
        each["index"]: (each["seed_data_id"], each["generation_result"]["review"]["prompt"])
        for each in world.records(job_id)
    }
    assert len({text.split(" of ")[0] for _, text in found.values()}) == 6
    assert [seed for seed, _ in (found[index] for index in range(6))] == [
        f"row-{number}" for number in range(1, 7)
    ]
