"""Which paths a template's records have, and what type stands at each."""

from collections.abc import Mapping
from typing import Any, Final

from runtime.domain.hints import hint_for
from runtime.domain.outputs.schemas import SchemaTypes
from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type
from runtime.domain.outputs.values import RECORD_FIELDS, ROOTS, STEP_FIELDS, Path, as_constant

_TURNS: Final = ListOf(Struct((("role", Scalar.STRING), ("content", Scalar.STRING))))
"""The turns before a prompt."""
_SHOWN_NAMES: Final = 8
_SHOWN_CHARACTERS: Final = 80
_STEP_PARTS: Final = 3


class PathError(ValueError):
    """There is no such path; the message says what there is."""


class Paths:
    """The paths of records whose steps have these output schemas, None where there is none.
    `reasoning` and `prompts` say whether records keep them. Types of seed fields and of samples are
    those that are handed in. Records of a `batch` have several seeds, into which no path leads.
    """

    def __init__(
        self,
        steps: Mapping[str, Mapping[str, Any] | None],
        *,
        reasoning: bool = True,
        prompts: bool = True,
        samples: Mapping[str, Type] | None = None,
        seeds: Mapping[str, Type] | None = None,
        batch: bool = False,
        scores: Mapping[str, Type] | None = None,
        rejects: bool = False,
    ) -> None:
        self._schemas = {
            step: None if schema is None else SchemaTypes(schema) for step, schema in steps.items()
        }
        self._kept = {"reasoning": reasoning} | dict.fromkeys(
            ("prompt", "system", "messages"), prompts
        )
        self._samples = samples or {}
        self._seeds = seeds or {}
        self._batch = batch
        self._scores = scores or {}
        self.rejects: Final = rejects
        """Whether a record may have rejected tries beside it."""

    @property
    def steps(self) -> Mapping[str, SchemaTypes | None]:
        """The schema of each step, in their order."""
        return self._schemas

    @property
    def scores(self) -> Mapping[str, Type]:
        """The type at each judge's verdict, in their order."""
        return self._scores

    @property
    def samples(self) -> Mapping[str, Type]:
        """The type of each sample, in their order."""
        return self._samples

    def type_of(self, path: Path) -> Type:
        """The type at a path, json for a seed field of no known type. Raises `PathError`."""
        parts = path.parts
        match parts[0]:
            case "steps":
                return self._in_step(parts)
            case "seed":
                if len(parts) > 1 and parts[1] == "id" and parts != ("seed", "id"):
                    raise PathError(f'"{_shown(path.text)}": seed.id is a text and has no parts')
                if not path.is_seed_field:
                    return Scalar.STRING
                if self._batch:
                    field = ".".join(("seeds[0]", *parts[1:]))
                    raise PathError(
                        f'"{_shown(path.text)}": with batch_of a record has several seeds: write a'
                        f" text such as {{{{ {_shown(field)} }}}}"
                    )
                return self._seeds.get(".".join(parts[1:]), Scalar.JSON)
            case "samples" | "checks" as root:
                return self._in_named(root, path)
            case "record" if len(parts) == 2 and parts[1] in RECORD_FIELDS:  # noqa: PLR2004 - root and name
                return Scalar.INT64 if parts[1] == "index" else Scalar.STRING
            case "record":
                raise PathError("a record has record.id and record.index")
        text = _shown(path.text)
        raise PathError(
            f'"{text}" is no path{hint_for(parts[0], ROOTS)}: a path begins with steps., seed. or'
            f" record.; a constant text is written {as_constant(text)}"
        )

    def _in_named(self, root: str, path: Path) -> Type:
        """Of samples, and of what judges say."""
        what, types = ("sampler", self._samples) if root == "samples" else ("judge", self._scores)
        if not types:
            raise PathError(f'"{_shown(path.text)}" is no path: the template has no {what}s')
        return _inside(root, what, types, path.parts)

    def _in_step(self, parts: tuple[str, ...]) -> Type:
        known = ", ".join(self._schemas)
        if len(parts) < _STEP_PARTS - 1:
            raise PathError(f"write steps.<id>.output; the steps are {known}")
        step, inner = parts[1], parts[_STEP_PARTS:]
        if step not in self._schemas:
            hint = hint_for(step, self._schemas)
            raise PathError(f'there is no step "{_shown(step)}"{hint}; the steps are {known}')
        name = parts[2] if len(parts) >= _STEP_PARTS else ""
        if name not in STEP_FIELDS or (name in self._kept and inner):
            raise PathError(f"write steps.{step}.output{hint_for(name, STEP_FIELDS)}")
        if name in self._kept:
            if not self._kept[name]:
                option = "keep_reasoning" if name == "reasoning" else "keep_prompts"
                raise PathError(f"steps.{step}.{name} needs {option}: true")
            return _TURNS if name == "messages" else Scalar.STRING
        schema = self._schemas[step]
        if schema is None:
            if inner:
                raise PathError(
                    f'step "{step}" has no output_schema, so its output is one text: write'
                    f" steps.{step}.output"
                )
            return Scalar.STRING
        try:
            return schema.type_at(inner)
        except LookupError as exc:
            place, names = exc.args
            raise PathError(_no_property(step, place, names)) from None


def _inside(root: str, what: str, types: Mapping[str, Type], parts: tuple[str, ...]) -> Type:
    """The type at a path below what is named in `types`, which are called `what`."""
    known = ", ".join(types)
    if len(parts) == 1:
        raise PathError(f"write {root}.<name>; the {what}s are {known}")
    name, *inner = parts[1:]
    if name not in types:
        hint = hint_for(name, types)
        raise PathError(f'there is no {what} "{_shown(name)}"{hint}; the {what}s are {known}')
    kind = types[name]
    for part in inner:
        fields = dict(kind.fields) if isinstance(kind, Struct) else {}
        if part not in fields:
            there = f"it has {', '.join(fields)}" if fields else "it has no parts"
            raise PathError(
                f'{root}.{name} has no "{_shown(part)}"{hint_for(part, fields)}; {there}'
            )
        kind = fields[part]
    return kind


def _no_property(step: str, place: str, names: list[str]) -> str:
    *above, name = place.split(".")
    holder = ".".join(("steps", step, "output", *above))
    shown = ", ".join(map(_shown, names[:_SHOWN_NAMES])) + (
        ", …" if len(names) > _SHOWN_NAMES else ""
    )
    there = f"it has {shown}" if names else "it has no parts that a path can name"
    return f'{_shown(holder)} has no "{_shown(name)}"{hint_for(name, names)}; {there}'


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
