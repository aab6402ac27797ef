"""The benchmark of rows, beside plain scripts that make the same files of the same batches.

    python -m tests.bench.rows --records 100000 --repeat 3

JSONL stands beside a loop of `orjson.loads` and `orjson.dumps` over the lines, and a script that
takes two fields of each; Parquet beside DuckDB (in an environment of its own: `make loaders`). With
`TMPDIR=/dev/shm` no disk is measured. Each measurement is a process of its own; all run in turn,
and figures are medians. What counts are seconds of the processors, from the listing of the batches
until the files are published: those of the clock depend on who else is there. Exits with 1 when a
target is missed, or the memory of a full export (requirement N6).
Linux only: the peak is VmHWM, which begins anew with the process.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from runtime.bootstrap import SystemClock
from runtime.contract.keys import RECORDS, exports_prefix
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.ports import Clock
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.template import Template, TemplateRef
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.export import row_files
from runtime.export.configurations import RowChoice
from runtime.export.exporter import Exporter
from runtime.export.report.writing import Report
from runtime.export.row_export import RowExport
from runtime.local.objects import DirectoryObjects
from runtime.worker.exporting import JobExport
from tests.bench.row_batches import GAPS, START, TIDY, make_batches
from tests.fixtures.job_configs import job_config

LIMIT_MIB: Final = 512
TARGETS: Final[Mapping[str, tuple[str, float]]] = {
    "jsonl": ("orjson", 1.5),
    "parquet": ("DuckDB", 2.0),
}
"""Times the seconds of the plain script, at most."""

HERE: Final = Path(__file__).parent
DUCKDB: Final = HERE.parents[1] / ".venv-loaders" / "bin" / "python"
QUESTION, ANSWER = "steps.ask.output.question", "steps.answer.output"
Output = Mapping[str, Any]
PATHS: Final[Output] = {"columns": {"question": QUESTION, "answer": ANSWER}}
MESSAGES: Final = {
    "messages": [
        {"role": "system", "content": '{{ "You are a patient teacher." }}'},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ANSWER},
    ]
}
JINJA: Final = {"columns": {"prompt": "Q: {{ steps.ask.output.question }}", "answer": ANSWER}}
KEPT: Final = {**PATHS, "keep": ["topic"]}
ALL: Final = frozenset(OutputFormat)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is exported: rows made by `output`, in `rows`; with `datasets`, the records, too."""

    title: str
    output: Output = field(default_factory=lambda: PATHS)
    job_id: str = TIDY
    rows: frozenset[OutputFormat] = frozenset({OutputFormat.JSONL})
    datasets: frozenset[OutputFormat] = frozenset()
    report: bool = False


PARQUET: Final = frozenset({OutputFormat.PARQUET})
CASES: Final[Mapping[str, Case]] = {
    "jsonl": Case(title="JSONL: two paths"),
    "messages": Case(title="JSONL: three messages", output=MESSAGES),
    "seeds": Case(title="JSONL: two paths, a seed's field", output=KEPT),
    "jinja": Case(title="JSONL: a text of Jinja2, a path", output=JINJA),
    "gaps": Case(title="JSONL: two paths, sorted on disk", job_id=GAPS),
    "parquet": Case(title="Parquet: two paths", rows=PARQUET),
    "report": Case(title="Parquet: two paths, a report", rows=PARQUET, report=True),
    "all": Case(title="everything", rows=ALL, datasets=ALL, report=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """What an export needs."""

    clock: Clock
    objects: DirectoryObjects


def template_of(output: Output) -> Template:
    schema = {
        "type": "object",
        "properties": {"question": {"type": "string"}, "level": {"enum": ["easy", "hard"]}},
        "required": ["question", "level"],
        "additionalProperties": False,
    }
    steps = [
        {"id": "ask", "prompt": "Ask about {{ topic }}.", "output_schema": schema},
        {"id": "answer", "prompt": "Answer: {{ steps.ask.output.question }}"},
    ]
    return parse_template({"name": "bench", "steps": steps, "output": output})


def the_job(case: Case, records: int) -> Job:
    return Job(
        job_id=case.job_id,
        user_id="bench",
        status=JobStatus.RUNNING,
        config=job_config(
            template=TemplateRef(template_id="t", version=1),
            seed_data_path="seeds.jsonl",
            seed_version=None,
            num_records=records,
            output_formats=tuple(case.datasets),
        ),
        budget_limit=None,
        created_at=START,
        updated_at=START,
    )


# ── what is measured ───────────────────────────────────────────────────────────────────────────


def export(objects: DirectoryObjects, case: Case, records: int) -> None:
    template, job = template_of(case.output), the_job(case, records)
    exporter = Exporter(objects)
    report = Report(objects, job.job_id)
    expected = records - len(range(99, records, 100)) if case.job_id == GAPS else records
    with TemplateEngine() as engine:
        jobs = JobExport(exporter, Ports(clock=SystemClock(), objects=objects), engine)
        with jobs.row_source(job, template, RowChoice(formats=case.rows)) as source:
            assert source is not None
            exporter.export_data(
                job,
                expected=expected,
                observe=report.add if case.report else None,
                rows=[RowExport(objects, source)],
            )
    if case.report:
        assert report.write(job)


@contextmanager
def without_parquet() -> Iterator[None]:
    """A job's rows are always Parquet, too: not where JSONL is to be seen alone."""

    @contextmanager
    def nothing(*_: object) -> Iterator[Callable[[object], None]]:
        yield lambda _rows: None

    with patch.object(row_files, "_parquet", nothing):
        yield


def plain_loop(batches: Path, file: Path, row_of: Callable[[Any], Any]) -> None:
    """Without order, checks, or a file that is there as a whole or not at all."""
    with file.open("wb") as out:
        for path in sorted(batches.iterdir()):
            for line in path.read_bytes().split(b"\n"):
                if line:
                    row = row_of(orjson.loads(line))
                    out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def two_fields(record: Any) -> Any:
    """The row of `PATHS`."""
    result = record["generation_result"]
    return {"question": result["ask"]["output"]["question"], "answer": result["answer"]["output"]}


PLAIN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "orjson": lambda record: record,
    "script": two_fields,
}


def measure(name: str, root: Path, records: int) -> None:
    """In a process of its own: print seconds of the clock and of the processors, and the peak."""
    objects = DirectoryObjects(root)
    batches = root / RECORDS.prefix(TIDY)
    seconds, cpu = time.perf_counter(), time.process_time()
    if name in PLAIN:
        plain_loop(batches, root / f"{name}.jsonl", PLAIN[name])
    elif OutputFormat.PARQUET in CASES[name].rows:
        export(objects, CASES[name], records)
    else:
        with without_parquet():
            export(objects, CASES[name], records)
    seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
    objects.close()
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak}))


