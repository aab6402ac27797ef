"""How a model is named: by its provider, and by the name that the provider knows it by.

    openai/gpt-5-mini                     provider openai, which knows it as gpt-5-mini
    openrouter/qwen/qwen3-32b             provider openrouter, which knows it as qwen/qwen3-32b
    amazon.nova-micro-v1:0                Bedrock; bedrock/amazon.nova-micro-v1:0 says the same
    local/smollm2-135m                    the embedded model

The whole name is the id of a model in the price table, in records and in figures: two providers may
know a model by one name, at two prices.
"""

import re
from collections.abc import Collection
from typing import Final

BEDROCK: Final = "bedrock"
LOCAL: Final = "local"
OPENAI: Final = "openai"

BUILT_IN: Final = (BEDROCK, LOCAL, OPENAI)

PROVIDER_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""What a provider may be called: no slash, so that it ends where a model's name begins."""

_OWN_IDS: Final = frozenset({BEDROCK, LOCAL})
"""Providers whose ids are unmistakable: no other one's begin with `amazon.` or `local/`."""


def model_id_of(provider: str, name: str) -> str:
    """The id of the model that the provider knows by that name."""
    return name if provider in _OWN_IDS else f"{provider}/{name}"


def name_at(provider: str, model_id: str) -> str:
    """The name by which the provider knows the model with that id."""
    return model_id if provider in _OWN_IDS else model_id.removeprefix(f"{provider}/")


def split_name(text: str, providers: Collection[str]) -> tuple[str | None, str]:
    """The provider that `text` names exactly, None if it names none, and the rest. Only one of
    `providers` counts: the first part of `meta-llama/Llama-3.1-8B` belongs to the model's name.
    """
    prefix, slash, rest = text.partition("/")
    if not slash or not rest or prefix not in providers:
        return None, text
    return prefix, text if prefix == LOCAL else rest
