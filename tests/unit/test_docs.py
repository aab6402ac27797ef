"""The documentation says what is true: links, paths, targets, commands, templates and results."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

import seedwright
from runtime.cli import group
from runtime.cli.main import app
from runtime.contract import environment
from runtime.contract.exit_codes import ExitCode
from runtime.domain.checks.judge_reading import JUDGE_FIELDS
from runtime.domain.checks.reading import KINDS
from runtime.domain.checks.words import PII
from runtime.domain.errors import RenderError, TemplateError
from runtime.domain.models.price_file import parse_document
from runtime.domain.outputs.shape import Shape
from runtime.domain.templates import form as template_form
from runtime.domain.templates import policy as template_policy
from runtime.domain.templates.document import parse_template
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine
from runtime.models.provider_file import price_document, read_providers
from tests.fixtures.bedrock_double import BedrockDouble

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
TEMPLATES: Final = "docs/templates.md"
COMMANDS: Final = "docs/cli.md"
GROUPS: Final = frozenset({"templates", "seeds"})

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH: Final = re.compile(
    r"(?<![\w./-])(?:cdk_app|runtime|tests|docs|examples|requirements)/[\w./-]*[\w/]|\b\w+\.py\b"
)
_TARGET: Final = re.compile(r"(?:\$ )?make(?: [A-Z]+=\S+)* ([a-z0-9-]+)")
_RECORD: Final = 3
"""The record that the examples are rendered as."""


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def fences(page: str, *kinds: str) -> Iterator[str]:
    """Bodies of fenced blocks of these kinds; of every kind if none is named."""
    for kind, body in _FENCE.findall(text_of(page)):
        if not kinds or kind in kinds:
            yield body


def spans(page: str) -> list[str]:
    """Inline code; in a table a bar is escaped."""
    prose = _FENCE.sub("", text_of(page))
    return [code.replace("\\|", "|") for code in _CODE.findall(prose)]


def code_lines(page: str) -> list[str]:
    return [*spans(page), *(line for body in fences(page) for line in body.splitlines())]


def first_column(page: str, heading: str) -> list[str]:
    """The code in the first cells of the table under a heading."""
    section = text_of(page).split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return [code for cell in rows for code in _CODE.findall(cell)]


# ── every page ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    for link in _LINK.findall(_FENCE.sub("", text_of(page))):
        if ":" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target.resolve().relative_to(ROOT).as_posix()), link


def anchors_of(page: str) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(page)), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_code_exists(page: str) -> None:
    for line in code_lines(page):
        for path in _PATH.findall(line):
            if "/" in path:
                assert (ROOT / path).exists(), path
            else:
                assert any(ROOT.glob(f"[crt]*/**/{path}")) or (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    known = set(re.findall(r"^([a-z0-9-]+):", text_of("Makefile"), re.MULTILINE))
    named = {match[1] for line in code_lines(page) if (match := _TARGET.match(line))}
    assert named <= known


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_block_parses(page: str) -> None:
    for line in re.findall(r"^(?: {4}|\$ )?seedwright (.+)$", text_of(page), re.MULTILINE):
        for piped in line.split(" | seedwright "):
            words = [word for word in shlex.split(piped) if word != "&"]
            command, arguments = command_of(words)
            command.make_context(words[0], arguments)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_sentence_exists(page: str) -> None:
    for code in spans(page):
        match code.replace("…", "").split():
            case ["seedwright", name, *arguments] if name.islower() and not name.startswith("-"):
                if name in GROUPS and not arguments:
                    continue
                command, rest = command_of([name, *arguments])
                assert {each for each in rest if each.startswith("-")} <= options_of(command), code


@cache
def loaded(name: str) -> TyperCommand | TyperGroup:
    """A command, loaded once: its parts are compared."""
    return group.load_command(name)


def command_of(words: list[str]) -> tuple[TyperCommand, list[str]]:
    """The command that words begin with, which may be in a group, and the words after it."""
    rest = list(words)
    found: Any = loaded(rest.pop(0))
    while isinstance(found, TyperGroup):
        found = found.commands[rest.pop(0)]
    assert isinstance(found, TyperCommand)
    return found, rest


def options_of(command: TyperCommand) -> set[str]:
    return {
        option
        for each in command.params
        for option in (*each.opts, *each.secondary_opts)
        if option.startswith("-")
    }


def all_commands() -> dict[str, TyperCommand]:
    """Every command by the words that call it."""
    found: dict[str, TyperCommand] = {}
    queue: list[tuple[str, Any]] = [(name, loaded(name)) for name in group.COMMANDS]
    while queue:
        name, command = queue.pop()
        if isinstance(command, TyperGroup):
            queue += [(f"{name} {each}".strip(), sub) for each, sub in command.commands.items()]
        elif isinstance(command, TyperCommand):
            found[name] = command
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_template_shown_is_accepted(page: str) -> None:
    for body in fences(page, "yaml"):
        parse_template(yaml.safe_load(body))


def test_the_providers_shown_are_accepted(tmp_path: Path) -> None:
    (shown,) = fences("docs/models.md", "yml")
    path = tmp_path / "providers.yaml"
    path.write_text(shown, encoding="utf-8")
    servers = read_providers(path)
    document = price_document(servers)
    assert servers.keys() == {"gpu", "openrouter", "azure"}
    assert document is not None
    parse_document(document, file=path.name, partial=True)


def test_templates_are_shown() -> None:
    assert len(list(fences(TEMPLATES, "yaml"))) >= 3
    assert list(fences("README.md", "yaml"))


# ── the reference is complete ──────────────────────────────────────────────────────────────────


def test_every_field_of_a_template_is_described() -> None:
    assert set(first_column(TEMPLATES, "Fields of a template")) == template_form.TEMPLATE_FIELDS
    assert set(first_column(TEMPLATES, "Fields of a step")) == template_form.STEP_FIELDS


def test_every_check_is_described() -> None:
    of_step = {"model", "model_tier", "max_tokens", "temperature"}
    described = {each.partition(":")[0] for each in first_column(TEMPLATES, "Checks")}
    assert described == KINDS | set(JUDGE_FIELDS) - of_step
    (row,) = [line for line in text_of(TEMPLATES).splitlines() if line.startswith("| `no_pii")]
    assert set(_CODE.findall(row)) - {"no_pii: true"} == set(PII)


def test_every_shape_of_rows_is_described() -> None:
    shapes = {each.value for each in Shape}
    assert set(first_column("docs/datasets.md", "What a row is")) >= shapes
    (line,) = [line for line in text_of(COMMANDS).splitlines() if line.startswith("| `--as SHAPE`")]
    assert set(_CODE.findall(line)) - {"--as SHAPE"} == shapes - {Shape.RECORDS.value}


def test_every_filter_test_and_method_is_named() -> None:
    shown = {name for line in example_lines() for name in re.findall(r"\| (\w+)", line)}
    assert shown >= template_policy.ALLOWED_FILTERS
    page = text_of(TEMPLATES)
    tests = set(_CODE.findall(re.findall(r"^Tests after .*$", page, re.MULTILINE)[0])) - {"is"}
    assert tests == {name for name in template_policy.ALLOWED_TESTS if name.isidentifier()}
    methods = re.findall(r"^Methods of .*$", page, re.MULTILINE)[0]
    assert set(_CODE.findall(methods)) == template_policy.ALLOWED_METHODS


def test_every_command_and_every_option_is_described() -> None:
    described = {word for code in spans(COMMANDS) for word in re.split(r"[ ,/]+", code)}
    shown = " ".join(code_lines(COMMANDS))
    commands = all_commands()
    assert len(commands) > 20
    for name, command in commands.items():
        assert f"seedwright {name}" in shown
        assert options_of(command) <= described, name


def test_the_help_says_of_every_command_what_it_says_of_itself() -> None:
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    assert list(root.commands) == list(group.COMMANDS)
    for name, line in root.commands.items():
        assert line.get_short_help_str(200) == loaded(name).get_short_help_str(200)


def test_every_command_shows_an_example_that_parses() -> None:
    for name, command in all_commands().items():
        example = (command.epilog or "").partition("Example: seedwright ")[2].partition(" | ")[0]
        found, arguments = command_of(shlex.split(example))
        assert found is command, name
        found.make_context(name, arguments)


def test_the_process_contract_is_complete() -> None:
    cells = first_column("docs/architecture.md", "The worker process")
    assert {*environment.WORKER_REQUIRED, *environment.WORKER_OPTIONAL} <= set(cells)
    codes = re.findall(r"^\| (\d+) \|", text_of("docs/architecture.md"), re.MULTILINE)
    assert {int(code) for code in codes} == {int(code) for code in ExitCode}


def test_every_decision_is_in_the_index() -> None:
    index = "docs/adr/README.md"
    linked = set(_LINK.findall(text_of(index)))
    assert linked == {path.name for path in (ROOT / "docs/adr").glob("0*.md")}


# ── examples of prompts ────────────────────────────────────────────────────────────────────────


def example_lines() -> list[str]:
    return [line for body in fences(TEMPLATES, "text") for line in body.splitlines()]


def test_every_example_renders_as_shown() -> None:
    examples = [line.partition(" → ") for line in example_lines() if " → " in line]
    assert len(examples) >= len(template_policy.ALLOWED_FILTERS)
    with TemplateEngine() as engine:
        for prompt, _, shown in examples:
            assert render(engine, prompt.rstrip()).rstrip() == shown, prompt


def test_every_mistake_gives_the_message_shown() -> None:
    mistakes = [line.partition(" ✗ ") for line in example_lines() if " ✗ " in line]
    assert len(mistakes) > 1
    with TemplateEngine() as engine:
        for prompt, _, shown in mistakes:
            with pytest.raises((TemplateError, RenderError)) as caught:
                render(engine, prompt.rstrip())
            assert f"line 1: {shown}" in str(caught.value), prompt


def render(engine: TemplateEngine, prompt: str) -> str:
    """`prompt` for the seed that the page shows. Raises what it fails with."""
    engine.load(parse_template({"name": "example", "steps": [{"id": "step", "prompt": prompt}]}))
    seed = orjson.loads(next(fences(TEMPLATES, "json")))
    request = RenderRequest(step_id="step", index=_RECORD, seed=seed, entropy=_RECORD)
    text = engine.execute_template([request])[0]
    if isinstance(text, RenderError):
        raise text
    return text


# ── examples in Python ─────────────────────────────────────────────────────────────────────────

PYTHON: Final = "docs/python.md"


@pytest.mark.parametrize("page", ["README.md", PYTHON])
def test_every_example_in_python_does_what_it_shows(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The blocks of a page one after the other, as a reader would run them."""
    monkeypatch.chdir(tmp_path)
    Path("facts.yaml").write_text(next(fences("README.md", "yaml")), encoding="utf-8")
    Path("animals.jsonl").write_text(next(fences("README.md", "json")), encoding="utf-8")
    names: dict[str, object] = {}
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        for body in fences(page, "python"):
            # The README's example takes the embedded model, which needs a minute for it.
            code = body if page == PYTHON else body.replace("n=100", 'n=100, backend="bedrock"')
            exec(compile(code, page, "exec"), names)  # noqa: S102 - our own page
            shown = [text for line in body.splitlines() for text in line.split(" → ")[1:]]
            if shown:
                assert capsys.readouterr().out.splitlines() == shown
    assert double.calls > 0


