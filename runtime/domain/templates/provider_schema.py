"""How a step's `output_schema` reaches its model, and what of it must be said in words.

    service   the service constrains the output to the part of the schema that it takes
    grammar   the embedded model's grammar does
    words     the prompt shows the schema

Whatever a service or a grammar doesn't take is added to the prompt, so nothing of a schema is lost
on the way. The reply is checked against the whole schema in any case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

Place = tuple[str | None, ...]
"""Where a value stands in an output: names of properties, None for any item of a list."""
Places = frozenset[Place]


class Way(StrEnum):
    SERVICE = "service"
    GRAMMAR = "grammar"
    WORDS = "words"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderSchema:
    """`schema` goes to the provider (None: it gets none) and `instruction` to the end of the
    prompt, empty if all is said. `reason` says why a model that could be held to a schema isn't.
    `nullable` are the places whose null means that nothing is there.
    """

    way: Way
    schema: Mapping[str, object] | None = None
    instruction: str = ""
    reason: str | None = None
    nullable: Places = frozenset()


def in_words(schema: Mapping[str, object], *, reason: str | None = None) -> ProviderSchema:
    """The whole schema as a part of the prompt."""
    return ProviderSchema(way=Way.WORDS, instruction=whole_in_words(schema), reason=reason)


def whole_in_words(schema: Mapping[str, object]) -> str:
    """What to add to a prompt for a model that isn't held to the schema."""
    return (
        "\n\nAnswer with one JSON value and nothing else. It must be valid under this JSON "
        f"Schema:\n{orjson.dumps(schema).decode()}"
    )
