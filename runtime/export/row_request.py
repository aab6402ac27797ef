"""What rows are asked for, as users write it, and what that means for one dataset."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runtime.contract.keys import ROWS_FOLDER
from runtime.domain.errors import InputError, UnclearOutputError
from runtime.domain.hints import hint_for
from runtime.domain.jobs.delivery import OutputFormat, parse_formats
from runtime.domain.outputs.document import output_document
from runtime.domain.outputs.shape import Shape
from runtime.domain.templates.reshaping import output_as
from runtime.domain.templates.template import Template
from runtime.export.configurations import Configuration, Configurations, own_document

NONE: Final = "none"
"""In place of a split, or of a review: there is to be none."""

_LICENCE: Final = re.compile(r"[a-z0-9.-]{1,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RowRequest:
    """What rows are asked for, as users write it. None leaves what the template says; a licence
    stays until another is given.
    """

    shape: str | None = None
    template: Template | None = None
    """Has the output and the split to use; its steps are those of the dataset's."""
    split: str | None = None
    """`test=0.1,validation=0.05`, or none."""
    split_by: str | None = None
    formats: Sequence[str] | str | None = None
    """Besides Parquet."""
    byte_order_mark: bool | None = None
    keep: Sequence[str] | str = ()
    licence: str | None = None

    @property
    def says_nothing(self) -> bool:
        """Whether nothing is said of the rows but their shape and licence."""
        said = (self.template, self.split, self.split_by, self.formats, self.byte_order_mark)
        return not self.keep and said == (None,) * len(said)


def remembered(shape: str | None, own: Template, known: Configurations) -> Configuration | None:
    """The rows of this shape, by default the template's own, as they were asked for before."""
    return known.of(ROWS_FOLDER if shape in {None, own.output.shape} else str(shape))


def read_configuration(
    request: RowRequest, own: Template, stored: Template, *, before: Configuration | None = None
) -> Configuration:
    """The rows that are meant, without their review: `own` is the template with its newest output,
    `stored` the job's, `before` what was asked for in this shape. Raises `InputError`,
    `UnclearOutputError`.
    """
    asked = request.template
    if asked is not None:
        if request.shape is not None:
            raise InputError("give a shape (--as) or a template: a template says its shape")
        _check_steps(stored, asked)
    try:
        folder, output = _shape(request.shape, own, asked)
    except UnclearOutputError:
        if before is None:
            raise
        folder, output = before.folder, before.output  # a template has said it
    if request.keep:
        output = _keeping(output_document(own.output) if output is None else output, request.keep)
    formats = [request.formats] if isinstance(request.formats, str) else request.formats
    found = Configuration(
        folder=folder,
        output=output,
        split=_split(request, own_document(asked or own)["split"]),
        formats=None
        if formats is None
        else _besides(parse_formats(read_texts("formats", formats))),
        byte_order_mark=request.byte_order_mark or None,
    )
    found.template(own)  # what is wrong is refused before anything is written
    return found


def read_licence(name: str | None) -> str | None:
    """Raises `InputError` for what is no identifier of the Hub."""
    if name is not None and _LICENCE.fullmatch(name) is None:
        raise InputError("the licence is an identifier such as cc-by-4.0: use a-z, 0-9, . and -")
    return name


def _shape(name: str | None, own: Template, asked: Template | None) -> tuple[str, object | None]:
    """The folder of the rows, and their output; None: the template's own."""
    has_own = own.output.shape is not Shape.RECORDS
    if asked is not None:
        if asked.output.shape is Shape.RECORDS:
            raise InputError("the template's output is records: there are no rows to make")
        if has_own and asked.output == own.output:
            return ROWS_FOLDER, None
        return str(asked.output.shape), output_document(asked.output)
    if name is None:
        if not has_own:
            raise InputError("the dataset has records and no rows: say which with --as, as columns")
        return ROWS_FOLDER, None
    if name not in set(Shape):
        known = ", ".join(each.value for each in Shape if each is not Shape.RECORDS)
        shown = str(name)[:64]
        raise InputError(f"there is no shape {shown!r} among {known}{hint_for(shown, Shape)}")
    shape = Shape(name)
    if has_own and shape is own.output.shape:
        return ROWS_FOLDER, None
    return str(shape), output_as(own, shape)


def _check_steps(stored: Template, asked: Template) -> None:
    """What a step is decides records, and these are there."""
    differing = [each.id for each in asked.steps if each not in stored.steps]
    differing += [each.id for each in stored.steps if each not in asked.steps]
    if differing:
        raise InputError(
            f"step {differing[0]} of the template differs from what the dataset was generated with:"
            " only output and split may"
        )


def _keeping(output: object, keep: Sequence[str] | str) -> object:
    if not isinstance(output, Mapping):
        raise InputError("records keep nothing more: say which rows with --as")
    kept = list(output.get("keep", ()))
    return {**output, "keep": list(dict.fromkeys([*kept, *read_texts("keep", keep)]))}


def _split(request: RowRequest, own: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if request.split == NONE:
        return None
    split = own
    if request.split is not None:
        by = {} if own is None or "by" not in own else {"by": own["by"]}
        split = {**read_shares(request.split), **by}
    if request.split_by is None:
        return split
    if split is None:
        raise InputError("a field to split by needs a split, such as test=0.1")
    return {**split, "by": request.split_by}


def split_text(split: object) -> str | None:
    """A split as the command takes it. Raises `InputError`."""
    if split is None or isinstance(split, str):
        return split
    if not isinstance(split, Mapping):
        raise InputError("split maps names to shares, such as {'test': 0.1}")
    return ",".join(f"{name}={share}" for name, share in split.items())


def read_shares(text: str) -> dict[str, float]:
    """A split as the command takes it, by name. Raises `InputError`."""
    return dict(map(_share, text.split(",")))


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name.strip(), float(share)
    except ValueError as exc:
        raise InputError(
            "a split is written as names and shares: test=0.1,validation=0.05"
        ) from exc


def _besides(formats: Sequence[OutputFormat]) -> tuple[OutputFormat, ...]:
    return tuple(each for each in formats if each is not OutputFormat.PARQUET)


def read_texts(what: str, values: Sequence[str] | str) -> list[str]:
    """Texts that may be separated by commas. Raises `InputError` for what is none."""
    values = [values] if isinstance(values, str) else values
    if not all(isinstance(each, str) for each in values):
        raise InputError(f"{what}: give a text or a list of texts")
    return [part.strip() for each in values for part in each.split(",") if part.strip()]
