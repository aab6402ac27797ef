"""Reads `judge:` of a check: what it looks at, its scores, and how its model is called."""

import re
from collections.abc import Mapping
from typing import Final

from runtime.domain.checks.check import Judge, Score
from runtime.domain.checks.known import Known
from runtime.domain.fields import (
    ID_PROBLEM,
    MAX_NAME_CHARACTERS,
    MAX_OUTPUT_TOKENS,
    Refuse,
    is_id,
    is_text,
    number_field,
    refuse_unknown,
    text_field,
)

MAX_SCORES: Final = 10
FEWEST_OPTIONS: Final = 2
MAX_OPTIONS: Final = 10
MAX_MEANING_CHARACTERS: Final = 2000
"""Of a score's description, and of what one of its options means."""

JUDGE_FIELDS: Final = (
    "of",
    "prompt",
    "system",
    "model",
    "model_tier",
    "max_tokens",
    "temperature",
    "scores",
    "budget",
)
_SCORE_FIELDS: Final = ("name", "description", "options")
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,8}")


def read_judge(
    place: str,
    check_id: str,
    document: object,
    known: Known,
    refuse: Refuse,
    *,
    keep_if: str | None,
    sample: float | None,
) -> Judge | None:
    """The judge; None: there was a problem that leaves nothing to read."""
    if not isinstance(document, Mapping):
        refuse(place, "judge is a mapping with scores")
        return None
    refuse_unknown(f"{place}, judge", document, refuse, JUDGE_FIELDS)
    model = text_field(place, document, refuse, "model", limit=MAX_NAME_CHARACTERS)
    tier = text_field(place, document, refuse, "model_tier", limit=MAX_NAME_CHARACTERS)
    if model is not None and tier is not None:
        refuse(place, "set model or model_tier, not both")
    tokens = number_field(place, document, refuse, "max_tokens", 1, MAX_OUTPUT_TOKENS, whole=True)
    budget = number_field(place, document, refuse, "budget", 0, 1)
    if budget == 0:
        refuse(place, "budget must be above 0, a share of the job's budget such as 0.3")
    of = known.output_path(place, document.get("of"), refuse)
    scores = _scores(place, document.get("scores"), refuse)
    return Judge(
        id=check_id,
        of=of or "",
        scores=scores,
        prompt=text_field(place, document, refuse, "prompt"),
        system=text_field(place, document, refuse, "system"),
        keep_if=keep_if,
        sample=sample,
        budget=budget,
        model=model,
        model_tier=tier,
        max_tokens=None if tokens is None else int(tokens),
        temperature=number_field(place, document, refuse, "temperature", 0, 2),
    )


def _scores(place: str, document: object, refuse: Refuse) -> tuple[Score, ...]:
    if not isinstance(document, list | tuple) or not 1 <= len(document) <= MAX_SCORES:
        refuse(place, f"scores must list 1 to {MAX_SCORES} scores: name, description and options")
        return ()
    read = [
        _score(f"{place}, score {number}", each, refuse)
        for number, each in enumerate(document, start=1)
    ]
    names = [each.name for each in read if each is not None]
    for name in sorted({each for each in names if names.count(each) > 1}):
        refuse(place, f'score "{name}" is listed {names.count(name)} times: rename one')
    return tuple(each for each in read if each is not None)


def _score(place: str, document: object, refuse: Refuse) -> Score | None:
    if not isinstance(document, Mapping):
        refuse(place, "a score is a mapping with name, description and options")
        return None
    refuse_unknown(place, document, refuse, _SCORE_FIELDS)
    name = text_field(place, document, refuse, "name", required=True)
    if name is not None and not is_id(name):
        refuse(f"{place}, name", ID_PROBLEM)
    description = text_field(
        place, document, refuse, "description", required=True, limit=MAX_MEANING_CHARACTERS
    )
    options = _options(place, document.get("options"), refuse)
    if name is None or description is None or options is None:
        return None
    return Score(name=name, description=description, options=options)


def _options(place: str, document: object, refuse: Refuse) -> dict[int | str, str] | None:
    """Values and their meanings. Whole numbers, which JSON writes as texts, where all are some."""
    if not isinstance(document, Mapping) or not FEWEST_OPTIONS <= len(document) <= MAX_OPTIONS:
        refuse(
            place,
            f"options must map {FEWEST_OPTIONS} to {MAX_OPTIONS} values to what they mean, such as"
            " {3: all of it, 2: most, 1: hardly anything}",
        )
        return None
    meanings = {str(value).strip(): meaning for value, meaning in document.items()}
    if (
        len(meanings) < len(document)
        or not all(is_text(value, limit=MAX_NAME_CHARACTERS) for value in meanings)
        or not all(is_text(each, limit=MAX_MEANING_CHARACTERS) for each in meanings.values())
    ):
        refuse(
            place,
            f"options: each value is different, of 1 to {MAX_NAME_CHARACTERS} characters, and its"
            f" meaning a text of at most {MAX_MEANING_CHARACTERS}",
        )
        return None
    numbers = all(map(_WHOLE.fullmatch, meanings))
    return {int(value) if numbers else value: str(text) for value, text in meanings.items()}
