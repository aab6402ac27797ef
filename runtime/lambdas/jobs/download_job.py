"""GET /jobs/{job_id}/download: signed addresses of a job's files.

The dataset in every format that was exported and its rows, with the failures, what was rejected
and, beside them, its report and card; where nothing is exported yet, the batches, the lists of
failures so far and those of rejected tries.
"""

from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import Field

from runtime.contract.keys import (
    REJECTED_PARTS,
    batches_prefix,
    card_key,
    exports_prefix,
    failure_parts_prefix,
    failures_key,
    rejected_key,
    report_key,
    split_of_rows,
)
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.outputs.types import type_text
from runtime.domain.ports import ObjectStat
from runtime.domain.service_ports import ApiPorts
from runtime.export.row_export import RowResult, load_results
from runtime.lambdas.cursor import MAX_LIMIT, PageQuery, decode_cursor, encode_cursor
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.service.access import own_job


class FileKind(StrEnum):
    """What a file holds."""

    DATASET = "dataset"
    ROWS = "rows"
    BATCH = "batch"
    FAILURES = "failures"
    REJECTED = "rejected"


class Download(PageQuery):
    """Which page of the files."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = MAX_LIMIT
    """Files of a page, at most."""


class FileView(ApiModel):
    """A file, and where it is read without a token until the address expires."""

    kind: FileKind
    name: str
    """Path below the job: `exports/dataset.jsonl`, `exports/data/train-00000-of-00001.parquet`,
    `outputs/batch-0001.jsonl`, …
    """
    format: OutputFormat
    split: str | None
    """Of rows: which part of the dataset they are, such as `train`."""
    size: int
    """Bytes."""
    url: str


class RowsView(ApiModel):
    """Rows in one shape, as trainers read them."""

    configuration: str
    """What the card calls them."""
    folder: str
    """Their Parquet files are in `exports/` below it."""
    shape: str
    columns: dict[str, str]
    """Type by column, as people read it."""
    splits: dict[str, int]
    """Rows by split; a split without one is left out."""
    notes: list[str]
    """What was left out or changed, a sentence each."""


class DocumentView(ApiModel):
    """What is said of the dataset beside it, and where it is read without a token."""

    name: str
    """`report.html`, `README.md`."""
    size: int
    """Bytes."""
    url: str
    """It is answered as a file to save, not as a page to show."""


class DownloadView(ApiModel):
    """The files of a job."""

    job_id: str
    status: JobStatus
    complete: bool
    """Whether these are all records of the job: it is COMPLETED."""
    records_generated: int
    accepted: int
    """Records of the dataset: those generated, unless the template has checks."""
    files: list[FileView]
    """Empty while nothing is saved."""
    report: DocumentView | None
    """What the dataset looks like. It and the card come with the first page of an exported dataset;
    None where there is none.
    """
    card: DocumentView | None
    """What is in `exports/data/`, and how it was made."""
    rows: list[RowsView]
    """What rows there are; with the first page, as the card."""
    expires_in: int
    """For how many seconds the addresses hold."""
    next_cursor: str | None


@endpoint(
    body=NoBody,
    query=Download,
    answers={HTTPStatus.OK: DownloadView},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[NoBody, Download]) -> DownloadView:
    """Give addresses to download the dataset from, or what there is of it so far."""
    job, ports = own_job(call), call.ports
    # Each job has cursors of its own: a position is a key.
    operation = f"download_job {job.job_id}"
    after = decode_cursor(call.query.cursor, operation=operation, caller=call.caller)
    found, following = _files(ports, job.job_id, limit=call.query.limit, after=after)
    begins = _begins_dataset(found, after)
    return DownloadView(
        job_id=job.job_id,
        status=job.status,
        complete=job.status is JobStatus.COMPLETED,
        records_generated=job.progress.records_generated,
        accepted=job.accepted,
        files=[_file(ports, job, each) for each in found],
        report=_document(ports, job, report_key(job.job_id)) if begins else None,
        card=_document(ports, job, card_key(job.job_id)) if begins else None,
        rows=[_rows(each) for each in load_results(ports.objects, job.job_id)] if begins else [],
        expires_in=ports.settings.download_seconds,
        next_cursor=encode_cursor(following, operation=operation, caller=call.caller),
    )


class _Found(NamedTuple):
    kind: FileKind
    stat: ObjectStat
    split: str | None = None


def _files(
    ports: ApiPorts, job_id: str, *, limit: int, after: str | None
) -> tuple[list[_Found], str | None]:
    """A page, and where the next one begins. A list of what there is so far that was begun is gone
    on with, whatever is exported meanwhile.
    """
    exports = exports_prefix(job_id)
    if after is None or after.startswith(exports):
        page = ports.objects.list_page(exports, limit=limit, after=after)
        found = [_exported(job_id, stat) for stat in page.items]
        if after is not None:
            return found, page.next
        if page.items or page.next:
            return [*found, *_lists(ports, job_id)], page.next
    return _so_far(ports, job_id, limit=limit, after=after)


def _so_far(
    ports: ApiPorts, job_id: str, *, limit: int, after: str | None
) -> tuple[list[_Found], str | None]:
    """Batches, then the lists of failures, then those of rejected tries."""
    sources = [
        (FileKind.BATCH, batches_prefix(job_id)),
        (FileKind.FAILURES, failure_parts_prefix(job_id)),
        (FileKind.REJECTED, REJECTED_PARTS.prefix(job_id)),
    ]
    while len(sources) > 1 and after is not None and not after.startswith(sources[0][1]):
        sources.pop(0)
    found: list[_Found] = []
    for number, (kind, prefix) in enumerate(sources):
        if len(found) == limit:
            # The page is full. After its last file the next one begins with the next list.
            more = any(ports.objects.list_page(each, limit=1).items for _, each in sources[number:])
            return found, found[-1].stat.key if more else None
        page = ports.objects.list_page(prefix, limit=limit - len(found), after=after)
        found += [_Found(kind, stat) for stat in page.items]
        if page.next is not None:
            return found, page.next
        after = None
    return found, None


def _lists(ports: ApiPorts, job_id: str) -> list[_Found]:
    """The files of failures and of what was rejected, as far as there are any."""
    keys = ((FileKind.FAILURES, failures_key(job_id)), (FileKind.REJECTED, rejected_key(job_id)))
    found = []
    for kind, key in keys:
        with suppress(NotFoundError):
            found.append(_Found(kind, ports.objects.stat(key)))
    return found


def _begins_dataset(found: Sequence[_Found], after: str | None) -> bool:
    return after is None and bool(found) and found[0].kind in {FileKind.DATASET, FileKind.ROWS}


def _exported(job_id: str, stat: ObjectStat) -> _Found:
    split = split_of_rows(stat.key.removeprefix(exports_prefix(job_id)))
    return _Found(FileKind.DATASET if split is None else FileKind.ROWS, stat, split)


def _rows(each: RowResult) -> RowsView:
    return RowsView(
        configuration=each.configuration,
        folder=each.folder,
        shape=each.shape,
        columns={name: type_text(kind) for name, kind in each.columns.items()},
        splits=dict(each.counts),
        notes=list(each.notes()),
    )


def _document(ports: ApiPorts, job: Job, key: str) -> DocumentView | None:
    try:
        stat = ports.objects.stat(key)
    except NotFoundError:  # of before there were any, or it could not be written
        return None
    name = PurePosixPath(key).name
    return DocumentView(
        name=name,
        size=stat.size,
        url=ports.links.download_url(
            key, file_name=f"{job.job_id}-{name}", seconds=ports.settings.download_seconds
        ),
    )


def _file(ports: ApiPorts, job: Job, found: _Found) -> FileView:
    stat = found.stat
    path = PurePosixPath(stat.key).relative_to(f"jobs/{job.job_id}")
    return FileView(
        kind=found.kind,
        name=str(path),
        format=OutputFormat(path.suffix.removeprefix(".").upper()),
        split=found.split,
        size=stat.size,
        url=ports.links.download_url(
            stat.key,
            # Files of several jobs end up in one folder: the name says whose it is.
            file_name="-".join([job.job_id, *path.parts[-2:]]),
            seconds=ports.settings.download_seconds,
        ),
    )
