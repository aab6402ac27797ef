"""Which model runs a job's steps, where the template does not have the last word."""

from dataclasses import dataclass

from runtime.domain.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChoice:
    """The model of every step; None: as the template says."""

    model: str | None = option(
        None,
        help="Runs every step, in place of what the template says.",
        hint="See `seedwright models`.",
        longest=200,
        identifies=True,
    )
