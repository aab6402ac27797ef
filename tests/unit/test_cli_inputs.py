"""Wrong input to the command: one line that says what to do, exit code 2, and nothing created."""

import csv
import io
from pathlib import Path

import pytest

from runtime.cli.main import run
from runtime.datasets.folder import DatasetFolder, folder_name
from runtime.domain.errors import ConfigurationError, TemplateError
from runtime.inputs.seeds import read_seeds
from runtime.inputs.templates import read_template
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import SEEDS, write_inputs

GOOD = ("--seeds", "seeds.jsonl", "-n", "3", "--backend", "bedrock", "--out", "out")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The error line of a command that must change nothing."""
    before = sorted(folder.rglob("*"))
    code = run(arguments)
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before
    return captured.err


def template(steps: str) -> str:
    return f"name: x\nsteps:\n{steps}"


def step(prompt: str, **fields: str) -> str:
    lines = [f"  - id: {fields.pop('id', 'a')}", f"    prompt: {prompt}"]
    return "\n".join([*lines, *(f"    {name}: {value}" for name, value in fields.items())]) + "\n"


OPTIONS = [
    (["--budget", "0"], ["more than 0 and at most 1000 USD", "'0'"]),
    (["--budget=-1"], ["more than 0", "'-1'"]),
    (["--budget", "ten"], ["more than 0", "'ten'"]),
    (["--budget", "NaN"], ["more than 0", "'NaN'"]),
    (["--budget", "1001"], ["at most 1000 USD", "'1001'"]),
    (["-n", "0"], ["-n is 0", "1 to 1000000"]),
    (["-n", "1000001"], ["-n is 1000001", "1 to 1000000"]),
    (["-n", "three"], ["--num-records", "integer"]),
    (["--format", "xml"], ["'xml'", "jsonl, parquet, csv"]),
    (["--backend", "azure"], ["no provider 'azure'", "bedrock or local or openai"]),
    (["--concurrency", "0"], ["--concurrency", "1"]),
    (["--bugdet", "1"], ["--bugdet", "--budget"]),
    (["--model", "amazon.nova-micro"], ["unknown model", "did you mean amazon.nova-micro-v1:0"]),
    (["--prices", "absent.json"], ["absent.json", "No such file"]),
    (["--prices", "seeds.jsonl"], ["seeds.jsonl", "line 2"]),
    (["--out", "template.yaml"], ["--out template.yaml", "is not a folder"]),
    (["--out", "template.yaml/deeper"], ["template.yaml is not a folder"]),
    (["--out", "/proc/seedwright"], ["--out /proc/seedwright", "choose another folder"]),
    (["--out", "x" * 300], ["File name too long"]),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS, ids=lambda value: " ".join(value)[:40])
def test_a_wrong_option_is_refused(
    options: list[str], expected: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(["generate", "template.yaml", *GOOD, *options], folder, capsys)

    assert [part for part in expected if part not in error] == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["generate"], "Missing argument 'template'"),
        (["generate", "template.yaml"], "Missing option '-n'"),
        (["generate", "template.yaml", "-n", "3"], "give it seeds (--seeds)"),
        (["genrate"], "Did you mean 'generate'?"),
        (["generate", "absent.yaml", *GOOD], "absent.yaml: no such file"),
        (["generate", ".", *GOOD], ".: is a folder, not a file"),
        (["generate", "template.yaml", *GOOD, "--seeds", "absent.csv"], "absent.csv: no such file"),
        (["generate", "template.yaml", *GOOD, "--seeds", "*.md"], "*.md: no file matches"),
        (["generate", "/dev/zero", *GOOD], "/dev/zero: larger than 512 KiB"),
        (["validate", "absent.yaml"], "absent.yaml: no such file"),
        (["estimate", "template.yaml", *GOOD[:3], "0"], "-n is 0"),
        (["demo", "-n", "0"], "-n is 0"),
    ],
)
def test_a_wrong_command_is_refused(
    arguments: list[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(arguments, folder, capsys)


def parquet(rows: list[dict[str, str]]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    sink = io.BytesIO()
    pq.write_table(pa.table({"topic": [row["topic"] for row in rows]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("s.json", b"", "s.json: there are no seeds in it"),
        ("s.json", b"[]", "s.json: there are no seeds in it"),
        ("s.jsonl", b"\n\n", "s.jsonl: there are no seeds in it"),
        ("s.csv", b"topic\n", "s.csv: there are no seeds in it"),
        ("s.parquet", b"", "s.parquet: not a Parquet file"),
        ("s.parquet", parquet([]), "s.parquet: there are no seeds in it"),
        ("s.xyz", b"x", "s.xyz: seeds are .json, .jsonl, .csv or .parquet files"),
        ("s.json", b'[{"topic": 1},}', "s.json, line 1, column 15: not valid JSON"),
        ("s.jsonl", b'{"topic":1}\n{"topic":\n', "s.jsonl, line 2, column 10: not valid JSON"),
        ("s.jsonl", b'{"topic":1}\n[1]\n', "s.jsonl, line 2: expected an object"),
        ("s.csv", b"topic,x\na,b\nc\n", "s.csv, line 3: 1 cell where the header has 2"),
        ("s.csv", b'topic\n"a', "s.csv, line 2, column 1: not a valid CSV row"),
        ("s.csv", b"topic\n\xff\n", "s.csv, line 2, column 1: not UTF-8 text"),
        (
            "s.jsonl",
            b'{"topic":1}\n{"tpic":1}\n{}\n',
            "s.jsonl, record 2: the template needs 'topic', which this seed lacks (1 more",
        ),
    ],
)
def test_wrong_seeds_are_refused_with_their_place(
    name: str, body: bytes, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_bytes(body)

    error = refused(["generate", "template.yaml", *GOOD, "--seeds", name], folder, capsys)

    assert expected in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\nsteps:\n  - id: a\n   prompt: b\n", "t.yaml, line 4, column 4: not valid YAML"),
        ("name: &a x\nsteps: [*a]\n", "line 2, column 9: not valid YAML: aliases"),
        ("name: x\nname: y\n", "line 2, column 1: not valid YAML: 'name' stands here twice"),
        ("[" * 100_000, "line 1, column 65: not valid YAML: nested deeper than 64 levels"),
        ("- " * 100_000, "column 129: not valid YAML: nested deeper than 64 levels"),
        ("name: x\n? [a, b]\n: 1\n", "line 2, column 3: not valid YAML: a key has to be a plain"),
        ("name: !!python/object:os.system x\n", "could not determine a constructor"),
        ("name: 2026-02-31\n", "t.yaml: not valid YAML: day is out of range for month"),
        ("name: \x07\n", "t.yaml: not valid YAML"),
        ("a: b\n---\na: c\n", "expected a single document"),
        ("", "t.yaml: a template is a mapping with name and steps"),
        ("#" * 600_000, "t.yaml: larger than 512 KiB"),
        (
            "name: x\nsteps:\n  - id: a\n    promt: b\n",
            'unknown field "promt", did you mean "prompt"',
        ),
        (template(step("hi", model_tier="cheep")), "'cheep'; use one of cheap, balanced, premium"),
        (
            template(step('"{{ steps.b.output }}"')),
            't.yaml: step "a", prompt, line 1: step "b" does',
        ),
        (
            template(step('"{{ steps.b.output }}"') + step("hi", id="b")),
            't.yaml: step "a", prompt, line 1: step "b" runs later',
        ),
        (template(step('"{{ topic"')), 't.yaml: step "a", prompt, line 1: unexpected end'),
        (template(step("\"{% include 'rules' %}\"")), "t.yaml: no file for the include 'rules'"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(
    text: str, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "t.yaml").write_text(text, encoding="utf-8")

    assert expected in refused(["generate", "t.yaml", *GOOD], folder, capsys)


def test_a_folder_with_files_of_somebody_else_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "dataset.jsonl").write_text("mine", encoding="utf-8")

    error = refused(["generate", "template.yaml", *GOOD], folder, capsys)

    assert "out/dataset.jsonl exists and was not generated here" in error


@pytest.mark.parametrize("link", [".seedwright", ".seedwright/log.jsonl"])
def test_a_state_that_leads_elsewhere_is_refused(folder: Path, link: str) -> None:
    """A folder from somebody else must not name what is written."""
    (folder / "victim").mkdir()
    planted = folder / "out" / link
    planted.parent.mkdir(parents=True)
    planted.symlink_to(folder / "victim")

    with (
        pytest.raises(ConfigurationError, match=f"{link} is a symbolic link"),
        DatasetFolder(folder / "out").locked(),
    ):
        pytest.fail("it was opened")

    assert list((folder / "victim").iterdir()) == []


def test_without_a_region_nothing_is_created(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert "AWS_REGION" in refused(["generate", "template.yaml", *GOOD], folder, capsys)


def test_an_include_is_a_file_beside_the_template_and_never_outside(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (folder / "secret.txt").write_text("secret", encoding="utf-8")
    (inner / "rules.txt").write_text("Be brief.", encoding="utf-8")
    (inner / "ok.yaml").write_text(template(step("\"{% include 'rules' %}\"")), encoding="utf-8")
    (inner / "bad.yaml").write_text(
        template(step("\"{% include '../secret' %}\"")), encoding="utf-8"
    )

    assert read_template(inner / "ok.yaml").fragments == {"rules": "Be brief."}
    with pytest.raises(TemplateError, match="secret"):
        read_template(inner / "bad.yaml")


def test_every_seed_format_gives_the_same_rows(folder: Path) -> None:
    rows = [{"topic": "ships"}, {"topic": "tea"}, {"topic": "snow"}]
    sink = io.StringIO()
    csv.writer(sink).writerows([["topic"], *([row["topic"]] for row in rows)])
    bodies = {
        "s.jsonl": SEEDS.encode(),
        "s.json": b'[{"topic": "ships"}, {"topic": "tea"}, {"topic": "snow"}]',
        "s.csv": sink.getvalue().encode(),
        "s.parquet": parquet(rows),
    }
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
        assert list(read_seeds(folder / name, ("topic",)).rows) == rows


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Product reviews", "product-reviews"),
        ("../../etc", "etc"),
        ("...", "dataset"),
        ("日本" * 100, "日本" * 30),
    ],
)
def test_a_template_name_becomes_a_safe_folder_name(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_d6_c4_validate_shows_types_and_warns_of_ids(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "s.csv").write_text("id,topic,other\n1,false,x\n1,0,y\n", encoding="utf-8")
    assert run(["validate", "template.yaml", "--seeds", "s.csv"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "  topic: text" in shown
    assert not [line for line in shown if "other" in line]
    [warning] = [line for line in shown if line.startswith("warning: ")]
    assert "1 seed has an id that an earlier one has: record 2 has that of record 1" in warning


def test_c4_generate_warns_of_ids_and_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "s.csv").write_text("id,topic\n1,tea\n1,rain\n", encoding="utf-8")
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        assert run(["generate", "template.yaml", "--seeds", "s.csv", *GOOD[2:]]) == 0
    warning, *_ = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: 1 seed has an id that an earlier one has: record 2")


def test_c1_strategies_have_their_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shuffle", "ordered", "sequential", "random"):
        arguments = ["estimate", "template.yaml", "--seeds", "seeds.jsonl", "-n", "3"]
        assert run([*arguments, "--seed-strategy", name]) == 0
    capsys.readouterr()
    error = refused(
        ["generate", "template.yaml", *GOOD, "--seed-strategy", "sorted"], folder, capsys
    )
    assert "'shuffle', 'ordered', 'random', 'sequential'" in error
