"""Jinja2 cut down to what a prompt needs; runs in the render process only.

`templates.check` has judged every template before it comes here. This environment has nothing else
to offer, so that a gap in the check is not a gap in the fence.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from jinja2 import BaseLoader, StrictUndefined, TemplateNotFound, Undefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS

from runtime.domain.templates import policy
from runtime.engine.rendering.nulls import refuse_null

CALLED: Final = "()"
"""Marks the name of a method where it is called."""

_ATTRIBUTES: Final = (
    (LoopContext, policy.LOOP_ATTRIBUTES),
    (tuple, frozenset({"grouper", "list"})),  # what `groupby` gives
)


class RefusedError(Exception):
    """The template did something that isn't allowed. The message is constant text."""


class _Generator(CodeGenerator):
    """Computes nothing while compiling: `{{ 'A' * n }}` would be computed here, without limits."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """`~` by the environment, which refuses nulls."""
        self.write("environment.concat_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class Missing(StrictUndefined):
    """A missing value. It raises when used, with its own name as the message."""

    __slots__ = ()

    def __repr__(self) -> str:
        # A list that holds one would print it.
        return str(self)

    @property
    def _undefined_message(self) -> str:
        return str(self._undefined_name or "")


class _Fragments(BaseLoader):
    """Loads what the template brought along, and nothing else."""

    def __init__(self) -> None:
        self.sources: Mapping[str, str] = {}

    def get_source(
        self, environment: object, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        del environment
        if template not in self.sources:
            raise TemplateNotFound(template)
        return self.sources[template], None, None


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Names lead to data only: items of mappings and lists, never attributes of Python objects.

    A method exists only where it is called (the parser marks that), so that `x.items` is a field
    of the seed and `x.items()` the pairs of `x`.
    """

    code_generator_class = _Generator
    intercepted_binops = frozenset({"*", "%", "**"})

    def __init__(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        self.fragments = _Fragments()
        super().__init__(
            **policy.SYNTAX,
            undefined=Missing,
            finalize=_printable,
            loader=self.fragments,
            auto_reload=False,
        )
        self.globals.clear()
        self.filters = dict(filters)
        self.tests = {name: TESTS[name] for name in policy.ALLOWED_TESTS}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Getattr):
                call.node.attr += CALLED
        return tree

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if attribute.endswith(CALLED):
            return self._method(obj, attribute.removesuffix(CALLED))
        for kind, attributes in _ATTRIBUTES:
            if isinstance(obj, kind) and attribute in attributes:
                return getattr(obj, attribute, None)
        return self._missing(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, (dict, list, tuple, str)):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        return self._missing(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if isinstance(side, Undefined):
                str(side)
            if not isinstance(side, (int, float)):
                raise RefusedError(f'"{operator}" works on numbers only')
        if operator == "**":
            raise RefusedError("** is not allowed")
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() + right.bit_length()
            if bits > policy.MAX_INTEGER_BITS:
                raise RefusedError("a number grows too large")
        return super().call_binop(context, operator, left, right)

    @staticmethod
    def concat_texts(parts: Iterable[Any]) -> str:
        """The parts of `a ~ b` as one text."""
        texts: list[str] = []
        for part in parts:
            refuse_null(part)
            texts.append(str(part))
        return "".join(texts)

    def _method(self, obj: Any, name: str) -> Any:
        if isinstance(obj, Undefined):
            return obj
        data = isinstance(obj, (str, dict, list)) and name in policy.ALLOWED_METHODS
        if data or (isinstance(obj, LoopContext) and name in policy.LOOP_METHODS):
            return getattr(obj, name, None) or self._missing(obj, name)
        return self._missing(obj, name)

    def _missing(self, obj: Any, name: object) -> Undefined:
        if isinstance(obj, Undefined):
            return self.undefined(name=f"{obj._undefined_name}.{name}")  # noqa: SLF001 - Jinja's API
        return self.undefined(obj=obj, name=str(name))


def _printable(value: Any) -> Any:
    refuse_null(value)
    return value


def bounded_range(*numbers: int) -> range:
    """The `range` of templates."""
    values = range(*numbers)
    if len(values) > policy.MAX_RANGE:
        raise RefusedError(f"range() goes up to {policy.MAX_RANGE}")
    return values
