"""How the calls of a job are made, whichever models they go to."""

from dataclasses import dataclass

from runtime.domain.models.timeouts import MAX_CHOSEN_SECONDS
from runtime.domain.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOptions:
    """`call_timeout` is seconds; None: as long as a reply of a step's `max_tokens` may take."""

    call_timeout: int | None = option(
        None,
        help="Seconds to wait for one reply. By default more for a larger max_tokens.",
        least=1,
        most=MAX_CHOSEN_SECONDS,
        late=True,
    )
