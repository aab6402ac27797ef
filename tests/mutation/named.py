"""Mutants that must die, whatever a sample says: the defects that would break a promise.

Each is an exact replacement, and the suites that have to notice. A replacement that no longer fits
the code is an error: write it anew.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """`old`, which stands once in `path`, becomes `new`."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


_WORKER: Final = "tests/integration/test_worker_on_aws.py"
_STOPS: Final = "tests/integration/test_worker_stops.py"
_RECOVERY: Final = "tests/unit/test_worker_checkpoint_recovery.py"
_BUDGET: Final = "tests/unit/test_worker_budget.py"
_EXPORT: Final = "tests/unit/test_worker_export.py"
_LOOP: Final = "tests/unit/test_loop_models.py"
_SPOT: Final = "tests/unit/test_worker_spot_interruption.py"


def _exporter(format_: str, what: str, body: str) -> Named:
    return Named(
        name=f"the {format_} exporter {what}",
        path="runtime/export/formats.py",
        old=f"def open_{format_}(",
        new=f"{body}def _unused_{format_}(",
        tests=(_EXPORT,),
    )


_RAISES: Final = """def open_{0}(objects: ObjectStore, key: str) -> Iterator[Write]:
    raise StorageError("broken")
    yield


@contextmanager
"""
_NOTHING: Final = """def open_{0}(objects: ObjectStore, key: str) -> Iterator[Write]:
    yield lambda record: None


@contextmanager
"""

NAMED: Final = (
    Named(
        name="save_batch does nothing",
        path="runtime/export/batches.py",
        old="            self._objects.put_if_absent(key, body, content_type=JSON_LINES)",
        new="            pass",
        tests=(_WORKER,),
    ),
    Named(
        name="the checkpoint is ignored on load",
        path="runtime/worker/checkpoints.py",
        old="            return replace(decode(blob), stored_version=version)",
        new="            return fresh",
        tests=(_RECOVERY,),
    ),
    Named(
        name="the budget is never enforced: every call is covered",
        path="runtime/domain/money/ledger.py",
        old="        return self._settled + self._reserved_total + nano <= self._hold.nano",
        new="        return True",
        tests=(_BUDGET, "tests/property/test_budget_properties.py"),
    ),
    Named(
        name="the budget is never enforced: an account without room grants",
        path="runtime/worker/budget_guard.py",
        old="in_flight=in_flight):\n            return Reservation.EXHAUSTED",
        new="in_flight=in_flight):\n            return Reservation.GRANTED",
        tests=(_BUDGET,),
    ),
    Named(
        name="the budget is never enforced: booked cost is not looked at",
        path="runtime/worker/limits.py",
        old="            raise self.over_budget()\n\n    def over_budget",
        new="            return\n\n    def over_budget",
        tests=(_BUDGET,),
    ),
    Named(
        name="a call whose first byte could not be written is in doubt",
        path="runtime/models/transport/connection.py",
        old="            self._end(_UNWRITTEN)",
        new="            self._end(_LOST)",
        tests=(_LOOP,),
    ),
    Named(
        name="calls that were written are taken back",
        path="runtime/models/begun.py",
        old="            return self._unclaimed.pop()",
        new="            return True",
        tests=(_LOOP,),
    ),
    *(_exporter(each, "raises", _RAISES.format(each)) for each in ("jsonl", "csv", "parquet")),
    *(
        _exporter(each, "does nothing", _NOTHING.format(each))
        for each in ("jsonl", "csv", "parquet")
    ),
    Named(
        name="a complete job is marked FAILED",
        path="runtime/worker/status_writer.py",
        old="        self._end(claim, JobStatus.COMPLETED)",
        new="        self._end(claim, JobStatus.FAILED)",
        tests=("tests/unit/test_jobs.py", _WORKER),
    ),
    Named(
        name="another version of the template is used",
        path="runtime/engine/plan.py",
        old="self._store.load_template(job.config.template)",
        new="self._store.load_template("
        "replace(job.config.template, version=job.config.template.version + 1))",
        tests=(_WORKER,),
    ),
    Named(
        name="the first version of the template is used",
        path="runtime/engine/plan.py",
        old="self._store.load_template(job.config.template)",
        new="self._store.load_template(replace(job.config.template, version=1))",
        tests=("tests/unit/test_worker_dynamodb_errors.py",),
    ),
    Named(
        name="the handler of SIGTERM does nothing",
        path="runtime/worker/worker.py",
        old="        if self.shutdown_requested:\n            return\n        signal.signal(",
        new="        return\n        signal.signal(",
        tests=(_SPOT, _STOPS),
    ),
    Named(
        name="a reservation is released when its fate is unknown",
        path="runtime/domain/money/ledger.py",
        old="        self.settle(call, nano)\n        return nano",
        new="        self.release(call)\n        return nano",
        tests=(_BUDGET, "tests/property/test_budget_properties.py"),
    ),
    Named(
        name="a reservation is released when a call failed in doubt",
        path="runtime/worker/settlement.py",
        old="        if RULES[kind].presume_spent:\n            self.presume_spent(call, task)",
        new="        if RULES[kind].presume_spent:\n            self._guard.release(call)",
        tests=("tests/unit/test_worker_bedrock_errors.py",),
    ),
    Named(
        name="a dead worker's hold is released by its successor",
        path="runtime/domain/money/ledger.py",
        old="        spent_nano=left_behind.nano if left_behind else 0,",
        new="        spent_nano=0,",
        tests=(_BUDGET, "tests/property/test_budget_properties.py"),
    ),
    Named(
        name="current_batch stays after a partial batch",
        path="runtime/worker/line_buffer.py",
        old="            self.number += 1\n",
        new="            self.number += others is not None\n",
        tests=(_SPOT, _RECOVERY),
    ),
)
