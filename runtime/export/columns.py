"""Types of columns in Arrow's words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_schema(columns: Mapping[str, Type]) -> "pa.Schema":
    """Every column nullable. JSON columns carry the type that `datasets`, DuckDB and polars know as
    JSON (arrow.json), and are texts to others.
    """
    import pyarrow as pa  # noqa: PLC0415 - some 0.3 s and 60 MiB that text need not pay

    return pa.schema([(name, arrow_type(kind)) for name, kind in columns.items()])


def arrow_type(kind: Type, *, stored: bool = False) -> "pa.DataType":
    """`stored`: with texts for JSON, as which Arrow has to be given it inside lists."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    match kind:
        case ListOf(item):
            return pa.list_(arrow_type(item, stored=stored))
        case Struct(fields):
            return pa.struct([(name, arrow_type(each, stored=stored)) for name, each in fields])
        case Scalar.JSON:
            return pa.string() if stored else pa.json_()
    scalars: dict[Scalar, pa.DataType] = {
        Scalar.STRING: pa.string(),
        Scalar.INT64: pa.int64(),
        Scalar.FLOAT64: pa.float64(),
        Scalar.BOOL: pa.bool_(),
    }
    return scalars[kind]
