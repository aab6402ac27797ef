"""What a template has for its checks to look at: paths of its records and the values there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from runtime.domain.fields import MAX_NAME_CHARACTERS, Refuse
from runtime.domain.hints import hint_for
from runtime.domain.outputs.paths import PathError, Paths
from runtime.domain.outputs.shape import Output
from runtime.domain.outputs.types import Scalar, Type
from runtime.domain.outputs.values import Path, is_path

_OUTPUT_PARTS: Final = 3
"""steps, its id, output."""
_TEXTS: Final = frozenset({Scalar.STRING, Scalar.JSON})
"""What may be a text. What isn't fails the record's check."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """`samples` are the values of category samplers by name. Without paths, as for checks that are
    stored, every path is right.
    """

    paths: Paths | None = None
    samples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    output: Output | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The ids of the steps."""
        return () if self.paths is None else tuple(self.paths.steps)

    @property
    def columns(self) -> Mapping[str, str]:
        """The paths that are columns of a row, by their names."""
        fields = {} if self.output is None else self.output.fields
        return {name: each.text for name, each in fields.items() if isinstance(each, Path)}

    def text_path(self, place: str, document: object, refuse: Refuse, *, name: str) -> str | None:
        """The path of a text that a step gave, `by` or `of`. Absent it is the last step's output,
        if that is a text.
        """
        if document is None:
            return self._last_text(place, refuse, name)
        found = self._path(place, document, refuse, name)
        if found is None or self.paths is None:
            return found
        if not _is_output(found):
            refuse(place, f"{name} must lead to an output: write steps.<id>.output")
            return None
        if self._type_at(found) not in _TEXTS:
            refuse(place, f"{name}: {found} is no text: name a text in it")
            return None
        return found

    def output_path(self, place: str, document: object, refuse: Refuse) -> str | None:
        """`of` of a judge, which may look at any value of an output."""
        if document is None:
            return self._last_text(place, refuse, "of")
        found = self._path(place, document, refuse, "of")
        if found is None or self.paths is None or _is_output(found):
            return found
        refuse(place, "of must lead to an output: write steps.<id>.output")
        return None

    def label_path(self, place: str, document: object, refuse: Refuse) -> str | None:
        """`by` of a balance: a sample, or a value that a step gave."""
        if document is None:
            refuse(place, "by is missing: give it a path, such as samples.label")
            return None
        found = self._path(place, document, refuse, "by")
        if found is None or self.paths is None:
            return found
        if not _is_output(found) and not found.startswith("samples."):
            refuse(place, "by must lead to a sample or an output: write samples.<name>")
            return None
        if self._type_at(found) not in {*_TEXTS, Scalar.BOOL, Scalar.INT64}:
            refuse(place, f"by: {found} is neither a text nor a whole number nor true or false")
            return None
        return found

    def is_text(self, path: str) -> bool:
        """Whether each value there is a text."""
        return self._type_at(path) is Scalar.STRING

    def values_at(self, path: str) -> Sequence[str] | None:
        """All values that can be there, as texts; None: that doesn't follow from the template."""
        parts = path.split(".")
        if parts[0] == "samples":
            return self.samples.get(".".join(parts[1:]))
        schema = None if self.paths is None else self.paths.steps[parts[1]]
        if schema is None:
            return None
        values = schema.values_at(parts[_OUTPUT_PARTS:])
        if values is None or not all(isinstance(each, str | int) for each in values):
            return None
        return [str(each).lower() if isinstance(each, bool) else str(each) for each in values]

    def _last_text(self, place: str, refuse: Refuse, name: str) -> str | None:
        if not self.steps:
            return None
        path = f"steps.{self.steps[-1]}.output"
        if self._type_at(path) is Scalar.STRING:
            return path
        refuse(place, f"{name} is missing: {path} is no text, so say which text is meant")
        return None

    def _path(self, place: str, document: object, refuse: Refuse, name: str) -> str | None:
        if not isinstance(document, str) or not is_path(document):
            refuse(place, f"{name} must be a path, such as steps.<id>.output")
            return None
        path = Path(self.columns.get(document, document))
        try:
            if self.paths is not None:
                self.paths.type_of(path)
        except PathError as error:
            refuse(place, f"{name}: {self._hint(document) or error}")
            return None
        return path.text

    def _hint(self, document: str) -> str:
        """What to say of a word that is no path: which column was meant."""
        if "." in document or not (hint := hint_for(document, self.columns)):
            return ""
        return f'there is no column "{document[:MAX_NAME_CHARACTERS]}"{hint}'

    def _type_at(self, path: str) -> Type:
        return Scalar.JSON if self.paths is None else self.paths.type_of(Path(path))


def _is_output(path: str) -> bool:
    parts = path.split(".")
    return parts[0] == "steps" and parts[2:_OUTPUT_PARTS] == ["output"]
