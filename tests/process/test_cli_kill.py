"""SIGKILL at random moments, and a full disk: nothing lost, nothing done twice (N1, N2)."""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest

from runtime.datasets.statistics import read_statistics
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import (
    PROGRAM,
    TWO_STEPS,
    environment,
    errors_in,
    generate_arguments,
    run,
    start,
    write_inputs,
)

CONCURRENCY = 4


@pytest.mark.parametrize(
    ("steps", "records", "seed", "backend"),
    [(1, 60, 5, "bedrock"), (2, 40, 2, "bedrock"), (2, 40, 3, "openai")],
)
def test_killed_again_and_again_it_keeps_every_promise(
    steps: int, records: int, seed: int, backend: str, tmp_path: Path
) -> None:
    module = script()
    plan = module.Plan(
        records=records,
        kills=3,
        seed=seed,
        backend=backend,
        steps=steps,
        concurrency=CONCURRENCY,
        latency_ms=80,
    )

    result: Any = module.kill_and_resume(plan, tmp_path)

    assert result.problems == []
    assert result.kills == 3
    assert result.distinct == records
    assert result.calls - result.paid_twice == records * steps
    assert result.paid_twice <= 3 * CONCURRENCY
    assert 0 < result.billed_nano <= result.spent_nano


@pytest.mark.parametrize("backend", ["local", "llama"])
def test_killed_with_a_real_model_it_keeps_the_same_promises(backend: str, tmp_path: Path) -> None:
    """The embedded model, and a server of llama.cpp, which counts no calls for us."""
    module = script()
    plan = module.Plan(
        records=4, kills=1, seed=2, backend=backend, steps=2, concurrency=2, max_tokens=4
    )

    result: Any = module.kill_and_resume(plan, tmp_path)

    assert result.problems == []
    assert result.kills == 1
    assert result.distinct == 4
    assert (result.spent_nano > 0) == (backend == "llama")


SAMPLED = """\
name: sampled
keep_prompts: true
samplers:
  - {name: label, sampler_type: category, params: {values: [a, b, c]}}
  - {name: size, sampler_type: gaussian, params: {mean: 0, stddev: 9}}
product: [label]
steps:
  - {id: text, prompt: "Write {{ samples.label }} {{ samples.size }}.", max_tokens: 20}
"""


