"""Peak memory of an export: `python tests/bench/export_memory.py --format parquet`.

Makes the batches of one job in a temporary directory, exports them in a fresh process, with the
report that a worker makes, and prints one JSON line. Exit code 1 if the process peaked above the
limit (requirement N6: 512 MiB).
Linux only: the peak is VmHWM, which begins anew with the process.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from runtime.domain.jobs.delivery import OutputFormat, PartitionStrategy
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.record import Record
from runtime.domain.templates.template import TemplateRef
from runtime.export.batches import Batches
from runtime.export.exporter import Exporter
from runtime.export.report.writing import Report
from runtime.local.objects import DirectoryObjects
from tests.fixtures.job_configs import job_config

LIMIT_MIB = 512
JOB_ID = "bench"
START = datetime(2025, 1, 1, tzinfo=UTC)


def the_job(options: argparse.Namespace) -> Job:
    formats = tuple(OutputFormat) if options.format == "all" else (options.format.upper(),)
    days = options.days > 1
    return Job(
        job_id=JOB_ID,
        user_id="bench",
        status=JobStatus.RUNNING,
        config=job_config(
            template=TemplateRef(template_id="t", version=1),
            seed_data_path="seeds.json",
            seed_version=None,
            num_records=options.records,
            output_formats=tuple(map(OutputFormat, formats)),
            partition_strategy=PartitionStrategy.TIMESTAMP if days else PartitionStrategy.NONE,
        ),
        budget_limit=None,
        created_at=START,
        updated_at=START,
    )


def make_batches(options: argparse.Namespace, root: Path) -> None:
    objects = DirectoryObjects(root)
    batches = Batches(objects)
    noise = random.Random(1)  # noqa: S311 - text that doesn't compress, the same in each run
    length = max(0, options.bytes - len(a_record(0, "", START).line()))
    for number, first in enumerate(range(0, options.records, options.batch), start=1):
        lines = []
        for index in range(first, min(first + options.batch, options.records)):
            text = some_words(noise, length) if options.words else some_noise(noise, length)
            at = START + timedelta(days=index % options.days)
            lines.append(a_record(index, text, at).line())
        batches.save_batch(JOB_ID, number, lines)
    objects.close()


def some_noise(noise: random.Random, length: int) -> str:
    return b64encode(noise.randbytes(length)).decode()[:length]


def some_words(noise: random.Random, length: int) -> str:
    """Words as frequent as those of a language: of each text some pairs are everywhere."""
    words = (f"w{int(noise.paretovariate(0.6)) % 50_000}" for _ in range(length // 3))
    return " ".join(words)[:length]


def a_record(index: int, text: str, at: datetime) -> Record:
    result = {"answer": {"output": text, "model": "m", "stop_reason": "end_turn"}}
    return Record(
        job_id=JOB_ID, index=index, timestamp=at, seed_data_id="s", generation_result=result
    )


def export(options: argparse.Namespace, root: Path) -> int:
    started = time.monotonic()
    objects = DirectoryObjects(root)
    job = the_job(options)
    report = Report(objects, job.job_id)
    observe = report.add if options.report else None
    result = Exporter(objects).export_data(job, expected=options.records, observe=observe)
    exported = time.monotonic() - started
    if options.report and not report.write(job):
        return 1
    seconds = time.monotonic() - started
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
    sizes = {key: objects.stat(key).size for keys in result.keys.values() for key in keys}
    objects.close()
    figures = {
        "format": options.format,
        "records": result.records,
        "bytes": options.bytes,
        "objects": len(sizes),
        "peak_mib": round(peak, 1),
        "seconds": round(seconds, 1),
        "report_seconds": round(seconds - exported, 1),
        "records_per_second": round(result.records / seconds),
        "file_mib": round(sum(sizes.values()) / 2**20, 1),
    }
    sys.stdout.write(orjson.dumps(figures).decode() + "\n")
    return int(peak > LIMIT_MIB)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=500, help="size of a record's line")
    parser.add_argument("--batch", type=int, default=500, help="records in a batch")
    parser.add_argument("--days", type=int, default=1, help="more than 1: partition JSONL by day")
    parser.add_argument("--format", choices=["jsonl", "parquet", "csv", "all"], default="all")
    parser.add_argument("--report", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--words", action="store_true", help="text of words and not of noise")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.root:
        return export(options, options.root)
    with tempfile.TemporaryDirectory(prefix="seedwright-bench-") as root:
        make_batches(options, Path(root))
        command = [sys.executable, *sys.orig_argv[1:], "--root", root]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
