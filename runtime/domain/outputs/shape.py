"""`output:` of a template: what a row of its dataset is.

    output: {columns: {question: steps.ask.output.question, style: seed.style}, keep: [label]}
    output: {messages: [{role: user, content: steps.ask.output}, …], tools: seed.tools}
    output: records

One shape by name, with its fields. `reading.py` reads and checks it, `columns.py` says which
columns it makes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from runtime.domain.outputs.values import Path, Text


class Shape(StrEnum):
    """What a row is, by the names that trainers use."""

    COLUMNS = "columns"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt-completion"
    PREFERENCE = "preference"
    UNPAIRED_PREFERENCE = "unpaired-preference"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    OPENAI = "openai"
    BEDROCK = "bedrock"
    VERL = "verl"
    RECORDS = "records"
    """Records as they are stored: no rows are made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One message: its role (of ShareGPT `from`) and its other fields by name, such as `content`
    (`value`), `tool_calls` and `reasoning_content`.
    """

    role: str
    fields: Mapping[str, Path | Text]


Turns = tuple[Turn | Path, ...]
"""Messages in order. A path stands for all the messages of the list that it leads to."""

Field = Path | Text | Turns | Mapping[str, Path | Text]
"""A value, messages, or an object of values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A checked `output:`. `fields` are those of the shape, by the names of its columns."""

    shape: Shape
    fields: Mapping[str, Field] = field(default_factory=dict)
    tools: Path | None = None
    """Leads to the list of tools that the messages may use."""
    keep: tuple[Path, ...] = ()
    """Carried beside the shape's columns."""
    pair_rejects: bool = False
    """Of a preference: what it rejects is read from the first try of the record that a check has
    rejected, and a record without one gives no row.
    """

    def values(self) -> Iterator[tuple[str, Path | Text]]:
        """Every value with its place, for messages."""
        for name, each in self.fields.items():
            yield from _values_in(name, each)
        if self.tools is not None:
            yield "tools", self.tools
        yield from (("keep", path) for path in self.keep)

    def texts(self) -> tuple[tuple[str, Text], ...]:
        """The texts that have to be rendered, each with its place."""
        return tuple(
            (place, value)
            for place, value in self.values()
            if isinstance(value, Text) and value.literal is None
        )

    def rendered(self) -> tuple[Text, ...]:
        """The same texts, each once: the render process knows a text by its position here."""
        return tuple(dict.fromkeys(text for _, text in self.texts()))

    @property
    def reads_draws(self) -> bool:
        """Whether values of seeds or samples become values of a row."""
        return any(
            isinstance(value, Path) and (value.is_seed_field or value.is_sample)
            for _, value in self.values()
        )

    def seed_paths(self) -> tuple[str, ...]:
        """The dotted paths of seed fields whose values become values of a row; the empty path is
        the whole seed.
        """
        paths = (value for _, value in self.values() if isinstance(value, Path))
        return tuple(
            dict.fromkeys(".".join(each.parts[1:]) for each in paths if each.is_seed_field)
        )


def _values_in(place: str, each: Field) -> Iterator[tuple[str, Path | Text]]:
    match each:
        case Path() | Text():
            yield place, each
        case tuple():
            for number, turn in enumerate(each, start=1):
                here = f"{place} {number}"
                if isinstance(turn, Path):
                    yield here, turn
                else:
                    yield from ((f"{here}, {name}", value) for name, value in turn.fields.items())
        case _:
            yield from ((f"{place}, {name}", value) for name, value in each.items())


RECORDS: Final = Output(shape=Shape.RECORDS)
