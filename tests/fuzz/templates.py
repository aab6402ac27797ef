"""Template files and their prompts: a checked template that renders and means the same once it is
stored, or a refusal of one line.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from runtime.domain.errors import RenderError, TemplateError
from runtime.domain.outputs.fitting import fitter
from runtime.domain.outputs.shape import Shape
from runtime.domain.templates.document import document_of, parse_template, resolve_includes
from runtime.domain.templates.policy import ALLOWED_FILTERS, ALLOWED_METHODS, ALLOWED_TESTS
from runtime.domain.templates.storage import parse_stored, stored_text
from runtime.domain.templates.template import WHEN, Template
from runtime.domain.templates.text import parse_text, render_yaml
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine
from runtime.engine.row_sample import sample_row
from runtime.engine.seeds import as_seen, seed_types
from tests.fuzz import outputs, words
from tests.fuzz.case import Case, demand, one_line, pick

RENDER_SECONDS: Final = 0.3
_INSIDE: Final = re.compile(
    r"<(?:class|function|built-in|bound method|module|generator|object|Undefined|jinja2)\b| at 0x"
)
"""What Python writes for its own objects: no prompt may hold it that the template doesn't hold."""
_DEFECT: Final = re.compile(
    r"\b(?:ImportError|ModuleNotFoundError|OSError|PermissionError|SystemError"
    r"|NameError|UnboundLocalError)$"
)
"""Errors that are nobody's template."""


class Templates:
    """Reads, stores and renders through what commands and the API use."""

    name = "templates"

    def __init__(self) -> None:
        self._engine = TemplateEngine(render_seconds=RENDER_SECONDS)

    def close(self) -> None:
        self._engine.close()

    # ── making ─────────────────────────────────────────────────────────────────────────────────

    def make(self, rng: Random) -> Case:
        """A template file and a seed."""
        text = file_text(rng)
        seed = {name: words.value(rng, 2) for name in rng.sample(_NAMES, k=3)}
        return {"text": text, "seed": seed}

    # ── checking ───────────────────────────────────────────────────────────────────────────────

    def check(self, case: Case) -> str:
        """From the file to the prompts of a record."""
        try:
            template = resolve_includes(parse_template(parse_text(str(case["text"]))), _no_fragment)
        except TemplateError as error:
            one_line(str(error))
            return "refused"
        _check_stored(template)
        given = case["seed"] if isinstance(case["seed"], dict) else {}
        seed = dict(as_seen([given], template.batch_of))
        requests = [
            RenderRequest(step_id=step.id, part=part, index=1, seed=seed, entropy=5)
            for step in template.steps[:3]
            for part in [name for name, _ in step.sources()] + [WHEN] * (step.when is not None)
        ]
        try:
            self._engine.load(template)
        except TemplateError as error:
            demand("memory" in str(error), f"checked, and then: {error}")
            return "too large"
        held = stored_text(template) + json.dumps(seed)
        for each in self._engine.execute_template(requests):
            if isinstance(each, RenderError):
                one_line(str(each))
                demand(_DEFECT.search(str(each)) is None, f"a prompt ended with {each}")
            else:
                found = _INSIDE.search(each)
                demand(found is None or found[0] in held, "a prompt shows an object of Python")
        _check_row(self._engine, template, seed, held)
        return "rendered"


def _check_row(engine: TemplateEngine, template: Template, seed: dict[str, Any], held: str) -> None:
    """A row has the columns that it says, or there is a reason in one line."""
    sample = sample_row(engine, template, seed, seeds=seed_types([seed], template.output))
    if sample.problem is not None:
        one_line(sample.problem)
        demand(_DEFECT.search(sample.problem) is None, f"a row ended with {sample.problem}")
    elif template.output.shape is not Shape.RECORDS:
        demand(sample.row is not None, "neither a row nor a problem")
        row = sample.row or {}
        demand(list(row) == list(sample.columns), "a row has other columns than it says")
        for name, kind in sample.columns.items():
            demand(fitter(kind)(row[name]) == row[name], f"{name} does not fit its column")
        found = _INSIDE.search(json.dumps(row, ensure_ascii=False))
        demand(found is None or found[0] in held, "a row shows an object of Python")


def _no_fragment(_name: str) -> str:
    raise TemplateError("no such fragment")


def _check_stored(template: Template) -> None:
    """The file that is written of it, and what a store keeps, are the same template."""
    document = document_of(template)
    demand(parse_template(parse_text(render_yaml(document))) == template, "its YAML is another one")
    demand(parse_stored(stored_text(template)) == template, "what is stored is another one")


# ── files ──────────────────────────────────────────────────────────────────────────────────────

_NAMES: Final = ("a", "b", "c", "größe", "名前", "\u017f", "x1", "items")
_READ: Final = (*_NAMES * 3, "seed", "seeds[0]", "index", "loop", "steps", "self")
_DUNDERS: Final = ("__class__", "__mro__", "__globals__", "_x", "format", "func_globals", "mro")


