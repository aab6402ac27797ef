"""Which model runs a job's steps, where the template does not have the last word, and how long its
replies are waited for.
"""

from dataclasses import dataclass

from runtime.domain.models.timeouts import MAX_CHOSEN_SECONDS
from runtime.domain.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChoice:
    """The model of every step; None: as the template says. `call_timeout` is seconds, None: what a
    reply of a step's `max_tokens` takes.
    """

    model: str | None = option(
        None,
        help="Runs every step, in place of what the template says.",
        hint="See `seedwright models`.",
        longest=200,
        identifies=True,
    )
    call_timeout: int | None = option(
        None,
        help="Seconds to wait for one reply. By default more for a larger max_tokens.",
        least=1,
        most=MAX_CHOSEN_SECONDS,
        late=True,
    )
