"""Reads the document of a template field by field, and collects each problem with its place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from runtime.domain.checks.check import NO_CHECKS
from runtime.domain.checks.known import Known
from runtime.domain.checks.reading import read_checks
from runtime.domain.fields import (
    ID_PROBLEM,
    MAX_NAME_CHARACTERS,
    MAX_OUTPUT_TOKENS,
    is_id,
    number_field,
    refuse_unknown,
    text_field,
)
from runtime.domain.outputs.defaults import default_output
from runtime.domain.outputs.paths import Paths
from runtime.domain.outputs.reading import read_output
from runtime.domain.outputs.shape import RECORDS, Output
from runtime.domain.outputs.split import Split, read_split
from runtime.domain.outputs.types import Type
from runtime.domain.samplers.reading import read_samplers
from runtime.domain.templates.conversation import read_messages, read_stop, read_when
from runtime.domain.templates.output_schema import schema_problem
from runtime.domain.templates.template import (
    DEFAULT_MAX_TOKENS,
    OnTruncation,
    Step,
    Template,
    paths_of,
)

MAX_STEPS: Final = 50
MAX_FRAGMENTS: Final = 50
MAX_BATCH: Final = 100
"""Seeds of one record."""
MAX_PROBLEMS: Final = 20
"""Problems that are told at once: whoever has more begins with these."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PATH: Final = re.compile(r"[^\s.]+(?: [^\s.]+)*(?:\.[^\s.]+(?: [^\s.]+)*)*")
TEMPLATE_FIELDS: Final = frozenset(
    {
        "name",
        "description",
        "schema_requirements",
        "samplers",
        "product",
        "steps",
        "checks",
        "keep_prompts",
        "keep_reasoning",
        "fragments",
        "output",
        "split",
        "batch_of",
    }
)
STEP_FIELDS: Final = frozenset(
    {
        "id",
        "prompt",
        "when",
        "messages",
        "model",
        "model_tier",
        "system",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "output_schema",
        "on_truncation",
    }
)


