"""The price of one model: what a call cost, and the most that a call can cost.

Rates are integer nano-USD per token. None says that the model doesn't bill that kind of token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

from runtime.domain.errors import PriceError
from runtime.domain.models.abilities import Abilities
from runtime.domain.models.calls import Usage
from runtime.domain.models.regions import lies_in

FRAMING_TOKENS: Final = 512
"""Input tokens that no byte of the prompt accounts for: role headers and end marks of a few
messages (about 10 each), and the system text that a chat template or the provider adds for a
reasoning format or an output schema (the largest one published, for tools, is 346).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LongPrompt:
    """Rates of a whole call whose input, cached tokens included, is `above` so many tokens."""

    above: int
    input: int
    output: int
    cache_read: int | None
    cache_write: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Rates of a model id, inference profile included, and what the price file says of it."""

    model_id: str
    name: str
    provider: str
    input: int
    output: int
    cache_read: int | None
    cache_write: int | None
    structured_output: bool
    """Whether the provider constrains the output to a JSON Schema."""
    context_tokens: int
    max_output_tokens: int
    valid_from: date | None
    valid_until: date | None
    """First and last day on which the model may be used; None leaves that side open."""
    source: str
    checked: date
    regions: tuple[str, ...] | None = None
    """Places (`regions.py`) from which the model is called by this id; None: everywhere."""
    priced_in: tuple[str, ...] | None = None
    """Places from which these rates are known to hold; None: who wrote them vouches for them."""
    regional: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    """Rates of single regions, where they are others: `input`, `output`, …"""
    abilities: Abilities = field(default_factory=Abilities)
    """What the model can be asked for, and by which requests."""
    long_prompts: tuple[LongPrompt, ...] = ()
    """Rates of calls with a longer prompt, in ascending order of where they begin."""

    @property
    def bills(self) -> bool:
        """Whether a call can cost anything."""
        rates: list[Price | LongPrompt] = [self, *self.long_prompts]
        return any(
            each.input or each.output or each.cache_read or each.cache_write for each in rates
        )

    def seen_from(self, region: str) -> "Price":
        """The same with the rates of that region, where it has its own."""
        own = self.regional.get(region)
        if own is None:
            return self
        changes: dict[str, Any] = {**own, "priced_in": (region,), "regional": {}}
        return replace(self, **changes)

    def is_called_from(self, region: str | None) -> bool:
        """Whether this id can be called there; of an unknown region that is not questioned."""
        return region is None or self.regions is None or lies_in(region, self.regions)

    def is_priced_in(self, region: str | None) -> bool:
        """Whether the rates are known to hold there."""
        return region is None or self.priced_in is None or lies_in(region, self.priced_in)

    def cost(self, usage: Usage) -> int:
        """What `usage` costs, in nano-USD. Raises `PriceError` for tokens that have no rate."""
        rates = self._rates(usage.total - usage.output_tokens)
        return (
            usage.input_tokens * rates.input
            + usage.output_tokens * rates.output
            + self._cached("cache_read", usage.cache_read_tokens, rates.cache_read)
            + self._cached("cache_write", usage.cache_write_tokens, rates.cache_write)
        )

    def worst_case(self, *, prompt_bytes: int, max_tokens: int) -> int:
        """The most a call can cost, in nano-USD.

        `prompt_bytes` is the UTF-8 size of all that is sent: system, messages, output schema. A
        byte-level tokenizer, or one that falls back to bytes, makes no more tokens than there are
        bytes; `FRAMING_TOKENS` covers what is added around them. Each is taken at the highest
        input rate, since it can't be known beforehand what a cache stores or serves. Of the rates
        of longer prompts all count that so many tokens could meet.
        """
        tokens = prompt_bytes + FRAMING_TOKENS
        possible: list[Price | LongPrompt] = [
            self,
            *(each for each in self.long_prompts if tokens > each.above),
        ]
        return max(
            tokens * max(rates.input, rates.cache_read or 0, rates.cache_write or 0)
            + max_tokens * rates.output
            for rates in possible
        )

    def is_valid(self, on: date) -> bool:
        """Whether the model may be used on that day, both ends included."""
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_until is None or on <= self.valid_until
        )

    def _rates(self, prompt_tokens: int) -> "Price | LongPrompt":
        longer = [each for each in self.long_prompts if prompt_tokens > each.above]
        return longer[-1] if longer else self

    def _cached(self, field: str, tokens: int, rate: int | None) -> int:
        if rate is None and tokens:
            raise PriceError(
                f"{self.model_id}: {tokens} {field} tokens were billed, but the price table has no "
                f"{field} rate; add one in an override file"
            )
        return tokens * (rate or 0)