def test_a_killed_run_without_seeds_goes_on_with_the_same_draws(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(SAMPLED, encoding="utf-8")
    arguments = ["generate", "template.yaml", "-n", "12", "--backend", "bedrock", "--out"]
    with BedrockDouble(latency_ms=40) as double:
        env = environment(double.url)
        killed = [*arguments, "killed", "--concurrency", "1"]
        with start(killed, cwd=tmp_path, env=env) as process:
            deadline = time.monotonic() + 30
            while double.calls < 4:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        told = unsaved(tmp_path / "killed")
        for out in ("killed", "whole"):
            assert run([*arguments, out], cwd=tmp_path, env=env).returncode == 0
    whole = read_statistics(tmp_path / "killed").document()

    def prompts(out: str) -> dict[int, str]:
        lines = map(orjson.loads, (tmp_path / out / "dataset.jsonl").read_bytes().splitlines())
        return {each["index"]: each["generation_result"]["text"]["prompt"] for each in lines}

    assert told["records"] >= 2
    assert told["tokens"] > 0
    assert Decimal(told["cost_usd"]) > 0
    assert whole["unsaved"] == {"records": 0, "failed": 0, "tokens": 0, "cost_usd": "0"}
    assert len(prompts("killed")) == 12
    assert prompts("killed") == prompts("whole")


def unsaved(folder: Path) -> dict[str, Any]:
    """What the report of a killed dataset says of the journal, beside which there is nothing."""
    found = read_statistics(folder).document()
    assert (found["records"], found["cost_usd"]) == (0, "0")
    told: dict[str, Any] = found["unsaved"]
    assert found["missing"] == found["requested"] - told["records"] - told["failed"]
    return told


def script() -> ModuleType:
    """The script that people run by hand."""
    path = Path(__file__).with_name("kill_and_resume.py")
    spec = importlib.util.spec_from_file_location("kill_and_resume", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_and_resume"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def test_paid_steps_of_a_killed_record_are_not_paid_again(tmp_path: Path) -> None:
    """Every record has its first step when the kill comes, and waits for its second."""
    write_inputs(tmp_path, TWO_STEPS)
    arguments = generate_arguments(CONCURRENCY, "--concurrency", str(CONCURRENCY))
    with BedrockDouble() as double:
        double.faults([{"prompt": "from this plan", "effect": "timeout"}])
        env = environment(double.url)
        with start(arguments, cwd=tmp_path, env=env) as process:
            deadline = time.monotonic() + 30
            while double.calls < 2 * CONCURRENCY:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
        double.faults([])
        done = run(arguments, cwd=tmp_path, env=env)
        stats = double.stats()

    assert done.returncode == 0, done.stderr
    assert indices(tmp_path / "out" / "dataset.jsonl") == list(range(CONCURRENCY))
    assert stats["received"] == 3 * CONCURRENCY
    assert stats["paid_twice"] == CONCURRENCY


def shell_quoted(arguments: list[str]) -> str:
    return shlex.join([*PROGRAM, *arguments])


FULL_DISK = """
mount -t tmpfs -o size=2m tmpfs small || exit 99
head -c {filler} /dev/zero > small/filler
{command} > full.out 2> full.err; echo $? > full.code
rm small/filler
{command} > done.out 2> done.err; echo $? > done.code
cp small/out/dataset.jsonl .
"""


@pytest.mark.parametrize("free_kib", [100, 200, 500])
def test_on_a_full_disk_it_stops_and_with_space_the_same_command_goes_on(
    free_kib: int, tmp_path: Path
) -> None:
    """Which write fails depends on the space: the tables', the journal's or the batch's."""
    records = 400
    write_inputs(tmp_path)
    (tmp_path / "small").mkdir()
    arguments = generate_arguments(
        records, "--concurrency", str(CONCURRENCY), "--format", "jsonl", out="small/out"
    )
    script = FULL_DISK.format(filler=(2048 - free_kib) * 1024, command=shell_quoted(arguments))
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("only Linux can mount a small disk without asking")
    with BedrockDouble() as double:
        done = subprocess.run(
            [unshare, "--map-root-user", "--mount", "sh", "-c", script],
            cwd=tmp_path,
            env=environment(double.url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if not (tmp_path / "full.code").exists():
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        stats = double.stats()

    def read(name: str) -> str:
        return (tmp_path / name).read_text().strip()

    errors = errors_in(read("full.err"))
    assert (read("full.code"), read("full.out"), len(errors)) == ("1", "", 1)
    assert errors[0].startswith("error: ")
    assert "no space left" in errors[0]
    assert "free some" in errors[0]
    assert read("done.code") == "0", read("done.err")
    assert indices(tmp_path / "dataset.jsonl") == list(range(records))
    assert stats["paid"] - stats["paid_twice"] == records
    assert stats["paid_twice"] <= CONCURRENCY


def test_a_disk_that_fails_is_an_error_and_what_was_finished_is_kept(tmp_path: Path) -> None:
    """A limit of the file size stands for the fault: the tables' log is the first to meet it."""
    records = 200
    write_inputs(tmp_path)
    code = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (120 * 1024,) * 2);"
        "os.execv(sys.executable, [sys.executable, '-m', 'runtime.cli', *sys.argv[1:]])"
    )
    arguments = generate_arguments(records, "--concurrency", str(CONCURRENCY), "--format", "jsonl")
    with BedrockDouble() as double:
        env = environment(double.url)
        # Not measured: its coverage would be the first to miss the disk.
        plain = {name: value for name, value in env.items() if not name.startswith("COVERAGE_")}
        failed = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=plain,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        done = run(arguments, cwd=tmp_path, env=env)
        stats = double.stats()

    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    errors = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert done.returncode == 0, done.stderr
    assert indices(tmp_path / "out" / "dataset.jsonl") == list(range(records))
    assert stats["paid_twice"] <= CONCURRENCY


def indices(path: Path) -> list[int]:
    return sorted(orjson.loads(line)["index"] for line in path.read_bytes().splitlines())
