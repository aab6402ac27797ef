"""What a template may use, as data: allow-lists and limits.

`templates.check` refuses everything else by the syntax tree; the render process knows the same
lists and so has nothing else to offer.
"""

from collections.abc import Mapping
from typing import Any, Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SYNTAX: Final[Mapping[str, Any]] = {
    "trim_blocks": True,
    "lstrip_blocks": True,
    "keep_trailing_newline": False,
    "optimized": False,
    "autoescape": False,
}
"""Options of every Jinja2 environment that reads a template: the check's and the renderer's."""

OWN_FILTERS: Final = frozenset(
    {
        "extract_keywords",
        "quoted",
        "random",
        "random_sentence",
        "tojson",
        "truncate_tokens",
        "writing_style",
    }
)
"""Filters of this project (`runtime.engine.rendering.filters`). `random` is one of them because
Jinja's own would draw something else after every restart."""

ORDINARY_FILTERS: Final = _words(
    "abs capitalize count d default dictsort first float groupby indent int items join last "
    "length list lower map max min reject rejectattr replace reverse round select selectattr "
    "sort string sum title trim truncate unique upper wordcount"
)
"""Jinja's own filters that neither draw, pad, make markup nor reach a Python attribute."""

ALLOWED_FILTERS: Final = OWN_FILTERS | ORDINARY_FILTERS

ALLOWED_TESTS: Final = _words(
    "boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer "
    "iterable le lessthan lower lt mapping ne none number odd sameas sequence string true "
    "undefined upper == != > >= < <="
)

ALLOWED_METHODS: Final = _words(
    "capitalize count endswith find get index items join keys lower lstrip removeprefix "
    "removesuffix replace rsplit rstrip split splitlines startswith strip title upper values"
)
"""Methods of text, lists and mappings that change nothing and don't pad."""

LOOP_METHODS: Final = frozenset({"changed", "cycle"})
LOOP_ATTRIBUTES: Final = frozenset(
    {"first", "index", "index0", "last", "length", "nextitem", "previtem", "revindex", "revindex0"}
)

RESERVED: Final = frozenset({"index", "loop", "range", "seed", "steps"})
"""Names with a meaning of their own: a seed field of such a name is read as `seed.<name>`."""

PYTHON_NAMES: Final = frozenset({"self", "caller", "super", "varargs", "kwargs"})
"""Names that Jinja2 binds to its own objects."""

MAX_RANGE: Final = 10_000
"""Longest `range()`, and its largest constant."""
MAX_ITERATIONS: Final = 100_000
"""Largest product of the constant lengths of nested loops."""
MAX_NUMBER: Final = 1_000_000
"""Largest constant number."""
MAX_INTEGER_BITS: Final = 256
"""Longest product of two integers while rendering."""
MAX_INDENT: Final = 100
MAX_PRECISION: Final = 15
MAX_LOOPS: Final = 8
"""Deepest nesting of loops; Python compiles at most 20 nested blocks."""
MAX_INCLUDES: Final = 5
"""Longest chain of includes."""
MAX_NESTING: Final = 100
"""Deepest syntax tree, included fragments and all; every level is four calls of the check."""
MAX_NODES: Final = 20_000
"""Largest syntax tree of a whole template, with a fragment counted wherever it is included."""