# ── measuring ──────────────────────────────────────────────────────────────────────────────────

Figures = Mapping[str, float]


def run(name: str, root: Path, options: argparse.Namespace) -> Figures:
    if name == "DuckDB":
        script, batches = HERE / "duckdb_rows.py", root / RECORDS.prefix(TIDY)
        command = [str(options.duckdb), str(script), str(batches), str(root / "plain.parquet")]
    else:
        command = [sys.executable, "-m", "tests.bench.rows", "--measure", name]
        command += ["--root", str(root), "--records", str(options.records)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: Figures = json.loads(done.stdout)
    return found


def compare_files(name: str, root: Path) -> None:
    """What is compared has to be the same."""
    exports = root / exports_prefix(TIDY)
    if name == "jsonl":
        files = [next(exports.rglob("train.jsonl")), root / "script.jsonl"]
        ours, plain = (sorted(file.read_bytes().splitlines()) for file in files)
        assert ours == plain
    if name == "parquet" and (root / "plain.parquet").exists():
        tables = [pq.read_table(path) for path in sorted(exports.rglob("train-*.parquet"))]
        assert pa.concat_tables(tables).equals(pq.read_table(root / "plain.parquet"))


def report_on(runs: Mapping[str, Sequence[Figures]], records: int) -> bool:
    """Print a table; whether every target is met."""
    met = True
    others = [name for name in (*PLAIN, "DuckDB") if name in runs]
    times = "".join(f"{'/ ' + name:>9}" for name in others)
    print(f"{'':34} {'µs a record':>11} {'CPU':>6} {'peak MiB':>9}{times}")
    for name, figures in runs.items():
        title = CASES[name].title if name in CASES else f"  plain: {name}"
        micro = [
            statistics.median(each[kind] for each in figures) / records * 1e6
            for kind in ("seconds", "cpu")
        ]
        peak = max(each.get("peak", 0.0) for each in figures)
        line = f"{title:34} {micro[0]:11.2f} {micro[1]:6.2f} {peak:9.0f}"
        if name in CASES:
            line += "".join(f"{ratio(figures, runs[other]):9.2f}" for other in others)
        other, bound = TARGETS.get(name, ("", 0.0))
        if other in runs:
            good = ratio(figures, runs[other]) <= bound
            met &= good
            line += f"  {other} <= {bound:g} {'met' if good else 'MISSED'}"
        print(line, flush=True)
    if {"report", "parquet"} <= runs.keys():
        pairs = zip(runs["report"], runs["parquet"], strict=True)
        cost = statistics.median(one["cpu"] - other["cpu"] for one, other in pairs)
        print(f"the report's own cost: {cost / records * 1e6:.1f} µs a record")
    peak = max(each.get("peak", 0.0) for figures in runs.values() for each in figures)
    print(
        f"highest peak: {peak:.0f} MiB  <= {LIMIT_MIB}  {'met' if peak <= LIMIT_MIB else 'MISSED'}"
    )
    return met and peak <= LIMIT_MIB


def ratio(ours: Sequence[Figures], theirs: Sequence[Figures]) -> float:
    """The median of the ratios of runs of one round."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(one["cpu"] / other["cpu"] for one, other in pairs)


def main() -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--words", type=int, default=75, help="of a record's longer text")
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--duckdb", type=Path, default=DUCKDB, help="a Python that has DuckDB")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.root, options.records)
        return 0
    names = [*PLAIN, "DuckDB", *options.only]
    if not options.duckdb.exists():
        names.remove("DuckDB")
        print("DuckDB is not measured: make loaders installs it")
    with tempfile.TemporaryDirectory(prefix="seedwright-bench-") as folder:
        root = Path(folder)
        make_batches(DirectoryObjects(root), options.records, options.words)
        runs: dict[str, list[Figures]] = {name: [] for name in names}
        stored = sum(path.stat().st_size for path in (root / RECORDS.prefix(TIDY)).iterdir())
        size = stored // options.records
        print(f"{options.records} records of {size} bytes, median of {options.repeat}")
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        for _ in range(options.repeat):
            for name in names:
                runs[name].append(run(name, root, options))
                if len(runs[name]) == 1:
                    compare_files(name, root)
    return int(not report_on(runs, options.records))


if __name__ == "__main__":
    sys.exit(main())
