"""The output of a template that says none: one column a step, or one a property of its schema."""

from collections import Counter

from runtime.domain.outputs.paths import Paths
from runtime.domain.outputs.reading import MAX_COLUMNS, MAX_NAME_CHARACTERS
from runtime.domain.outputs.shape import Output, Shape
from runtime.domain.outputs.values import Path, is_path


def default_output(paths: Paths) -> Output:
    """The columns that follow from the steps. A name that two columns would have is
    `step_property`; where that is no help, each step is one column.
    """
    columns = _by_property(paths)
    names = [name for name, _ in columns]
    if len(set(names)) < len(names) or len(names) > MAX_COLUMNS:
        columns = [(step, f"steps.{step}.output") for step in paths.steps]
    return Output(shape=Shape.COLUMNS, fields={name: Path(path) for name, path in columns})


def _by_property(paths: Paths) -> list[tuple[str, str]]:
    properties = {step: _properties(paths, step) for step in paths.steps}
    taken = Counter(name for step, names in properties.items() for name in names or (step,))
    columns: list[tuple[str, str]] = []
    for step, names in properties.items():
        path = f"steps.{step}.output"
        if not names:
            columns.append((step, path))
        for name in names:
            clashes = taken[name] > 1 or name in properties
            columns.append((f"{step}_{name}" if clashes else name, f"{path}.{name}"))
    return columns


def _properties(paths: Paths, step: str) -> tuple[str, ...]:
    """The properties that a path can name, all or none."""
    schema = paths.steps[step]
    names = () if schema is None else schema.names()
    fit = all(
        is_path(name)
        and "." not in name
        and name.isprintable()
        and len(f"{step}_{name}") <= MAX_NAME_CHARACTERS
        for name in names
    )
    return names if fit else ()
