"""The walk over the syntax tree of one text and of the fragments it includes: what isn't on an
allow-list of `policy` is refused, what it reads is noted.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn

from jinja2 import TemplateSyntaxError, nodes

from runtime.domain.errors import TemplateError
from runtime.domain.templates import policy
from runtime.domain.templates.arguments import call_problem, filter_problem, test_problem
from runtime.domain.templates.reads import Problem, batch_problem, step_problem
from runtime.domain.templates.scope import Scope, is_seeds, paths_to, seed_path
from runtime.domain.templates.syntax import HARMLESS, fixed_length, names_in, path_of, text_of

_VALUES: Final = (nodes.Name, nodes.Getattr, nodes.Getitem)


@dataclass(kw_only=True, slots=True)
class Walk:
    """The walk over one text and the fragments it includes."""

    parse: Callable[[str], nodes.Template]
    place: str
    earlier: tuple[str, ...]
    step_ids: tuple[str, ...]
    names: Mapping[str, Problem]
    """What there is besides, with what is wrong with a path into it."""
    fragments: Mapping[str, str]
    nodes_left: int
    batch: bool = False
    depth: int = 0
    required: set[str] = field(default_factory=set)
    guarded: set[str] = field(default_factory=set)
    included: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    """`seed`, where it is read as a whole."""
    spellings: dict[str, str] = field(default_factory=dict)

    def source(self, source: str, scope: Scope) -> None:
        """Parse and walk one source."""
        try:
            tree = self.parse(source)
        except TemplateSyntaxError as exc:
            reason = " ".join((exc.message or "syntax error").split())
            raise TemplateError(f"{self.place}, line {exc.lineno}: {reason}") from exc
        except (ValueError, OverflowError, RecursionError, MemoryError) as exc:
            # Jinja lets Python's own limits through: digits of a number, depth of an expression.
            raise TemplateError(
                f"{self.place}: an expression is nested too deeply or a number is too long"
            ) from exc
        self.visit(tree, scope)

    def unguarded(self) -> set[str]:
        """Required paths, without those that the source asks for with `is defined` first."""
        return {path for path in self.required if self.guarded.isdisjoint(paths_to(path))}

    def visit(self, node: nodes.Node, scope: Scope) -> None:
        """Judge `node` and all below it."""
        self.nodes_left -= 1
        self.depth += 1
        if self.nodes_left < 0:
            self.refuse(node, "the template is too large: shorten it or split it")
        if self.depth > policy.MAX_NESTING:
            self.refuse(node, "nested too deeply: simplify the expression")
        self._judge(node, scope)
        self.depth -= 1

    def refuse(self, node: nodes.Node, reason: str) -> NoReturn:
        place = " ".join(self.place.split())  # a fragment's name may hold anything
        raise TemplateError(f"{place}, line {node.lineno}: {reason}")

    def _judge(self, node: nodes.Node, scope: Scope) -> None:  # noqa: C901, PLR0912 - a table
        match node:
            case _ if isinstance(node, _VALUES):
                self._value(node, scope)
            case nodes.Const():
                self._constant(node)
            case nodes.Call():
                self._call(node, scope)
            case nodes.Filter():
                self._filter(node, scope)
            case nodes.Test():
                self._test(node, scope)
            case nodes.Mul() | nodes.Mod():
                self._arithmetic(node, scope)
            case nodes.For():
                self._loop(node, scope)
            case nodes.Assign(target=target, node=value):
                self.visit(value, scope)
                self._bind(target, scope)
            case nodes.AssignBlock(target=target):
                self._children(node, scope.inner(), skip=("target",))
                self._bind(target, scope)
            case nodes.With(targets=targets, values=values, body=body):
                self._all(values, scope)
                inside = scope.inner()
                for target in targets:
                    self._bind(target, inside)
                self._all(body, inside)
            case nodes.FilterBlock():
                self._children(node, scope.inner())
            case nodes.Include():
                self._include(node, scope)
            case nodes.Pow():
                self.refuse(node, "** is not allowed: write the number")
            case _ if isinstance(node, HARMLESS):
                self._children(node, scope)
            case _:
                self.refuse(node, f"{type(node).__name__} is not allowed in a prompt")

    def _children(self, node: nodes.Node, scope: Scope, skip: tuple[str, ...] = ()) -> None:
        self._all(node.iter_child_nodes(exclude=skip), scope)

    def _all(self, children: Iterable[nodes.Node], scope: Scope) -> None:
        for child in children:
            self.visit(child, scope)

    # ── values ─────────────────────────────────────────────────────────────────────────────────

    def _value(self, node: nodes.Node, scope: Scope, *, guard: bool = False) -> None:
        """A name, attribute or item: note the seed path it reads, unless it has a fallback."""
        part, parts = node, 0
        while isinstance(part, (nodes.Getattr, nodes.Getitem)):
            parts += 1
            if parts > policy.MAX_NESTING:
                self.refuse(part, "nested too deeply: simplify the expression")
            name = part.attr if isinstance(part, nodes.Getattr) else text_of(part.arg)
            if name is not None and name.startswith("_"):
                self.refuse(part, f'"{name}": names that begin with "_" are not allowed')
            if isinstance(part, nodes.Getitem):
                self.visit(part.arg, scope)
            part = part.node
        self.nodes_left -= parts
        path, base = path_of(node)
        if isinstance(base, nodes.Name):
            self._named(node, base, path, scope, guard=guard)
        else:
            self.visit(base, scope)

    def _named(
        self,
        node: nodes.Node,
        base: nodes.Name,
        path: tuple[str, ...],
        scope: Scope,
        *,
        guard: bool,
    ) -> None:
        self._spelling(base, base.name)
        if base.name not in scope.bound:
            if base.name == "steps":
                self._refuse_if(node, step_problem(path, self.earlier, self.step_ids))
                return
            if base.name in self.names:
                self._refuse_if(node, self.names[base.name](path))
                return
            self._root(base, scope)
        if guard:
            return
        if read := seed_path(node, scope, batch=self.batch):
            self.required.add(read)
        elif base.name in ("seed", "seeds") and base.name not in scope.bound:
            self.whole.add("seed")

    def _spelling(self, node: nodes.Node, name: str) -> None:
        """Two names that differ in form only, such as in how an accent is written, would be one
        variable of the compiled template.
        """
        other = self.spellings.setdefault(unicodedata.normalize("NFKC", name), name)
        if other != name:
            self.refuse(node, f'"{name}" and "{other}" are one name: write seed["{name}"]')

    def _root(self, node: nodes.Name, scope: Scope) -> None:
        if node.name.startswith("_") or node.name in policy.PYTHON_NAMES:
            self.refuse(node, f'"{node.name}" is not allowed')
        if node.name == "range":
            self.refuse(node, 'call range(…), or read the field as "seed.range"')
        if node.name == "loop" and not scope.loops:
            self.refuse(node, '"loop" exists inside a loop only')
        if self.batch:
            self._refuse_if(node, batch_problem(node.name))

    def _refuse_if(self, node: nodes.Node, problem: str | None) -> None:
        if problem is not None:
            self.refuse(node, problem)

    def _constant(self, node: nodes.Const) -> None:
        if isinstance(node.value, (int, float)) and abs(node.value) > policy.MAX_NUMBER:
            self.refuse(node, f"numbers go up to {policy.MAX_NUMBER}")

    def _arithmetic(self, node: nodes.BinExpr, scope: Scope) -> None:
        """`*` repeats and `%` formats when an operand isn't a number."""
        for side in (node.left, node.right):
            if (
                isinstance(side, (nodes.List, nodes.Tuple, nodes.Concat))
                or text_of(side) is not None
            ):
                self.refuse(node, f'"{node.operator}" works on numbers only')
        self._children(node, scope)

    # ── calls, filters, tests ──────────────────────────────────────────────────────────────────

    def _call(self, node: nodes.Call, scope: Scope) -> None:
        self._refuse_if(node, call_problem(node, in_loop=scope.loops > 0))
        if isinstance(node.node, nodes.Getattr):
            self.visit(node.node.node, scope)
        self._children(node, scope, skip=("node",))

    def _filter(self, node: nodes.Filter, scope: Scope) -> None:
        self._refuse_if(node, filter_problem(node))
        if node.name in ("default", "d") and isinstance(node.node, _VALUES):
            self._value(node.node, scope, guard=True)
            self._children(node, scope, skip=("node",))
        else:
            self._children(node, scope)

    def _test(self, node: nodes.Test, scope: Scope) -> None:
        self._refuse_if(node, test_problem(node))
        if node.name not in ("defined", "undefined") or not isinstance(node.node, _VALUES):
            self._children(node, scope)
            return
        self._value(node.node, scope, guard=True)
        self._children(node, scope, skip=("node",))  # these tests take none, and Jinja2 parses them
        if read := seed_path(node.node, scope, batch=self.batch):
            self.guarded.add(read)

    # ── statements ─────────────────────────────────────────────────────────────────────────────

    def _bind(self, target: nodes.Node, scope: Scope) -> None:
        for inner in (target, *target.find_all(nodes.Node)):
            if not isinstance(inner, (nodes.Name, nodes.Tuple)):
                self.refuse(target, "only plain names can be set")
        for name in sorted(names_in(target)):
            taken = policy.RESERVED | policy.PYTHON_NAMES | self.names.keys()
            if name.startswith("_") or name in taken:
                self.refuse(target, f'"{name}" can\'t be set: use another name')
            self._spelling(target, name)
            scope.bound.add(name)

    def _loop(self, node: nodes.For, scope: Scope) -> None:
        if node.recursive:
            self.refuse(node, "recursive loops are not allowed")
        self.visit(node.iter, scope)
        loops = scope.loops + 1
        iterations = scope.iterations * max(1, fixed_length(node.iter) or 1)
        if loops > policy.MAX_LOOPS:
            self.refuse(node, f"loops may be nested {policy.MAX_LOOPS} deep")
        if iterations > policy.MAX_ITERATIONS:
            self.refuse(node, f"nested loops may run {policy.MAX_ITERATIONS} times")
        inside = replace(scope.inner(), loops=loops, iterations=iterations)
        self._bind(node.target, inside)
        if self.batch and is_seeds(node.iter, scope):
            inside = replace(inside, seeds=inside.seeds | names_in(node.target))
        if node.test is not None:
            self.visit(node.test, inside)
        self._all(node.body, inside)
        self._all(node.else_, scope.inner())

    def _include(self, node: nodes.Include, scope: Scope) -> None:
        name = text_of(node.template)
        if not name:
            self.refuse(node, "include needs one constant name")
        if node.ignore_missing or not node.with_context:
            self.refuse(node, 'include takes neither "ignore missing" nor "without context"')
        chain = (*scope.chain, name)
        if name in scope.chain:
            self.refuse(node, f"includes form a cycle: {' → '.join(chain)}")
        if len(chain) > policy.MAX_INCLUDES:
            shown = " → ".join(chain)
            self.refuse(node, f"includes go {policy.MAX_INCLUDES} deep: {shown}")
        self.included.add(name)
        if name in self.fragments:
            outer = self.place
            self.place = f'{outer}, fragment "{name}"'
            self.source(self.fragments[name], replace(scope.inner(), chain=chain))
            self.place = outer
