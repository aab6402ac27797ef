"""What rows a dataset was asked for, beyond its template, as it is remembered.

    {"licence": …, "own": {"output": …, "split": …},
     "rows": [{"folder": "messages", "output": …, "split": …, "formats": […], "review": …}]}

So rows are made again, with the verdicts of their review, when there are more records.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import orjson

from runtime.contract.keys import ROWS_FOLDER
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.outputs.document import output_document
from runtime.domain.outputs.shape import Shape
from runtime.domain.outputs.split import split_document
from runtime.domain.outputs.types import Type
from runtime.domain.templates.reshaping import with_output
from runtime.domain.templates.template import Template
from runtime.export.review import Review, read_review

_REVIEW: Final = "review-{}{}"
FOLDERS: Final = frozenset({ROWS_FOLDER, *(each.value for each in Shape)} - {Shape.RECORDS.value})
"""Where rows may be: those of the template's own shape, and one folder for each other shape."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowChoice:
    """How rows are written beyond what the template says. `mark` tells one choice from another:
    rows that were made by another one are not current.
    """

    folder: str = ROWS_FOLDER
    formats: frozenset[OutputFormat] | None = None
    """None: those of the job. Parquet is always written."""
    byte_order_mark: bool | None = None
    """None: as the job has it."""
    review_of: Callable[[Mapping[str, Type]], Review] | None = None
    """Makes the review, which is checked against the columns."""
    mark: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """The rows in one folder. `output` None is the template's own; a `split` of None is none."""

    folder: str = ROWS_FOLDER
    output: object | None = None
    split: Mapping[str, Any] | None = None
    formats: tuple[OutputFormat, ...] | None = None
    """Besides Parquet. None: those of the dataset, and in another shape none."""
    byte_order_mark: bool | None = None
    """None: as the dataset has it."""
    review: str | None = None
    """The name of its review's copy in the state."""

    def template(self, own: Template) -> Template:
        """The template with the output and the split of these rows. Raises `TemplateError`."""
        return with_output(own, self.output, split=self.split)

    def choice(
        self, verdicts: bytes = b"", *, formats: frozenset[OutputFormat] | None = None
    ) -> RowChoice:
        """How the rows are written. `verdicts` are the bytes of their review, `formats` those of
        the dataset.
        """
        name, mark = self.review, ""
        if self.byte_order_mark is not None or name is not None or self.formats is not None:
            told = [self.byte_order_mark, sorted(self.formats or ()), name is not None]
            mark = hashlib.sha256(orjson.dumps(told) + verdicts).hexdigest()
        return RowChoice(
            folder=self.folder,
            formats=formats if self.formats is None else frozenset(self.formats),
            byte_order_mark=self.byte_order_mark,
            review_of=None
            if name is None
            else lambda columns: read_review(name, verdicts, columns),
            mark=mark,
        )

    def document(self) -> dict[str, Any]:
        """Inverse of `parse`."""
        return {
            "folder": self.folder,
            "output": self.output,
            "split": self.split,
            "formats": None if self.formats is None else list(self.formats),
            "byte_order_mark": self.byte_order_mark,
            "review": self.review,
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Raises `ValueError` for what this project didn't write: a folder may come from anybody,
        and neither of its names may lead elsewhere.
        """
        folder, review, formats = document["folder"], document["review"], document["formats"]
        if folder not in FOLDERS or (review is not None and review not in review_names(folder)):
            raise ValueError("a name that no export gives")
        return cls(
            folder=folder,
            output=document["output"],
            split=document["split"],
            formats=None if formats is None else tuple(map(OutputFormat, formats)),
            byte_order_mark=document["byte_order_mark"],
            review=review,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Configurations:
    """Everything that is remembered. `own` is what the template said last, of which `rows` that
    have no output of their own are made.
    """

    licence: str | None = None
    own: Mapping[str, Any] | None = None
    rows: tuple[Configuration, ...] = field(default=())

    def of(self, folder: str) -> Configuration | None:
        """What is remembered of a folder."""
        return next((each for each in self.rows if each.folder == folder), None)

    def with_rows(self, new: Configuration) -> "Configurations":
        """With `new` in the place of what its folder had."""
        others = [each for each in self.rows if each.folder != new.folder]
        rows = sorted([*others, new], key=lambda each: (each.folder != ROWS_FOLDER, each.folder))
        return replace(self, rows=tuple(rows))

    def without(self, folder: str) -> "Configurations":
        """Without what is remembered of a folder."""
        return replace(self, rows=tuple(each for each in self.rows if each.folder != folder))

    def document(self) -> dict[str, Any]:
        """Inverse of `parse`."""
        return {
            "licence": self.licence,
            "own": self.own,
            "rows": [each.document() for each in self.rows],
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Raises `ValueError`, `KeyError` or `TypeError` for what this project didn't write."""
        return cls(
            licence=document["licence"],
            own=document["own"],
            rows=tuple(map(Configuration.parse, document["rows"])),
        )

    def own_template(self, stored: Template) -> Template:
        """The job's template with the output and the split that were asked for last. Raises
        `TemplateError`.
        """
        if self.own is None or self.own == own_document(stored):
            return stored
        return with_output(stored, self.own["output"], split=self.own["split"])


def own_document(template: Template) -> dict[str, Any]:
    """What a template says of its rows."""
    return {
        "output": output_document(template.output),
        "split": None if template.split is None else split_document(template.split),
    }


def review_names(folder: str) -> Sequence[str]:
    """What the copy of a review may be called: as CSV, and as JSON lines."""
    return _REVIEW.format(folder, ".csv"), _REVIEW.format(folder, ".jsonl")
