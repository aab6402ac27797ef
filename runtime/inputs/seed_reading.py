"""How seeds are read from what a user names: the options of it, each one field."""

from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from runtime.domain.errors import InputError
from runtime.domain.options import option, options_given
from runtime.domain.seeds.chunking import Chunking
from runtime.files.decoding import check_encoding
from runtime.files.reading import READABLE
from runtime.inputs.explode import check_path


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedReading:
    """What is said of seeds beside where they are. None of it is stored with a job: the seeds that
    came of it are.
    """

    seeds_format: str | None = option(
        None,
        help=f"Format of seeds whose name doesn't say it: {', '.join(READABLE)}.",
        longest=20,
    )
    encoding: str | None = option(
        None, help="Encoding of texts without a byte order mark. [utf-8]", longest=40
    )
    explode: str | None = option(
        None,
        help="A seed of each item of the list at this path: topics, steps.topics.output, …",
        longest=200,
    )
    unique: bool = option(default=False, help="Leave out seeds that equal an earlier one.")
    chunk: int | None = option(
        None, help="Cut documents into seeds of so many tokens at most.", least=16, most=100_000
    )
    overlap: int = option(0, help="Tokens that a chunk repeats of the one before it.", least=0)
    skip_unreadable: bool = option(
        default=False, help="Leave out documents that can't be read, and say which."
    )

    @property
    def chunking(self) -> Chunking:
        """How documents are cut. Raises `InputError`."""
        return Chunking(tokens=self.chunk, overlap=self.overlap)

    @property
    def keeps_bytes(self) -> bool:
        """Whether nothing is asked for that makes other seeds of a file than it has."""
        return self == SeedReading(seeds_format=self.seeds_format)

    def checked(self) -> "SeedReading":
        """The options, each of which means something. Raises `InputError`."""
        if self.seeds_format is not None and self.seeds_format not in READABLE:
            known = ", ".join(READABLE)
            raise InputError(f"--seeds-format {self.seeds_format!r} is unknown: use {known}")
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.explode is not None:
            check_path(self.explode)
        _ = self.chunking
        return self

    def document(self) -> dict[str, Any]:
        """What was asked for, as JSON has it."""
        values = {
            "encoding": self.encoding,
            "explode": self.explode,
            "unique": self.unique,
            "chunk": self.chunk,
            "overlap": self.overlap,
            "skip_unreadable": self.skip_unreadable,
        }
        return {name: value for name, value in values.items() if value}


class ReadingOptions(TypedDict, total=False):
    """The options by the names that Python programs use; None, or none at all, is the default."""

    seeds_format: str | None
    encoding: str | None
    explode: str | None
    unique: bool | None
    chunk: int | None
    overlap: int | None
    skip_unreadable: bool | None


def read_as(**options: Unpack[ReadingOptions]) -> SeedReading:
    """The options that a program gave. Raises `InputError`; `TypeError` for what is none of them,
    as Python does.
    """
    for name in options.keys() - ReadingOptions.__optional_keys__:
        raise TypeError(f"an unexpected keyword argument {name!r}")
    return options_given(SeedReading(), **options).checked()
