"""`output:` of templates, as strangers might write it."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from runtime.domain.outputs.forms import FORMS
from runtime.domain.outputs.shape import Shape
from tests.fuzz import words
from tests.fuzz.case import pick


def output(rng: Random, names: Sequence[str], prompt: Callable[[Random], str]) -> Any:
    """What a row may be said to be, most of it in the right form: of these fields of seeds, and of
    these texts.
    """

    def value() -> Any:
        return _value(rng, names, prompt)

    shape = rng.choice(tuple(Shape))
    messages = [_message(rng, value) for _ in range(1 + words.short(rng) // 3)]
    fields = [name for form in FORMS.get(shape, ({},)) for name in form]
    mapping = {
        name: messages if rng.random() < 0.4 else value()
        for name in (*fields, *(words.name(rng) for _ in range(not fields)))
    }
    made: dict[str, Any] = {shape.value: messages if shape is Shape.MESSAGES else mapping}
    if rng.random() < 0.3:
        made["keep"] = [rng.choice((*names, *_PATHS)) for _ in range(words.short(rng) // 2)]
    if rng.random() < 0.2:
        made["tools"] = value()
    if rng.random() < 0.1:
        made = words.change(rng, made)
    return shape.value if shape is Shape.RECORDS else made


def _message(rng: Random, value: Callable[[], Any]) -> Any:
    if rng.random() < 0.1:
        return value()
    role = rng.choice(("system", "user", "assistant", "tool", words.word(rng)))
    key, text = rng.choice((("role", "content"), ("role", "content"), ("from", "value")))
    more = {rng.choice(("tool_calls", "name", "x")): value()} if rng.random() < 0.1 else {}
    return {key: role, text: value(), **more}


def _value(rng: Random, names: Sequence[str], prompt: Callable[[Random], str]) -> Any:
    value: Any = pick(
        rng,
        (8, lambda: rng.choice(_PATHS)),
        (1, lambda: f"seed.{rng.choice(names)}.{words.name(rng)}"),
        (2, lambda: prompt(rng)),
        (1, lambda: f'{{{{ "{words.word(rng)}" }}}}'),
        (1, lambda: words.value(rng, 1)),
    )
    return value


_PATHS: Final = (
    *("steps.s0.output", "steps.s0.output.a", "steps.s1.output", "steps.s0.reasoning"),
    *("seed", "seed.a", "seed.id", "seed.größe", "record.id", "record.index", "record.x"),
)
