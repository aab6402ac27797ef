"""A template as the plain document (YAML or JSON) that users write and stores keep, and back."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from runtime.domain.errors import TemplateError
from runtime.domain.fields import is_number, is_text
from runtime.domain.hints import hint_for
from runtime.domain.templates.measure import MAX_DOCUMENT_BYTES, measure
from runtime.domain.templates.output_schema import schema_problem
from runtime.domain.templates.template import DEFAULT_MAX_TOKENS, OnTruncation, Step, Template

if TYPE_CHECKING:
    from runtime.domain.templates.check import Findings

MAX_STEPS: Final = 50
MAX_FRAGMENTS: Final = 50
MAX_OUTPUT_TOKENS: Final = 200_000
MAX_NAME_CHARACTERS: Final = 200
MAX_PROBLEMS: Final = 20
"""Problems that are told at once: whoever has more begins with these."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STEP_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_PATH: Final = re.compile(r"[^\s.]+(?: [^\s.]+)*(?:\.[^\s.]+(?: [^\s.]+)*)*")
_TEMPLATE_FIELDS: Final = frozenset(
    {
        "name",
        "description",
        "schema_requirements",
        "steps",
        "keep_prompts",
        "keep_reasoning",
        "fragments",
    }
)
_STEP_FIELDS: Final = frozenset(
    {
        "id",
        "prompt",
        "model",
        "model_tier",
        "system",
        "max_tokens",
        "temperature",
        "output_schema",
        "on_truncation",
    }
)


def parse_template(document: object) -> Template:
    """Validate a document and check its prompts.

    Without `schema_requirements` every seed path that a prompt reads is required, also in a branch
    that not every record takes; an author who means less lists the paths.

    Raises `TemplateError`: the problems of shape at once, `MAX_PROBLEMS` at most, or else the first
    one of a prompt.
    """
    measure(document)
    form = _Form()
    template = form.template(document)
    if form.problems or template is None:
        raise TemplateError(
            "; ".join(": ".join(part for part in each if part) for each in form.problems),
            problems=form.problems,
        )
    findings = _check(template.steps, template.fragments)
    declared = isinstance(document, Mapping) and document.get("schema_requirements") is not None
    requirements = template.schema_requirements if declared else findings.requirements
    return replace(
        template,
        schema_requirements=requirements,
        includes=findings.includes,
        requirements_declared=declared,
    )


def recheck(document: object) -> Template:
    """A document that always lists its requirements, and so doesn't say whether its author
    declared them: those that the prompts read count as derived. Raises `TemplateError`.
    """
    template = parse_template(document)
    derived = _check(template.steps, template.fragments).requirements
    return replace(
        template,
        requirements_declared=template.requirements_declared
        and template.schema_requirements != derived,
    )


def document_of(template: Template) -> dict[str, Any]:
    """Inverse of `parse_template`: requirements that were derived are left to be derived again.
    Fragments are in it, so that it is complete.
    """
    document = complete_document(template)
    if not template.requirements_declared:
        del document["schema_requirements"]
    return document


def complete_document(template: Template) -> dict[str, Any]:
    """The document with everything that follows from it written out, as readers see it."""
    document: dict[str, Any] = {
        "name": template.name,
        "description": template.description,
        "schema_requirements": list(template.schema_requirements),
        "steps": [_step_document(step) for step in template.steps],
        "keep_prompts": template.keep_prompts,
    }
    if template.keep_reasoning:
        document["keep_reasoning"] = True
    if template.fragments:
        document["fragments"] = dict(template.fragments)
    return document


