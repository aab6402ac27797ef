"""What a model can be asked for, and in which way it is called.

A row of the price table says what it knows, and the way of calling adds its own limits. What
neither knows is not refused: the provider will say.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Api(StrEnum):
    """The families of requests that models are called by."""

    CONVERSE = "converse"
    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDED = "embedded"


REFUSABLE: Final = ("stop", "top_p", "temperature", "temperature with top_p")
"""Fields of a step that not every model takes, or not together."""

MAX_TEMPERATURE: Final = 2.0
"""The highest that any model takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Abilities:
    """`refuses` are some of `REFUSABLE`; `temperature` is the range that is taken, both ends
    included. `efforts` are the levels of thinking that can be asked for, none if there is nothing
    to choose; None says that it isn't known.
    """

    api: Api | None = None
    """None: the one that its provider is called by."""
    refuses: tuple[str, ...] = ()
    temperature: tuple[float, float] | None = None
    always_thinks: bool = False
    efforts: tuple[str, ...] | None = None
    tools: bool | None = None


_OF_API: Final = {
    Api.CONVERSE: Abilities(temperature=(0.0, 1.0)),
    Api.CHAT: Abilities(temperature=(0.0, 2.0)),
    Api.RESPONSES: Abilities(refuses=("stop",), temperature=(0.0, 2.0)),
    Api.EMBEDDED: Abilities(temperature=(0.0, 2.0)),
}


def refusals(
    abilities: Abilities,
    api: Api,
    *,
    stop: bool,
    top_p: bool,
    temperature: float | None,
) -> list[str]:
    """What of a step the model doesn't take when it is called by `api`, in words that follow "takes
    no".
    """
    limits = _OF_API[api]
    given = {
        "stop": stop,
        "top_p": top_p,
        "temperature": temperature is not None,
        "temperature with top_p": temperature is not None and top_p,
    }
    refused = [name for name in (*abilities.refuses, *limits.refuses) if given[name]]
    lowest, highest = abilities.temperature or limits.temperature or (0.0, MAX_TEMPERATURE)
    if temperature is not None and not lowest <= temperature <= highest and not refused:
        refused.append(f"temperature of {temperature:g}, only {lowest:g} to {highest:g}")
    return list(dict.fromkeys(refused))
