"""What others have written is shown as plain text by every command."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from runtime.cli.main import run
from runtime.cli.report import show_records
from runtime.domain.plain_text import plain_line, plain_lines
from tests.fixtures.clock import ManualClock
from tests.fixtures.fake_api import JOB, TEMPLATE, FakeApi
from tests.fixtures.hostile_api import HOSTILE, be_hostile
from tests.fixtures.local_api import TOKEN, served_api
from tests.fixtures.scripted_server import refusal


@pytest.fixture
def api(fake_api: FakeApi) -> FakeApi:
    return fake_api


COMMANDS: Final = (
    ["jobs"],
    ["status", JOB],
    ["watch", JOB],
    ["cancel", JOB],
    ["resume", JOB],
    ["delete", JOB],
    ["delete", JOB, "--yes"],
    ["submit", TEMPLATE, "--seeds", "seed-data/u/x", "-n", "1"],
    ["submit", "template.yaml", "--seeds", "seeds.jsonl", "-n", "1"],
    ["templates", "list"],
    ["templates", "show", TEMPLATE],
    ["templates", "create", "template.yaml"],
    ["templates", "update", TEMPLATE, "template.yaml"],
    ["templates", "delete", TEMPLATE],
    ["templates", "delete", TEMPLATE, "--yes"],
    ["templates", "versions", TEMPLATE],
    ["templates", "import", "template.yaml"],
    ["templates", "fork", TEMPLATE],
    ["templates", "preview", TEMPLATE, "--run-model"],
    ["seeds", "upload", "seeds.jsonl"],
    ["seeds", "list"],
    ["seeds", "validate", "seeds.jsonl"],
)


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a document."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, str):
        yield value


def assert_plain(said: str, *, lines: bool = True) -> None:
    """Nothing in it steers a terminal. Where each line is one of ours, none is forged either."""
    steering = {
        each
        for each in said
        if each not in "\n\t" and unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp"}
    }
    assert not steering, said
    if lines:
        assert not re.search(r"(?m)^forged", said), said


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_e7_what_a_server_answers_is_shown_as_plain_text(
    api: FakeApi, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    be_hostile(api)
    texts = command[:2] in (["templates", "show"], ["templates", "preview"])  # of several lines

    run(command)
    said = capsys.readouterr()
    assert_plain(said.out + said.err, lines=not texts)
    assert said.out or said.err

    if command[0] != "watch":
        run([*command, "--json"])
        printed = capsys.readouterr().out
        assert_plain(printed)
        if printed and command[-1] != "--yes":  # it still means what the server has said
            assert HOSTILE in texts_in(orjson.loads(printed))

    for status in (400, 404, 500):
        api.server.scripts = [refusal(status, "code", HOSTILE, x_request_id="[/x]")] * 9
        assert run(command) in {1, 2}
        assert_plain(capsys.readouterr().err)
        api.server.scripts = []


def test_e7_an_export_is_exact_in_a_file_and_plain_on_a_terminal(
    api: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    be_hostile(api)
    assert run(["templates", "export", TEMPLATE]) == 0
    assert HOSTILE in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(["templates", "export", TEMPLATE]) == 0
    assert_plain(capsys.readouterr().out, lines=False)


def test_e7_names_in_files_are_shown_as_plain_text(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also in what refuses them: a template's name, a step's, a key of a seed, a file's name."""
    del api
    name = orjson.dumps(HOSTILE).decode()
    named = {
        "a.yaml": f"name: {name}\nsteps:\n  - id: text\n    prompt: {name}\n    max_tokens: 9\n",
        "b.yaml": f"name: x\nsteps:\n  - id: {name}\n    prompt: x\n    max_tokens: 9\n",
        "c.yaml": f"name: x\n{name}: 1\n",
        "d.yaml": f"name: x\nsteps:\n  - id: t\n    prompt: '{{% include {name} %}}'\n",
        "\x1b[2J[link=x]\u202e.yaml": "[",
    }
    (tmp_path / "odd.jsonl").write_text(f'{{{name}: {name}, "id": {name}}}\n', encoding="utf-8")
    for file_name, text in named.items():
        (tmp_path / file_name).write_text(text, encoding="utf-8")
        seeds = ["--seeds", "odd.jsonl"]
        for command in (
            ["validate", file_name, *seeds],
            ["estimate", file_name, *seeds, "-n", "1", "--backend", "bedrock"],
            ["generate", file_name, "--seeds", HOSTILE, "-n", "1"],
        ):
            run(command)
            said = capsys.readouterr()
            assert said.out or said.err
            assert_plain(said.out + said.err, lines=False)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("na\u00efve \u65e5\u672c\u8a9e \U0001f468\u200d\U0001f469", None),
        ("a\x1b[31mb\x7f\x9b\u202ec\u2069", "a [31mb   c "),
        ("a\nb\tc\u2028d\u00a0e", "a b c d e"),
    ],
)
def test_e7_text_that_says_something_stays(text: str, line: str | None) -> None:
    assert plain_line(text) == (text if line is None else line)
    assert plain_lines("a\r\n\tb\x1b") == "a\n\tb "


def test_e7_keys_of_an_output_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output = {"[/x]": "[/y]", "[link=http://e]": HOSTILE, HOSTILE: 1}
    record = {"index": 0, "seed_data_id": "[/z]", "generation_result": {"t": {"output": output}}}
    show_records([orjson.dumps(record)])
    said = capsys.readouterr().out
    assert_plain(said, lines=False)
    assert all(each in said for each in ("[/x]", "[/y]", "[/z]", "[link=http"))


def test_e7_what_is_stored_at_a_real_server_is_shown_as_plain_text(
    tmp_path: Path,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fragments, prompts and refusals of the handlers themselves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    named = orjson.dumps(HOSTILE).decode()
    document = {
        "name": "x",
        "description": HOSTILE,
        "fragments": {HOSTILE: HOSTILE},
        "steps": [{"id": "t", "prompt": f"{{% include {named} %}}{HOSTILE}", "system": HOSTILE}],
    }
    (tmp_path / "t.json").write_bytes(orjson.dumps(document))
    (tmp_path / "seeds.jsonl").write_bytes(orjson.dumps({HOSTILE: HOSTILE}))
    (tmp_path / "bad.json").write_bytes(orjson.dumps({**document, "name": HOSTILE, HOSTILE: 1}))
    with served_api(tmp_path / "data", clock) as (listener, _):
        monkeypatch.setenv("SEEDWRIGHT_API_URL", listener.base_url)
        monkeypatch.setenv("SEEDWRIGHT_TOKEN", TOKEN)
        for command in (
            ["templates", "import", "t.json"],
            ["templates", "import", "bad.json"],
            ["templates", "list"],
            ["seeds", "validate", "seeds.jsonl"],
            ["status", HOSTILE],
            ["templates", "show", HOSTILE],
        ):
            run(command)
            said = capsys.readouterr()
            assert said.out or said.err
            assert_plain(said.out + said.err)