@dataclass(kw_only=True, slots=True)
class Form:
    """Reads a document field by field and collects each problem with its place."""

    problems: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, place: str, problem: str) -> None:
        if not self.full:
            self.problems.append((place, problem))

    @property
    def full(self) -> bool:
        """Whether enough is told."""
        return len(self.problems) >= MAX_PROBLEMS

    def template(self, document: object) -> Template | None:
        if not isinstance(document, Mapping):
            self.refuse("", "a template is a mapping with name and steps")
            return None
        refuse_unknown("the template", document, self.refuse, TEMPLATE_FIELDS)
        name = text_field(
            "the template", document, self.refuse, "name", required=True, limit=MAX_NAME_CHARACTERS
        )
        if name is not None and _CONTROL.search(name):
            self.refuse("the template", "name must be one line without control characters")
        problems = len(self.problems)
        steps = self._steps(document)
        samplers = read_samplers(document.get("samplers"), document.get("product"), self.refuse)
        keep_reasoning = self._flag(document, "keep_reasoning")
        batch_of = number_field(
            "the template", document, self.refuse, "batch_of", 1, MAX_BATCH, whole=True
        )
        if batch_of is not None and samplers.multiplies_seeds:
            self.refuse(
                "product", "seed can't be multiplied with batch_of: a record has several seeds"
            )
        # What is said of steps and samplers that can't be read would be wrong.
        make_paths = partial(
            paths_of,
            steps,
            keep_reasoning=keep_reasoning,
            keep_prompts=document.get("keep_prompts") is True,
            batch=batch_of is not None,
            samplers=samplers,
        )
        known = Known(paths=make_paths(), samples=samplers.values())
        # Rows may read scores, and checks may read rows: what is wrong with these is told below.
        readable = len(self.problems) == problems
        scored = NO_CHECKS
        if readable:
            scored = read_checks(document.get("checks"), known, lambda _place, _problem: None)
        paths = make_paths(checks=scored)
        output = self._output(document.get("output"), paths) if readable else None
        known = Known(paths=paths, samples=samplers.values(), output=output)
        checks = read_checks(document.get("checks"), known, self.refuse) if readable else NO_CHECKS
        return Template(
            name=name or "",
            description=text_field("the template", document, self.refuse, "description", empty=True)
            or "",
            schema_requirements=self._requirements(document),
            steps=steps,
            keep_prompts=self._flag(document, "keep_prompts"),
            keep_reasoning=keep_reasoning,
            fragments=self._fragments(document),
            output=output or RECORDS,
            output_declared=document.get("output") is not None,
            split=self._split(
                document.get("split"), samples=samplers.types(), batch=batch_of is not None
            ),
            batch_of=None if batch_of is None else int(batch_of),
            samplers=samplers,
            checks=checks,
        )

    def _split(self, document: object, *, samples: Mapping[str, Type], batch: bool) -> Split | None:
        split = read_split(document, self.refuse, samples=samples)
        if batch and split is not None and split.by is not None and not split.by.is_sample:
            self.refuse("split", "with batch_of a record has several seeds: leave out by")
        return split

    def _output(self, document: object, paths: Paths) -> Output | None:
        if document is None:
            return default_output(paths)
        return read_output(document, paths, self.refuse)

    def _steps(self, document: Mapping[object, object]) -> tuple[Step, ...]:
        steps = document.get("steps")
        if not isinstance(steps, (list, tuple)) or not 1 <= len(steps) <= MAX_STEPS:
            self.refuse("steps", f"list 1 to {MAX_STEPS} steps")
            return ()
        parsed = tuple(self._step(number, step) for number, step in enumerate(steps, start=1))
        ids = [step.id for step in parsed]
        for each in sorted({each for each in ids if each and ids.count(each) > 1}):
            self.refuse("steps", f'step id "{each}" is used {ids.count(each)} times: rename one')
        return parsed

    def _step(self, number: int, document: object) -> Step:
        place = f"step {number}"
        if not isinstance(document, Mapping):
            self.refuse(place, "a step is a mapping with id and prompt")
            return Step(id="", prompt="")
        refuse_unknown(place, document, self.refuse, STEP_FIELDS)
        step_id = text_field(place, document, self.refuse, "id", required=True)
        if step_id is not None:
            if not is_id(step_id):
                self.refuse(f"{place}, id", ID_PROBLEM)
            else:
                place = f'step "{step_id}"'
        model = text_field(place, document, self.refuse, "model", limit=MAX_NAME_CHARACTERS)
        tier = text_field(place, document, self.refuse, "model_tier", limit=MAX_NAME_CHARACTERS)
        if model is not None and tier is not None:
            self.refuse(place, "set model or model_tier, not both")
        limit = number_field(
            place, document, self.refuse, "max_tokens", 1, MAX_OUTPUT_TOKENS, whole=True
        )
        return Step(
            id=step_id or "",
            prompt=text_field(place, document, self.refuse, "prompt", required=True) or "",
            when=read_when(place, document.get("when"), self.refuse),
            messages=read_messages(place, document.get("messages"), self.refuse),
            model=model,
            model_tier=tier,
            system=text_field(place, document, self.refuse, "system"),
            max_tokens=DEFAULT_MAX_TOKENS if limit is None else int(limit),
            temperature=number_field(place, document, self.refuse, "temperature", 0, 2),
            top_p=number_field(place, document, self.refuse, "top_p", 0, 1),
            stop=read_stop(place, document.get("stop"), self.refuse),
            output_schema=self._schema(place, document.get("output_schema")),
            on_truncation=self._on_truncation(place, document.get("on_truncation")),
        )

    def _flag(self, document: Mapping[object, object], name: str) -> bool:
        value = document.get(name, False)
        if not isinstance(value, bool):
            self.refuse("the template", f"{name} must be true or false")
        return value is True

    def _requirements(self, document: Mapping[object, object]) -> tuple[str, ...]:
        value = document.get("schema_requirements")
        if value is None:
            return ()
        if isinstance(value, (list, tuple)) and all(
            isinstance(path, str) and _PATH.fullmatch(path) for path in value
        ):
            return tuple(sorted(set(value)))
        self.refuse("schema_requirements", "list dotted paths, such as author.name")
        return ()

    def _fragments(self, document: Mapping[object, object]) -> dict[str, str]:
        value = document.get("fragments")
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            value = {"": None}
        fragments = {
            name: source
            for name, source in value.items()
            if isinstance(name, str) and isinstance(source, str)
        }
        if len(fragments) != len(value) or len(fragments) > MAX_FRAGMENTS:
            self.refuse("fragments", f"map at most {MAX_FRAGMENTS} names to their text")
        return fragments

    def _on_truncation(self, place: str, value: object) -> OnTruncation:
        if value is None:
            return OnTruncation.KEEP
        if value not in list(OnTruncation):
            self.refuse(place, f"on_truncation must be one of {', '.join(OnTruncation)}")
            return OnTruncation.KEEP
        return OnTruncation(str(value))

    def _schema(self, place: str, value: object) -> Mapping[str, object] | None:
        if value is None:
            return None
        problem = schema_problem(value)
        if problem is not None or not isinstance(value, Mapping):
            self.refuse(place, f"output_schema {problem}")
            return None
        return value
