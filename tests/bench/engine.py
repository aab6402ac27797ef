"""The benchmark of the whole engine, beside a plain script on boto3 that keeps nothing.

    python tests/bench/engine.py --records 5000 --repeat 3

Both call the same double of Bedrock, at no latency and at 50 ms, with 64 calls in flight and
prompts of the same size, in turn: A B A B. The engine's side is `seedwright generate`, with
rendering, budget, journal, batches, checkpoints and export. Figures are medians. Exits with 1 when
a target (see `TARGETS`) is missed.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self
from urllib.request import urlopen

import psutil

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.bench.plain_boto3 import MAX_TOKENS, MODEL, PROMPT  # noqa: E402

CONCURRENCY: Final = 64
LATENCIES_MS: Final = (0, 50)
SAMPLE_SECONDS: Final = 0.05

TARGETS: Final[Mapping[str, tuple[str, float]]] = {
    "records/s, engine/plain": (">=", 0.9),
    "CPU/record, engine/plain": ("<=", 1.3),
    "peak RSS, MB": ("<=", 120.0),
    "first call, s": ("<=", 0.8),
}
"""Of the engine, at each latency."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One run, seen from outside. Records a second count from the first call to the end of the
    process, calls a second to the last call. CPU is user and system time of the process and its
    children; RSS is MB, of all of them or of the main process.
    """

    records_per_second: float
    calls_per_second: float
    cpu_ms_per_record: float
    first_call_seconds: float
    total_rss: float
    main_rss: float


class Sampler:
    """Watches the memory of a process and its children while the block runs."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.total = self.main = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        # A process that is gone has nothing more to tell.
        with contextlib.suppress(psutil.Error):
            while not self._done.wait(SAMPLE_SECONDS):
                own = _megabytes(self._process)
                children = 0.0
                for child in self._process.children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        children += _megabytes(child)
                self.main = max(self.main, own)
                self.total = max(self.total, own + children)


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1024**2


class Double:
    """The double as a process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def reset(self) -> None:
        urlopen(f"{self.url}/__reset", data=b"", timeout=10).close()  # noqa: S310 - our double

    def stats(self) -> Any:
        with urlopen(f"{self.url}/__stats", timeout=10) as reply:  # noqa: S310
            return json.load(reply)


@contextmanager
def double_process(latency_ms: int) -> Iterator[Double]:
    """A double that answers after `latency_ms`."""
    script = HERE.parent / "fixtures" / "bedrock_double.py"
    command = [sys.executable, str(script), "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Double(process.stdout.readline().strip())
        finally:
            process.terminate()


def measure(command: Sequence[str], double: Double, records: int) -> Figures:
    """Run a command that makes `records` calls."""
    double.reset()
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": double.url,
    }
    before, started = os.times(), time.time()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with Sampler(process.pid) as memory:
        _, errors = process.communicate()
    ended, after = time.time(), os.times()
    stats = double.stats()
    if process.returncode or stats["paid"] != records or stats["paid_twice"]:
        message = f"{command[1]}: exit {process.returncode}, {stats['paid']} of {records} calls\n"
        raise SystemExit(message + errors.decode())
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Figures(
        records_per_second=records / (ended - stats["first_call"]),
        calls_per_second=records / (stats["last_call"] - stats["first_call"]),
        cpu_ms_per_record=cpu / records * 1000,
        first_call_seconds=stats["first_call"] - started,
        total_rss=memory.total,
        main_rss=memory.main,
    )


def engine_command(folder: Path, records: int) -> list[str]:
    """`seedwright generate` into a new folder, with a seed for every record."""
    inputs = folder / "inputs"
    inputs.mkdir(exist_ok=True)
    step = {
        "id": "review",
        "model": MODEL,
        "max_tokens": MAX_TOKENS,
        "prompt": PROMPT.format(index="{{ number }}"),
    }
    template, seeds = inputs / "template.json", inputs / "seeds.csv"
    template.write_text(json.dumps({"name": "bench", "steps": [step]}))
    seeds.write_text("number\n" + "\n".join(str(number) for number in range(records)) + "\n")
    command = [str(Path(sys.executable).with_name("seedwright")), "generate", str(template)]
    command += ["--seeds", str(seeds), "--seed-strategy", "sequential", "-n", str(records)]
    command += ["--backend", "bedrock", "--concurrency", str(CONCURRENCY), "--budget", "1000"]
    return [*command, "--format", "jsonl", "--json", "--out", tempfile.mkdtemp(dir=folder)]


def plain_command(double: Double, records: int) -> list[str]:
    """The script that keeps nothing."""
    script = str(HERE / "plain_boto3.py")
    sizes = ["--calls", str(records), "--threads", str(CONCURRENCY)]
    return [sys.executable, script, "--url", double.url, *sizes]


def median_of(runs: Sequence[Figures]) -> Figures:
    """The median of each figure by itself."""
    names = [field.name for field in fields(Figures)]
    return Figures(
        **{name: statistics.median(getattr(run, name) for run in runs) for name in names}
    )


def compare(latency_ms: int, records: int, repeat: int) -> tuple[Figures, Figures]:
    """Medians of engine and plain script, run in turn."""
    engine, plain = [], []
    with tempfile.TemporaryDirectory() as folder, double_process(latency_ms) as double:
        for _ in range(repeat):
            engine.append(measure(engine_command(Path(folder), records), double, records))
            plain.append(measure(plain_command(double, records), double, records))
    return median_of(engine), median_of(plain)


def say(line: str) -> None:
    """The table is the result."""
    print(line, flush=True)


def report(latency_ms: int, engine: Figures, plain: Figures) -> bool:
    """Print a table; whether every target is met."""
    say(f"\n{latency_ms:3} ms latency            engine     plain     ratio")
    for field in fields(Figures):
        ours, theirs = getattr(engine, field.name), getattr(plain, field.name)
        say(f"{field.name:22} {ours:9.2f} {theirs:9.2f} {ours / theirs:9.2f}")
    judged = {
        "records/s, engine/plain": engine.records_per_second / plain.records_per_second,
        "CPU/record, engine/plain": engine.cpu_ms_per_record / plain.cpu_ms_per_record,
        "peak RSS, MB": engine.total_rss,
        "first call, s": engine.first_call_seconds,
    }
    met = True
    for name, (relation, bound) in TARGETS.items():
        good = judged[name] >= bound if relation == ">=" else judged[name] <= bound
        met &= good
        verdict = "met" if good else "MISSED"
        say(f"{name:26} {judged[name]:7.2f}  {relation} {bound:g}  {verdict}")
    return met


def main() -> None:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description="Seedwright beside a plain boto3 script.")
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    say(f"{arguments.records} records, median of {arguments.repeat}, {CONCURRENCY} in flight")
    met = True
    for latency_ms in LATENCIES_MS:
        say(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        engine, plain = compare(latency_ms, arguments.records, arguments.repeat)
        met &= report(latency_ms, engine, plain)
    sys.exit(not met)


if __name__ == "__main__":
    main()
