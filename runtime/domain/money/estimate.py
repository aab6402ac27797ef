"""What a dataset will cost, before a cent is spent.

Three figures a record. *Highest* is the ledger's own worst case with one repair where a step has a
schema, and with one call at a raised limit where a step asks for that, so the true cost never
passes it without retries. *Likely* takes a prompt at four characters a token (OpenAI's and
Anthropic's rule of thumb for English) and an output of half its limit. *Lowest* is the prompt and
one token of output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

from runtime.domain.models.calls import Usage
from runtime.domain.models.price import Price
from runtime.domain.options import option
from runtime.domain.texts import CHARACTERS_PER_TOKEN

_DEVIATIONS: Final = 5
"""Standard deviations by which chance may take more: one dataset in millions takes yet more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Acceptance:
    """What a budget below the likely cost means to whoever asks for the job."""

    allow_partial: bool = option(
        False,
        help="Fewer records will do: the job is created also where its budget is below the"
        " likely cost, or where no estimate can be made. Resuming with a larger budget makes the"
        " others.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSample:
    """What one step sends: characters and UTF-8 bytes of prompt, system and schema, on average or
    for one sampled record. Outputs of earlier steps inside it are at their full length.
    `raised_max_tokens` is the limit of a call after a reply that was cut; 0: there is none. Of all
    records a `share` takes the step, which chance decides.
    """

    step: str = ""
    model: str = ""
    price: Price
    characters: int
    size: int
    max_tokens: int
    repairable: bool
    raised_max_tokens: int = 0
    share: float = 1.0

    def highest_share(self, tries: int) -> float:
        """A share that hardly ever is passed by so many tries."""
        spread = _DEVIATIONS * sqrt(self.share * (1 - self.share) / tries)
        return min(1.0, self.share + spread)

    def worst_case(self) -> int:
        """Most that all calls of the step can cost, nano-USD."""
        size, limit = self.size, self.max_tokens
        worst = self.price.worst_case(prompt_bytes=size, max_tokens=limit)
        if self.raised_max_tokens:
            limit = self.raised_max_tokens
            worst += self.price.worst_case(prompt_bytes=size, max_tokens=limit)
        if self.repairable:
            # A repair sends the prompt again with the refused output and its errors.
            size += 2 * CHARACTERS_PER_TOKEN * limit
            worst += self.price.worst_case(prompt_bytes=size, max_tokens=limit)
        return worst


@dataclass(frozen=True, kw_only=True, slots=True)
class StepEstimate:
    """Nano-USD and likely tokens of one step, for all records. `step` is its id."""

    step: str
    model: str
    tokens_in: int
    tokens_out: int
    lowest_nano: int
    likely_nano: int
    highest_nano: int
    too_long: int = 0
    """Records whose prompt and `max_tokens` are likely more than the model's context holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Nano-USD and tokens for a number of records. The figures of the steps are each rounded up:
    their sum may be a little above that of all.
    """

    records: int
    lowest_nano: int
    likely_nano: int
    highest_nano: int
    likely_tokens: int
    steps: tuple[StepEstimate, ...] = ()
    warnings: tuple[str, ...] = ()
    """What is not known of the prices, each in one line."""
    tries: int | None = None
    """Tries that all records are likely to take, where a template has checks: each is paid. None:
    as many as records.
    """
    checks_assume: str | None = None
    """What the figures take for granted of checks, for people; None: the template has none."""

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that is called, once."""
        return tuple(dict.fromkeys(each.model for each in self.steps))


def estimate(
    samples: Sequence[Sequence[StepSample]], *, records: int, tries: int | None = None
) -> Estimate:
    """Scale sampled records, each a sequence of its steps, up to `records`, or to so many `tries`
    that give them; rounds up.
    """
    paid = records if tries is None else tries

    def scaled(total: int) -> int:
        return -(-total * paid // len(samples))

    by_step: dict[tuple[str, str], _Sums] = {}
    for steps in samples:
        for step in steps:
            by_step.setdefault((step.step, step.model), _Sums()).add(step, paid)
    every = _Sums()
    for sums in by_step.values():
        every.tokens_in += sums.tokens_in
        every.tokens_out += sums.tokens_out
        every.lowest += sums.lowest
        every.likely += sums.likely
        every.highest += sums.highest
    return Estimate(
        records=records,
        tries=tries,
        lowest_nano=scaled(every.lowest),
        likely_nano=scaled(every.likely),
        highest_nano=scaled(every.highest),
        likely_tokens=scaled(every.tokens_in + every.tokens_out),
        steps=tuple(
            StepEstimate(
                step=step,
                model=model,
                tokens_in=scaled(sums.tokens_in),
                tokens_out=scaled(sums.tokens_out),
                lowest_nano=scaled(sums.lowest),
                likely_nano=scaled(sums.likely),
                highest_nano=scaled(sums.highest),
                too_long=scaled(sums.too_long),
            )
            for (step, model), sums in by_step.items()
        ),
    )


@dataclass(slots=True)
class _Sums:
    """Of all samples."""

    tokens_in: int = 0
    tokens_out: int = 0
    lowest: int = 0
    likely: int = 0
    highest: int = 0
    too_long: int = 0

    def add(self, sample: StepSample, tries: int) -> None:
        price = sample.price
        prompt = -(-sample.characters // CHARACTERS_PER_TOKEN)
        half = -(-sample.max_tokens // 2)
        lowest = price.cost(Usage(input_tokens=prompt, output_tokens=1))
        likely = price.cost(Usage(input_tokens=prompt, output_tokens=half))
        self.tokens_in += _part(prompt, sample.share)
        self.tokens_out += _part(half, sample.share)
        self.lowest += _part(lowest, sample.share)
        self.likely += _part(likely, sample.share)
        self.highest += _part(sample.worst_case(), sample.highest_share(tries))
        self.too_long += prompt + sample.max_tokens > price.context_tokens


def _part(number: int, share: float) -> int:
    """A share of it, rounded up; all of it exactly."""
    return number if share == 1 else ceil(number * share)
