"""The skill for coding agents: its commands do what it says, one after the other."""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest
import yaml

import seedwright
from runtime.cli.main import run
from tests.fixtures.bedrock_double import BedrockDouble

ROOT: Final = Path(__file__).parents[2]
SKILL: Final = ROOT / "skills" / "seedwright" / "SKILL.md"
TEXT: Final = SKILL.read_text(encoding="utf-8")
MOST_LINES: Final = 150
_STEPS: Final = ("validate", "estimate", "generate", "report", "review", "resume", "export")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_it_is_a_skill_that_an_agent_finds() -> None:
    _, matter, body = TEXT.split("---\n", 2)
    described = yaml.safe_load(matter)
    assert described.keys() == {"name", "description"}
    assert described["name"] == SKILL.parent.name
    assert re.fullmatch(r"[a-z0-9-]{1,64}", described["name"])
    assert 100 < len(described["description"]) <= 1024
    assert body.lstrip().startswith("# ")
    assert len(TEXT.splitlines()) <= MOST_LINES


def test_the_guide_prints_it_as_it_is() -> None:
    assert seedwright.guide("skill") == TEXT


def test_its_commands_lead_to_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line of a block that is marked `sh`, in order, with a double in Bedrock's place."""
    monkeypatch.chdir(tmp_path)
    (template,) = blocks("yaml")
    Path("template.yaml").write_text(template, encoding="utf-8")
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    ran = []
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        for line in lines:
            program, *arguments = shlex.split(line)
            assert program == "seedwright"
            before = double.calls
            assert run(arguments) == 0, (line, capsys.readouterr().err)
            ran.append(arguments[0])
            assert double.calls == before or arguments[0] == "generate", line
        assert double.calls > 0
    assert set(_STEPS) <= set(ran)
    assert [each for each in ran if each in _STEPS][:3] == ["validate", "estimate", "generate"]
    shown = capsys.readouterr().out
    assert "40 of 40 records, 0 failed" in shown
    for place in re.findall(r"`(datasets/[a-z./-]+)`", TEXT):
        assert Path(place).exists() or place.endswith("failures.jsonl"), place


def test_every_budget_is_said() -> None:
    lines = re.findall(r"^seedwright generate .+$", TEXT, re.MULTILINE)
    assert lines
    assert [line for line in lines if "--budget" not in line] == []
