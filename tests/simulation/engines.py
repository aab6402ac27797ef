"""Rendering without a child, for simulated processes: prompts that name their record; and the
script of a job with checks, in which it is settled which tries pass.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from runtime.domain.errors import RenderError
from runtime.domain.models.calls import ModelRequest
from runtime.domain.templates.judging import KEEP_IF
from runtime.domain.templates.template import WHEN, Template
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine
from tests.simulation.truth import Call

JUDGE: Final = "likes"
SCORE: Final = {"name": "quality", "description": "How good?", "options": {1: "bad", 2: "good"}}


def is_taken(index: int, step: str) -> bool:
    """What the conditions say where steps have any."""
    return index % (3 if step == "one" else 4) != 0


class PlainEngine(TemplateEngine):
    """Prompts that name their record and step; rendering itself is tested elsewhere."""

    def load(self, template: Template) -> None:
        del template

    def execute_template(self, requests: Iterable[RenderRequest]) -> list[str | RenderError]:
        return [
            str(is_taken(request.index, request.step_id))
            if request.part == WHEN
            else f"{request.index}/{request.step_id}"
            for request in requests
        ]

    def close(self) -> None:
        return None


class CheckedEngine(PlainEngine):
    """Prompts that name their draw, too: each try has another one."""

    def execute_template(self, requests: Iterable[RenderRequest]) -> list[str | RenderError]:
        return [self._text(each) for each in requests]

    @staticmethod
    def _text(request: RenderRequest) -> str:
        if request.part == KEEP_IF and request.step_id == JUDGE:
            return str(request.names["scores"]["quality"]["score"] > 1)
        if request.part == KEEP_IF:
            return str("good" in str(request.steps["one"]["output"]))
        return f"{request.index}/{request.step_id}/{request.entropy}"


def step_of(step: str, attempt: int) -> str:
    """A step of a try, as `Truth` names it."""
    return step if attempt == 0 else f"{step}@{attempt}"


def _chance(*parts: object) -> float:
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass
class CheckScript:
    """Which tries pass is a function of the seed, index and try; so are the repeats."""

    seed: int
    rate: float
    judges: bool
    repeats: bool
    _tries: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def template(self) -> dict[str, Any]:
        """The document of the template."""
        checks: list[dict[str, Any]] = [{"id": "kept", "keep_if": "'good' in steps.one.output"}]
        if self.judges:
            judge = {"of": "steps.one.output", "scores": [SCORE], "max_tokens": 20}
            checks += [{"id": JUDGE, "judge": judge, "keep_if": "scores.quality.score > 1"}]
        if self.repeats:
            checks += [{"id": "fresh", "unique": {"by": "steps.one.output"}}]
        step = {"id": "one", "prompt": "x", "max_tokens": 20}
        return {"name": "t", "steps": [step], "checks": checks, "output": "records"}

    def call(self, request: ModelRequest) -> Call:
        """Which call of which try it is."""
        text, repair = request.messages[0].text, len(request.messages) > 1
        said = re.search(r"#(\d+)/(\d+)#", text)
        if said is not None:
            return int(said[1]), step_of(JUDGE, int(said[2])), repair
        index, step, draw = text.split("\n")[0].split("/")
        tries = self._tries[int(index)]
        if draw not in tries:
            tries.append(draw)
        return int(index), step_of(step, tries.index(draw)), repair

    def reply(self, call: Call, otherwise: str) -> str:
        """What the model says to it."""
        index, (step, _, number) = call[0], call[1].partition("@")
        attempt = int(number or 0)
        if step == JUDGE:
            score = 2 if self.judge_passes(index, attempt) else 1
            return orjson.dumps({"quality": {"reasoning": "so", "score": score}}).decode()
        if step != "one":
            return otherwise
        word = "good" if self.is_good(index, attempt) else "bad"
        return f"{word} {index // 2}" if self.repeats else f"{word} #{index}/{attempt}#"

    def is_good(self, index: int, attempt: int) -> bool:
        """Whether the first check passes it."""
        return _chance(self.seed, index, attempt) < self.rate

    def judge_passes(self, index: int, attempt: int) -> bool:
        """Whether the judge does."""
        return _chance(self.seed, index, attempt, JUDGE) < 0.7

    def passes(self, index: int, attempt: int) -> bool:
        """Whether the try is a record."""
        good = self.is_good(index, attempt)
        return good and (not self.judges or self.judge_passes(index, attempt))
