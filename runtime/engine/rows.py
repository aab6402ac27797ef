"""From records to rows: what a template's `output:` makes of each record.

    records ─▶ texts of Jinja2, many records in one round trip ─▶ columns ─▶ (index, row)

Paths are compiled to functions once and read in this process. A row is a dict of plain values that
fit its columns. Nothing is dropped in silence: a record that gives no row is reported with its
column and the reason.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, Final, NamedTuple

from runtime.domain.errors import RenderError
from runtime.domain.jobs.record import is_skipped
from runtime.domain.outputs.columns import Fields, Items, Leaf, Node, columns_of
from runtime.domain.outputs.fitting import UnfitError, as_text, fitter
from runtime.domain.outputs.types import Scalar, Struct, Type
from runtime.domain.outputs.values import Constant, Path, Text
from runtime.domain.templates.template import Template, paths_of
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine
from runtime.engine.seeds import DrawnSeed

RENDERED_AT_ONCE: Final = 64
"""Records whose texts go to the render process together."""

Record = Mapping[str, Any]
"""A record as its JSON line holds it."""
RowValues = dict[str, Any]
SeedOf = Callable[[int], DrawnSeed | None]
"""Seed and samples of a record by its index; None: they are not there, and are null."""


class _Source(NamedTuple):
    """What the values of one row come from."""

    record: Record
    results: Mapping[str, Any]
    seed: Mapping[str, Any] | None
    samples: Mapping[str, Any]
    texts: Sequence[str]


_Get = Callable[[_Source], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowProblem:
    """Why a record gives no row. The message holds no value of the record."""

    index: int
    column: str
    message: str


class RowMaker:
    """Makes the rows of one template, whose shape is not records. `seeds` are the types of seed
    fields, as `seed_types` finds them. The engine is used by this object alone while rows are made,
    and only for texts of Jinja2. Used from one thread.
    """

    def __init__(
        self, template: Template, engine: TemplateEngine, *, seeds: Mapping[str, Type] | None = None
    ) -> None:
        self._template = template
        self._engine = engine
        self._texts = template.output.rendered()
        self._places = {text: place for place, text in reversed(template.output.texts())}
        paths = paths_of(
            template.steps,
            keep_reasoning=template.keep_reasoning,
            keep_prompts=template.keep_prompts,
            samplers=template.samplers,
            seeds=seeds,
            batch=template.batch_of is not None,
        )
        columns = columns_of(template.output, paths.type_of)
        self.schema: Final[Mapping[str, Type]] = {name: node.kind for name, node in columns.items()}
        self.reads_draws: Final = bool(self._texts) or template.output.reads_draws
        """Whether rows depend on more than the records."""
        self._columns = [(name, self._getter(node)) for name, node in columns.items()]

    def rows(
        self, records: Iterable[Record], seed_of: SeedOf, report: Callable[[RowProblem], None]
    ) -> Iterator[tuple[int, RowValues]]:
        """Index and row of each record, in the order of the records; who gives none is reported.

        Raises `TemplateError` and `ConfigurationError` as the engine's `load` does.
        """
        if not self._texts:
            for record in records:
                seed = seed_of(record["index"]) if self.reads_draws else None
                row = self._row(_source(record, seed, ()), report)
                if row is not None:
                    yield record["index"], row
            return
        self._engine.load(self._template)
        remaining = iter(records)
        while batch := list(islice(remaining, RENDERED_AT_ONCE)):
            for source in self._rendered(batch, seed_of, report):
                row = self._row(source, report)
                if row is not None:
                    yield source.record["index"], row

    def _rendered(
        self, records: Sequence[Record], seed_of: SeedOf, report: Callable[[RowProblem], None]
    ) -> Iterator[_Source]:
        seeds = [seed_of(record["index"]) for record in records]
        texts = iter(
            self._engine.execute_template(
                [
                    request
                    for record, seed in zip(records, seeds, strict=True)
                    for request in self._requests(record, seed)
                ]
            )
        )
        for record, seed in zip(records, seeds, strict=True):
            own = list(islice(texts, len(self._texts)))
            problem = self._render_problem(record["index"], own)
            if problem is not None:
                report(problem)
            else:
                yield _source(record, seed, [str(each) for each in own])

    def _requests(self, record: Record, seed: DrawnSeed | None) -> list[RenderRequest]:
        steps = {
            step: {"output": result.get("output")}
            for step, result in record["generation_result"].items()
        }
        return [
            RenderRequest(
                step_id=str(number),
                part="output",
                index=record["index"],
                seed={} if seed is None else seed.row,
                steps=steps,
                entropy=0 if seed is None else seed.entropy,
                samples={} if seed is None else seed.samples,
            )
            for number in range(len(self._texts))
        ]

    def _render_problem(self, index: int, texts: Sequence[str | RenderError]) -> RowProblem | None:
        for text, rendered in zip(self._texts, texts, strict=True):
            if isinstance(rendered, RenderError):
                return RowProblem(index=index, column=self._places[text], message=str(rendered))
        return None

    def _row(self, source: _Source, report: Callable[[RowProblem], None]) -> RowValues | None:
        try:
            return {name: get(source) for name, get in self._columns}
        except UnfitError:
            report(self._unfit(source))
            return None

    def _unfit(self, source: _Source) -> RowProblem:
        """Which column it was: asked only now, since rows are many and problems few."""
        index = source.record["index"]
        for name, get in self._columns:
            try:
                get(source)
            except UnfitError as error:
                return RowProblem(index=index, column=name, message=str(error))
        raise AssertionError("a row that is made twice is made twice alike")

    # ── from a column to a function ────────────────────────────────────────────────────────────

    def _getter(self, node: Node) -> _Get:
        match node:
            case Leaf():
                return self._leaf(node)
            case Fields(parts=parts):
                return _object([(name, self._getter(each)) for name, each in parts.items()])
            case Items():
                return self._items(node)

    def _leaf(self, leaf: Leaf) -> _Get:
        fit = as_text if leaf.as_text else fitter(leaf.kind)
        match leaf.value:
            case Constant(value):
                return lambda _source: value
            case Text() as text:
                number = self._texts.index(text)
                return lambda source: fit(source.texts[number])
            case Path() as path:
                get = _reader(path)
                return get if leaf.kind is Scalar.JSON else lambda source: fit(get(source))

    def _items(self, items: Items) -> _Get:
        """A message that would hold the output of a step which the record skipped is left out."""
        parts: list[tuple[bool, frozenset[str], _Get]] = []
        for each in items.items:
            if isinstance(each, Leaf):
                parts.append((True, frozenset(), _spread(each, items)))
            else:
                parts.append((False, frozenset(_steps_in(each)), self._getter(each)))

        def get(source: _Source) -> list[Any]:
            found: list[Any] = []
            for several, steps, inner in parts:
                if several:
                    found += inner(source)
                elif not any(is_skipped(source.results.get(step)) for step in steps):
                    found.append(inner(source))
            return found

        return get


def _steps_in(node: Node) -> Iterator[str]:
    """The steps into whose results the paths of a column lead."""
    match node:
        case Leaf(value=Path() as path) if path.parts[0] == "steps":
            yield path.parts[1]
        case Fields(parts=parts):
            for each in parts.values():
                yield from _steps_in(each)
        case Items(items=items):
            for each in items:
                yield from _steps_in(each)


def _object(parts: Sequence[tuple[str, _Get]]) -> _Get:
    return lambda source: {name: get(source) for name, get in parts}


def _spread(leaf: Leaf, items: Items) -> _Get:
    """The messages of a list, each with every field that messages have here."""
    if not isinstance(leaf.value, Path) or not isinstance(items.kind.item, Struct):
        raise TypeError("only a path leads to messages")
    read = _reader(leaf.value)
    fields = [
        (name, as_text if name in items.texts else fitter(kind))
        for name, kind in items.kind.item.fields
    ]
    role = fields[0][0]

    def get(source: _Source) -> list[Any]:
        value = read(source)
        if value is None:
            return []
        if not isinstance(value, list):
            raise UnfitError("it is no list of messages")
        found = []
        for each in value:
            if not isinstance(each, dict) or not isinstance(each.get(role), str):
                raise UnfitError(f"a message of the list has no {role}")
            found.append({name: fit(each.get(name)) for name, fit in fields})
        return found

    return get


def _source(record: Record, seed: DrawnSeed | None, texts: Sequence[str]) -> _Source:
    results = record["generation_result"]
    if seed is None:
        return _Source(record, results, None, {}, texts)
    return _Source(record, results, seed.row, seed.samples, texts)


def _reader(path: Path) -> _Get:
    """A function for a path. Where something on the way is null or missing, the value is null."""
    match path.parts:
        case ("record", name):
            return lambda source: source.record[name]
        case ("seed", "id"):
            return lambda source: source.record["seed_data_id"]
        case ("seed" | "samples" as root, *inner):
            holder = attrgetter(root)
            return lambda source: _inside(holder(source), inner)
        case ("steps", step, name):
            return lambda source: _of_step(source.results.get(step), name)
        case ("steps", step, name, last):

            def get(source: _Source) -> Any:
                value = _of_step(source.results.get(step), name)
                return value.get(last) if isinstance(value, dict) else None

            return get
        case ("steps", step, name, *inner):
            return lambda source: _inside(_of_step(source.results.get(step), name), inner)
    raise TypeError("a path that no template has")


def _of_step(result: Mapping[str, Any] | None, name: str) -> Any:
    return None if result is None else result.get(name)


def _inside(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
