"""Kills the command with SIGKILL at random moments, runs it again, and checks what is left.

    python tests/process/kill_and_resume.py                        the embedded model
    python tests/process/kill_and_resume.py --backend bedrock      a double of Bedrock on loopback
    python tests/process/kill_and_resume.py --backend openai       the same as OpenAI's server
    python tests/process/kill_and_resume.py --backend llama        a server of llama.cpp

It prints every kill and, at the end, whether the promises hold: each record exactly once, nothing
that was saved ever changes, no call paid twice but those in flight at a kill, and a ledger that is
never below the bill nor above the budget.
"""

import argparse
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import orjson

if __name__ == "__main__":  # as a script: pytest has the repository on its path
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from runtime.bootstrap import SystemClock
from runtime.domain.money.amounts import usd
from runtime.local.storage import open_storage
from tests.fixtures import command
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.llama_server import KEY, llama_server

BACKENDS = ("local", "llama", "bedrock", "openai")
DEADLINE_SECONDS = 600
START_SHARE = 0.25
"""How many kills come at a moment of the clock, which may be before the first record."""
MAX_START_SECONDS = 0.6


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run."""

    records: int = 200
    kills: int = 5
    seed: int = 1
    backend: str = "local"
    steps: int = 1
    concurrency: int = 2
    latency_ms: float = 25
    budget: str = "1.00"
    max_tokens: int | None = None
    """Of every step; None: what the template says."""

    @property
    def limit(self) -> str:
        """What takes the place of each limit in the template."""
        return r"\g<0>" if self.max_tokens is None else f"max_tokens: {self.max_tokens}"


@dataclass(kw_only=True)
class Result:
    """What happened; `problems` is empty when every promise was kept."""

    kills: int = 0
    finished_by_run: list[int] = field(default_factory=list)
    distinct: int = 0
    calls: int | None = None
    paid_twice: int | None = None
    billed_nano: int | None = None
    spent_nano: int = 0
    held_nano: int = 0
    problems: list[str] = field(default_factory=list)


class Folder:
    """Looks into the folder of a dataset from outside, while no process works on it or one does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._batches: dict[Path, str] = {}
        self._lines: dict[int, str] = {}

    def finished(self) -> dict[int, str]:
        """A hash of the line of every finished record, in a batch or in the journal."""
        lines: dict[int, str] = {}
        for path in self._files("objects/jobs/*/outputs/*.jsonl"):
            for line in _whole_lines(path):
                lines[orjson.loads(line)["index"]] = _hash(line)
        for path in self._files("journals/*.jsonl"):
            for entry in _whole_lines(path):
                document = orjson.loads(entry)
                if document.get("line") is not None and not document["failed"]:
                    lines[document["index"]] = _hash(document["line"].encode())
        return lines

    def compare(self) -> list[str]:
        """What was there at the last look and now is gone or different."""
        batches = {
            path: _hash(path.read_bytes()) for path in self._files("objects/jobs/*/outputs/*.jsonl")
        }
        lines = self.finished()
        problems = [
            f"{path.name} was overwritten or removed"
            for path, digest in self._batches.items()
            if batches.get(path) != digest
        ]
        problems += [
            f"record {index} was replaced or lost"
            for index, digest in self._lines.items()
            if lines.get(index) != digest
        ]
        self._batches, self._lines = batches, lines
        return problems

    def dataset(self) -> list[bytes]:
        """The lines of the published dataset."""
        return (self.path / "dataset.jsonl").read_bytes().splitlines()

    def _files(self, pattern: str) -> list[Path]:
        return sorted((self.path / ".seedwright").glob(pattern))


def _whole_lines(path: Path) -> list[bytes]:
    try:
        *whole, _torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return whole


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def kill_and_resume(plan: Plan, work: Path) -> Result:
    """Run the plan inside `work`, which is empty."""
    with ExitStack() as stack:
        double, variables = None, {}
        if plan.backend in {"bedrock", "openai"}:
            double = stack.enter_context(BedrockDouble(latency_ms=plan.latency_ms))
            # Later steps take longest, so most kills find records whose first step is paid for.
            double.faults([{"prompt": "from this plan", "delay_ms": 2 * plan.latency_ms}])
        template = command.ONE_STEP if plan.steps == 1 else command.TWO_STEPS
        command.write_inputs(work, re.sub(r"max_tokens: \d+", plan.limit, template))
        arguments = command.generate_arguments(
            plan.records,
            *("--concurrency", str(plan.concurrency), "--budget", plan.budget),
            *("--format", "jsonl", "--json"),
        )
        if plan.backend == "openai" and double is not None:
            arguments += command.server_arguments(f"{double.url}/v1", work)
        elif plan.backend == "llama":
            arguments += command.server_arguments(stack.enter_context(llama_server()), work)
            variables["OPENAI_API_KEY"] = KEY
        elif plan.backend == "local":
            arguments[arguments.index("bedrock")] = plan.backend
        environment = command.environment(double.url if double else None, **variables)
        result, folder = Result(), Folder(work / "out")
        document = _runs(plan, arguments, work, environment, folder, result)
        _check_dataset(plan, folder, document, result)
        if double is not None:
            _check_calls(plan, double, result)
        _check_ledger(plan, folder, document, result)
    return result


