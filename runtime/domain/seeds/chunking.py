"""How documents are cut into seeds. A stand-in until the real one is merged."""

from dataclasses import dataclass

from runtime.domain.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunking:
    """Tokens of a chunk at most, None: one seed a file; and how many the next one repeats."""

    tokens: int | None = None
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.tokens is not None and not 16 <= self.tokens <= 100_000:  # noqa: PLR2004
            raise InputError("--chunk: use a number from 16 to 100000")
        if not 0 <= self.overlap < (self.tokens or 1):
            raise InputError("--overlap: use a number below that of --chunk")
