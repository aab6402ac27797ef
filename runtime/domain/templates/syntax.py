"""What single nodes of a Jinja2 syntax tree say: paths, constants, names."""

import sys
from collections.abc import Iterator
from typing import Final

from jinja2 import nodes

HARMLESS: Final = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.Tuple, nodes.List),
    *(nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Compare, nodes.Operand),
    *(nodes.Not, nodes.And, nodes.Or, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Div),
    *(nodes.FloorDiv, nodes.Concat, nodes.Slice),
)
"""Nodes that are as harmless as what they hold."""


def value_names(tree: nodes.Node) -> Iterator[tuple[int, str, str]]:
    """Line, last part and text (`author.name`) of every attribute or item that a tree reads."""
    found: Iterator[nodes.Node] = tree.find_all((nodes.Getattr, nodes.Getitem))
    for node in found:
        match node:
            case nodes.Getattr(attr=last) | nodes.Getitem(arg=nodes.Const(value=last)):
                yield node.lineno, str(last), described(node)


def described(node: nodes.Node) -> str:
    """The expression as a user writes it, where it is names and constants."""
    match node:
        case nodes.Name(name=name):
            return name
        case nodes.Getattr(node=inner, attr=name):
            return f"{described(inner)}.{name}"
        case nodes.Getitem(node=inner, arg=nodes.Const(value=str() as name)):
            return f"{described(inner)}.{name}"
        case nodes.Getitem(node=inner, arg=nodes.Const(value=value)):
            return f"{described(inner)}[{value}]"
        case nodes.Getitem(node=inner):
            return f"{described(inner)}[…]"
    return "(…)"


def path_of(node: nodes.Node) -> tuple[tuple[str, ...], nodes.Node]:
    """`a.b["c"]` → (("b", "c"), Name a). The path ends before an item that has no dotted name."""
    path: list[str] = []
    while isinstance(node, (nodes.Getattr, nodes.Getitem)):
        name = node.attr if isinstance(node, nodes.Getattr) else text_of(node.arg)
        path = [*path, name] if name and "." not in name else []
        node = node.node
    return tuple(reversed(path)), node


def item_path(node: nodes.Node) -> tuple[str, ...]:
    """`seeds[0].a["b"]` → ("a", "b"): the path within an item of a name's list."""
    path: list[str] = []
    while isinstance(node, (nodes.Getattr, nodes.Getitem)) and not isinstance(
        node.node, nodes.Name
    ):
        name = node.attr if isinstance(node, nodes.Getattr) else text_of(node.arg)
        path = [*path, name] if name and "." not in name else []
        node = node.node
    return tuple(reversed(path))


def text_of(node: nodes.Node) -> str | None:
    """The value of a text constant."""
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def integer_of(node: nodes.Node) -> int | None:
    """The value of an integer constant, with or without a minus sign."""
    match node:
        case nodes.Const(value=int() as value) if not isinstance(value, bool):
            return value
        case nodes.Neg(node=nodes.Const(value=int() as value)):
            return -value
    return None


def fixed_length(node: nodes.Node) -> int | None:
    """How often a loop over this expression runs, where constants decide it."""
    match node:
        case nodes.List(items=items) | nodes.Tuple(items=items):
            return len(items)
        case nodes.Const(value=str() as text):
            return len(text)
        case nodes.Call(node=nodes.Name(name="range"), args=args):
            numbers = [number for number in map(integer_of, args) if number is not None]
            if len(numbers) == len(args) and numbers:
                return _length_of_range(numbers)
    return None


def _length_of_range(numbers: list[int]) -> int | None:
    """None for what is no range."""
    try:
        return len(range(*numbers))
    except OverflowError:
        return sys.maxsize
    except (TypeError, ValueError):  # four numbers, or a step of 0
        return None


def names_in(target: nodes.Node) -> set[str]:
    """The names that an assignment or a loop binds."""
    return {name.name for name in target.find_all(nodes.Name)} | (
        {target.name} if isinstance(target, nodes.Name) else set()
    )
