"""The checks of a template: what a reply has to be to stay in the dataset.

    of one record     keep_if, judge, and the short forms: decided as soon as its steps have ended
    of the dataset    unique, balance: decided in the order of the indices, over all that passed

A record takes the checks of records in their order, and the first that it fails rejects its try.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class TextKind(StrEnum):
    """The short forms: each looks at one text of the record."""

    MAX_WORDS = "max_words"
    MATCHES = "matches"
    LANGUAGE = "language"
    NO_PII = "no_pii"
    CODE = "code"


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """`keep_if`: one expression, or a text of Jinja2, that renders to true or false."""

    id: str
    keep_if: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TextCheck:
    """A short form. `of` is the dotted path of its text. `argument` is the most words, a regular
    expression, a language's code, the names of patterns, or a language of code.
    """

    id: str
    kind: TextKind
    of: str
    argument: int | str | tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One thing that a judge rates. `options` are the values it may give, each with its meaning,
    in the author's order.
    """

    name: str
    description: str
    options: Mapping[int | str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """A model call that rates the text at `of`. `prompt` are the author's instructions (Jinja2);
    None: those of the program. `keep_if` decides by `scores`; None: it reports and rejects nothing,
    as does a `sample`, the share of records that are judged. `budget` is the share of the job's
    budget that its calls may use, from 0 to 1.
    """

    id: str
    of: str
    scores: tuple[Score, ...]
    prompt: str | None = None
    system: str | None = None
    keep_if: str | None = None
    sample: float | None = None
    budget: float | None = None
    model: str | None = None
    model_tier: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None

    @property
    def names_model(self) -> bool:
        """Whether it has a model of its own, whatever model runs the steps."""
        return self.model is not None or self.model_tier is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unique:
    """No two records have the same value at `by`, the dotted path of a text of a step. `near` is
    the similarity (Jaccard's, of words and pairs of them) from which two count as the same; None:
    only what is equal but for case and space.
    """

    id: str
    by: str
    near: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """As many records of each of `values` at the dotted path `by`; a record that has another value
    there is rejected.
    """

    id: str
    by: str
    values: tuple[str, ...]


RecordCheck = Condition | TextCheck | Judge
DatasetCheck = Unique | Balance
Check = RecordCheck | DatasetCheck


@dataclass(frozen=True, slots=True)
class Checks:
    """All checks of a template, in its order. False where there are none."""

    all: tuple[Check, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.all)

    def __iter__(self) -> Iterator[Check]:
        return iter(self.all)

    @property
    def of_record(self) -> tuple[RecordCheck, ...]:
        """Those that one record decides."""
        return tuple(each for each in self.all if isinstance(each, RecordCheck))

    @property
    def texts(self) -> tuple[TextCheck, ...]:
        """The short forms."""
        return tuple(each for each in self.all if isinstance(each, TextCheck))

    @property
    def judges(self) -> tuple[Judge, ...]:
        """Those that call a model."""
        return tuple(each for each in self.all if isinstance(each, Judge))

    @property
    def unique(self) -> tuple[Unique, ...]:
        """Those that compare records."""
        return tuple(each for each in self.all if isinstance(each, Unique))

    @property
    def balance(self) -> Balance | None:
        """The one that counts records; a template has one at most."""
        return next((each for each in self.all if isinstance(each, Balance)), None)

    @property
    def of_dataset(self) -> bool:
        """Whether which records stay depends on others."""
        return bool(self.unique) or self.balance is not None


NO_CHECKS: Final = Checks()


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedTry:
    """One try of an index that a check has rejected. `results` are those of its steps, `verdicts`
    of its checks by id, the rejecting one last.
    """

    attempt: int
    rejected_by: str
    results: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
