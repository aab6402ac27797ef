"""The guide: all that a template may hold, nothing twice, nothing lost, and examples that run."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import seedwright
from runtime.cli.main import run
from runtime.domain.outputs.shape import Shape
from runtime.domain.samplers.kinds import SamplerType
from runtime.domain.samplers.reading import SAMPLER_FIELDS
from runtime.domain.templates import form, policy
from runtime.domain.templates.template import OnTruncation
from runtime.guide import guide as guide_module
from runtime.guide.markdown import HEAD, sections, without_links
from runtime.guide.topics import TOPICS
from tests.fixtures.examples import NAMES

ROOT: Final = Path(__file__).parents[2]
MOST_BYTES: Final = 70_000
NAMED: Final = [topic.name for topic in TOPICS]
_FILE: Final = re.compile(
    r"^`(examples/[^`]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_CODE: Final = re.compile(r"^```.*?^```$|``.+?``|`[^`\n]+`", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def whole() -> str:
    return seedwright.guide()


# ── what it has ────────────────────────────────────────────────────────────────────────────────


def known_names() -> Iterator[str]:
    """Everything by name that the reader of templates knows."""
    yield from form.TEMPLATE_FIELDS
    yield from form.STEP_FIELDS
    yield from SAMPLER_FIELDS
    yield from (each.value for each in SamplerType)
    yield from (each.value for each in Shape)
    yield from (each.value for each in OnTruncation)
    yield from (name for name in policy.ALLOWED_TESTS if name.isidentifier())
    yield from policy.ALLOWED_METHODS


def test_every_name_that_a_template_may_hold_is_in_the_guide(whole: str) -> None:
    said = {word for code in _CODE.findall(whole) for word in re.findall(r"[\w-]+", code)}
    assert sorted(set(known_names()) - said) == []
    filtered = set(re.findall(r"\| (\w+)", whole))
    assert sorted(policy.ALLOWED_FILTERS - filtered) == []


def test_it_can_be_read_at_once(whole: str) -> None:
    assert 30_000 < len(whole.encode()) <= MOST_BYTES


def test_every_section_is_printed_by_a_topic_or_named_as_left_out() -> None:
    texts = {name: seedwright.guide(name) for name in NAMED}
    for page in {part.page for topic in TOPICS for part in topic.parts}:
        found = sections((ROOT / "docs" / page).read_text(encoding="utf-8"))
        for title in found:
            if title == HEAD:
                continue
            printed = any(
                re.search(rf"^#+ {re.escape(title)}$", text, re.MULTILINE)
                for text in texts.values()
            )
            left_out = any(
                title in line.partition(": ")[2].rstrip(".").split("; ")
                for text in texts.values()
                for line in re.findall(
                    rf"^Not in this guide, but in docs/{page}: .+$", text, re.MULTILINE
                )
            )
            assert printed != left_out, (page, title)


def test_the_topics_name_sections_that_exist() -> None:
    to_come = {"Checks"}
    for topic in TOPICS:
        for part in topic.parts:
            found = sections((ROOT / "docs" / part.page).read_text(encoding="utf-8"))
            named = {*part.only, *part.without, *part.more} - to_come
            assert named <= found.keys(), topic.name


def test_the_whole_guide_says_where_the_rest_is(whole: str) -> None:
    titles = [
        title
        for line in re.findall(r"^`seedwright guide \w+` also has: (.+)\.$", whole, re.MULTILINE)
        for title in line.split("; ")
    ]
    assert {"Common errors", "Documents", "The report", "guided-dialogue"} <= set(titles)
    everything = "".join(map(seedwright.guide, NAMED))
    for title in titles:
        assert re.search(rf"^#+ {re.escape(title)}$", everything, re.MULTILINE), title
    for name in NAMED:
        assert f"`seedwright guide {name}`" in whole


def test_no_section_is_printed_twice(whole: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", whole, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ .+$", prose, re.MULTILINE)
    assert sorted(headings) == sorted(set(headings))


def test_checks_of_templates_are_a_topic_once_the_page_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        (tmp_path / page.name).write_text(page.read_text("utf-8"), encoding="utf-8")
    with (tmp_path / "templates.md").open("a", encoding="utf-8") as file:
        file.write("\n## Checks\n\nKeep what is true.\n\n## Another\n\nMore.\n")
    monkeypatch.setattr(
        guide_module, "shipped", lambda name: tmp_path if name == "docs" else ROOT / name
    )
    caches = (guide_module._sections, guide_module._owner)
    for each in caches:
        each.cache_clear()
    try:
        assert "## Checks\n\nKeep what is true.\n" in seedwright.guide("checks")
        assert "Keep what is true." not in seedwright.guide("templates")
        assert "## Another\n\nMore.\n" in seedwright.guide("templates")
        assert seedwright.guide().count("Keep what is true.") == 1
    finally:
        for each in caches:
            each.cache_clear()


def test_every_model_is_there_with_its_price() -> None:
    document = json.loads((ROOT / "runtime/domain/models/prices.json").read_text())
    rows = dict(
        re.findall(
            r"^\| `([^`]+)` \| (\$[\d.]+ \| \$[\d.]+) \|", seedwright.guide("models"), re.MULTILINE
        )
    )
    direct = {row["id"]: row for row in document["models"] if row["input"] is not None}
    assert direct
    for model, row in direct.items():
        costs = [float(cost) for cost in re.findall(r"[\d.]+", rows[model])]
        assert costs == [row["input"] / 1000, row["output"] / 1000], model


# ── how it is printed ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [None, *NAMED])
def test_the_command_prints_what_python_gives(
    name: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["guide", *([] if name is None else [name])]) == 0
    shown = capsys.readouterr()
    assert shown.out.rstrip("\n") == seedwright.guide(name).rstrip("\n")
    assert shown.err == ""


@pytest.mark.parametrize("name", [None, *(name for name in NAMED if name != "skill")])
def test_no_link_leads_to_a_file_that_the_reader_has_not(name: str | None) -> None:
    prose = _CODE.sub("", seedwright.guide(name))
    assert [target for target in re.findall(r"\]\(([^)]+)\)", prose) if "://" not in target] == []


def test_topics_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["guide", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == NAMED


def test_a_topic_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["guide", "template"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert 'there is no topic "template", did you mean "templates"?' in shown.err
    with pytest.raises(seedwright.InputError, match="the topics are templates, seeds"):
        seedwright.guide("no")


def test_sections_and_links_know_what_is_code() -> None:
    code = "```text\n## not a heading\n[a](b.md)\n```\n"
    page = f"# Page\n\nHead.\n\n{code}\n### One\n\n[x](b.md#y) `[c](d.md)`\n"
    found = sections(page)
    assert list(found) == [HEAD, "One"]
    assert found[HEAD] == f"Head.\n\n{code}"
    said = [without_links(text, lambda target: f"see {target}") for text in found.values()]
    assert said == [found[HEAD], "### One\n\nx (see b.md#y) `[c](d.md)`\n"]
    assert without_links("[`a`](b.md), [Web](https://example.org/c)", lambda _: None) == (
        "`a`, [Web](https://example.org/c)"
    )


# ── its examples ───────────────────────────────────────────────────────────────────────────────


def written(text: str, folder: Path) -> list[Path]:
    """The files that a guide shows, as its reader would write them."""
    paths = []
    for place, body in _FILE.findall(text):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")
        paths.append(path)
    return paths


def test_every_example_is_shown_whole() -> None:
    shown = dict(_FILE.findall(seedwright.guide("examples")))
    templates = {path for path in shown if path.endswith(".yaml")}
    assert {f"examples/{name}/template.yaml" for name in NAMES} <= templates
    for path in templates:
        assert shown[path] == (ROOT / path).read_text(encoding="utf-8")


def test_the_examples_of_the_whole_guide_are_some_of_them(whole: str) -> None:
    short, shown = (dict(_FILE.findall(text)) for text in (whole, seedwright.guide("examples")))
    assert len([path for path in short if path.endswith(".yaml")]) >= 3
    assert short.items() <= shown.items()


def test_every_example_of_the_guide_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = seedwright.guide("examples")
    paths = written(text, tmp_path)
    monkeypatch.chdir(tmp_path)
    checked = set()
    for line in re.findall(r"^seedwright generate (examples/.+)$", text, re.MULTILINE):
        template, *options = shlex.split(line.partition(" | ")[0])
        if template in checked:
            continue
        seeds = [options[at + 1] for at, word in enumerate(options) if word == "--seeds"]
        if not all(Path(each).exists() for each in seeds):
            seeds = []  # documents, and what another template writes, are not shown
        arguments = [part for each in seeds for part in ("--seeds", each)]
        assert run(["validate", template, *arguments]) == 0, capsys.readouterr().err
        checked.add(template)
    assert checked == {
        path.relative_to(tmp_path).as_posix() for path in paths if path.suffix == ".yaml"
    }


# ── where it is from ───────────────────────────────────────────────────────────────────────────


def test_the_wheel_brings_the_pages_that_the_guide_reads() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    brought = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    pages = {part.page for topic in TOPICS for part in topic.parts}
    assert {name for name in brought if name.startswith("docs/")} == {
        f"docs/{page}" for page in pages
    }
    assert brought == {name: f"runtime/{name}" for name in brought}
