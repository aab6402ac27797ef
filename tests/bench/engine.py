"""The benchmark of the whole engine, beside two scripts that keep nothing: one on boto3's threads,
one on a bare event loop, which is the limit.

    python tests/bench/engine.py --records 5000 --repeat 3

All call the same double of Bedrock, at no latency and at 50 ms, with 64 calls in flight and prompts
of the same size, in turn: A B C A B C. The engine's side is `seedwright generate`, with rendering,
budget, journal, batches, checkpoints and export. Then 1000 calls in flight that take 2 s each, the
engine alone; `--grow 1000 10000 100000` shows instead whether a record costs the same in a large
dataset. Figures are medians. Exits with 1 when a target (see `TARGETS`) is missed.
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

from tests.bench.workload import MAX_TOKENS, MODEL, PROMPT  # noqa: E402

CONCURRENCY: Final = 64
LATENCIES_MS: Final = (0, 50)
SAMPLE_SECONDS: Final = 0.05

WIDE: Final = 1000
WIDE_LATENCY_MS: Final = 2000
WIDE_RECORDS: Final = 5000

TARGETS: Final[Mapping[int, Mapping[str, tuple[str, float]]]] = {
    0: {
        "calls/s, engine/boto3": (">=", 3.0),
        "CPU/record, engine/boto3": ("<=", 0.5),
        "first call, s": ("<=", 0.6),
    },
    50: {
        "calls/s, engine/boto3": (">=", 2.3),
        "calls/s, engine/raw loop": (">=", 0.85),
        "CPU/record, engine/boto3": ("<=", 0.5),
        "first call, s": ("<=", 0.6),
    },
    WIDE_LATENCY_MS: {"time, engine/ideal": ("<=", 1.05), "peak RSS, MB": ("<=", 150.0)},
}
"""Of the engine, by latency. Calls a second count from the first call to the last: the export comes
after it, and is measured by itself."""


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


def engine_command(
    folder: Path, records: int, in_flight: int = CONCURRENCY, *, server: str | None = None
) -> list[str]:
    """`seedwright generate` into a new folder, with a seed for every record; on Bedrock, or on the
    OpenAI-compatible `server`.
    """
    inputs = folder / "inputs"
    inputs.mkdir(exist_ok=True)
    step = {
        "id": "review",
        "model": MODEL if server is None else "bench",
        "max_tokens": MAX_TOKENS,
        "prompt": PROMPT.format(index="{{ number }}"),
    }
    template, seeds = inputs / "template.json", inputs / "seeds.csv"
    template.write_text(json.dumps({"name": "bench", "steps": [step]}))
    seeds.write_text("number\n" + "\n".join(str(number) for number in range(records)) + "\n")
    command = [str(Path(sys.executable).with_name("seedwright")), "generate", str(template)]
    command += ["--seeds", str(seeds), "--seed-strategy", "sequential", "-n", str(records)]
    provider = ["bedrock"] if server is None else ["openai", "--base-url", server]
    command += ["--backend", *provider, "--concurrency", str(in_flight), "--budget", "1000"]
    return [*command, "--format", "jsonl", "--json", "--out", tempfile.mkdtemp(dir=folder)]


def plain_command(double: Double, records: int) -> list[str]:
    """The script that keeps nothing."""
    script = str(HERE / "plain_boto3.py")
    sizes = ["--calls", str(records), "--threads", str(CONCURRENCY)]
    return [sys.executable, script, "--url", double.url, *sizes]


def raw_command(double: Double, records: int) -> list[str]:
    """The bare event loop."""
    script = str(HERE / "raw_loop.py")
    sizes = ["--calls", str(records), "--in-flight", str(CONCURRENCY)]
    return [sys.executable, script, "--url", double.url, *sizes]


def median_of(runs: Sequence[Figures]) -> Figures:
    """The median of each figure by itself."""
    names = [field.name for field in fields(Figures)]
    return Figures(
        **{name: statistics.median(getattr(run, name) for run in runs) for name in names}
    )


def compare(latency_ms: int, records: int, repeat: int) -> dict[str, Figures]:
    """Medians of engine, plain script and bare loop, run in turn."""
    runs: dict[str, list[Figures]] = {"engine": [], "boto3": [], "raw loop": []}
    with tempfile.TemporaryDirectory() as folder, double_process(latency_ms) as double:
        for _ in range(repeat):
            engine = engine_command(Path(folder), records)
            runs["engine"].append(measure(engine, double, records))
            runs["boto3"].append(measure(plain_command(double, records), double, records))
            runs["raw loop"].append(measure(raw_command(double, records), double, records))
    return {name: median_of(each) for name, each in runs.items()}


def wide() -> tuple[float, float]:
    """A thousand slow calls at a time: the time they take beside the ideal, and the memory."""
    with tempfile.TemporaryDirectory() as folder, double_process(WIDE_LATENCY_MS) as double:
        command = engine_command(Path(folder), WIDE_RECORDS, WIDE)
        figures = measure(command, double, WIDE_RECORDS)
    latency = WIDE_LATENCY_MS / 1000
    # The last call begins one latency before the end.
    seconds = WIDE_RECORDS / figures.calls_per_second + latency
    return seconds / (latency * WIDE_RECORDS / WIDE), figures.total_rss


def grow(sizes: Sequence[int]) -> None:
    """What a record costs as a dataset grows, at no latency: CPU of each more of them, memory."""
    say(f"{'records':>9}{'calls/s':>10}{'CPU ms/record':>15}{'each further':>14}{'RSS MB':>8}")
    before, spent = 0, 0.0
    with tempfile.TemporaryDirectory() as folder, double_process(0) as double:
        for records in sizes:
            figures = measure(engine_command(Path(folder), records), double, records)
            cpu = figures.cpu_ms_per_record * records
            further = (cpu - spent) / (records - before)
            say(
                f"{records:9}{figures.calls_per_second:10.0f}{figures.cpu_ms_per_record:15.3f}"
                f"{further:14.3f}{figures.total_rss:8.0f}"
            )
            before, spent = records, cpu


def say(line: str) -> None:
    """The table is the result."""
    print(line, flush=True)


def judge(latency_ms: int, judged: Mapping[str, float]) -> bool:
    """Whether every target is met."""
    met = True
    for name, (relation, bound) in TARGETS[latency_ms].items():
        good = judged[name] >= bound if relation == ">=" else judged[name] <= bound
        met &= good
        say(f"{name:26} {judged[name]:7.2f}  {relation} {bound:g}  {'met' if good else 'MISSED'}")
    return met


def report(latency_ms: int, figures: Mapping[str, Figures]) -> bool:
    """Print a table; whether every target is met."""
    say(f"\n{latency_ms:3} ms latency        " + "".join(f"{name:>10}" for name in figures))
    for field in fields(Figures):
        cells = "".join(f"{getattr(each, field.name):10.2f}" for each in figures.values())
        say(f"{field.name:22}{cells}")
    engine, plain, raw = figures.values()
    return judge(
        latency_ms,
        {
            "calls/s, engine/boto3": engine.calls_per_second / plain.calls_per_second,
            "calls/s, engine/raw loop": engine.calls_per_second / raw.calls_per_second,
            "CPU/record, engine/boto3": engine.cpu_ms_per_record / plain.cpu_ms_per_record,
            "first call, s": engine.first_call_seconds,
        },
    )


def main() -> None:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description="Seedwright beside boto3 and a bare event loop.")
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--grow", type=int, nargs="+", metavar="RECORDS", help="sizes, alone")
    arguments = parser.parse_args()
    if arguments.grow:
        grow(arguments.grow)
        return
    say(f"{arguments.records} records, median of {arguments.repeat}, {CONCURRENCY} in flight")
    met = True
    for latency_ms in LATENCIES_MS:
        say(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        met &= report(latency_ms, compare(latency_ms, arguments.records, arguments.repeat))
    say(f"\n{WIDE} in flight, {WIDE_LATENCY_MS} ms latency, {WIDE_RECORDS} records")
    seconds, memory = wide()
    met &= judge(WIDE_LATENCY_MS, {"time, engine/ideal": seconds, "peak RSS, MB": memory})
    sys.exit(not met)


if __name__ == "__main__":
    main()
