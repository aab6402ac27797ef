"""`output:` as the plain document that users write and stores keep, checked, and back.

    document ─▶ shape ─▶ its fields ─▶ each value a path that the steps give, or Jinja2 ─▶ Output

The syntax tree of a text is checked with the prompts, by `templates.check`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from runtime.domain.errors import TemplateError
from runtime.domain.fields import Refuse
from runtime.domain.hints import hint_for
from runtime.domain.outputs.columns import columns_of, names_of
from runtime.domain.outputs.forms import FORMS, TOOL_CALLS, WITH_TOOLS, Kind, TurnForm, turn_form
from runtime.domain.outputs.forms import Fields as Forms
from runtime.domain.outputs.paths import PathError, Paths
from runtime.domain.outputs.shape import RECORDS, Field, Output, Shape, Turn, Turns
from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type
from runtime.domain.outputs.values import (
    RECORD_FIELDS,
    Path,
    Text,
    as_constant,
    is_jinja,
    is_path,
)

MAX_COLUMNS: Final = 500
MAX_TURNS: Final = 200
MAX_NAME_CHARACTERS: Final = 200

_ALIKE: Final[Mapping[Shape, frozenset[str]]] = {
    shape: frozenset(
        name for form in forms for name, each in form.items() if each.kind is Kind.TEXT_OR_TURNS
    )
    for shape, forms in FORMS.items()
    if any(each.kind is Kind.TEXT_OR_TURNS for form in forms for each in form.values())
}
"""Fields of a shape that have to have one form."""
_PAIR: Final = "pair_rejects"
_BESIDE: Final = ("tools", "keep", _PAIR)
_CHOSEN, _REJECTED = "chosen", "rejected"
_SHOWN_CHARACTERS: Final = 60


def read_output(document: object, paths: Paths, refuse: Refuse) -> Output | None:
    """The output that a document asks for. Each problem goes to `refuse` with its place; where
    there was one, what is returned is of no use.
    """
    return _Reader(paths, refuse).output(document)


def stored_output(document: object) -> Output:
    """An output that was checked before it was stored: its steps are not asked again. Raises
    `TemplateError` on a document this project didn't write.
    """
    problems: list[str] = []
    output = _Reader(None, lambda *problem: problems.append(": ".join(problem))).output(document)
    if problems or output is None:
        raise TemplateError(problems[0])
    return output


class _Reader:
    """Reads a document part by part; each problem goes to `refuse` with its place."""

    def __init__(self, paths: Paths | None, refuse: Refuse) -> None:
        self._paths = paths
        self._tell = refuse

    def _refuse(self, place: str, problem: str) -> None:
        self._tell(f"output, {place}" if place else "output", problem)

    def output(self, document: object) -> Output | None:
        if document == Shape.RECORDS:
            return RECORDS
        shapes = [each.value for each in Shape if each is not Shape.RECORDS]
        if not isinstance(document, Mapping):
            hint = hint_for(document, Shape) if isinstance(document, str) else ""
            self._refuse(
                "", f"write records, or one shape with its fields: {', '.join(shapes)}{hint}"
            )
            return None
        named = [name for name in document if name not in _BESIDE]
        for name in named:
            if name not in shapes:
                hint = hint_for(str(name), (*shapes, *_BESIDE))
                self._refuse("", f'there is no shape "{_shown(name)}"{hint}')
                return None
        if len(named) != 1:
            self._refuse("", f"name one shape of {', '.join(shapes)}")
            return None
        shape = Shape(named[0])
        pairs = self._pairs(shape, document.get(_PAIR))
        fields = document[shape.value]
        if pairs and isinstance(fields, Mapping) and _CHOSEN in fields:
            # Of another try it is the same.
            fields = {_REJECTED: fields[_CHOSEN], **fields}
        output = Output(
            shape=shape,
            fields=self._fields(shape, fields),
            pair_rejects=pairs,
            tools=self._tools(shape, document.get("tools")),
            keep=self._keep(document.get("keep")),
        )
        self._check_names(output)
        self._check_alike(output)
        return output

    def _pairs(self, shape: Shape, document: object) -> bool:
        if document is None:
            return False
        if not isinstance(document, bool):
            self._refuse(_PAIR, "must be true or false")
        elif document and shape is not Shape.PREFERENCE:
            self._refuse(_PAIR, f"is for {Shape.PREFERENCE} alone: {shape} rejects nothing")
        elif document and self._paths is not None and not self._paths.rejects:
            self._refuse(_PAIR, "needs checks of records: without them no try is rejected")
        return document is True

    def _check_names(self, output: Output) -> None:
        names = names_of(output)
        for name in dict.fromkeys(each for each in names if names.count(each) > 1):
            self._refuse("", f'two columns are named "{_shown(name)}": rename or leave out one')
        if len(names) > MAX_COLUMNS:
            self._refuse("", f"at most {MAX_COLUMNS} columns")

    def _check_alike(self, output: Output) -> None:
        """Trainers take texts or messages, and no mixture of both."""
        if self._paths is None or output.shape not in _ALIKE:
            return
        columns = columns_of(output, self._paths.type_of)
        kinds = {
            name: "a text" if columns[name].kind is Scalar.STRING else "messages"
            for name in output.fields
            if name in _ALIKE[output.shape]
        }
        if len(set(kinds.values())) > 1:
            shown = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
            self._refuse(output.shape, f"{shown}: write all as texts or all as messages")

    # ── fields ─────────────────────────────────────────────────────────────────────────────────

    def _fields(self, shape: Shape, document: object) -> dict[str, Field]:
        if shape is Shape.COLUMNS:
            return {**self._object("columns", document)}
        if shape is Shape.MESSAGES:
            document = {"messages": document}
        place = shape.value
        if not isinstance(document, Mapping):
            forms = " or ".join(", ".join(form) for form in FORMS[shape])
            self._refuse(place, f"map its fields to values: {forms}")
            return {}
        form = _meant(FORMS[shape], document)
        self._check_form(place, form, document)
        fields: dict[str, Field] = {}
        for name, each in form.items():
            here = place if shape is Shape.MESSAGES else f"{place}, {name}"
            if document.get(name) is None:
                if each.required:
                    self._refuse(here, "is missing: give it a value")
                continue
            found = self._field(here, shape, each.kind, document[name])
            if found is not None:
                fields[name] = found
        return fields

    def _check_form(self, place: str, form: Forms, document: Mapping[object, object]) -> None:
        """The names of the fields, and those within them."""
        for name in document:
            if name not in form:
                hint = hint_for(str(name), form)
                self._refuse(place, f'unknown field "{_shown(name)}"{hint}')
        for name, each in form.items():
            inner = document.get(name)
            if isinstance(inner, Mapping):
                for needed in (part for part in each.names if part not in inner):
                    self._refuse(f"{place}, {name}", f"{needed} is missing: give it a value")

    def _field(self, place: str, shape: Shape, kind: Kind, document: object) -> Field | None:
        if kind is Kind.OBJECT:
            return self._object(place, document)
        if kind is Kind.LABEL:
            return self._typed(place, document, Scalar.BOOL)
        if kind is Kind.TURNS and isinstance(document, str):
            document = [document]
        if kind is Kind.TURNS or (kind is Kind.TEXT_OR_TURNS and not isinstance(document, str)):
            return self._turns(place, turn_form(shape), document)
        return self._value(place, document)

    def _object(self, place: str, document: object) -> dict[str, Path | Text]:
        if not isinstance(document, Mapping) or not document:
            self._refuse(place, "map names to paths or texts")
            return {}
        found: dict[str, Path | Text] = {}
        for name, each in document.items():
            if not isinstance(name, str) or not _is_name(name):
                self._refuse(place, f"a name is one line of 1 to {MAX_NAME_CHARACTERS} characters")
                continue
            value = self._value(f"{place}, {_shown(name)}", each)
            if value is not None:
                found[name] = value
        return found

    # ── messages ───────────────────────────────────────────────────────────────────────────────

    def _turns(self, place: str, form: TurnForm, document: object) -> Turns:
        if not isinstance(document, list | tuple) or not 1 <= len(document) <= MAX_TURNS:
            self._refuse(place, f"list 1 to {MAX_TURNS} messages, or give a path to a list of them")
            return ()
        turns = (
            self._turn(f"{place} {number}", form, each)
            for number, each in enumerate(document, start=1)
        )
        return tuple(turn for turn in turns if turn is not None)

    def _turn(self, place: str, form: TurnForm, document: object) -> Turn | Path | None:
        if isinstance(document, str) and form.paths:
            return self._messages(place, form, document)
        if not isinstance(document, Mapping):
            paths = ", or is a path to a list of messages" if form.paths else ""
            self._refuse(place, f"a message has {form.role} and {form.content}{paths}")
            return None
        known = (form.role, form.content, *form.more)
        for name in document:
            if name not in known:
                hint = hint_for(str(name), known)
                self._refuse(place, f'unknown field "{_shown(name)}"{hint}')
        role = document.get(form.role)
        if role not in form.roles:
            hint = hint_for(role, form.roles) if isinstance(role, str) else ""
            self._refuse(place, f"{form.role} must be one of {', '.join(form.roles)}{hint}")
            return None
        if document.get(form.content) is None and document.get(TOOL_CALLS) is None:
            self._refuse(place, f"{form.content} is missing: give it a value")
        fields: dict[str, Path | Text] = {}
        for name in known[1:]:
            if document.get(name) is not None:
                here = f"{place}, {name}"
                value = (
                    self._typed(here, document[name], ListOf(Scalar.JSON))
                    if name == TOOL_CALLS
                    else self._value(here, document[name])
                )
                if value is not None:
                    fields[name] = value
        return Turn(role=str(role), fields=fields)

    def _messages(self, place: str, form: TurnForm, document: str) -> Path | None:
        if is_jinja(document):
            self._refuse(place, f"a text needs a role: write {{{form.role}, {form.content}}}")
            return None
        path = self._path(place, document)
        kind = self._known_type(path)
        if kind not in {None, Scalar.JSON} and not may_be_messages(kind, form):
            self._refuse(
                place,
                f"{document} is no list of messages with {form.role} and {form.content}: to make"
                f" one message of it, write {{{form.role}: …, {form.content}: …}}",
            )
        return path

    # ── values ─────────────────────────────────────────────────────────────────────────────────

    def _value(self, place: str, document: object) -> Path | Text | None:
        if not isinstance(document, str) or not document.strip():
            self._refuse(place, "must be a path or a text")
            return None
        return Text(document) if is_jinja(document) else self._path(place, document)

    def _path(self, place: str, document: str) -> Path | None:
        if not is_path(document):
            shown = _shown(" ".join(document.split()))
            self._refuse(
                place, f'"{shown}" is no path: a constant text is written {as_constant(shown)}'
            )
            return None
        path = Path(document)
        if self._paths is None:
            return path
        try:
            self._paths.type_of(path)
        except PathError as error:
            self._refuse(place, str(error))
            return None
        return path

    def _known_type(self, path: Path | None) -> Type | None:
        """The type where the template alone says it: that of a seed's field its file says."""
        if path is None or self._paths is None or path.is_seed_field:
            return None
        return self._paths.type_of(path)

    def _typed(self, place: str, document: object, wanted: Type) -> Path | Text | None:
        """A label, or a list of calls or tools."""
        value = self._value(place, document)
        if isinstance(value, Text):
            if wanted is Scalar.BOOL:
                return value
            self._refuse(place, "must be a path to a list")
            return None
        kind = self._known_type(value)
        if value is None or kind is None:
            return value
        if kind is Scalar.JSON or type(kind) is type(wanted) is ListOf or kind == wanted:
            return value
        if wanted is Scalar.BOOL:
            example = f'{{{{ {value.text} == "good" }}}}'
            problem = f"is not true or false: compare it with something, such as {example}"
        else:
            problem = "is not a list"
        self._refuse(place, f"{value.text} {problem}")
        return None

    def _tools(self, shape: Shape, document: object) -> Path | None:
        if document is None:
            return None
        if shape not in WITH_TOOLS:
            self._refuse("tools", f"{shape} has no tools")
            return None
        found = self._typed("tools", document, ListOf(Scalar.JSON))
        return found if isinstance(found, Path) else None

    def _keep(self, document: object) -> tuple[Path, ...]:
        if document is None:
            return ()
        if not isinstance(document, list | tuple):
            self._refuse("keep", "list fields of the seed, such as label or source.title")
            return ()
        found = (self._kept(each) for each in document)
        return tuple(path for path in found if path is not None)

    def _kept(self, name: object) -> Path | None:
        if not isinstance(name, str) or not is_path(name):
            self._refuse("keep", f'"{_shown(name)}" is no path: write label or source.title')
            return None
        root = name.split(".")[0]
        if root == "steps":
            self._refuse("keep", f"{_shown(name)} is no field of the seed: make a column of it")
            return None
        is_sample = root == "samples" and (self._paths is None or bool(self._paths.samples))
        is_score = root == "checks" and (self._paths is None or bool(self._paths.scores))
        whole = (
            root == "seed"
            or is_sample
            or is_score
            or name in {f"record.{each}" for each in RECORD_FIELDS}
        )
        return self._path("keep", name if whole else f"seed.{name}")


def may_be_messages(kind: Type | None, form: TurnForm) -> bool:
    """Whether a list of this type may hold messages."""
    if not isinstance(kind, ListOf):
        return False
    if not isinstance(kind.item, Struct):
        return kind.item is Scalar.JSON
    return None not in (kind.item.get(form.role), kind.item.get(form.content))


def _meant(forms: Iterable[Forms], document: Mapping[object, object]) -> Forms:
    """The form that shares most names with a document."""
    return max(forms, key=lambda form: len(form.keys() & document.keys()))


def _is_name(name: str) -> bool:
    return bool(name.strip()) and len(name) <= MAX_NAME_CHARACTERS and name.isprintable()


def _shown(name: object) -> str:
    text = str(name)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
