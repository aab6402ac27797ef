"""The names of a model: its id, that of an inference profile, and how people write it."""

import re
from typing import Final

GLOBAL: Final = "global"

_PROFILE: Final = re.compile(r"(?P<geography>[a-z]{2,6}(?:-[a-z]+)?)\.(?P<model>[^.]+\..+)")
"""A profile's id is a geography before the model's own, which is provider and name."""
_NOISE: Final = frozenset(
    {"ai", "amazon", "anthropic", "deepseek", "instruct", "meta", "mistral", "openai", "v1"}
)
"""Words that one list of models has and another one hasn't."""


def geography(model: str) -> str | None:
    """`us` of `us.amazon.nova-pro-v1:0`, None for a model that is called by its own id."""
    found = _PROFILE.fullmatch(model)
    return found["geography"] if found else None


def base_model(model: str) -> str:
    """The id of the model that a profile leads to; a model's own id as it is."""
    found = _PROFILE.fullmatch(model)
    return found["model"] if found else model


def spelling(name: str) -> str:
    """One text for all ways to write a name, such as `Claude 3.5 Haiku V1`, `Claude Haiku 3.5`."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return " ".join(sorted(word for word in words if word not in _NOISE))
