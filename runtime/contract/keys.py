"""Layout of the bucket, and of the directory that stands for it on a laptop.

    seed-data/{user_id}/…
    jobs/{job_id}/checkpoint.json                 checkpoints/shard-0003.json when sharded
    jobs/{job_id}/prices.json                     the price table the job began with
    jobs/{job_id}/outputs/batch-0001.jsonl        outputs/shard-0003/batch-0001.jsonl
    jobs/{job_id}/failures/part-0001.jsonl        failures/shard-0003/part-0001.jsonl
    jobs/{job_id}/retries/part-0012.jsonl         failures up to part 12 are tried again; by shard
    jobs/{job_id}/rejected/part-0001.jsonl        tries that checks rejected; by shard likewise
    jobs/{job_id}/failures.jsonl                  written with the export
    jobs/{job_id}/rejected.jsonl                  written with it, where a template has checks
    jobs/{job_id}/report.html                     written with it, too
    jobs/{job_id}/rows.json                       what rows there are, README.md their card
    jobs/{job_id}/export-requests/{digest}.json   rows that were asked for when it had ended
    jobs/{job_id}/row-configurations.json         those that were made: again with more records
    jobs/{job_id}/exports/dataset.{jsonl,parquet,csv}
    jobs/{job_id}/exports/date=YYYY-MM-DD/records.jsonl
    jobs/{job_id}/exports/data/train-00000-of-00001.parquet   rows
    jobs/{job_id}/exports/data-jsonl/train.jsonl  copies of them as text; data-csv/train.csv
    jobs/{job_id}/pieces/shard-0003/0000000007/…  what shard 3 has exported, until it is joined

Numbers have at least four digits. Past 9999 they grow, so whoever lists must order by number
(`serial_number`), not by key.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

JSON_LINES: Final = "application/x-ndjson"
"""Content type of numbered objects, failure lists and the JSONL export."""

_SERIAL: Final = re.compile(r"/(?:batch|part)-(\d{4,})\.jsonl$")

_SHARD: Final = re.compile(r"/shard-(\d{4,})(?:/[^/]+|\.json)$")


def job_prefix(job_id: str) -> str:
    """Everything that belongs to a job."""
    return f"jobs/{job_id}/"


def seed_prefix(user_id: str) -> str:
    """The only place a user may upload to and read seeds from."""
    return f"seed-data/{user_id}/"


def checkpoint_key(job_id: str, shard: int | None = None) -> str:
    """The checkpoint blob of a job or of one shard."""
    if shard is None:
        return f"jobs/{job_id}/checkpoint.json"
    return f"jobs/{job_id}/checkpoints/shard-{shard:04d}.json"


def prices_key(job_id: str) -> str:
    """The price table that a job began with and keeps."""
    return f"jobs/{job_id}/prices.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberedObjects:
    """One kind of numbered objects of a job, each some lines: `{folder}/{stem}-0001.jsonl`."""

    folder: str
    stem: str

    def prefix(self, job_id: str, shard: int | None = None) -> str:
        """Their folder. Without a shard it also covers every shard's folder."""
        below = "" if shard is None else f"shard-{shard:04d}/"
        return f"jobs/{job_id}/{self.folder}/{below}"

    def key(self, job_id: str, number: int, shard: int | None = None) -> str:
        """One object; numbers begin at 1."""
        return f"{self.prefix(job_id, shard)}{self.stem}-{number:04d}.jsonl"


RECORDS: Final = NumberedObjects(folder="outputs", stem="batch")
"""The batches of finished records."""

FAILURE_PARTS: Final = NumberedObjects(folder="failures", stem="part")
"""The lists of failures that are saved while the job runs."""

REJECTED_PARTS: Final = NumberedObjects(folder="rejected", stem="part")
"""Tries that a check has rejected, saved while the job runs."""

RETRIES: Final = NumberedObjects(folder="retries", stem="part")
"""Marks that give failures back: number 12 says that what parts 1 to 12 list is tried again."""

batches_prefix = RECORDS.prefix
batch_key = RECORDS.key
failure_parts_prefix = FAILURE_PARTS.prefix
failure_part_key = FAILURE_PARTS.key


