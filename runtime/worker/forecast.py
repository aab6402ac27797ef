"""What the checks of a dataset are likely to leave out of a job's records, while they come in; and
exactly, once nothing is open.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import orjson

from runtime.domain.checks.check import Checks
from runtime.domain.checks.choosing import Choice
from runtime.domain.jobs.job import Job
from runtime.domain.ports import Claim
from runtime.domain.templates.template import Template
from runtime.engine.repeats.index import repeat_index
from runtime.export.selection import Chosen, Looker, MakeIndex, check_of, make_chooser
from runtime.worker.exporting import JobExport
from runtime.worker.goal import AcceptedRecords, Goal
from runtime.worker.saver import Saver


class DatasetForecast:
    """Of a job with checks of the dataset that is to have `wanted` records; `stored` are the lines
    of those that it has, in the order of their indices as far as possible. `choose` decides exactly
    by what is saved. Raises `ConfigurationError` where a library for near texts is missing,
    `StorageError` without a disk for texts.
    """

    def __init__(
        self,
        checks: Checks,
        *,
        wanted: int,
        make_index: MakeIndex,
        stored: Iterable[Mapping[str, Any]],
        choose: Callable[[], Chosen],
    ) -> None:
        self._looker = Looker(checks)
        self._balance = None if checks.balance is None else checks.balance.id
        self._chooser = make_chooser(checks, wanted=wanted, make_index=make_index)
        self._choose = choose
        self._left_out: Counter[str] = Counter()
        for document in stored:
            self.passed(document["index"], document)

    @property
    def left_out(self) -> Mapping[str, int]:
        """By check. A record whose label has no room counts under the balance until there are
        enough; then it is one more than asked for.
        """
        return dict(+self._left_out)

    def passed(self, index: int, document: Mapping[str, Any]) -> None:
        """A record has passed the checks of records; `document` is its line."""
        texts, label = self._looker.look(document)
        decision = self._chooser.choose(index, texts=texts, label=label)
        check = check_of(decision, self._balance)
        if decision.choice is Choice.SURPLUS and not self._chooser.is_complete:
            check = self._balance
        if check is not None:
            self._left_out[check] += 1

    def confirm(self) -> None:
        """Decide in the order of the indices, from what is stored. Raises `ExportError`."""
        chosen = self._choose().selection
        self._left_out = Counter(chosen.left_out)
        if chosen.accepted < chosen.wanted and self._balance is not None:
            self._left_out[self._balance] += chosen.surplus


def forecast_of(
    job: Job, template: Template, saver: Saver, export: JobExport
) -> DatasetForecast | None:
    """Of a job that goes on from what is saved; None where no check compares records. Raises
    `ExportError` where that can't be read.
    """
    if not template.checks.of_dataset:
        return None

    def choose() -> Chosen:
        return export.exporter.choose(job, template.checks, repeat_index)

    return DatasetForecast(
        template.checks,
        wanted=job.config.num_records,
        make_index=repeat_index,
        stored=chain(
            (each.document for some in export.exporter.records(job).some() for each in some),
            map(orjson.loads, saver.unsaved_records),
        ),
        choose=choose,
    )


def goal_of(job: Job, claim: Claim, template: Template, saver: Saver, export: JobExport) -> Goal:
    """What a claim works for. A shard brings all its indices to their end: which of them are
    records of the dataset is chosen when all shards have. Raises what `forecast_of` does.
    """
    if not job.config.has_checks or claim.shard is not None:
        return Goal(attempts=job.config.acceptance.attempts)
    goal = AcceptedRecords(
        saver.outcomes,
        wanted=job.config.num_records,
        most_tries=job.config.size,
        forecast=forecast_of(job, template, saver, export),
    )
    saver.left_out = goal.left_out
    return goal
