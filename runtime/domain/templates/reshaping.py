"""Another shape for the rows of a template whose records are there already.

    messages ─▶ user: the column, seed field or kept prompt that is one ┐
                assistant: the column that is one                       ┴▶ `output:`, or a block

Nothing is guessed: where a place is not certain there is the block of `output:` to fill in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from runtime.domain.errors import InputError, UnclearOutputError
from runtime.domain.outputs.defaults import default_output
from runtime.domain.outputs.document import output_document
from runtime.domain.outputs.shape import Shape
from runtime.domain.outputs.types import Scalar, Type
from runtime.domain.outputs.values import Path
from runtime.domain.templates.document import document_of, parse_template
from runtime.domain.templates.template import Template, paths_of
from runtime.domain.templates.text import render_yaml

_ASKED: Final = frozenset(
    {"prompt", "question", "instruction", "query", "user", "ask", "request", "task"}
)
"""What trainers and people call what is asked."""
_ANSWERED: Final = frozenset({"answer", "response", "completion", "reply", "assistant", "output"})
_FILL_IN: Final = "FILL IN"
_AS_TURNS: Final = frozenset({Shape.MESSAGES, Shape.OPENAI, Shape.BEDROCK, Shape.SHAREGPT})


def with_output(template: Template, output: object = None, *, split: object = None) -> Template:
    """The template with these documents of an output and a split, each checked with its steps; an
    `output` of None leaves the template's own. Raises `TemplateError`.
    """
    document = document_of(template)
    if output is not None:
        document["output"] = output
    document.pop("split", None)
    if split is not None:
        document["split"] = split
    checked = parse_template(document)
    if output is None:
        return replace(template, split=checked.split)
    return replace(template, output=checked.output, output_declared=True, split=checked.split)


def output_as(template: Template, shape: Shape) -> object:
    """The document of an output in this shape. Raises `UnclearOutputError` with the block to fill
    in where a place is not certain, `InputError` for records.
    """
    if shape is Shape.RECORDS:
        raise InputError(
            "records are the files dataset.*: `generate --format` adds formats to them"
        )
    if shape is template.output.shape:
        return output_document(template.output)
    places = _Places.of(template)
    if shape is Shape.COLUMNS:
        return _keeping({"columns": places.columns}, places.columns, template)
    document, certain = _document(shape, places)
    if not certain:
        raise UnclearOutputError(
            f"what goes where in {shape} is not certain: fill in the block, put it into the"
            " template, and give that with --template in the place of --as",
            block=_block(document, template, places),
        )
    return _keeping(document, document, template)


def _keeping(
    document: Mapping[str, Any], columns: Iterable[str], template: Template
) -> Mapping[str, Any]:
    """With what the template's own rows carry along, but for names that are columns already."""
    own = output_document(template.output)
    kept = own.get("keep", ()) if isinstance(own, Mapping) else ()
    new = [name for name in kept if name.replace(".", "_") not in {*columns}]
    return {**document, "keep": new} if new else document


@dataclass(frozen=True, kw_only=True, slots=True)
class _Places:
    """What rows can be made of: paths by the names of the default columns, and which of them are
    what is asked, answered; None where that is not certain.
    """

    columns: Mapping[str, str]
    labels: Sequence[str]
    """Columns that are true or false."""
    system: str | None
    asked: str | None
    answered: str | None

    @classmethod
    def of(cls, template: Template) -> "_Places":
        paths = paths_of(
            template.steps,
            keep_reasoning=template.keep_reasoning,
            keep_prompts=template.keep_prompts,
            samplers=template.samplers,
            batch=template.batch_of is not None,
        )
        values = {
            name: each
            for name, each in default_output(paths).fields.items()
            if isinstance(each, Path)
        }
        columns = {name: each.text for name, each in values.items()}
        types = {name: paths.type_of(each) for name, each in values.items()}
        asked, system = _asked(template, columns)
        return cls(
            columns=columns,
            labels=[name for name, kind in types.items() if kind is Scalar.BOOL],
            system=system,
            asked=asked,
            answered=_answered(columns, types, asked),
        )


