"""Rows read back from a dataset's folder, as plain values."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from runtime.disk import disk_errors
from runtime.domain.errors import NotFoundError, StorageError

if TYPE_CHECKING:
    import pyarrow as pa


def read_rows(dataset: Path, folder: str) -> Iterator[dict[str, Any]]:
    """The rows in one folder, file by file: `test`, then `train`. Values of any form, which files
    hold as JSON, are what they were.

    Raises `NotFoundError` if there are none, `StorageError`.
    """
    paths = sorted((dataset / folder).glob("*.parquet"))
    if not paths:
        raise NotFoundError(f"{dataset} has no rows in {folder}/: export them first")
    return _read(paths)


def _read(paths: list[Path]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa  # noqa: PLC0415 - it takes longer to import than a run
    from pyarrow import parquet  # noqa: PLC0415

    for path in paths:
        try:
            with disk_errors(f"read {path}"), parquet.ParquetFile(path) as file:
                kinds = {field.name: field.type for field in file.schema_arrow}
                for batch in file.iter_batches():
                    for row in batch.to_pylist():
                        yield {name: _plain(value, kinds[name]) for name, value in row.items()}
        except pa.ArrowException as exc:
            raise StorageError(f"{path} is damaged: export the rows again") from exc


def _plain(value: Any, kind: "pa.DataType") -> Any:
    import pyarrow as pa  # noqa: PLC0415 - as above

    if value is None:
        return None
    if isinstance(kind, pa.JsonType):
        return orjson.loads(value)
    if pa.types.is_list(kind):
        return [_plain(each, kind.value_type) for each in value]
    if pa.types.is_struct(kind):
        return {name: _plain(each, kind.field(name).type) for name, each in value.items()}
    return value
