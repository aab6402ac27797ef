"""What a judge is asked: instructions, what its scores mean, and what it looks at, in quotation
marks.
"""

from collections.abc import Sequence
from typing import Final

import orjson

from runtime.domain.checks.check import Judge, Score
from runtime.engine.rendering.quotation import RULE, quoted

_ASKED: Final = (
    "For each score give your reasoning first, in a sentence or two, then the score: one of its"
    " values."
)


def judge_prompt(
    judge: Judge, instructions: str, value: object, context: Sequence[tuple[str, str]] = ()
) -> str:
    """The whole prompt. `value` is what is judged, `context` what it was asked for by: texts, each
    with what it is.
    """
    judged = value if isinstance(value, str) else orjson.dumps(value).decode()
    return "\n\n".join(
        [
            instructions.strip(),
            "\n".join(["Scores:", *(_score(each) for each in judge.scores)]),
            RULE,
            *(f"{name}:\n{quoted(text)}" for name, text in context),
            f"The text to rate:\n{quoted(judged)}",
            _ASKED,
        ]
    )


def _score(score: Score) -> str:
    options = (f"    {value}: {meaning}" for value, meaning in score.options.items())
    return "\n".join([f"- {score.name}: {score.description}", *options])
