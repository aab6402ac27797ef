"""A value of a row: a path into the record, a text that Jinja2 renders, or a constant.

    steps.<id>.output       the output of a step, and steps.<id>.output.<property>… within it
    steps.<id>.reasoning    what the model thought before, where the template keeps it
    steps.<id>.prompt       what it was asked, steps.<id>.system, and steps.<id>.messages, the list
                            of the turns before the prompt, where the template keeps them
    seed.<field>…           a value of the seed
    samples.<name>…         a value that a sampler of the template draws
    checks.<judge>.scores.<name>.score    what a judge of the template gives, or .reasoning, why
    seed.id                 what the seed is called
    record.id, record.index

A text with `{{` or `{%` is Jinja2. Anything else is a path or refused.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

ROOTS: Final = ("steps", "seed", "samples", "checks", "record")
RECORD_FIELDS: Final = ("id", "index")
STEP_FIELDS: Final = ("output", "reasoning", "prompt", "system", "messages")

_JINJA: Final = re.compile(r"\{\{|\{%|\{#")
_LITERAL: Final = re.compile(r"""\{\{\s*(?:"([^"\\{}]*)"|'([^'\\{}]*)')\s*\}\}""")
_PATH: Final = re.compile(r"[^\s.]+(?: [^\s.]+)*(?:\.[^\s.]+(?: [^\s.]+)*)*")


@dataclass(frozen=True, slots=True)
class Path:
    """A dotted path that begins with one of `ROOTS`."""

    text: str

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.text.split("."))

    @property
    def is_seed_field(self) -> bool:
        """Whether it leads into the seed itself: `seed.id` is what the record says."""
        return self.parts[0] == "seed" and self.text != "seed.id"

    @property
    def is_sample(self) -> bool:
        """Whether it leads to what a sampler draws."""
        return self.parts[0] == "samples"


@dataclass(frozen=True, slots=True)
class Text:
    """A text that Jinja2 renders, once a row."""

    source: str

    @property
    def literal(self) -> str | None:
        """The text where it is one constant, as in `{{ "reward" }}`, which needs no rendering."""
        found = _LITERAL.fullmatch(self.source)
        return None if found is None else found[1] or found[2] or ""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that a shape has of its own, such as a role."""

    value: str | None


Value = Path | Text | Constant


def value_document(value: Path | Text) -> str:
    """The value as its author wrote it."""
    return value.text if isinstance(value, Path) else value.source


def is_jinja(text: str) -> bool:
    """Whether a text is for Jinja2."""
    return _JINJA.search(text) is not None


def as_condition(text: str) -> str:
    """The Jinja2 source of a condition, which may be written as an expression alone."""
    return text if is_jinja(text) else f"{{{{ {text} }}}}"


def is_path(text: str) -> bool:
    """Whether a text has the form of a dotted path."""
    return _PATH.fullmatch(text) is not None


def as_constant(text: str) -> str:
    """How an author writes `text` as a constant."""
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"
