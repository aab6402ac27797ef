"""The columns that an output makes, each a tree of values: a leaf, an object, or messages."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from runtime.domain.outputs.forms import FORMS, TOOL_CALLS, Kind, TurnForm, turn_form
from runtime.domain.outputs.shape import Field, Output, Shape, Turn, Turns
from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type
from runtime.domain.outputs.values import Constant, Path, Text, Value

TypeOf = Callable[[Path], Type]

CALLS: Final = ListOf(Scalar.JSON)
"""Tools and calls of tools: their arguments have names of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """One value of a type. `as_text`: data becomes JSON text."""

    value: Value
    kind: Type
    as_text: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """An object."""

    parts: Mapping[str, "Node"]

    @property
    def kind(self) -> Type:
        return Struct(tuple((name, each.kind) for name, each in self.parts.items()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """A list of objects of one type. A leaf among them leads to a list, whose items go here; their
    texts are the fields in `texts`.
    """

    items: tuple["Fields | Leaf", ...]
    kind: ListOf
    texts: frozenset[str] = frozenset()


Node = Leaf | Fields | Items


def names_of(output: Output) -> list[str]:
    """The names of all columns in order, also those that are there twice."""
    tools = [] if output.tools is None or _is_preference_of_openai(output) else ["tools"]
    return [*_shape_names(output), *tools, *map(kept_name, output.keep)]


def kept_name(path: Path) -> str:
    """The column of a path in `keep`: a seed's `source.title` is `source_title`, and a sample has
    its own name.
    """
    parts = path.parts
    bare = path.is_seed_field or path.is_sample
    return "_".join(parts[1:] if bare and len(parts) > 1 else parts)


def columns_of(output: Output, type_of: TypeOf) -> dict[str, Node]:
    """The columns in order; none for records."""
    made = _Maker(output, type_of).columns()
    if output.tools is not None and not _is_preference_of_openai(output):
        made["tools"] = Leaf(value=output.tools, kind=CALLS)
    kept = {kept_name(path): Leaf(value=path, kind=type_of(path)) for path in output.keep}
    return {**made, **kept}


def _shape_names(output: Output) -> list[str]:
    names = list(output.fields)
    if output.shape is Shape.BEDROCK:
        return ["schemaVersion", *(["system"] if _system_turns(output) else []), *names]
    if output.shape is Shape.ALPACA and "input" not in names:
        return [*names, "input"]
    return names


def _is_preference_of_openai(output: Output) -> bool:
    return output.shape is Shape.OPENAI and "preferred_output" in output.fields


def _single_turns(output: Output) -> list[Turn]:
    turns = output.fields.get("messages", ())
    return [turn for turn in turns if isinstance(turn, Turn)] if isinstance(turns, tuple) else []


def _system_turns(output: Output) -> list[Turn]:
    return [turn for turn in _single_turns(output) if turn.role == "system"]


class _Maker:
    def __init__(self, output: Output, type_of: TypeOf) -> None:
        self._output = output
        self._type_of = type_of
        self._form = turn_form(output.shape)
        self._kinds = {
            name: each.kind for form in FORMS.get(output.shape, ()) for name, each in form.items()
        }

    def columns(self) -> dict[str, Node]:
        fields = self._output.fields
        if self._output.shape is Shape.BEDROCK:
            return self._bedrock()
        columns: dict[str, Node] = {name: self._node(name, each) for name, each in fields.items()}
        if self._output.shape is Shape.ALPACA:
            columns = {"instruction": columns["instruction"], "input": _constant(""), **columns}
        if _is_preference_of_openai(self._output):
            parts: dict[str, Node] = {"messages": columns["input"]}
            if self._output.tools is not None:
                parts["tools"] = Leaf(value=self._output.tools, kind=CALLS)
            columns["input"] = Fields(parts=parts)
        return columns

    def _node(self, name: str, each: Field) -> Node:
        kind = self._kinds.get(name, Kind.VALUE)
        if isinstance(each, tuple):
            return self._messages(each)
        if isinstance(each, Mapping):
            return Fields(parts={inner: self._leaf(value) for inner, value in each.items()})
        if kind is Kind.TEXT_OR_TURNS and isinstance(each, Path) and self._leads_to_messages(each):
            return self._messages((each,))
        if kind is Kind.LABEL:
            return Leaf(value=_plain(each), kind=Scalar.BOOL)
        return self._leaf(each) if kind is Kind.VALUE else _text(each)

    def _leaf(self, value: Path | Text) -> Leaf:
        kind = self._type_of(value) if isinstance(value, Path) else Scalar.STRING
        return Leaf(value=_plain(value), kind=kind)

    # ── messages ───────────────────────────────────────────────────────────────────────────────

    def _leads_to_messages(self, path: Path) -> bool:
        kind = self._type_of(path)
        form = self._form
        return (
            isinstance(kind, ListOf)
            and isinstance(kind.item, Struct)
            and None not in (kind.item.get(form.role), kind.item.get(form.content))
        )

    def _messages(self, turns: Turns) -> Items:
        """All messages have the fields that any of them has."""
        form = self._form
        kinds: dict[str, Type] = {form.role: Scalar.STRING, form.content: Scalar.STRING}
        for turn in turns:
            kinds |= (
                self._spread_kinds(turn, form)
                if isinstance(turn, Path)
                else dict.fromkeys(turn.fields, Scalar.STRING)
            )
        if TOOL_CALLS in kinds:
            kinds[TOOL_CALLS] = CALLS
        kinds[form.role] = kinds[form.content] = Scalar.STRING
        names = [name for name in (form.role, form.content, *form.more) if name in kinds]
        names += [name for name in kinds if name not in names]
        kind = Struct(tuple((name, kinds[name]) for name in names))
        return Items(
            items=tuple(
                Leaf(value=turn, kind=ListOf(kind))
                if isinstance(turn, Path)
                else Fields(parts=self._turn(turn, names))
                for turn in turns
            ),
            kind=ListOf(kind),
            texts=frozenset(name for name, each in kind.fields if each is Scalar.STRING),
        )

    def _spread_kinds(self, path: Path, form: TurnForm) -> dict[str, Type]:
        kind = self._type_of(path)
        if isinstance(kind, ListOf) and isinstance(kind.item, Struct):
            return dict(kind.item.fields)
        return dict.fromkeys(form.more, Scalar.STRING)

    def _turn(self, turn: Turn, names: Iterable[str]) -> dict[str, Node]:
        parts: dict[str, Node] = {}
        for name in names:
            value = turn.fields.get(name)
            if name == self._form.role:
                parts[name] = _constant(turn.role)
            elif name == TOOL_CALLS:
                parts[name] = Leaf(value=_plain(value), kind=CALLS)
            else:
                parts[name] = _text(value)
        return parts

    def _bedrock(self) -> dict[str, Node]:
        """Of Bedrock's conversations system texts stand by themselves, and a text is an object."""
        system = _system_turns(self._output)
        columns: dict[str, Node] = {"schemaVersion": _constant("bedrock-conversation-2024")}
        if system:
            columns["system"] = _items([_block(turn) for turn in system])
        columns["messages"] = _items(
            [
                Fields(parts={"role": _constant(turn.role), "content": _items([_block(turn)])})
                for turn in _single_turns(self._output)
                if turn.role != "system"
            ]
        )
        return columns


def _block(turn: Turn) -> Fields:
    return Fields(parts={"text": _text(turn.fields.get("content"))})


def _items(items: list[Fields]) -> Items:
    kind = items[0].kind if items else Scalar.JSON
    return Items(items=tuple(items), kind=ListOf(kind))


def _text(value: Path | Text | None) -> Leaf:
    return Leaf(value=_plain(value), kind=Scalar.STRING, as_text=True)


def _constant(value: str) -> Leaf:
    return Leaf(value=Constant(value), kind=Scalar.STRING)


def _plain(value: Path | Text | None) -> Value:
    """A text that is a constant needs no rendering."""
    if value is None:
        return Constant(None)
    literal = value.literal if isinstance(value, Text) else None
    return value if literal is None else Constant(literal)