def resolve_includes(template: Template, load: Callable[[str], str]) -> Template:
    """`template` with the source of everything it includes, and what those sources require.

    `load` gives the Jinja2 source for a name, and raises `TemplateNotFoundError` if there is none;
    it is asked once a name. Requirements that the author declared stay as they are. Raises
    `TemplateError`, which shows the chain of includes where that is a cycle or too deep.
    """
    if all(name in template.fragments for name in template.includes):
        return template
    fragments = dict(template.fragments)
    findings = _check(template.steps, fragments)
    while missing := [name for name in findings.includes if name not in fragments]:
        if len(fragments) + len(missing) > MAX_FRAGMENTS:
            raise TemplateError(f"a template includes {MAX_FRAGMENTS} fragments at most")
        fragments.update((name, load(name)) for name in missing)
        measure(complete_document(replace(template, fragments=fragments)))
        # This check ends a cycle or a chain that is too deep, so the loop ends too.
        findings = _check(template.steps, fragments)
    declared = template.requirements_declared
    return replace(
        template,
        schema_requirements=template.schema_requirements if declared else findings.requirements,
        includes=findings.includes,
        fragments=fragments,
    )


def _check(steps: Sequence[Step], fragments: Mapping[str, str]) -> "Findings":
    """`check_template`, with Jinja2 imported on first use: whoever only lists or hands on templates
    starts without it.
    """
    from runtime.domain.templates.check import check_template  # noqa: PLC0415 see above

    return check_template(steps, fragments)


def _step_document(step: Step) -> dict[str, Any]:
    kept = step.on_truncation is OnTruncation.KEEP
    optional = {
        "model": step.model,
        "model_tier": step.model_tier,
        "system": step.system,
        "temperature": step.temperature,
        "output_schema": step.output_schema,
        "on_truncation": None if kept else step.on_truncation.value,
    }
    return {
        "id": step.id,
        "prompt": step.prompt,
        "max_tokens": step.max_tokens,
        **{name: value for name, value in optional.items() if value is not None},
    }


