"""Reads the rows of datasets with the libraries that people load them with, and knows nothing of
this project: a program of the environment that `make loaders` makes.

    {"library": "polars", "folder": …, "rows": "data"}  ─▶  {"train": [row, …], "test": […]}
    {"code": "import …\nvalue"}                         ─▶  the value of the last line

One question and one answer a line, as JSON; `{"error": …}` where a library refuses.
"""

import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pandas as pd
import polars as pl

Rows = dict[str, list[dict[str, Any]]]


def with_datasets(folder: Path, rows: str) -> Rows:
    """As the card says it: its configurations, its splits."""
    name = "default" if rows == "data" else rows
    return {
        str(split): each.to_list()
        for split, each in datasets.load_dataset(str(folder), name).items()
    }


def with_pandas(folder: Path, rows: str) -> Rows:
    everything = pd.read_parquet(folder / rows)
    found = {split: pd.read_parquet(paths) for split, paths in parts(folder / rows).items()}
    if len(everything) != sum(map(len, found.values())):
        raise ValueError("the folder has other rows than its files")
    return {split: frame.to_dict("records") for split, frame in found.items()}


def with_polars(folder: Path, rows: str) -> Rows:
    found = {split: pl.read_parquet(paths) for split, paths in parts(folder / rows).items()}
    if len(pl.read_parquet(folder / rows)) != sum(map(len, found.values())):
        raise ValueError("the folder has other rows than its files")
    return {split: frame.to_dicts() for split, frame in found.items()}


def with_duckdb(folder: Path, rows: str) -> Rows:
    found: Rows = {}
    for split in parts(folder / rows):
        table = duckdb.sql(f"SELECT * FROM '{folder / rows}/{split}-*.parquet'")  # noqa: S608
        found[split] = [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]
    return found


LIBRARIES: dict[str, Callable[[Path, str], Rows]] = {
    "datasets": with_datasets,
    "pandas": with_pandas,
    "polars": with_polars,
    "duckdb": with_duckdb,
}


def parts(folder: Path) -> dict[str, list[str]]:
    """Files by split. Everything in the folder has to be one."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        found.setdefault(path.name.partition("-")[0], []).append(str(path))
    return found


def plain(value: Any) -> Any:
    """As JSON has it: pandas has arrays for lists, and NaN for null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value


def value_of(code: str) -> Any:
    """Run lines as somebody who pastes them, and give what the last one shows."""
    *before, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        raise TypeError("the last line shows nothing")
    names: dict[str, Any] = {}
    exec(compile(ast.Module(before, []), "pasted", "exec"), names)  # noqa: S102
    return eval(compile(ast.Expression(last.value), "pasted", "eval"), names)  # noqa: S307


def answer(question: dict[str, str]) -> Any:
    if "code" in question:
        return value_of(question["code"])
    return LIBRARIES[question["library"]](Path(question["folder"]), question["rows"])


def main() -> None:
    datasets.disable_progress_bars()
    for line in sys.stdin:
        try:
            found = {"answer": plain(answer(json.loads(line)))}
        except Exception as error:  # noqa: BLE001 - what a library raises is the answer
            found = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
