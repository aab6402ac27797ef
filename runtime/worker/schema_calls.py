"""How the first use of an output schema goes: alone, and in words where it can't be compiled.

A service compiles a grammar of a schema that it has not seen for a day, which takes it up to
minutes, and as long again for every call that comes meanwhile. So for each model and schema

    unknown ── a call goes, alone ─▶ being asked ── a reply ─▶ known: as many go as may
       ▲                                 │ └── the service can't compile it, or is a server that did
       └──── any other failure ──────────┘     not hold the model to it ─▶ in words, to the end

Calls of other schemas, models and steps go on. The first call is a record's own: reserved, settled
and, after a crash, presumed spent like any other.
"""

from dataclasses import replace
from typing import Final

import orjson

from runtime.domain.errors import ModelError, SchemaRefusedError
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import ModelReply, ModelRequest
from runtime.domain.templates.provider_schema import Way
from runtime.engine.outputs import CUT_STOP_REASON, REFUSED_STOP_REASONS
from runtime.engine.plan import Plan, StepPlan
from runtime.engine.record_task import RecordTask

WARM_UP_SECONDS: Final = 300.0
"""How long the first reply under a schema is waited for, at least. Bedrock gives compiling up after
some 185 s."""

_Key = tuple[str, bytes]
"""The id of a model, its provider included, and the text of a schema."""

_MAY_IGNORE: Final = frozenset({Api.CHAT, Api.RESPONSES})
"""By these a server may be called that takes a schema and pays no heed to it."""


class SchemaCalls:
    """What is known of the schemas of one run. Owned by the thread that generates."""

    def __init__(self, plan: Plan) -> None:
        self._keys = {step.step.id: _key(step) for step in plan.calls}
        self._asking: dict[_Key, int] = {}
        self._known: set[_Key] = set()
        self._in_words: set[_Key] = set()

    def request(self, task: RecordTask) -> ModelRequest | None:
        """The task's next call; None: it has to wait for the first one of its schema."""
        key = self._keys[task.step.step.id]
        if key is not None and key in self._in_words:
            task.in_words = True
        elif key is not None and key not in self._known:
            if key in self._asking:
                return None
            request = task.request()
            return replace(request, timeout_seconds=max(request.timeout_seconds, WARM_UP_SECONDS))
        return task.request()

    def sent(self, call: int, task: RecordTask) -> None:
        """The call was sent."""
        key = self._keys[task.step.step.id]
        if key is not None and key not in self._known | self._in_words:
            self._asking[key] = call

    def came_back(self, call: int, task: RecordTask, result: ModelReply | ModelError) -> None:
        """The call has ended so. Asked before the task takes it in."""
        key = self._keys[task.step.step.id]
        if key is None:
            return
        if self._asking.get(key) == call:
            del self._asking[key]
        if isinstance(result, SchemaRefusedError):
            self._in_words.add(key)
        elif isinstance(result, ModelReply) and key not in self._known:
            known = task.in_words or not _is_ignored(task.step, result)
            (self._known if known else self._in_words).add(key)


def _is_ignored(step: StepPlan, reply: ModelReply) -> bool:
    """Whether a reply shows that nobody held the model to the schema that it was sent with."""
    if step.api not in _MAY_IGNORE or step.form is None or step.form.schema is None:
        return False
    if reply.stop_reason == CUT_STOP_REASON or reply.stop_reason in REFUSED_STOP_REASONS:
        return False
    try:
        value = orjson.loads(step.reader.answer(reply.text).text)
    except orjson.JSONDecodeError:
        return True
    required = step.form.schema.get("required")
    if step.form.schema.get("type") != "object" or not isinstance(required, list):
        return False
    return not (isinstance(value, dict) and value.keys() >= set(required))


def _key(step: StepPlan) -> _Key | None:
    """None for a step whose model compiles nothing: no schema, one in words, one that is here."""
    if step.form is None or step.form.way is not Way.SERVICE:
        return None
    return step.model, orjson.dumps(step.form.schema)
