"""What a sharded job's export takes: by one task, and side by side with a task that joins.

    TMPDIR=/dev/shm python -m tests.bench.joining --records 1000000 --shards 40

Records and rows of `rows.py`: the dataset as JSONL, rows as Parquet and JSONL, a report; with
`--all` everything in every format. Each measurement is a process of its own: seconds of the
processors, and the peak of memory. The rows of both exports are compared. Linux only.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from runtime.bootstrap import SystemClock
from runtime.contract.keys import RECORDS, exports_prefix
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, Progress
from runtime.domain.jobs.sharding import Sharding, ranges_of
from runtime.domain.ports import Claim
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.export.exporter import Exporter
from runtime.local.objects import DirectoryObjects
from runtime.worker.exporting import JobExport
from runtime.worker.shard_exports import ShardExports
from tests.bench.row_batches import TIDY, make_shards
from tests.bench.rows import ALL, PATHS, Case, Ports, template_of, the_job

LINES: Final = frozenset({OutputFormat.JSONL})
ONE, PIECE, JOIN = "one task", "one shard", "joining task"


def measure(what: str, root: Path, options: argparse.Namespace) -> None:
    """In a process of its own: print seconds of the processors and the peak in MiB."""
    objects = DirectoryObjects(root)
    job, template = a_job(options), template_of(PATHS)
    with TemplateEngine() as engine:
        export = JobExport(Exporter(objects), Ports(clock=SystemClock(), objects=objects), engine)
        shards = ShardExports(export, least_bytes=1)
        began = time.process_time()
        if what == ONE:
            export.export(job, template, expected=options.records)
        elif what == JOIN:
            joined = shards.join(
                job,
                template,
                claim(None),
                expected=options.records,
                progress=lambda _records: None,
                may_write=lambda: True,
            )
            assert joined is not None
            export.describe(job, template, joined)
        else:
            shard = int(what)
            records = sum(map(len, ranges_of(sharding(options), shard)))
            made = shards.make(
                job, template, claim(shard), expected=records, progress=lambda _records: None
            )
            assert made is not None
        cpu = time.process_time() - began
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
    objects.close()
    print(json.dumps({"cpu": cpu, "peak": peak}))


def sharding(options: argparse.Namespace) -> Sharding:
    return Sharding(count=options.shards, ends=(options.records,))


def a_job(options: argparse.Namespace) -> Job:
    job = the_job(Case(title="", datasets=ALL if options.all else LINES), options.records)
    return replace(
        job,
        config=replace(job.config, sharding=sharding(options)),
        progress=Progress(records_generated=options.records),
    )


def claim(shard: int | None) -> Claim:
    return Claim(work_id="w", job_id=TIDY, owner="bench", fence=1, attempt=1, shard=shard)


def run(what: str, root: Path, options: argparse.Namespace) -> Mapping[str, float]:
    command = [sys.executable, "-m", "tests.bench.joining", "--measure", what, "--root", str(root)]
    command += ["--records", str(options.records), "--shards", str(options.shards)]
    command += ["--all"] if options.all else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: Mapping[str, float] = json.loads(done.stdout)
    return found


def digests(root: Path) -> dict[str, str]:
    """What a reader has: all rows in their order, and the text files."""
    exports, found = root / exports_prefix(TIDY), {}
    for path in sorted(exports.rglob("*.jsonl")) + sorted(exports.rglob("*.csv")):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    rows = hashlib.sha256()
    for path in sorted((exports / "data").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches():
            rows.update(repr(batch.to_pylist()).encode()[1:-1] + b", ")
    return {**found, "rows": rows.hexdigest()}


def main() -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--words", type=int, default=75, help="of a record's longer text")
    parser.add_argument("--all", action="store_true", help="in every format")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.root, options)
        return 0
    with tempfile.TemporaryDirectory(prefix="seedwright-bench-") as folder:
        root = Path(folder)
        make_shards(DirectoryObjects(root), sharding(options), options.words)
        stored = sum(path.stat().st_size for path in (root / RECORDS.prefix(TIDY)).rglob("*.jsonl"))
        print(f"{options.records} records of {stored // options.records} bytes")
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        one = run(ONE, root, options)
        wanted = digests(root)
        print(f"{ONE}: {one['cpu']:.1f} s, {one['peak']:.0f} MiB", flush=True)
        made = [run(str(shard), root, options) for shard in range(options.shards)]
        cpu, peak = [max(each[kind] for each in made) for kind in ("cpu", "peak")]
        print(f"{PIECE} of {options.shards}: at most {cpu:.1f} s, {peak:.0f} MiB", flush=True)
        joined = run(JOIN, root, options)
        print(f"{JOIN}: {joined['cpu']:.1f} s, {joined['peak']:.0f} MiB")
        print(f"  {one['cpu'] / joined['cpu']:.0f} times less than one task")
        assert digests(root) == wanted, "the rows differ"
    return 0


if __name__ == "__main__":
    sys.exit(main())
