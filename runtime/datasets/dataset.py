"""A dataset in its folder, as Python programs use it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from runtime.contract.keys import ROWS_FOLDER
from runtime.datasets.export_request import ExportRequest
from runtime.datasets.exporting import Exported, export_dataset
from runtime.datasets.folder import FAILURES, PARTIAL, REJECTED, DatasetFolder
from runtime.datasets.outcome import Outcome
from runtime.datasets.pushing import push_dataset
from runtime.datasets.records import saved_records
from runtime.datasets.reviewing import write_review
from runtime.datasets.row_reading import read_rows
from runtime.datasets.statistics import read_statistics
from runtime.domain.errors import ConfigurationError, NotFoundError
from runtime.export.row_request import split_text
from runtime.hub.observer import CalledPush, Pushed, SilentPush
from runtime.inputs.templates import TemplateSource

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """The records of a dataset, and where they are.

    Iterating reads one record after the other from the disk, in the order in which they were
    finished: dicts with `id`, `job_id`, `index`, `timestamp`, `seed_data_id` and
    `generation_result`, where the template has checks also `try` and `checks`. `len` is the number
    of records.
    """

    path: Path
    """The folder."""
    files: tuple[Path, ...]
    """What this call published, the list of failures included if there is one."""
    report: Mapping[str, Any]
    """Status, counts, cost and times: the same figures as those of `generate --json`."""

    def __len__(self) -> int:
        return int(self.report["records"])

    def __bool__(self) -> bool:
        """A dataset without records is one, too."""
        return True

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Raises `NotFoundError` where the files were deleted, `StorageError` if they can't be
        read.
        """
        # While there is one, it is newer than a dataset that was complete with fewer records.
        published = self._file(PARTIAL) or self._file("dataset.jsonl")
        folder = DatasetFolder(self.path)
        lines = (
            saved_records(folder, str(self.report["job_id"]))
            if published is None
            else folder.lines_of(published)
        )
        for line in lines:
            yield orjson.loads(line)

    @property
    def failed(self) -> int:
        """The number of records that failed."""
        return int(self.report["failed"])

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The records that failed: `index`, `step`, `kind`, `message` and more."""
        return list(self._listed(FAILURES))

    def rejected(self) -> Iterator[dict[str, Any]]:
        """What the template's checks have kept out, as records with `try`, `checks` and
        `rejected_by`: tries that a check of records rejected, and records that a check of the
        dataset left out.
        """
        return self._listed(REJECTED)

    def statistics(self) -> dict[str, Any]:
        """What the records look like: counts, sizes, balance, openings, repeats, examples. The
        same as `seedwright report --json` prints, counted anew.

        Raises `InputError` where the folder is gone, `StorageError` if it can't be read.
        """
        return read_statistics(self.path).document()

    def rows(self, folder: str = ROWS_FOLDER) -> Iterator[dict[str, Any]]:
        """The rows of the template's own shape, or of another one that was exported by its name,
        split by split.

        Raises `NotFoundError` if there are none, `StorageError` if they can't be read.
        """
        return read_rows(self.path, folder)

    def export(
        self,
        as_: str | None = None,
        *,
        template: TemplateSource | None = None,
        split: str | Mapping[str, float] | None = None,
        split_by: str | None = None,
        formats: str | Sequence[str] | None = None,
        keep: str | Sequence[str] = (),
        review: str | Path | None = None,
        licence: str | None = None,
    ) -> Exported:
        """Make rows again from what the folder has, in the shape `as_` or that of a `template` with
        the same steps; no model is called. `split` maps names to shares, `{"test": 0.1}`, or is
        `"none"`; `split_by` is a seed field. `formats` are jsonl and csv, besides Parquet. `review`
        is a filled-in form of `review()`, which is applied from now on, or `"none"`.

        Raises `InputError`, for a shape whose fields are not certain with the `block` to fill in;
        `ExportError`, `StorageError`.
        """
        request = ExportRequest(
            shape=as_,
            template=template,
            split=split_text(split),
            split_by=split_by,
            formats=formats,
            keep=keep,
            review=review,
            licence=licence,
        )
        return export_dataset(self.path, request)

    def review(
        self, path: str | Path | None = None, *, n: int | None = None, as_: str | None = None
    ) -> Path:
        """Write a form to judge the rows in, or a sample of `n`: CSV or JSON lines, by the name of
        `path`. What is there stays. Raises `InputError`, `StorageError`.
        """
        out = None if path is None else Path(path)
        return write_review(self.path, out=out, sample=n, shape=as_).path

    def to_arrow(self) -> "pa.Table":
        """The published Parquet file as a table of pyarrow; `generation_result` is a JSON text.

        Raises `NotFoundError` if there is no such file.
        """
        published = self._file("dataset.parquet")
        if published is None:
            raise NotFoundError(
                f"{self.path} has no dataset.parquet: generate it again with formats='parquet', "
                "which calls no model"
            )
        import pyarrow.parquet as pq  # noqa: PLC0415 - it takes longer to import than a run

        return pq.read_table(published)

    def to_pandas(self) -> "pd.DataFrame":
        """The published Parquet file as a DataFrame; `generation_result` is a JSON text.

        Raises `NotFoundError` as `to_arrow` does, `ConfigurationError` without pandas.
        """
        table = self.to_arrow()
        try:
            return table.to_pandas()
        except ImportError as exc:
            raise ConfigurationError(
                "to_pandas needs pandas, which is not installed: run `pip install pandas`"
            ) from exc

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool = True,
        token: str | None = None,
        revision: str | None = None,
        message: str | None = None,
        endpoint: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Pushed:
        """Push the card, the rows and the report to the dataset repository `repo` (owner/name) of
        the Hugging Face Hub, which is created if there is none. What is there already is not sent
        again, so the same call goes on where another one was cut.

        `token` is taken from HF_TOKEN or from what `hf auth login` stored, unless it is given;
        `endpoint` from HF_ENDPOINT. `on_progress` is called in this thread with the bytes that are
        done and those of all files; what it raises ends the push.

        Raises `InputError` for a dataset that is not complete, has no card or no rows;
        `ConfigurationError` without the extra `hub`; `UnauthenticatedError`, `ForbiddenError`,
        `NotFoundError`, `ConflictError`, `LimitError`, `StorageUnavailableError`, `StorageError`.
        """
        observer = SilentPush() if on_progress is None else CalledPush(on_progress)
        return push_dataset(
            self.path,
            repo,
            observer,
            private=private,
            token=token,
            revision=revision,
            message=message,
            endpoint=endpoint,
        )

    def _listed(self, name: str) -> Iterator[dict[str, Any]]:
        listed = self._file(name)
        if listed is not None:
            yield from map(orjson.loads, DatasetFolder(self.path).lines_of(listed))

    def _file(self, name: str) -> Path | None:
        """What is published under a name, by this call or an earlier one."""
        path = self.path / name
        return path if path in self.files or path.exists() else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """Records that were generated to be looked at, and are kept nowhere else."""

    records: tuple[dict[str, Any], ...]
    """In the order of their index."""
    failures: tuple[dict[str, Any], ...]
    report: Mapping[str, Any]
    """Status, counts, cost and times, as a `Dataset` has them; there are no files."""

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)


def dataset_of(outcome: Outcome) -> Dataset:
    """What a run left in its folder."""
    return Dataset(path=outcome.folder, files=outcome.files, report=outcome.document())


def preview_of(dataset: Dataset) -> Preview:
    """Everything in a dataset, read before its folder goes."""
    return Preview(
        records=tuple(sorted(dataset, key=lambda record: int(record["index"]))),
        failures=tuple(dataset.failures),
        report={**dataset.report, "files": []},
    )
