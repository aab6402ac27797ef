"""An output as the plain document that its author wrote."""

from typing import Any

from runtime.domain.outputs.forms import turn_form
from runtime.domain.outputs.shape import Field, Output, Shape
from runtime.domain.outputs.values import Path, Text, value_document


def output_document(output: Output) -> object:
    """Inverse of `read_output`."""
    if output.shape is Shape.RECORDS:
        return output.shape.value
    fields: Any = {name: _field_document(output, each) for name, each in output.fields.items()}
    if output.shape is Shape.MESSAGES:
        fields = fields["messages"]
    document = {output.shape.value: fields}
    if output.tools is not None:
        document["tools"] = output.tools.text
    if output.keep:
        document["keep"] = [path.text for path in output.keep]
    if output.pair_rejects:
        document["pair_rejects"] = True
    return document


def _field_document(output: Output, each: Field) -> object:
    match each:
        case Path() | Text():
            return value_document(each)
        case tuple():
            role = turn_form(output.shape).role
            return [
                turn.text
                if isinstance(turn, Path)
                else {role: turn.role, **{k: value_document(v) for k, v in turn.fields.items()}}
                for turn in each
            ]
        case _:
            return {name: value_document(value) for name, value in each.items()}
