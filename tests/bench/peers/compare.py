"""The engine beside other generators of datasets, on the same server, which speaks as OpenAI does.

    python -m tests.bench.peers.compare --records 3000 --repeat 1

Each is a process of its own: `seedwright generate`, Curator and Data Designer in the environments
that `make bench-peers` installs, and plain threads over boto3 as `tests/bench/engine.py` has them,
on the Bedrock face of the same double. All write a dataset but the last. Medians, run in turn.
"""

import argparse
import os
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Final

from tests.bench.engine import (
    CONCURRENCY,
    LATENCIES_MS,
    ROOT,
    Double,
    Figures,
    double_process,
    engine_command,
    measure,
    median_of,
    plain_command,
    say,
)

HERE: Final = Path(__file__).parent
PEERS: Final = {"curator": "peer-curator", "data-designer": "peer-data-designer"}


def peer_command(name: str, double: Double, records: int) -> list[str]:
    """The script of a peer, in its own environment."""
    python = ROOT / f".venv-{PEERS[name]}" / "bin" / "python"
    script = HERE / f"{name.replace('-', '_')}_run.py"
    sizes = ["--calls", str(records), "--in-flight", str(CONCURRENCY)]
    return [str(python), str(script), "--url", f"{double.url}/v1", *sizes]


def compare(latency_ms: int, records: int, repeat: int) -> dict[str, Figures]:
    """Medians of all."""
    runs: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder, double_process(latency_ms) as double:
        for _ in range(repeat):
            commands = {
                "engine": engine_command(Path(folder), records, server=f"{double.url}/v1"),
                **{name: peer_command(name, double, records) for name in PEERS},
                "boto3": plain_command(double, records),
            }
            for name, command in commands.items():
                runs.setdefault(name, []).append(measure(command, double, records))
    return {name: median_of(each) for name, each in runs.items()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Seedwright beside Curator and Data Designer.")
    parser.add_argument("--records", type=int, default=3000)
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    say(f"{arguments.records} records, median of {arguments.repeat}, {CONCURRENCY} in flight")
    for latency_ms in LATENCIES_MS:
        say(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        found = compare(latency_ms, arguments.records, arguments.repeat)
        say(f"\n{latency_ms:3} ms latency        " + "".join(f"{name:>14}" for name in found))
        for field in fields(Figures):
            cells = "".join(f"{getattr(each, field.name):14.2f}" for each in found.values())
            say(f"{field.name:22}{cells}")
        best = max(each.calls_per_second for name, each in found.items() if name in PEERS)
        say(f"calls/s, engine/best generator {found['engine'].calls_per_second / best:6.2f}")


if __name__ == "__main__":
    main()
