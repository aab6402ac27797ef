"""What rows are asked for of a dataset's folder, as users write it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.export.row_request import RowRequest
from runtime.inputs.templates import TemplateSource, read_for_api, read_template


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """A `RowRequest` whose template is to be read, and a review, which stays until another one is
    given.
    """

    shape: str | None = None
    template: TemplateSource | None = None
    split: str | None = None
    split_by: str | None = None
    formats: Sequence[str] | str | None = None
    byte_order_mark: bool | None = None
    keep: Sequence[str] | str = ()
    review: str | Path | None = None
    """A file of verdicts, or none."""
    licence: str | None = None

    def rows(self, *, for_api: bool = False) -> RowRequest:
        """What is said of rows; an API may know what the template includes. Raises
        `TemplateError`.
        """
        read = read_for_api if for_api else read_template
        return RowRequest(
            shape=self.shape,
            template=None if self.template is None else read(self.template),
            split=self.split,
            split_by=self.split_by,
            formats=self.formats,
            byte_order_mark=self.byte_order_mark,
            keep=self.keep,
            licence=self.licence,
        )
