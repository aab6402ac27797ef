"""From records to rows: what a template's `output:` makes of each record.

    records ─▶ texts of Jinja2, many records in one round trip ─▶ columns ─▶ (index, values)

Paths are compiled to functions once and read in this process, each for some records at once. The
values of a row are plain ones that fit its columns. Nothing is dropped in silence: a record that
gives no row is reported with its column and the reason.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, islice
from operator import attrgetter
from typing import Any, Final, NamedTuple

from runtime.domain.errors import RenderError
from runtime.domain.jobs.record import is_skipped
from runtime.domain.outputs.columns import Fields, Items, Leaf, Node, columns_of
from runtime.domain.outputs.fitting import UnfitError, as_text, column_fitter, fitter
from runtime.domain.outputs.types import Scalar, Struct, Type
from runtime.domain.outputs.values import Constant, Path, Text
from runtime.domain.templates.template import Template, paths_of
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine
from runtime.engine.seeds import DrawnSeed

_REJECTED: Final = "rejected"
"""The column of a preference that is read from a rejected try."""

MADE_AT_ONCE: Final = 64
"""Records whose rows are made together, and whose texts go to the render process together."""

Record = Mapping[str, Any]
"""A record as its JSON line holds it."""
RowValues = dict[str, Any]
Made = tuple[int, tuple[Any, ...]]
"""The index of a record, and the values of its row in the order of the columns."""
SeedOf = Callable[[int], DrawnSeed | None]
"""Seed and samples of a record by its index; None: they are not there, and are null."""


class _Some(NamedTuple):
    """What the values of some rows come from."""

    records: Sequence[Record]
    results: Sequence[Mapping[str, Any]]
    draws: Sequence[DrawnSeed | None]
    texts: Sequence[Sequence[str]]
    """By the number of the text, then by record."""

    def each(self) -> "Iterator[_Some]":
        """One record at a time."""
        for place in range(len(self.records)):
            here = slice(place, place + 1)
            texts = [text[here] for text in self.texts]
            yield _Some(self.records[here], self.results[here], self.draws[here], texts)

    @property
    def indices(self) -> Sequence[int]:
        """Those of the records."""
        return [record["index"] for record in self.records]

    def of(self, indices: Container[int]) -> "_Some":
        """Those of these records alone."""
        here = [index in indices for index in self.indices]
        return _Some(
            list(compress(self.records, here)),
            list(compress(self.results, here)),
            list(compress(self.draws, here)),
            [list(compress(text, here)) for text in self.texts],
        )


_Get = Callable[[_Some], Sequence[Any]]
"""A value for each record."""
Report = Callable[["RowProblem"], None]
RejectedOf = Callable[[int], Record | None]
"""The rejected try of a record by its index, as its line holds it; None: there is none."""


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
            checks=template.checks,
        )
        columns = columns_of(template.output, paths.type_of)
        self.schema: Final[Mapping[str, Type]] = {name: node.kind for name, node in columns.items()}
        self.reads_draws: Final = bool(self._texts) or template.output.reads_draws
        """Whether rows depend on more than the records."""
        self._columns = [(name, self._getter(node)) for name, node in columns.items()]
        self._pairs = template.output.pair_rejects

    def rows(
        self,
        records: Iterable[Record],
        seed_of: SeedOf,
        report: Report,
        rejected_of: RejectedOf = lambda _index: None,
    ) -> Iterator[tuple[int, RowValues]]:
        """As `values`, by the names of the columns."""
        for index, values in self.values(records, seed_of, report, rejected_of):
            yield index, dict(zip(self.schema, values, strict=True))

    def values(
        self,
        records: Iterable[Record],
        seed_of: SeedOf,
        report: Report,
        rejected_of: RejectedOf = lambda _index: None,
    ) -> Iterator[Made]:
        """Index and row of each record, in the order of the records; who gives none is reported.
        `rejected_of` is for an output that pairs records with what was rejected.

        Raises `TemplateError` and `ConfigurationError` as the engine's `load` does.
        """
        if self._texts:
            self._engine.load(self._template)
        remaining = iter(records)
        while batch := list(islice(remaining, MADE_AT_ONCE)):
            some = other = self._some(batch, seed_of, report)
            if self._pairs:
                some, other = self._paired(some, seed_of, report, rejected_of)
            try:
                made = self._made(some, other)
            except UnfitError:  # whose it is is asked only now: such records are few
                made = self._made_singly(some, other, report)
            yield from made

    def _paired(
        self, some: _Some, seed_of: SeedOf, report: Report, rejected_of: RejectedOf
    ) -> tuple[_Some, _Some]:
        """The records that have a rejected try, and those tries."""
        rejected: list[Record] = []
        for index in some.indices:
            found = rejected_of(index)
            if found is None:
                report(RowProblem(index=index, column=_REJECTED, message="no try was rejected"))
            else:
                rejected.append(found)
        other = self._some(rejected, seed_of, report)
        return some.of(frozenset(other.indices)), other

    def _made(self, some: _Some, other: _Some) -> Iterator[Made]:
        columns = [get(self._source(name, some, other)) for name, get in self._columns]
        return zip(some.indices, zip(*columns, strict=True), strict=True)

    def _source(self, column: str, some: _Some, other: _Some) -> _Some:
        return other if self._pairs and column == _REJECTED else some

    def _made_singly(self, some: _Some, other: _Some, report: Report) -> Iterator[Made]:
        for one, paired in zip(some.each(), other.each(), strict=True):
            index = one.records[0]["index"]
            values: list[Any] = []
            for name, get in self._columns:
                try:
                    values += get(self._source(name, one, paired))
                except UnfitError as error:
                    report(RowProblem(index=index, column=name, message=str(error)))
                    break
            else:
                yield index, tuple(values)

    # ── what rows are made of ──────────────────────────────────────────────────────────────────

    def _some(self, records: Sequence[Record], seed_of: SeedOf, report: Report) -> _Some:
        draws: Sequence[DrawnSeed | None] = ()
        if self.reads_draws:
            draws = [seed_of(record["index"]) for record in records]
        texts: Sequence[Sequence[str]] = ()
        if self._texts:
            rendered = self._rendered(records, draws)
            problems = list(map(self._render_problem, records, rendered))
            for problem in problems:
                if problem is not None:
                    report(problem)
            good = [problem is None for problem in problems]
            records, draws = list(compress(records, good)), list(compress(draws, good))
            whole = list(compress(rendered, good))
            texts = [[own[number] for own in whole] for number in range(len(self._texts))]
        return _Some(
            records,
            [record["generation_result"] for record in records],
            draws,
            texts,
        )

    def _rendered(
        self, records: Sequence[Record], seeds: Sequence[DrawnSeed | None]
    ) -> list[list[Any]]:
        """The texts of each record, or errors in their places."""
        pairs = zip(records, seeds, strict=True)
        requests = [each for record, seed in pairs for each in self._requests(record, seed)]
        texts = iter(self._engine.execute_template(requests))
        return [list(islice(texts, len(self._texts))) for _ in records]

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

    def _render_problem(
        self, record: Record, texts: Sequence[str | RenderError]
    ) -> RowProblem | None:
        for text, rendered in zip(self._texts, texts, strict=True):
            if isinstance(rendered, RenderError):
                place, message = self._places[text], str(rendered)
                return RowProblem(index=record["index"], column=place, message=message)
        return None

    # ── from a column to a function ────────────────────────────────────────────────────────────

    def _getter(self, node: Node) -> _Get:
        match node:
            case Leaf():
                return self._leaf(node)
            case Fields(parts=parts):
                return _object(list(parts), [self._getter(each) for each in parts.values()])
            case Items():
                return self._items(node)

    def _leaf(self, leaf: Leaf) -> _Get:
        fit = column_fitter(as_text if leaf.as_text else fitter(leaf.kind))
        match leaf.value:
            case Constant(value):
                return lambda some: [value] * len(some.records)
            case Text() as text:
                number = self._texts.index(text)
                return lambda some: fit(some.texts[number])
            case Path() as path:
                get = _reader(path)
                return get if leaf.kind is Scalar.JSON else lambda some: fit(get(some))

    def _items(self, items: Items) -> _Get:
        """A message that would hold the output of a step which the record skipped is left out."""
        if not items.items:
            return lambda some: [[] for _ in some.records]
        gets = [
            _spread(each, items) if isinstance(each, Leaf) else self._message(each)
            for each in items.items
        ]
        return lambda some: [
            list(chain.from_iterable(parts))
            for parts in zip(*[get(some) for get in gets], strict=True)
        ]

    def _message(self, node: Node) -> _Get:
        """A list of one for each record, or of none."""
        get, steps = self._getter(node), frozenset(_steps_in(node))
        if not steps:
            return lambda some: [(value,) for value in get(some)]
        return lambda some: [
            () if any(is_skipped(result.get(step)) for step in steps) else (value,)
            for value, result in zip(get(some), some.results, strict=True)
        ]


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


def _object(names: Sequence[str], gets: Sequence[_Get]) -> _Get:
    return lambda some: [
        dict(zip(names, values, strict=True))
        for values in zip(*[get(some) for get in gets], strict=True)
    ]


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

    def messages(value: Any) -> list[Any]:
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

    return lambda some: list(map(messages, read(some)))


def _reader(path: Path) -> _Get:
    """A function for a path. Where something on the way is null or missing, the value is null."""
    match path.parts:
        case ("record", name):
            return lambda some: [record[name] for record in some.records]
        case ("seed", "id"):
            return lambda some: [record["seed_data_id"] for record in some.records]
        case ("seed" | "samples" as root, *inner):
            holder = attrgetter("row" if root == "seed" else "samples")
            return lambda some: [
                None if drawn is None else _inside(holder(drawn), inner) for drawn in some.draws
            ]
        case ("steps", step, name):  # the usual paths, which most of the time goes to
            return _all_or_each(
                lambda results: [result[step][name] for result in results], (step, name)
            )
        case ("steps", step, name, last):
            return _all_or_each(
                lambda results: [result[step][name][last] for result in results], (step, name, last)
            )
        case ("steps" | "checks" as root, *inner):
            name = "generation_result" if root == "steps" else root
            return lambda some: [_inside(record.get(name), inner) for record in some.records]
    raise TypeError("a path that no template has")


def _all_or_each(
    all_of: Callable[[Sequence[Mapping[str, Any]]], list[Any]], names: Sequence[str]
) -> _Get:
    """Where each record has the value, none is asked whether it has."""

    def get(some: _Some) -> list[Any]:
        try:
            return all_of(some.results)
        except (KeyError, TypeError):  # of what is no object a name is no index
            return [_inside(result, names) for result in some.results]

    return get


def _inside(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