def file_text(rng: Random) -> str:
    """The text of a template file."""
    text = str(pick(rng, (12, lambda: _file(rng)), (3, lambda: _odd_yaml(rng))))
    return words.change_text(rng, text) if rng.random() < 0.2 else text


def _file(rng: Random) -> str:
    made = document(rng)
    if rng.random() < 0.05:
        made = words.change(rng, made)
    if rng.random() < 0.2:
        return json.dumps(made)
    try:
        return yaml.safe_dump(made, allow_unicode=rng.random() < 0.5, width=80)
    except (yaml.YAMLError, RecursionError):
        return json.dumps(made)


def document(rng: Random) -> dict[str, Any]:
    """A template as a document."""
    steps = [_step(rng, number) for number in range(1 + words.short(rng) // 4)]
    found: dict[str, Any] = {"name": words.word(rng) + "n", "steps": steps}
    extras: Mapping[str, Callable[[], Any]] = {
        "description": lambda: words.text(rng),
        "schema_requirements": lambda: [words.name(rng) for _ in range(words.short(rng) // 2)],
        "keep_prompts": lambda: rng.random() < 0.5,
        "keep_reasoning": lambda: rng.random() < 0.5,
        "split": lambda: {words.name(rng): rng.choice((0.1, 0, words.number(rng)))},
        "batch_of": lambda: rng.choice((1, 2, 100, words.number(rng))),
        words.name(rng): lambda: words.value(rng),
    }
    for name, make in extras.items():
        if rng.random() < (0.1 if name == "description" else 0.02):
            found[name] = make()
    if rng.random() < 0.3:
        found["output"] = outputs.output(rng, _NAMES, _prompt)
    if "include 'f'" in str(steps) or rng.random() < 0.02:
        found["fragments"] = {"f": _prompt(rng)}
    return found


def _step(rng: Random, number: int) -> dict[str, Any]:
    step: dict[str, Any] = {"id": f"s{number}", "prompt": _prompt(rng)}
    extras: Mapping[str, Callable[[], Any]] = {
        "system": lambda: _prompt(rng),
        "when": lambda: rng.choice(
            (_prompt(rng), "index > 1", "seeds[0].a", True, words.text(rng))
        ),
        "messages": lambda: _messages(rng),
        "stop": lambda: [words.text(rng) for _ in range(words.short(rng))],
        "max_tokens": lambda: rng.choice((1, 50, words.number(rng))),
        "temperature": lambda: rng.choice((0, 0.5, words.number(rng))),
        "model_tier": lambda: rng.choice(("small", "medium", "")),
        "output_schema": lambda: {"type": "object", "properties": {"a": words.value(rng, 1)}},
        "on_truncation": lambda: rng.choice(("keep", "fail", "retry", "x")),
        words.name(rng): lambda: words.value(rng),
    }
    for name, make in extras.items():
        if rng.random() < 0.06:
            step[name] = make()
    return step


def _messages(rng: Random) -> Any:
    turns = [
        {"role": role, "content": _prompt(rng)}
        for _ in range(1 + words.short(rng) // 4)
        for role in ("user", "assistant")
    ]
    return words.change(rng, turns) if rng.random() < 0.2 else turns


def _odd_yaml(rng: Random) -> str:
    """YAML that could build something else than JSON."""
    scalar = pick(
        rng,
        (4, lambda: f"{rng.choice(_TAGS)} {rng.choice(_SCALARS)}"),
        (4, lambda: rng.choice(_SCALARS)),
        (2, lambda: ":".join(["1"] + ["59"] * rng.choice((1, 2, 150_000)))),
        (1, lambda: rng.choice("123456789") * words.many(rng)),
        (1, lambda: f"&a [{rng.choice(_SCALARS)}, *a]"),
        (1, lambda: "{" + ", ".join(f"k{n}: {n}" for n in range(words.many(rng))) + "}"),
    )
    shape = rng.choice(
        (
            "name: {}\nsteps: [{{id: a, prompt: x}}]\n",
            "name: n\nsteps:\n- id: a\n  prompt: x\n  temperature: {}\n",
            "name: n\ndescription: |\n  x\nsteps:\n- {{id: a, prompt: x, max_tokens: {}}}\n",
            "{}: n\n",
            "- {}\n",
            "? {}\n: 1\n",
            "<<: {}\n",
            "--- {}\n--- 1\n",
        )
    )
    return str(shape.format(scalar))


_TAGS: Final = (
    *("!!int", "!!float", "!!bool", "!!timestamp", "!!binary", "!!set", "!!omap", "!!null"),
    *("!!python/object:os.system", "!!python/name:os.system", "!x", "!", "!!str", "!<tag:x>"),
)
_SCALARS: Final = (
    *("''", "x", "1", "0o7", "0b_", "0x_", "1:30", "1_000", ".inf", ".nan", "-.5e+3", "~", "yes"),
    *("2026-02-03", "0000-01-01", "2001-12-14t21:59:43 +99:99", "2026-13-45", "=", "[]", "{}"),
    *('"\\ud800"', '"\\x00"', "'\x1b'", "[1, {a: 2}]", "!!str 5", "|\n  x", ">-\n  y", "\ufeff"),
)


# ── prompts ────────────────────────────────────────────────────────────────────────────────────


def _prompt(rng: Random) -> str:
    parts = [_statement(rng, 3) for _ in range(1 + words.short(rng) // 2)]
    if rng.random() < 0.03:
        # Many of a kind, each a little different: what is compared with each other shows here.
        form = rng.choices(_REPEATED, (5, 1, 1, 1, 1, 1))[0]
        parts += [form.format(n=number) for number in range(rng.choice((21, 2_800, 4_500, 4_500)))]
    return "".join(parts)


_REPEATED: Final = (
    "{{{{ a{n} }}}}{{{{ b{n} is defined }}}}",
    "{{{{ a.b{n} }}}}{{% if a.c{n} is defined %}}{{% endif %}}",
    "{{% set v{n} = a %}}",
    "{{{{ v{n}|default(a{n}) }}}}",
    "{{% include 'f' %}}",
    "{{# {n} #}}",
)


def _statement(rng: Random, depth: int) -> str:
    def inner() -> str:
        return _statement(rng, depth - 1) if depth else words.word(rng)

    def loop() -> str:
        over = rng.choice((_value(rng, 1), f"range({words.number(rng)})", "range(9999)", "seed"))
        return (
            f"{{% for {rng.choice(_NAMES)} in {over} %}}{inner()}{{{{ loop.index }}}}{{% endfor %}}"
        )

    def condition() -> str:
        return f"{{% if {_value(rng, 2)} %}}{inner()}{{% else %}}{inner()}{{% endif %}}"

    statement: str = pick(
        rng,
        (6, lambda: words.word(rng)),
        (1, lambda: words.text(rng)),
        (8, lambda: f"{{{{ {_value(rng, 2)} }}}}"),
        (3, loop),
        (3, condition),
        (2, lambda: f"{{% set {rng.choice(_NAMES)} = {_value(rng, 2)} %}}"),
        (1, lambda: f"{{% include {rng.choice(('f', 'f', 'x'))!r} %}}"),
        (1, lambda: f"{{% filter upper %}}{inner()}{{% endfilter %}}"),
        (0.2, lambda: f"{{% macro m(x) %}}{inner()}{{% endmacro %}}{{{{ m(1) }}}}"),
        (1, lambda: f"{{% raw %}}{inner()}{{% endraw %}}"),
    )
    return statement


def _value(rng: Random, depth: int) -> str:
    def inner() -> str:
        return _value(rng, depth - 1) if depth else rng.choice(_READ)

    def attribute() -> str:
        odd = rng.random() < 0.05
        return f"{inner()}.{rng.choice(_DUNDERS if odd else _NAMES)}"

    def called() -> str:
        return f"{inner()}.{rng.choice(_METHODS)}({inner() if rng.random() < 0.6 else ''})"

    def filtered() -> str:
        arguments = f"({inner()})" if rng.random() < 0.4 else ""
        return f"{inner()}|{rng.choice(_FILTERS)}{arguments}"

    value: str = pick(
        rng,
        (8, lambda: rng.choice(_READ)),
        (3, lambda: str(words.number(rng) if rng.random() < 0.2 else rng.randrange(9))),
        (3, lambda: repr(words.word(rng))),
        (4, attribute),
        (3, filtered),
        (2, called),
        (2, lambda: f"{inner()} is {rng.choice(_TESTS)}"),
        (
            2,
            lambda: (
                f"{inner()} {rng.choice(('+', '-', '*', '**', '~', '//', 'in', '<'))} {inner()}"
            ),
        ),
        (1, lambda: f"[{inner()}, {inner()}]"),
        (1, lambda: f"[{inner()}|{rng.choice(('select', 'reject', 'map', 'unique'))}]"),
        (1, lambda: f"{{{inner()}: {inner()}}}"),
        (1, lambda: f"{inner()}[{inner()}]"),
        (1, lambda: f"({inner()} if {inner()} else {inner()})"),
        (1, lambda: f"({inner()})"),
    )
    return value


_FILTERS: Final = (
    *sorted(ALLOWED_FILTERS) * 4,
    "attr",
    "format",
    "safe",
    "map('attr', 'x')",
    "xmlattr",
)
_METHODS: Final = (*sorted(ALLOWED_METHODS) * 4, "format", "encode", "ljust", "mro")
_TESTS: Final = tuple(sorted(name for name in ALLOWED_TESTS if name.isidentifier()))


def open_kind(_folder: Path) -> Templates:
    """The kind."""
    return Templates()
