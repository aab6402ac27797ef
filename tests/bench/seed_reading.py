"""How fast seeds are read and checked: `python -m tests.bench.seed_reading --megabytes 1000`.

Writes a file of each format (or of the one given by --format), reads it in a fresh process as a
worker does, spool, index and ids included, and prints one JSON line a format. Exit code 1 if JSON
lines peaked above 200 MB. The rows have 430 bytes. Linux only: the peak is VmHWM. Parquet is read
by a child, whose seconds of the processor count, too; on a machine with other work the rate by
these is the one to look at.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

LIMIT_MB = 200
FORMATS = ("jsonl", "json", "csv", "parquet")
ROW_BYTES = 430

_PROGRAM = """
import json, os, pathlib, re, sys, time
from runtime.files.reading import load_rows
path = pathlib.Path(sys.argv[1])
wall = time.monotonic()
before = sum(os.times()[:4])
with path.open("rb") as file:
    rows = load_rows(file, path.name, requirements=["id", "topic"])
wall, cpu = time.monotonic() - wall, sum(os.times()[:4]) - before
peak = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(json.dumps({"seeds": len(rows), "seconds": wall, "cpu_seconds": cpu,
                  "peak_mb": int(peak[1]) * 1024 / 1e6}))
"""


def rows_of(megabytes: int) -> Iterator[dict[str, Any]]:
    """Rows that fill so many megabytes as JSON lines."""
    text = "how a town by the river keeps its market " * 9
    for number in range(megabytes * 1_000_000 // ROW_BYTES):
        yield {"id": f"s-{number:08}", "topic": text[: ROW_BYTES - 62], "level": number % 9}


def write_seeds(path: Path, megabytes: int) -> None:
    """A file of the format that its suffix says."""
    rows = rows_of(megabytes)
    match path.suffix:
        case ".parquet":
            writer = None
            while batch := [row for row, _ in zip(rows, range(50_000), strict=False)]:
                table = pa.Table.from_pylist(batch)
                writer = writer or pq.ParquetWriter(path, table.schema)
                writer.write_table(table)
            if writer is not None:
                writer.close()
        case ".csv":
            with path.open("w", newline="", encoding="utf-8") as text:
                out = csv.writer(text)
                out.writerow(["id", "topic", "level"])
                out.writerows(row.values() for row in rows)
        case suffix:
            before, between, after = (b"", b"\n", b"") if suffix == ".jsonl" else (b"[", b",", b"]")
            with path.open("wb") as file:
                file.write(before)
                for number, row in enumerate(rows):
                    file.write((between if number else b"") + orjson.dumps(row))
                file.write(after)


def reading_of(path: Path) -> dict[str, Any]:
    """Seeds, seconds and the peak in megabytes of a process that reads the file."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path)], check=True, capture_output=True
    )
    found: dict[str, Any] = orjson.loads(done.stdout)
    megabytes = found["seeds"] * ROW_BYTES / 1e6  # as JSON lines, whatever the format makes of it
    return {
        "format": path.suffix[1:],
        "megabytes": round(megabytes),
        **{name: round(value, 1) for name, value in found.items()},
        "mb_per_second": round(megabytes / found["seconds"]),
        "mb_per_cpu_second": round(megabytes / found["cpu_seconds"]),
    }


def main() -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--format", choices=FORMATS)
    given = parser.parse_args()
    peak = 0.0
    for each in (given.format,) if given.format else FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"seeds.{each}"
            write_seeds(path, given.megabytes)
            figures = reading_of(path)
        print(orjson.dumps(figures).decode(), flush=True)
        peak = max(peak, figures["peak_mb"]) if each == "jsonl" else peak
    return int(peak > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
