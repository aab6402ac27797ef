"""Tables for people: records and models."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Final

import orjson

from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.amounts import usd

MAX_CELL_CHARACTERS: Final = 400


def show_records(lines: Iterable[bytes]) -> None:
    """Records as a table: a column a step, or a column a field where a step gives an object."""
    from rich.console import Console  # noqa: PLC0415 - rich is needed only when there is a table
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    documents = [orjson.loads(line) for line in lines]
    rows = [_cells(document["generation_result"]) for document in documents]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(show_lines=True)
    table.add_column("#", justify="right", style="dim")
    table.add_column("seed", style="dim", overflow="fold")
    for name in columns:
        longest = max(len(row.get(name, "")) for row in rows)
        table.add_column(name, overflow="fold", ratio=1 if longest > len(name) + 12 else None)
    for document, row in zip(documents, rows, strict=True):
        table.add_row(
            str(document["index"]),
            Text(_text(document["seed_data_id"])),
            *(Text(row.get(name, "")) for name in columns),
        )
    Console().print(table)


def _cells(result: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for step, value in result.items():
        output = value["output"]
        if isinstance(output, dict):
            for name, field in output.items():
                label = name if len(result) == 1 else f"{step}.{name}"
                cells[label] = _text(field)
        else:
            cells[step] = _text(output)
    return cells


def _text(value: object) -> str:
    """One cell. What a model writes must not steer the terminal."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = "".join(char if char.isprintable() or char == "\n" else " " for char in text.strip())
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 1]}…"


def model_rows(prices: PriceTable, today: date) -> list[dict[str, object]]:
    """Every model as a plain row: USD per million tokens, tiers, last day."""
    tiers: dict[str, list[str]] = {}
    for tier, providers in prices.tiers.items():
        for candidates in providers.values():
            for model_id in candidates:
                tiers.setdefault(model_id, []).append(tier)
    return [
        {
            "model": model_id,
            "provider": price.provider,
            "input": usd(price.input * 1_000_000),
            "output": usd(price.output * 1_000_000),
            "tiers": tiers.get(model_id, []),
            "schema": price.structured_output,
            "valid_until": price.valid_until.isoformat() if price.valid_until else None,
            "usable": price.is_valid(today),
        }
        for model_id, price in sorted(prices.prices.items())
    ]


def show_models(prices: PriceTable, *, json: bool) -> None:
    """The price table as lines that can be searched and copied from, or as JSON."""
    rows = model_rows(prices, datetime.now(UTC).date())
    if json:
        print(orjson.dumps({"version": prices.version, "models": rows}).decode())
        return
    width = max(len(str(row["model"])) for row in rows)
    print(f"{'model':<{width}} {'input':>7} {'output':>7}  {'last day':<10}  tiers")
    for row in rows:
        tiers = row["tiers"]
        line = (
            f"{row['model']:<{width}} {row['input']:>7} {row['output']:>7}"
            f"  {row['valid_until'] or '':<10}"
            f"  {', '.join(tiers) if isinstance(tiers, list) else ''}"
            f"{'' if row['usable'] else ' (not usable today)'}"
        )
        print(line.rstrip())
    print(f"Prices {prices.version}, USD per million tokens. docs/prices.md says how to add more.")
