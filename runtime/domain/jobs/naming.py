"""What people call a job."""

from dataclasses import dataclass

from runtime.domain.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """A job's name; None: it has none, and is known by its id."""

    name: str | None = option(
        None, help="What you call the job; lists show it.", longest=100, printable=True, late=True
    )