def _asked(template: Template, columns: Mapping[str, str]) -> tuple[str | None, str | None]:
    """What is asked, and the system text that goes with it."""
    named = [path for name, path in columns.items() if name.casefold() in _ASKED]
    if named:
        return (named[0] if len(named) == 1 else None), None
    if template.keep_prompts and len(template.steps) == 1 and not template.steps[0].messages:
        (step,) = template.steps
        system = None if step.system is None else f"steps.{step.id}.system"
        return f"steps.{step.id}.prompt", system
    if template.batch_of is not None or any(step.messages for step in template.steps):
        return None, None  # several seeds, or turns before what is asked
    seeds = [path for path in template.schema_requirements if path.casefold() in _ASKED]
    return (f"seed.{seeds[0]}" if len(seeds) == 1 else None), None


def _answered(
    columns: Mapping[str, str], types: Mapping[str, Type], asked: str | None
) -> str | None:
    named = [path for name, path in columns.items() if name.casefold() in _ANSWERED]
    if named:
        return named[0] if len(named) == 1 else None
    texts = [
        path for name, path in columns.items() if path != asked and types[name] is Scalar.STRING
    ]
    others = [path for path in columns.values() if path != asked]
    return texts[0] if len(others) == len(texts) == 1 else None


def _document(shape: Shape, places: _Places) -> tuple[dict[str, Any], bool]:
    """The output, and whether every place in it is certain."""
    asked, answered = places.asked or _FILL_IN, places.answered or _FILL_IN
    certain = _FILL_IN not in {asked, answered}
    if shape in _AS_TURNS:
        return _as_turns(shape, places.system, asked, answered), certain
    if shape is Shape.PROMPT_COMPLETION:
        return {shape.value: {"prompt": asked, "completion": answered}}, certain
    if shape is Shape.ALPACA:
        return {shape.value: {"instruction": asked, "output": answered}}, certain
    if shape is Shape.UNPAIRED_PREFERENCE:
        label = places.columns[places.labels[0]] if len(places.labels) == 1 else _FILL_IN
        fields = {"prompt": asked, "completion": answered, "label": label}
        return {shape.value: fields}, certain and label != _FILL_IN
    if shape is Shape.PREFERENCE:
        pair = {name: places.columns.get(name, _FILL_IN) for name in ("chosen", "rejected")}
        return {shape.value: {"prompt": asked, **pair}}, _FILL_IN not in {asked, *pair.values()}
    verl: dict[str, Any] = {
        "data_source": _FILL_IN,
        "prompt": [{"role": "user", "content": asked}],
        "ability": _FILL_IN,
        "reward_model": {"style": '{{ "rule" }}', "ground_truth": answered},
    }
    return {shape.value: verl}, False


def _as_turns(shape: Shape, system: str | None, asked: str, answered: str) -> dict[str, Any]:
    speech = shape is Shape.SHAREGPT
    role, content = ("from", "value") if speech else ("role", "content")
    roles = ("system", "human", "gpt") if speech else ("system", "user", "assistant")
    turns = [
        {role: name, content: text}
        for name, text in zip(roles, (system, asked, answered), strict=True)
        if text is not None
    ]
    if shape is Shape.MESSAGES:
        return {shape.value: turns}
    return {shape.value: {"conversations" if speech else "messages": turns}}


def _block(document: Mapping[str, Any], template: Template, places: _Places) -> str:
    """YAML with what there is to choose from as comments."""
    lines = [
        f"# In place of {_FILL_IN}: one of these paths, or a text of Jinja2.",
        *_listed("steps", places.columns.values()),
        *_listed("kept prompts", _prompts(template)),
        *_listed("samples", (f"samples.{name}" for name in template.samplers.types())),
        *_listed("seed fields", _seed_fields(template)),
    ]
    return "\n".join([*lines, render_yaml({"output": dict(document)}).rstrip("\n")])


def _prompts(template: Template) -> list[str]:
    return [f"steps.{step.id}.prompt" for step in template.steps if template.keep_prompts]


def _seed_fields(template: Template) -> list[str]:
    batch = template.batch_of is not None
    return [] if batch else [f"seed.{path}" for path in template.schema_requirements]


def _listed(what: str, paths: Iterable[str]) -> list[str]:
    shown = ", ".join(paths)
    return [f"# {what}: {shown}"] if shown else []
