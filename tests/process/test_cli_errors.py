"""The command as a real process against wrong input, missing parts and template bombs."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import (
    PROGRAM,
    environment,
    generate_arguments,
    run,
    start,
    write_inputs,
)

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["generate", "template.yaml"], "Missing option '-n'"),
        (["generate", "absent.yaml", "--seeds", "seeds.jsonl", "-n", "1"], "absent.yaml: no such"),
        (generate_arguments(3, out="/proc/seedwright"), "--out /proc/seedwright"),
        (generate_arguments(3, "--budget", "0"), "more than 0"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    write_inputs(tmp_path)

    done = run(arguments, cwd=tmp_path, env=environment())

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"template.yaml", "seeds.jsonl"}


def test_without_the_embedded_model_it_says_what_to_install(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text('import sys\nsys.modules["xllamacpp"] = None\n')
    env = environment()
    env["PYTHONPATH"] = f"{hidden}:{env['PYTHONPATH']}"

    done = run(
        ["generate", "template.yaml", "--seeds", "seeds.jsonl", "-n", "1", "--out", "out"],
        cwd=tmp_path,
        env=env,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "not installed: run `pip install --no-deps -r requirements/local.txt`" in done.stderr
    assert not (tmp_path / "out").exists()


def test_missing_credentials_fail_the_job_and_it_goes_on_with_them(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    arguments = generate_arguments(2)
    with BedrockDouble() as double:
        env = environment(double.url)
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        without = {name: value for name, value in env.items() if name not in names}

        failed = run(arguments, cwd=tmp_path, env=without)
        calls = double.calls
        done = run(arguments, cwd=tmp_path, env=env)

    assert (failed.returncode, calls) == (1, 0)
    line = next(each for each in failed.stderr.splitlines() if each.startswith("error: "))
    assert "credentials" in line
    assert "0 of 2 records are saved in out" in failed.stderr
    assert done.returncode == 0, done.stderr


CONSTANT = "{{ 'A' * 2000000000 }}"
RANGES = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}"
THREE_LOOPS = (
    "{% for a in items %}{% for b in items %}{% for c in items %}BODY" + 3 * "{% endfor %}"
)
LARGE_TEXT = THREE_LOOPS.replace("BODY", "{{ a }}")
LONG_LOOP = THREE_LOOPS.replace("BODY", "{% set x = a ~ b %}")
LARGE_VALUE = (
    "{% set all = namespace(t=items[0]) %}{% for a in items %}{% set all.t = all.t ~ all.t %}"
    "{% endfor %}{{ all.t | length }}"
)


@pytest.mark.parametrize(
    "prompt", [CONSTANT, RANGES, LARGE_TEXT, LONG_LOOP, LARGE_VALUE], ids=range(5)
)
def test_a_template_bomb_is_refused_quickly_in_little_memory(prompt: str, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(
        f'name: bomb\nsteps:\n  - id: a\n    prompt: "{prompt}"\n', encoding="utf-8"
    )
    items = ",".join(['"word"'] * 400)
    (tmp_path / "seeds.jsonl").write_text(f'{{"items": [{items}]}}\n', encoding="utf-8")
    cpu_before = cpu_of_children()

    process = start(generate_arguments(3), cwd=tmp_path, env=environment())
    peak = peak_memory(process)
    output, errors = process.communicate()

    assert (process.returncode, output) == (2, "")
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert peak < 256 * MIB
    # Processor time, because the machine may be busy: alone it takes no longer than this.
    assert cpu_of_children() - cpu_before < 2.0


def peak_memory(process: subprocess.Popen[str]) -> int:
    """The largest sum over the process and its children, in bytes, until it ends."""
    parent = psutil.Process(process.pid)
    peak, deadline = 0, time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            family = [parent, *parent.children(recursive=True)]
            peak = max(peak, sum(each.memory_info().rss for each in family))
        except psutil.NoSuchProcess:
            continue
    return peak


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_output_into_a_closed_pipe_or_a_poor_terminal_is_no_error(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    shell = f"{' '.join(PROGRAM)} models | head -n 1"
    piped = subprocess.run(
        ["/bin/sh", "-c", shell],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    with BedrockDouble() as double:
        env = environment(double.url, PYTHONIOENCODING="ascii")
        poor = run(generate_arguments(2), cwd=tmp_path, env=env)

    assert (piped.stdout[:5], piped.stderr) == ("model", "")
    assert poor.returncode == 0, poor.stderr
    assert "2 of 2 records" in poor.stdout


def test_nothing_heavy_is_imported_before_the_first_call() -> None:
    code = "import runtime.cli.commands.generate, sys; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    ).stdout.split()

    heavy = {"rich", "pyarrow", "boto3", "botocore", "xllamacpp", "asyncio", "importlib.metadata"}
    assert heavy & set(modules) == set()