def _runs(
    plan: Plan,
    arguments: list[str],
    work: Path,
    environment: dict[str, str],
    folder: Folder,
    result: Result,
) -> dict[str, str]:
    """Every run but the last is killed. What the last one printed."""
    rng = random.Random(plan.seed)  # noqa: S311 - a repeatable plan
    while True:
        before = len(folder.finished())
        with command.start(arguments, cwd=work, env=environment, stderr=subprocess.PIPE) as process:
            moment = ""
            if result.kills < plan.kills:
                moment = _wait_for_moment(plan, rng, folder, process)
            if moment and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate(timeout=DEADLINE_SECONDS)
        after = len(folder.finished())
        result.finished_by_run.append(after - before)
        result.problems += folder.compare()
        if process.returncode != -signal.SIGKILL:
            if process.returncode != 0:
                result.problems.append(f"exit code {process.returncode}: {errors}")
            return dict(orjson.loads(output or "{}"))
        result.kills += 1
        _say(f"kill {result.kills} {moment}: {after} of {plan.records} records are safe")


def _wait_for_moment(
    plan: Plan, rng: random.Random, folder: Folder, process: subprocess.Popen[str]
) -> str:
    """Until the moment to kill has come, or the process has ended; which moment it is."""
    jitter = rng.uniform(0, 2 * plan.latency_ms / 1000)
    if rng.random() < START_SHARE:
        seconds = rng.uniform(0, MAX_START_SECONDS)
        _ended(process, seconds)
        return f"after {seconds:.3f} s"
    wanted = rng.randint(1, max(plan.records // (2 * plan.kills + 2), 1))
    goal = len(folder.finished()) + wanted
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(folder.finished()) < goal and time.monotonic() < deadline:
        if _ended(process, 0.005):
            return "too late"
    _ended(process, jitter)
    return f"{jitter * 1000:.0f} ms after {wanted} new records"


def _ended(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _check_dataset(plan: Plan, folder: Folder, document: dict[str, str], result: Result) -> None:
    if document.get("status") != "COMPLETED":
        result.problems.append(f"the last run ended as {document.get('status')}")
        return
    lines = folder.dataset()
    indices = [orjson.loads(line)["index"] for line in lines]
    result.distinct = len(set(indices))
    if sorted(indices) != list(range(plan.records)):
        result.problems.append(f"{len(indices)} lines, {result.distinct} distinct records")
    saved = folder.finished()
    changed = [
        index for index, line in zip(indices, lines, strict=True) if saved[index] != _hash(line)
    ]
    if changed:
        result.problems.append(f"the dataset changed records {changed}")
    if sum(result.finished_by_run) != plan.records:
        result.problems.append(f"records finished by run: {result.finished_by_run}")


def _check_calls(plan: Plan, double: BedrockDouble, result: Result) -> None:
    stats = double.stats()
    result.calls, result.paid_twice = stats["paid"], stats["paid_twice"]
    expected = plan.records * plan.steps
    if result.calls - result.paid_twice != expected:
        result.problems.append(f"{result.calls - result.paid_twice} distinct calls, not {expected}")
    if result.paid_twice > result.kills * plan.concurrency:
        result.problems.append(
            f"{result.paid_twice} calls paid twice with {result.kills} kills of at most "
            f"{plan.concurrency} calls in flight"
        )
    result.billed_nano = command.billed_nano(double)


def _check_ledger(plan: Plan, folder: Folder, document: dict[str, str], result: Result) -> None:
    storage = open_storage(folder.path / ".seedwright", clock=SystemClock())
    try:
        account = storage.budgets.get_account(document["job_id"])
    finally:
        storage.close()
    result.spent_nano = account.spent_nano
    result.held_nano = account.committed_nano - account.spent_nano
    limit = int(Decimal(plan.budget).scaleb(9))
    if not (result.billed_nano or 0) <= result.spent_nano <= limit:
        result.problems.append(
            f"the ledger says {usd(result.spent_nano)}, the bill {usd(result.billed_nano or 0)}"
        )
    if result.held_nano:
        result.problems.append(f"{usd(result.held_nano)} are still held")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a script talks by printing


def _report(plan: Plan, result: Result) -> None:
    _say(f"kills             {result.kills} (random seed {plan.seed})")
    _say(f"distinct records  {result.distinct} of {plan.records}")
    _say(f"finished by run   {result.finished_by_run}, together {sum(result.finished_by_run)}")
    if result.calls is not None:
        _say(f"calls paid        {result.calls} for {plan.records * plan.steps} needed")
        _say(f"paid twice        {result.paid_twice}, at most {result.kills * plan.concurrency}")
        _say(f"billed            {usd(result.billed_nano or 0)}")
    _say(f"ledger            {usd(result.spent_nano)} of ${plan.budget}")
    for problem in result.problems:
        _say(f"BROKEN            {problem}")
    _say("every promise was kept" if not result.problems else "promises were broken")


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    for name, default in (("records", 200), ("kills", 5), ("seed", 1), ("steps", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--latency-ms", type=float, default=25)
    parser.add_argument("--backend", choices=BACKENDS, default="local")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--budget", default="1.00")
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as work:
        result = kill_and_resume(plan, Path(work))
    _report(plan, result)
    sys.exit(1 if result.problems else 0)


if __name__ == "__main__":
    main()
