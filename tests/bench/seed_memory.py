"""Peak memory of a dataset from many seeds: `python -m tests.bench.seed_memory --megabytes 200`.

Writes a JSONL file, generates five records from it in a fresh process, against a double of Bedrock,
and prints one JSON line. Exit code 1 if the process peaked above the limit (row D7: 150 MB).
Linux only: the peak is VmHWM, which begins anew with the process.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import ONE_STEP, environment

LIMIT_MB = 150

_PROGRAM = """
import atexit, pathlib, sys
told = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: told.write_text(pathlib.Path("/proc/self/status").read_text()))
class NoPandas:  # users don't get it with the command, and pyarrow imports it where it is
    def find_spec(self, name, *_):
        if name == "pandas":
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, NoPandas())
from runtime.cli.main import main
sys.exit(main())
"""


def write_seeds(path: Path, megabytes: int) -> int:
    """So many seeds of 200 bytes as fill the file."""
    rows = megabytes * 5000
    with path.open("wb") as file:
        for number in range(rows):
            text = f"{number:08} " * 17
            file.write(b'{"id": "s-%08d", "topic": "%s"}\n' % (number, text.encode()))
    return rows


def peak_of(folder: Path, double_url: str, *, seeds: Path) -> tuple[float, float]:
    """Megabytes at the peak of a command that generates five records, and its seconds."""
    (folder / "template.yaml").write_text(ONE_STEP, encoding="utf-8")
    told = folder / "status"
    arguments = ["generate", str(folder / "template.yaml"), "--seeds", str(seeds), "-n", "5"]
    arguments += ["--budget", "1", "--out", str(folder / "out")]
    arguments += ["--backend", "bedrock", "--model", "amazon.nova-micro-v1:0"]
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(told), *arguments],
        env=environment(double_url),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.monotonic() - began
    found = re.search(r"VmHWM:\s+(\d+) kB", told.read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError("this system has no VmHWM")
    return int(found[1]) * 1024 / 1e6, seconds


def main() -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as name, BedrockDouble() as double:
        folder = Path(name)
        rows = write_seeds(folder / "seeds.jsonl", megabytes)
        peak, seconds = peak_of(folder, double.url, seeds=folder / "seeds.jsonl")
    figures = {"megabytes": megabytes, "seeds": rows, "peak_mb": peak, "seconds": seconds}
    print(orjson.dumps(figures).decode())
    return int(peak > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
