"""Records of a dataset as seeds: the same ones, whichever format they were exported to."""

from typing import Final

import orjson

from runtime.domain.jobs.record import RECORD_FIELDS
from runtime.domain.seeds.seeds import Row

_RECORD_FIELDS: Final = frozenset(RECORD_FIELDS)
_OUTPUTS: Final = "generation_result"


def as_record(row: Row) -> Row:
    """The row itself, or with its outputs as an object: Parquet and CSV have them as one text."""
    if len(row) != len(_RECORD_FIELDS) or row.keys() != _RECORD_FIELDS:
        return row
    outputs = row[_OUTPUTS]
    if not isinstance(outputs, str):
        return row
    try:
        return {**row, _OUTPUTS: orjson.loads(outputs)}
    except orjson.JSONDecodeError:
        return row
