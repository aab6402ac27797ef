"""The form of a review: rows to be read, with places for a verdict on each.

records ─▶ all, or a keyed sample ─▶ in index order ─▶ rows ─▶ a line each
"""

import heapq
from collections.abc import Iterable
from hashlib import blake2b
from typing import BinaryIO, Final

from runtime.domain.jobs.indices import IndexSet
from runtime.export.formats import ExportRecord, inert
from runtime.export.ordering import IndexOrder
from runtime.export.review import form_writer
from runtime.export.row_export import RowSource

_MADE_AT_ONCE: Final = 256


def write_form(
    stream: BinaryIO,
    source: RowSource,
    records: Iterable[ExportRecord],
    *,
    sample: int | None,
    as_csv: bool,
) -> int:
    """Write a line for each row of `records`, which may be iterated twice, or of a `sample` of that
    many of them; the number of lines. The same records give the same sample. Raises what making
    rows raises, `StorageError`.
    """
    chosen = None if sample is None else _sample(source, records, sample)
    head, line_of = form_writer(tuple(source.columns), as_csv=as_csv, inert=inert)
    stream.write(head)
    waiting: list[ExportRecord] = []
    written = 0

    def flush() -> None:
        nonlocal written
        made = source.make([record.document for record in waiting], lambda _problem: None)
        for index, values in made:
            stream.write(line_of(f"{source.job_id}-{index}", values))
            written += 1
        waiting.clear()

    def take(some: list[tuple[int, ExportRecord]]) -> None:
        waiting.extend(record for _, record in some)
        if len(waiting) >= _MADE_AT_ONCE:
            flush()

    order: IndexOrder[ExportRecord] = IndexOrder(
        take, line_of=lambda record: record.line, read=ExportRecord.parse, absent=None
    )
    for record in records:
        index = record.document["index"]
        if chosen is None or index in chosen:
            order.add([(index, record, len(record.line))])
    order.finish()
    flush()
    return written


def _sample(source: RowSource, records: Iterable[ExportRecord], count: int) -> IndexSet:
    """The indices whose keyed digests are the least: whatever else there is, a record keeps its
    place among them.
    """
    key = b"review/%d" % source.random_seed

    def digest(index: int) -> bytes:
        return blake2b(b"%d" % index, key=key, digest_size=8).digest()

    indices = (record.document["index"] for record in records)
    chosen = IndexSet(source.records)
    for index in heapq.nsmallest(count, indices, key=digest):
        chosen.add(index)
    return chosen