@dataclass(kw_only=True, slots=True)
class _Form:
    """Reads a document field by field and collects each problem with its place."""

    problems: list[tuple[str, str]] = field(default_factory=list)

    def _refuse(self, place: str, problem: str) -> None:
        if not self.full:
            self.problems.append((place, problem))

    @property
    def full(self) -> bool:
        """Whether enough is told."""
        return len(self.problems) >= MAX_PROBLEMS

    def template(self, document: object) -> Template | None:
        if not isinstance(document, Mapping):
            self._refuse("", "a template is a mapping with name and steps")
            return None
        self._unknown("the template", document, _TEMPLATE_FIELDS)
        name = self._text(
            "the template", document, "name", required=True, limit=MAX_NAME_CHARACTERS
        )
        if name is not None and _CONTROL.search(name):
            self._refuse("the template", "name must be one line without control characters")
        return Template(
            name=name or "",
            description=self._text("the template", document, "description", empty=True) or "",
            schema_requirements=self._requirements(document),
            steps=self._steps(document),
            keep_prompts=self._flag(document, "keep_prompts"),
            keep_reasoning=self._flag(document, "keep_reasoning"),
            fragments=self._fragments(document),
        )

    def _steps(self, document: Mapping[object, object]) -> tuple[Step, ...]:
        steps = document.get("steps")
        if not isinstance(steps, (list, tuple)) or not 1 <= len(steps) <= MAX_STEPS:
            self._refuse("steps", f"list 1 to {MAX_STEPS} steps")
            return ()
        parsed = tuple(self._step(number, step) for number, step in enumerate(steps, start=1))
        ids = [step.id for step in parsed]
        for each in sorted({each for each in ids if each and ids.count(each) > 1}):
            self._refuse("steps", f'step id "{each}" is used {ids.count(each)} times: rename one')
        return parsed

    def _step(self, number: int, document: object) -> Step:
        place = f"step {number}"
        if not isinstance(document, Mapping):
            self._refuse(place, "a step is a mapping with id and prompt")
            return Step(id="", prompt="")
        self._unknown(place, document, _STEP_FIELDS)
        step_id = self._text(place, document, "id", required=True)
        if step_id is not None:
            if _STEP_ID.fullmatch(step_id) is None:
                self._refuse(f"{place}, id", "use a letter, then up to 63 letters, digits or _")
            else:
                place = f'step "{step_id}"'
        model = self._text(place, document, "model", limit=MAX_NAME_CHARACTERS)
        tier = self._text(place, document, "model_tier", limit=MAX_NAME_CHARACTERS)
        if model is not None and tier is not None:
            self._refuse(place, "set model or model_tier, not both")
        limit = self._number(place, document, "max_tokens", 1, MAX_OUTPUT_TOKENS, whole=True)
        return Step(
            id=step_id or "",
            prompt=self._text(place, document, "prompt", required=True) or "",
            model=model,
            model_tier=tier,
            system=self._text(place, document, "system"),
            max_tokens=DEFAULT_MAX_TOKENS if limit is None else int(limit),
            temperature=self._number(place, document, "temperature", 0, 1),
            output_schema=self._schema(place, document.get("output_schema")),
            on_truncation=self._on_truncation(place, document.get("on_truncation")),
        )

    def _unknown(
        self, place: str, document: Mapping[object, object], known: frozenset[str]
    ) -> None:
        for name in document:
            if self.full:
                return
            if name not in known:
                shown = str(name)[:MAX_NAME_CHARACTERS]
                hint = hint_for(shown, known)
                self._refuse(place, f'unknown field "{shown}"{hint}')

    def _text(
        self,
        place: str,
        document: Mapping[object, object],
        name: str,
        *,
        required: bool = False,
        empty: bool = False,
        limit: int = MAX_DOCUMENT_BYTES,
    ) -> str | None:
        value = document.get(name)
        if value is None and not required:
            return None
        if not isinstance(value, str) or not is_text(value, empty=empty, limit=limit):
            kind = "a text" if empty else "a text that is not empty"
            most = f" of at most {limit} characters" if limit < MAX_DOCUMENT_BYTES else ""
            problem = "is missing: give it" if name not in document else "must be"
            self._refuse(place, f"{name} {problem} {kind}{most}")
            return None
        return value

    def _number(
        self,
        place: str,
        document: Mapping[object, object],
        name: str,
        low: int,
        high: int,
        *,
        whole: bool = False,
    ) -> float | None:
        value = document.get(name)
        if value is None:
            return None
        if not isinstance(value, (int, float)) or not is_number(
            value, low=low, high=high, whole=whole
        ):
            kind = "a whole number" if whole else "a number"
            self._refuse(place, f"{name} must be {kind} from {low} to {high}")
            return None
        return value if whole else float(value)

    def _flag(self, document: Mapping[object, object], name: str) -> bool:
        value = document.get(name, False)
        if not isinstance(value, bool):
            self._refuse("the template", f"{name} must be true or false")
        return value is True

    def _requirements(self, document: Mapping[object, object]) -> tuple[str, ...]:
        value = document.get("schema_requirements")
        if value is None:
            return ()
        if isinstance(value, (list, tuple)) and all(
            isinstance(path, str) and _PATH.fullmatch(path) for path in value
        ):
            return tuple(sorted(set(value)))
        self._refuse("schema_requirements", "list dotted paths, such as author.name")
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
            self._refuse("fragments", f"map at most {MAX_FRAGMENTS} names to their text")
        return fragments

    def _on_truncation(self, place: str, value: object) -> OnTruncation:
        if value is None:
            return OnTruncation.KEEP
        if value not in list(OnTruncation):
            self._refuse(place, f"on_truncation must be one of {', '.join(OnTruncation)}")
            return OnTruncation.KEEP
        return OnTruncation(str(value))

    def _schema(self, place: str, value: object) -> Mapping[str, object] | None:
        if value is None:
            return None
        problem = schema_problem(value)
        if problem is not None or not isinstance(value, Mapping):
            self._refuse(place, f"output_schema {problem}")
            return None
        return value
