"""What each shape is made of, as data: its fields, and the messages that it takes.

A shape that the trainers know in two forms has both; which one is meant, its fields say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runtime.domain.outputs.shape import Shape


class Kind(StrEnum):
    """What a field may be."""

    VALUE = "value"
    """Whatever its path leads to, with its own type, or a text of Jinja2."""
    TEXT = "text"
    """A text; data becomes JSON text."""
    LABEL = "label"
    """True or false."""
    TURNS = "turns"
    """Messages."""
    TEXT_OR_TURNS = "text or turns"
    OBJECT = "object"
    """An object of values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldForm:
    """One field of a shape. Of an `OBJECT` with `names` it needs all of them and no other."""

    kind: Kind
    required: bool = True
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnForm:
    """One message: the names of its role and of its text, the roles there are, what else it may
    have, and whether a path may stand for several of them.
    """

    role: str = "role"
    content: str = "content"
    roles: tuple[str, ...] = ("system", "developer", "user", "assistant", "tool")
    more: tuple[str, ...] = ()
    paths: bool = True


TOOL_CALLS: Final = "tool_calls"
"""A list of calls as trainers know it. Arguments differ from call to call, so each call is json."""

MESSAGE: Final = TurnForm(more=("reasoning_content", TOOL_CALLS, "name", "tool_call_id"))
SPEECH: Final = TurnForm(
    role="from",
    content="value",
    roles=(
        *("system", "human", "gpt", "user", "assistant"),
        *("tool", "function_call", "observation"),
    ),
)
CONVERSE: Final = TurnForm(roles=("system", "user", "assistant"), paths=False)

Fields = Mapping[str, FieldForm]

_TEXT: Final = FieldForm(kind=Kind.TEXT)
_OPTIONAL: Final = FieldForm(kind=Kind.TEXT, required=False)
_TURNS: Final = FieldForm(kind=Kind.TURNS)
_EITHER: Final = FieldForm(kind=Kind.TEXT_OR_TURNS)

MESSAGES_FORM: Final[Fields] = {"messages": _TURNS}
PREFERENCE_OF_OPENAI: Final[Fields] = {
    "input": _TURNS,
    "preferred_output": _TURNS,
    "non_preferred_output": _TURNS,
}

FORMS: Final[Mapping[Shape, tuple[Fields, ...]]] = {
    Shape.MESSAGES: (MESSAGES_FORM,),
    Shape.PROMPT_COMPLETION: ({"prompt": _EITHER, "completion": _EITHER},),
    Shape.PREFERENCE: (
        {
            "prompt": FieldForm(kind=Kind.TEXT_OR_TURNS, required=False),
            "chosen": _EITHER,
            "rejected": _EITHER,
        },
    ),
    Shape.UNPAIRED_PREFERENCE: (
        {"prompt": _EITHER, "completion": _EITHER, "label": FieldForm(kind=Kind.LABEL)},
    ),
    Shape.ALPACA: (
        {"instruction": _TEXT, "input": _OPTIONAL, "output": _TEXT, "system": _OPTIONAL},
    ),
    Shape.SHAREGPT: ({"conversations": _TURNS},),
    Shape.OPENAI: (MESSAGES_FORM, PREFERENCE_OF_OPENAI),
    Shape.BEDROCK: (MESSAGES_FORM,),
    Shape.VERL: (
        {
            "data_source": _TEXT,
            "prompt": _TURNS,
            "ability": _TEXT,
            "reward_model": FieldForm(kind=Kind.OBJECT, names=("style", "ground_truth")),
            "extra_info": FieldForm(kind=Kind.OBJECT, required=False),
        },
    ),
}
"""The fields of each shape, without `columns`, which has any, and `records`, which has none."""

WITH_TOOLS: Final = frozenset(
    {
        *(Shape.MESSAGES, Shape.PROMPT_COMPLETION, Shape.PREFERENCE, Shape.UNPAIRED_PREFERENCE),
        *(Shape.SHAREGPT, Shape.OPENAI),
    }
)


def turn_form(shape: Shape) -> TurnForm:
    """The messages that a shape takes."""
    return {Shape.SHAREGPT: SPEECH, Shape.BEDROCK: CONVERSE}.get(shape, MESSAGE)
