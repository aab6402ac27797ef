"""What a row may read of checks: the scores that judges give, and why.

checks.<judge>.scores.<name>.score    a whole number where all options are, else a text
checks.<judge>.scores.<name>.reasoning
"""

from runtime.domain.checks.check import Checks, Score
from runtime.domain.outputs.types import Scalar, Struct, Type


def score_types(checks: Checks) -> dict[str, Type]:
    """The type at `checks.<judge>` for each judge, by id."""
    return {
        judge.id: Struct((("scores", Struct(tuple(map(_score, judge.scores)))),))
        for judge in checks.judges
    }


def _score(score: Score) -> tuple[str, Type]:
    whole = all(isinstance(value, int) for value in score.options)
    kind = Scalar.INT64 if whole else Scalar.STRING
    return score.name, Struct((("reasoning", Scalar.STRING), ("score", kind)))
