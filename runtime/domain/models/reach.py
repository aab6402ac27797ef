"""Which providers a process can call, and what that costs where no price says it."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from runtime.domain.models.abilities import Abilities, Api
from runtime.domain.models.names import BEDROCK, LOCAL, name_at
from runtime.domain.models.price import Price

_ANY_SIZE: Final = 10**7
"""Tokens: a server of one's own says by itself what is too much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reachable:
    """A provider that can be called. `is_free` says that no call of it is billed, whichever model
    it serves; `by_workers_only` that who takes jobs has no key for it. `advice` is what else may
    help who asks it for a model without a price.
    """

    name: str
    api: Api
    is_free: bool = False
    by_workers_only: bool = False
    advice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """All of them, by name. It is no part of a table that a job keeps: where a server is, and
    whether it bills, is a matter of the process that calls it.
    """

    providers: tuple[Reachable, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.providers)

    def find(self, provider: str) -> Reachable | None:
        return next((each for each in self.providers if each.name == provider), None)

    def free_price(self, provider: str, model_id: str) -> Price | None:
        """The price of a model of a provider that bills nothing; None where the provider does."""
        found = self.find(provider)
        if found is None or not found.is_free:
            return None
        return Price(
            model_id=model_id,
            name=name_at(provider, model_id),
            provider=provider,
            input=0,
            output=0,
            cache_read=0,
            cache_write=0,
            structured_output=True,  # whether it has, the first call finds out
            context_tokens=_ANY_SIZE,
            max_output_tokens=_ANY_SIZE,
            valid_from=None,
            valid_until=None,
            source=f"{provider} bills nothing",
            checked=date.min,
            abilities=Abilities(api=found.api),
        )


ON_BEDROCK: Final = Reachable(name=BEDROCK, api=Api.CONVERSE)
EMBEDDED: Final = Reachable(name=LOCAL, api=Api.EMBEDDED)

AWS: Final = Reach(providers=(ON_BEDROCK,))
"""Of a worker or a function."""

WITHOUT_SERVERS: Final = Reach(providers=(ON_BEDROCK, EMBEDDED))
"""Of a process on a laptop that nobody told of a server."""
