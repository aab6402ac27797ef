"""Mutants: small wrong versions of a module, each made by one change of its syntax tree.

What is changed: comparisons, arithmetic, and/or/not, numbers, booleans, returned values, assigned
values, calls whose value nobody uses, raises, loops that end early. What is not, since no
behaviour hangs on it: annotations, docstrings, the words of messages, what is logged.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_LOGS: Final = frozenset({"event", "exception", "_log_record", "_warn"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """`source` with the text from `start` to `end` (offsets in bytes) replaced."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str
    function: str

    @property
    def name(self) -> str:
        """How it is told and found again: stable while its function does not change."""
        return f"{self.path}:{self.function}: {_short(self.old)}  →  {_short(self.new)}"

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """All of a module, in the order of the text."""
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, function in _nodes(tree, ""):
        start = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        old = source[start:end].decode()
        for changed in _changes(node):
            text = ast.unparse(ast.fix_missing_locations(changed))
            new = text if isinstance(node, ast.stmt) else f"({text})"
            mutant = Mutant(
                path=path,
                line=node.lineno,  # type: ignore[attr-defined]
                start=start,
                end=end,
                old=old,
                new=new,
                function=function or "module",
            )
            if _compiles(mutant.apply(source)):
                found.append(mutant)
    return sorted(found, key=lambda mutant: (mutant.start, mutant.new))


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _nodes(node: ast.AST, function: str) -> Iterator[tuple[ast.AST, str]]:
    """Statements and expressions that decide something, each with the name of its function."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _says_only(child):
                continue
            inside = function
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inside = f"{function}.{child.name}".strip(".")
            if isinstance(child, (ast.expr, ast.stmt)):
                yield child, inside
            if isinstance(child, ast.Raise):
                continue  # the words of an error
            yield from _nodes(child, inside)


def _says_only(node: ast.AST) -> bool:
    """A docstring, a log line, a format, an import, or what only a type checker reads."""
    if isinstance(node, ast.Expr):
        call = node.value
        if isinstance(call, ast.Constant):
            return True
        if isinstance(call, ast.Call):
            target = call.func
            called = getattr(target, "attr", getattr(target, "id", ""))
            return called in _LOGS
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom))


def _changes(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901 - a list of cases
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            yield _with(node, ops=[_COMPARISONS[type(operator)]()])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in _ARITHMETIC:
            yield _with(node, op=_ARITHMETIC[type(operator)]())
        case ast.BoolOp(op=operator):
            yield _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(value=not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value=value + 1)
        case ast.IfExp():
            yield _with(node, body=node.orelse, orelse=node.body)
        case ast.Return(value=ast.expr() as value) | ast.Assign(value=value) if not _is_none(value):
            yield _with(node, value=ast.Constant(value=None))
        case ast.Expr(value=ast.Call() | ast.Yield()) | ast.Raise() | ast.Delete():
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 90 else f"{plain[:87]}…"
