"""A null that would become text counts as missing: no prompt ever says "None".

Tests, conditions and `tojson` see a null as it is, `default` replaces it, and `writing_style` takes
it as "any".
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final

from jinja2 import Undefined, pass_eval_context
from jinja2.filters import do_default, do_join, make_attrgetter
from jinja2.nodes import EvalContext

TO_TEXT: Final = (
    *("capitalize", "float", "indent", "int", "lower", "replace", "string", "title", "trim"),
    *("truncate", "upper", "wordcount", "truncate_tokens", "extract_keywords", "random_sentence"),
)
"""Filters that would make a text or a number of a null."""


NOT_DATA: Final = "this is not a value: add | list, | join or call it"

_LEAVES: Final = (str, int, float, type(None), Undefined)


class NullError(Exception):
    """A null, or a list or mapping with one in it, was about to be written."""


def holds_null(value: object) -> bool:
    """Whether a value is a null or has one in its lists and mappings."""
    pending = [value]
    while pending:
        each = pending.pop()
        if each is None:
            return True
        if isinstance(each, dict):
            pending += each.values()
        elif isinstance(each, (list, tuple)):
            pending += each
    return False


def refuse_null(value: object) -> None:
    """Raises `NullError` for what can't be written, and `TypeError` for a value with something in
    it that is no data, such as what `select` gives: Python would write its address.
    """
    if holds_null(value):
        raise NullError
    if not isinstance(value, str) and not _is_data(value):
        raise TypeError(NOT_DATA)


def _is_data(value: object) -> bool:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            pending += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple)):
            pending += each
        elif not isinstance(each, _LEAVES):
            return False
    return True


def with_nulls_refused(filters: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The same filters, which take no null for text."""
    kept = {name: _refusing(filters[name]) for name in TO_TEXT}
    return {**filters, **kept, "join": _join, "default": _default, "d": _default}


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    # Jinja2 hands some filters a context first, and marks them.
    position = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        refuse_null(args[position])
        return function(*args, **options)

    return call


@pass_eval_context
def _join(
    context: EvalContext,
    value: Iterable[Any],
    d: str = "",
    attribute: str | int | None = None,
) -> str:
    refuse_null(d)
    if value is None:
        raise NullError
    items = list(value)
    if attribute is not None:
        items = list(map(make_attrgetter(context.environment, attribute), items))
    refuse_null(items)
    return str(do_join(context, items, d))


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:  # noqa: FBT001, FBT002 - Jinja's own signature
    missing = isinstance(value, Undefined) or value is None
    return default_value if missing else do_default(value, default_value, boolean)
