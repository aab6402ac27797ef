"""The card of a dataset: `README.md`, which people read and `datasets.load_dataset` follows.

Its front matter says which files are a configuration's splits, as the Hub and `datasets` take it
(https://huggingface.co/docs/hub/datasets-cards). Everything that somebody else wrote is escaped or
fenced: it is shown, and neither read as Markdown nor as HTML.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from runtime.domain.jobs.check_counts import CheckCounts
from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.money.amounts import usd
from runtime.domain.plain_text import plain_line, plain_lines
from runtime.domain.templates.text import render_yaml
from runtime.domain.wording import counted

MAX_TEMPLATE_CHARACTERS: Final = 20_000
"""Of the template's text on the card; what was cut off is said."""

_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
"""The Hub's size categories, by the first number of rows that is too many."""

_MARK: Final = "<!-- made by Seedwright, and replaced by it while it is unchanged: {} -->"

_INLINE: Final = re.compile(r"[\\`*_\[\]~|!$]")
_BLOCK: Final = re.compile(r"\d+(?=[.)])|[#+=-]")
"""What makes the beginning of a line a heading, a list, a rule."""
_FENCES: Final = re.compile(r"`{3,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitFiles:
    """One split of a configuration: its name, and how many rows its files hold."""

    name: str
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """One shape of the dataset, and the folder of its files. The first one is the default."""

    name: str
    folder: str
    splits: Sequence[SplitFiles]
    columns: Mapping[str, str]
    """Type by column, as people read it."""
    digest: str | None = None
    """Tells these rows from others that stood in the same files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Everything that stands on the card. Amounts are nano-USD."""

    name: str
    description: str
    configurations: Sequence[Configuration]
    template: str
    """YAML, as an author would write it."""
    version: str
    """Of Seedwright."""
    finished_at: datetime
    requested: int
    records: int
    failures: Mapping[str, int]
    """By kind."""
    steps: Mapping[str, StepTotals]
    cost_nano: int
    """All of it, with what no step is known for: calls that a process left in doubt."""
    checks: CheckCounts | None = None
    """None: the template has none."""
    price_table: str | None = None
    random_seed: int | None = None
    notes: Sequence[str] = ()
    """What was left out or guessed when the rows were made, a sentence each."""
    licence: str | None = None
    """An identifier of the Hub, such as cc-by-4.0. Nobody chooses one but the user."""
    languages: Sequence[str] = ()
    """ISO 639-1 codes, where they are known."""
    task_categories: Sequence[str] = field(default=())


def render_card(card: Card) -> str:
    """The whole file. Equal cards give equal texts. Its last line tells whether anybody has changed
    it, see `is_unchanged`.
    """
    front = render_yaml(_front_matter(card))
    text = f"---\n{front}---\n\n" + "\n".join(_body(card)) + "\n\n"
    return text + _MARK.format(_digest(text)) + "\n"


def is_unchanged(card: bytes) -> bool:
    """Whether a file is a card as it was rendered: whoever edits one, or writes their own, keeps
    it.
    """
    text, _, last = card.decode("utf-8", "replace").rstrip("\n").rpartition("\n")
    return last == _MARK.format(_digest(text + "\n"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def size_category(rows: int) -> str:
    """What the Hub calls a dataset of that many rows."""
    return next((name for limit, name in _SIZES if rows < limit), "n>10M")


def _front_matter(card: Card) -> dict[str, Any]:
    rows = sum(split.rows for each in card.configurations[:1] for split in each.splits)
    optional: dict[str, Any] = {
        "license": card.licence,
        "language": list(card.languages),
        "task_categories": list(card.task_categories),
    }
    return {
        "pretty_name": plain_line(card.name),
        **{name: value for name, value in optional.items() if value},
        "tags": ["synthetic", "seedwright"],
        "size_categories": [size_category(rows)],
        "configs": [
            _configuration(each, number) for number, each in enumerate(card.configurations)
        ],
    }


def _configuration(each: Configuration, number: int) -> dict[str, Any]:
    return {
        "config_name": each.name,
        **({"default": True} if number == 0 else {}),
        # `datasets` caches a folder by its configurations, not by the files that they lead to:
        # without a word that changes with them it would show the rows of the first time for ever.
        **({"description": f"rows {each.digest}"} if each.digest else {}),
        "data_files": [
            {"split": split.name, "path": f"{each.folder}/{split.name}-*.parquet"}
            for split in each.splits
        ],
    }


def _body(card: Card) -> Iterator[str]:
    yield f"# {escaped(card.name)}"
    yield ""
    if card.description:
        yield from (_whole_line(line) for line in plain_lines(card.description).split("\n"))
        yield ""
    yield (
        "This dataset is synthetic: language models wrote it, with Seedwright"
        f" {escaped(card.version)}, from the template below."
    )
    for each in card.configurations:
        yield from _rows_of(each, named=len(card.configurations) > 1)
    yield from _origin(card)
    yield from _template(card.template)


def _rows_of(each: Configuration, *, named: bool) -> Iterator[str]:
    yield ""
    yield f"## Rows: {escaped(each.name)}" if named else "## Rows"
    yield ""
    yield from _table(("split", "rows"), [(split.name, f"{split.rows:,}") for split in each.splits])
    yield ""
    yield from _table(("column", "type"), list(each.columns.items()))
    yield ""
    yield "```python"
    yield "from datasets import load_dataset"
    yield ""
    config = f', "{each.name}"' if named else ""
    yield f'rows = load_dataset("path/to/this/folder"{config})'
    yield "```"


def _origin(card: Card) -> Iterator[str]:
    yield ""
    yield "## How it was made"
    yield ""
    yield (
        f"{card.records:,} of {counted(card.requested, 'record')} asked for, finished on"
        f" {card.finished_at:%Y-%m-%d}, for {usd(card.cost_nano)}."
    )
    if card.random_seed is not None:
        yield f"Seeds were drawn with the random seed {card.random_seed}."
    if card.price_table:
        yield f"Prices are those of table {escaped(card.price_table)}."
    if card.steps:
        yield ""
        yield from _table(
            ("step", "model", "calls", "tokens in", "tokens out", "cost"),
            [
                (
                    step,
                    each.model,
                    f"{each.calls:,}",
                    f"{each.tokens_in:,}",
                    f"{each.tokens_out:,}",
                    usd(each.cost_nano),
                )
                for step, each in card.steps.items()
            ],
        )
    unknown = card.cost_nano - sum(each.cost_nano for each in card.steps.values())
    if unknown > 0:
        yield ""
        yield (
            f"{usd(unknown)} of the cost are calls that a process left in doubt when it ended: they"
            " count with the most that they may have cost."
        )
    told = {
        "repaired": sum(each.repaired for each in card.steps.values()),
        "cut at max_tokens": sum(each.cut for each in card.steps.values()),
        "refused": sum(each.refused for each in card.steps.values()),
    }
    if any(told.values()):
        counts = ", ".join(f"{count:,} {what}" for what, count in told.items() if count)
        yield ""
        yield f"Replies: {counts}."
    skips = [f"{step} {each.skipped:,}" for step, each in card.steps.items() if each.skipped]
    if skips:
        yield ""
        yield f"Records that did not take a step: {', '.join(skips)}."
    if card.checks is not None:
        yield ""
        yield f"Checks: {'; '.join(map(escaped, card.checks.texts()))}."
    if card.failures:
        yield ""
        yield "Records that failed, and are not in the dataset:"
        yield ""
        yield from _table(
            ("kind", "records"), [(kind, f"{n:,}") for kind, n in sorted(card.failures.items())]
        )
    for note in card.notes:
        yield ""
        yield _whole_line(note)


def _template(text: str) -> Iterator[str]:
    shown = plain_lines(text[:MAX_TEMPLATE_CHARACTERS]).rstrip("\n")
    longest = max((len(each) for each in _FENCES.findall(shown)), default=2)
    fence = "`" * (longest + 1)
    yield ""
    yield "## Template"
    yield ""
    yield f"{fence}yaml"
    yield shown
    yield fence
    if len(text) > MAX_TEMPLATE_CHARACTERS:
        yield ""
        yield f"{len(text) - MAX_TEMPLATE_CHARACTERS:,} more characters are left out here."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(escaped, row))} |"


def escaped(text: str) -> str:
    """Foreign text within a line as Markdown that shows just that."""
    line = _INLINE.sub(r"\\\g<0>", plain_line(text).strip())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _whole_line(text: str) -> str:
    """Foreign text as a line of its own: it begins no heading, list or rule."""
    line = escaped(text)
    block = _BLOCK.match(line)
    if block is None:
        return line
    end = block.end()
    return f"{line[:end]}\\{line[end:]}" if block[0].isdigit() else f"\\{line}"
