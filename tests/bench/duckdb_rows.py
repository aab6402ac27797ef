"""What DuckDB takes to make the Parquet file of `tests/bench/rows.py`. A program of its own,
since DuckDB lives in another environment.

    python tests/bench/duckdb_rows.py FOLDER-OF-BATCHES FILE
"""

import json
import sys
import time
from pathlib import Path

import duckdb

_MAKE = """
COPY (
    SELECT
        generation_result.ask."output".question AS question,
        generation_result.answer."output" AS answer
    FROM read_json(
        '{batches}/*.jsonl',
        format = 'newline_delimited',
        columns = {{
            index: 'BIGINT',
            generation_result: 'STRUCT(
                ask STRUCT("output" STRUCT(question VARCHAR)), answer STRUCT("output" VARCHAR)
            )'
        }}
    )
    ORDER BY index
) TO '{file}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192)
"""


def main() -> None:
    """Make the file, and print seconds of the clock and of the processors."""
    batches, file = map(Path, sys.argv[1:])
    connection = duckdb.connect()
    seconds, cpu = time.perf_counter(), time.process_time()
    connection.execute(_MAKE.format(batches=batches, file=file))
    seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