def failures_key(job_id: str) -> str:
    """All failures of a job, written with its export."""
    return f"jobs/{job_id}/failures.jsonl"


def rejected_key(job_id: str) -> str:
    """All rejected tries of a job, written with its export."""
    return f"jobs/{job_id}/rejected.jsonl"


def report_key(job_id: str) -> str:
    """The page that says what the exported dataset looks like."""
    return f"jobs/{job_id}/report.html"


def exports_prefix(job_id: str) -> str:
    """The folder of the dataset in every format."""
    return f"jobs/{job_id}/exports/"


def export_key(job_id: str, extension: str) -> str:
    """The dataset in one format; `extension` is jsonl, parquet or csv."""
    return exports_prefix(job_id) + export_name(extension)


def export_name(extension: str) -> str:
    """Of the dataset in one format, below the exports."""
    return f"dataset.{extension}"


def pieces_prefix(job_id: str, shard: int | None = None) -> str:
    """The folder of what shards have exported, or of what one has."""
    below = "" if shard is None else f"shard-{shard:04d}/"
    return f"jobs/{job_id}/pieces/{below}"


def partition_key(job_id: str, day: date) -> str:
    """The JSONL dataset of one day (`partition_strategy: timestamp`)."""
    return f"{exports_prefix(job_id)}date={day.isoformat()}/records.jsonl"


def serial_number(key: str) -> int | None:
    """The number in a batch's or failure list's key; None for any other key."""
    match = _SERIAL.search(key)
    return int(match[1]) if match else None


def shard_number(key: str) -> int | None:
    """The shard in such a key, or in that of a checkpoint; None for one of no shard."""
    match = _SHARD.search(key)
    return int(match[1]) if match else None


ROWS_FOLDER: Final = "data"
"""Where the rows of a dataset's own shape are; other shapes have folders of their own."""


def rows_prefix(job_id: str, folder: str = ROWS_FOLDER) -> str:
    """The folder of the rows in one shape."""
    return f"{exports_prefix(job_id)}{folder}/"


def row_file_name(split: str, number: int, count: int) -> str:
    """One of `count` Parquet files of a split, `number` from 0: the name that loaders know."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


ROW_TEXTS: Final = ("jsonl", "csv")
"""What rows are copied as, by extension."""


def row_text_name(folder: str, split: str, extension: str) -> str:
    """All rows of a split as text, with its folder: beside that of the rows and not in it, since
    whoever reads a folder as Parquet reads everything in it.
    """
    return f"{row_folders(folder)[1 + ROW_TEXTS.index(extension)]}/{split}.{extension}"


def row_folders(folder: str) -> tuple[str, ...]:
    """Where the rows of `folder` may be: there, and in one folder for each kind of text."""
    return folder, *(f"{folder}-{extension}" for extension in ROW_TEXTS)


_ROW_FILE: Final = re.compile(
    r"[a-z][a-z-]{0,31}/(?P<split>[A-Za-z][A-Za-z0-9_]{0,63})-[0-9]{5}-of-[0-9]{5}\.parquet"
    r"|[a-z][a-z-]{0,31}-(?P<kind>jsonl|csv)/(?P<copied>[A-Za-z][A-Za-z0-9_]{0,63})\.(?P=kind)"
)


def split_of_rows(name: str) -> str | None:
    """The split of a file of rows, by its name below the exports; None: it holds no rows."""
    match = _ROW_FILE.fullmatch(name)
    return match and (match["split"] or match["copied"])


def rows_result_key(job_id: str) -> str:
    """What rows the last export wrote: shapes, columns, counts, and what gave none."""
    return f"jobs/{job_id}/rows.json"


def export_request_key(job_id: str, name: str) -> str:
    """Rows that an ended job was asked for; `name` is a digest of them."""
    return f"jobs/{job_id}/export-requests/{name}.json"


def row_configurations_key(job_id: str) -> str:
    """What rows were asked for and made: they are made again when there are more records."""
    return f"jobs/{job_id}/row-configurations.json"


def card_key(job_id: str) -> str:
    """The dataset's card, written with its rows."""
    return f"jobs/{job_id}/README.md"