def test_every_name_of_the_package_is_described() -> None:
    described = {word for code in spans(PYTHON) for word in re.split(r"\W+", code)}
    described |= {word for body in fences(PYTHON) for word in re.split(r"\W+", body)}
    parts = {"Client", "CostEstimate", "StepCheck", "TemplateCheck", "Preview"}
    errors = {name for name in seedwright.__all__ if name.endswith("Error")}
    assert {*seedwright.__all__} - parts - errors <= described


# ── requirements ───────────────────────────────────────────────────────────────────────────────

_ROW: Final = re.compile(r"\b(S(?:10|[1-9])\.[0-9]+|N[0-9]{1,2})\b")
_ROW_IN_NAME: Final = re.compile(r"def test_(?:\w+_)?s(10|[1-9])_([0-9]+)_")
_FAULTS_IN_NAME: Final = re.compile(r"def test_(?:\w+_)?rows?_((?:[0-9]+_)+)")
_FAULTS: Final = re.compile(r"\b[Rr]ows? ([0-9]+(?:(?:, | and | to )[0-9]+)*)")


def cited_rows(text: str) -> Iterator[str]:
    yield from _ROW.findall(text)
    for part, number in _ROW_IN_NAME.findall(text):
        yield f"S{part}.{number}"


def cited_faults(text: str) -> Iterator[int]:
    for numbers in _FAULTS_IN_NAME.findall(text):
        yield from map(int, numbers.strip("_").split("_"))
    for numbers in _FAULTS.findall(text):
        for part in re.split(r", | and ", numbers):
            first, _, last = part.partition(" to ")
            yield from range(int(first), int(last or first) + 1)


def test_every_requirement_that_is_cited_is_written_down() -> None:
    listed = set(
        re.findall(r"^\| (\w+(?:\.\w+)?) \|", text_of("docs/requirements.md"), re.MULTILINE)
    )
    sources = [
        path
        for folder in ("cdk_app", "runtime", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__)
    ]
    texts = {path: path.read_text(encoding="utf-8") for path in sources}
    texts |= {ROOT / page: text_of(page) for page in PAGES}
    cited = {
        (row, path.relative_to(ROOT).as_posix())
        for path, text in texts.items()
        for row in (*cited_rows(text), *map(str, cited_faults(text)))
    }
    assert len(cited) > len(listed)
    assert [each for each in sorted(cited) if each[0] not in listed] == []
