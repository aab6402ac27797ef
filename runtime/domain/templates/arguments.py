"""What calls, filters and tests of a template may be, and what they may be given.

Each function gives the reason why a node is refused, or None. What names a filter, a test or an
attribute has to be a constant, and so has what pads or repeats: otherwise the seed would decide it.
"""

from typing import Final

from jinja2 import nodes

from runtime.domain.hints import hint_for
from runtime.domain.templates import policy
from runtime.domain.templates.syntax import fixed_length, integer_of, text_of

_ATTRIBUTE_FIRST: Final = frozenset({"groupby", "rejectattr", "selectattr", "sum"})
_TEST_POSITION: Final = {"select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
_CONSTANT_ARGUMENTS: Final = {"indent": policy.MAX_INDENT, "round": policy.MAX_PRECISION}
_MAPPABLE: Final = policy.ALLOWED_FILTERS - {"map", *_CONSTANT_ARGUMENTS}
_RANGE_ARGUMENTS: Final = 3
_UNPACKING: Final = "* and ** arguments are not allowed"


def call_problem(node: nodes.Call, *, in_loop: bool) -> str | None:
    """Only `range`, the methods of `loop`, and methods that read text, lists and mappings."""
    if _unpacks(node):
        return _UNPACKING
    match node.node:
        case nodes.Name(name="range"):
            return _range_problem(node)
        case nodes.Name(name=name):
            return f"calling {name}() is not allowed"
        case nodes.Getattr(node=nodes.Name(name="loop"), attr=name) if in_loop:
            allowed = policy.LOOP_METHODS
        case nodes.Getattr(attr=name):
            allowed = policy.ALLOWED_METHODS
        case _:
            return "only methods and range() can be called"
    return None if name in allowed else f"calling .{name}() is not allowed{hint_for(name, allowed)}"


def filter_problem(node: nodes.Filter) -> str | None:
    """Only the allowed filters, with harmless arguments."""
    if _unpacks(node):
        return _UNPACKING
    if node.name not in policy.ALLOWED_FILTERS:
        return f'there is no filter "{node.name}"{hint_for(node.name, policy.ALLOWED_FILTERS)}'
    return _attribute_problem(node) or _named_problem(node) or _size_problem(node)


def _attribute_problem(node: nodes.Filter) -> str | None:
    attributes = [pair.value for pair in node.kwargs if pair.key == "attribute"]
    attributes += node.args[:1] if node.name in _ATTRIBUTE_FIRST else []
    if all(_plain_attribute(attribute) for attribute in attributes):
        return None
    return f'{node.name}: the attribute must be a constant without a leading "_"'


def _named_problem(node: nodes.Filter) -> str | None:
    name, args = node.name, node.args
    if name == "map" and args and text_of(args[0]) not in _MAPPABLE:
        return "map: name a filter that may be mapped, as a constant"
    tests = args[_TEST_POSITION.get(name, len(args)) :][:1]
    if tests and text_of(tests[0]) not in policy.ALLOWED_TESTS:
        return f"{name}: name a test, as a constant"
    return None


def _size_problem(node: nodes.Filter) -> str | None:
    limit = _CONSTANT_ARGUMENTS.get(node.name)
    given = (*node.args, *(pair.value for pair in node.kwargs))
    if limit is None or all(_small(argument, limit) for argument in given):
        return None
    return f"{node.name}: its arguments must be constants up to {limit}"


def test_problem(node: nodes.Test) -> str | None:
    """Only the allowed tests."""
    if _unpacks(node):
        return _UNPACKING
    if node.name not in policy.ALLOWED_TESTS:
        return f'there is no test "{node.name}"{hint_for(node.name, policy.ALLOWED_TESTS)}'
    return None


def _range_problem(node: nodes.Call) -> str | None:
    numbers = [integer_of(argument) for argument in node.args]
    if node.kwargs or not 1 <= len(numbers) <= _RANGE_ARGUMENTS or numbers[2:] == [0]:
        return "write range(stop), range(start, stop) or range(start, stop, step)"
    largest = max((abs(number) for number in numbers if number is not None), default=0)
    if max(largest, fixed_length(node) or 0) > policy.MAX_RANGE:
        return f"range() goes up to {policy.MAX_RANGE}"
    return None


def _unpacks(node: nodes.Call | nodes.Filter | nodes.Test) -> bool:
    return node.dyn_args is not None or node.dyn_kwargs is not None


def _plain_attribute(node: nodes.Node) -> bool:
    text = text_of(node)
    if text is None:
        return integer_of(node) is not None
    return not any(part.startswith("_") for part in text.split("."))


def _small(node: nodes.Node, limit: int) -> bool:
    if isinstance(node, nodes.Const) and isinstance(node.value, bool):
        return True
    number, text = integer_of(node), text_of(node)
    return (number is not None and 0 <= number <= limit) or (text is not None and len(text) < limit)
