"""One record on its way: which step or check it is at, what is paid for, what to ask a model next.

a try:  steps in order ─▶ checks of records in order ─▶ finished
                                    │ one is not passed
                                    └─▶ the next try, with another draw, or else it is rejected
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from runtime.domain.checks.check import Balance, Judge, RecordCheck, RejectedTry
from runtime.domain.errors import ModelError, OutputCheckError, OutputError
from runtime.domain.jobs.checkpoint import Partial
from runtime.domain.jobs.record import SKIPPED, Failure, clean_text, is_skipped
from runtime.domain.jobs.sampling import Draw, Draws, redraw
from runtime.domain.models.calls import Message, ModelReply, ModelRequest
from runtime.domain.models.retry import RULES, Attempts, decide
from runtime.domain.roles import Role
from runtime.domain.templates.template import OnTruncation
from runtime.engine.outputs import CUT_STOP_REASON, REFUSED_STOP_REASONS, repair_instruction
from runtime.engine.plan import Plan, StepPlan

MAX_FAILURE_MESSAGE_CHARACTERS = 500

TRUNCATED = "truncated"
"""Kind of a failure: the reply was cut before its output was complete."""


def is_undecided(check: RecordCheck | Balance, verdict: Mapping[str, object]) -> bool:
    """Whether a judge has said what it says, and its condition has not decided yet."""
    return (
        isinstance(check, Judge)
        and check.keep_if is not None
        and verdict["passed"] is None
        and not is_skipped(verdict)
    )


@dataclass(slots=True)
class RecordTask:
    """Mutable state of one index; owned by the owner thread."""

    job_id: str
    index: int
    seed: Mapping[str, object]
    seed_id: str
    draw: Draw
    plan: Plan
    samples: Mapping[str, object] = field(default_factory=dict)
    """What the template's samplers have drawn for it."""
    draws: Draws = field(default_factory=Draws)
    most_tries: int = 1
    attempt: int = 0
    """Tries before this one, each of which a check has rejected."""
    verdicts: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """Of the checks that this try has taken, by id; record.py has their shapes. That of a judge is
    there, with `passed` null, before its condition has decided."""
    rejections: list[RejectedTry] = field(default_factory=list)
    """Rejected tries that nobody has saved yet."""
    is_rejected: bool = False
    """Whether its last try was rejected."""
    results: dict[str, Mapping[str, object]] = field(default_factory=dict)
    invalid: str | None = None
    """The current step's refused output, which the next call asks to repair."""
    raised: bool = False
    """Whether a reply to the current step was cut, and its calls have the raised limit now."""
    waits_longer: bool = False
    """Whether a call timed out, so that the next one is waited for longer."""
    in_words: bool = False
    """Whether the current step's calls show the schema in the prompt, since the service that should
    hold the model to it can't compile it."""
    is_suspect: bool = False
    """Whether an earlier pass failed it by the service: the reason may be its own prompt."""
    replies_seen: int = 0
    """How many replies its model had given when a call of it failed last."""
    is_taken: bool = False
    """Whether it is known that the record takes its current step."""
    prompt: str | None = None
    system: str | None = None
    messages: tuple[Message, ...] = ()
    """The turns before the prompt."""
    attempts: Attempts = field(default_factory=Attempts)
    calls: int = 0

    @property
    def finished(self) -> bool:
        """Whether every step has its result, and every check of records has passed."""
        return self._has_results and not self.is_rejected and self.check is None

    @property
    def ended(self) -> bool:
        """Whether it needs nothing more: it is finished, or its last try was rejected."""
        return self.is_rejected or self.finished

    @property
    def _has_results(self) -> bool:
        return len(self.results) == len(self.plan.steps)

    @property
    def step(self) -> StepPlan:
        """The step or judge that is called next. Steps end or are skipped in order, so their count
        is the position.
        """
        if not self._has_results:
            return self.plan.steps[len(self.results)]
        return self.plan.judges[self.place]

    @property
    def check(self) -> RecordCheck | Balance | None:
        """The check that comes next; None: steps are left, or no check is."""
        checks = self.plan.template.checks
        if not checks or not self._has_results:
            return None
        balance = () if checks.balance is None else (checks.balance,)
        return next((each for each in (*checks.of_record, *balance) if self._is_open(each)), None)

    def _is_open(self, check: RecordCheck | Balance) -> bool:
        verdict = self.verdicts.get(check.id)
        return verdict is None or is_undecided(check, verdict)

    @property
    def place(self) -> str:
        """The id of the step or check that it is at."""
        if not self._has_results:
            return self.plan.steps[len(self.results)].step.id
        check = self.check
        return self.plan.steps[-1].step.id if check is None else check.id

    @property
    def partial(self) -> Partial | None:
        """What would be lost with this task; None if nothing is paid for yet."""
        is_paid = self.attempt > 0 or not all(map(is_skipped, self.results.values()))
        if not is_paid and self.invalid is None and not self.raised and not self.verdicts:
            return None
        return Partial(
            steps=dict(self.results),
            invalid=self.invalid,
            raised=self.raised,
            attempt=self.attempt,
            verdicts=dict(self.verdicts),
        )

    def resume(self, partial: Partial) -> None:
        """Go on from paid work of an earlier run."""
        names = [step.step.id for step in self.plan.steps]
        self.results = {name: partial.steps[name] for name in names if name in partial.steps}
        self.verdicts = dict(partial.verdicts)
        if partial.attempt:
            self._begin(partial.attempt)
        self.invalid = None if self.finished else partial.invalid
        self.raised = partial.raised and not self.finished
        # A step that was called is taken.
        self.is_taken = self.raised or self.invalid is not None

    def request(self) -> ModelRequest:
        """The next call, from the rendered prompt; a repair carries the refused output along."""
        plan = self.step.in_words() if self.in_words else self.step
        prompt = (self.prompt or "") + plan.instruction
        messages = [*self.messages, Message(role=Role.USER, text=prompt)]
        if self.invalid is not None and self.invalid.strip():
            try:
                plan.reader.read(self.invalid)
            except (OutputError, OutputCheckError) as error:
                messages += [
                    Message(role=Role.ASSISTANT, text=self.invalid),
                    Message(role=Role.USER, text=repair_instruction(error)),
                ]
        # A repair and a second attempt are new draws: the same seed would give the same answer.
        return plan.request(
            tuple(messages),
            system=self.system,
            model_seed=self.draw.model_seed + self.calls,
            raised=self.raised,
            longer=self.waits_longer,
        )

    def answered(self, reply: ModelReply) -> Failure | None:
        """Take the reply in: the step ends, or calls once more, or the record has failed."""
        plan = self.step
        judges = self._has_results
        answer = plan.reader.answer(clean_text(reply.text))
        cut = reply.stop_reason == CUT_STOP_REASON
        if reply.stop_reason in REFUSED_STOP_REASONS:
            return self.failure(reply.stop_reason, "the model gave no usable completion")
        try:
            output = plan.reader.read(answer.text, cut=cut)
        except OutputCheckError as error:
            # Asking again would cost a call, and the next answer would hardly be checked sooner.
            return self.failure(error.code, str(error))
        except OutputError as error:
            return self._truncated() if cut else self._refused(answer.text, error)
        # Data that fits its schema is whole, whatever was cut behind it.
        is_text = plan.step.output_schema is None
        if cut and is_text and plan.step.on_truncation is not OnTruncation.KEEP:
            return self._truncated()
        if judges:
            self._judged(plan, cast("Mapping[str, Mapping[str, object]]", output), reply)
        else:
            self._take(plan, output, reply, answer.reasoning)
        self._begin_step()
        return None

    def _take(
        self, plan: StepPlan, output: object, reply: ModelReply, thoughts_in_text: str | None
    ) -> None:
        """The result of a step."""
        result: dict[str, object] = {
            "output": output,
            "model": plan.model,
            "stop_reason": reply.stop_reason,
        }
        if self.plan.template.keep_prompts:
            result["prompt"] = self.prompt
            if self.system is not None:
                result["system"] = self.system
            if self.messages:
                result["messages"] = [
                    {"role": turn.role.value, "content": turn.text} for turn in self.messages
                ]
        thoughts = [each for each in (reply.reasoning, thoughts_in_text) if each]
        if self.plan.template.keep_reasoning and thoughts:
            result["reasoning"] = "\n\n".join(thoughts)
        self.results[plan.step.id] = result

    def _judged(
        self, plan: StepPlan, output: Mapping[str, Mapping[str, object]], reply: ModelReply
    ) -> None:
        """What a judge says; its condition decides later."""
        (judge,) = (each for each in self.plan.template.checks.judges if each.id == plan.step.id)
        scores: dict[str, object] = {}
        for score in judge.scores:
            given = output[score.name]
            # To a schema 4.0 is the whole number 4.
            value = next(each for each in score.options if each == given["score"])
            scores[score.name] = {"reasoning": given["reasoning"], "score": value}
        self.verdicts[judge.id] = {
            "passed": None,
            "scores": scores,
            "model": plan.model,
            "stop_reason": reply.stop_reason,
        }

    def _begin_step(self) -> None:
        """Nothing is known of the step or judge that comes now."""
        self.invalid = self.prompt = self.system = None
        self.messages = ()
        self.raised = self.waits_longer = self.in_words = self.is_taken = False
        self.attempts = Attempts()

    def decide(self, check: RecordCheck | Balance, verdict: Mapping[str, object]) -> None:
        """The verdict of a check, added to what its judge said. One that is not passed rejects the
        try: the next one begins, if there is one.
        """
        self.verdicts[check.id] = {**self.verdicts.get(check.id, {}), **verdict}
        if verdict["passed"] is not False:
            return
        rejected = RejectedTry(
            attempt=self.attempt,
            rejected_by=check.id,
            results=dict(self.results),
            verdicts=dict(self.verdicts),
        )
        self.rejections.append(rejected)
        if self.attempt + 1 >= self.most_tries:
            self.is_rejected = True
            return
        self.results, self.verdicts = {}, {}
        self._begin(self.attempt + 1)
        self._begin_step()

    def _begin(self, attempt: int) -> None:
        """Another try: the seed and the samples stay, chance begins anew."""
        self.attempt = attempt
        self.draw = redraw(self.draw, self.job_id, self.index, attempt, self.draws)
        self.calls = 0

    def skip_judge(self) -> None:
        """The judge that comes next is not called: it decides nothing."""
        check = self.check
        if check is not None:
            self.decide(check, {"passed": None, "skipped": True})
        self._begin_step()

    def skip(self) -> None:
        """The record does not take its current step: nothing is called or paid for it."""
        self.results[self.step.step.id] = SKIPPED

    def _refused(self, text: str, error: OutputError) -> Failure | None:
        """A whole reply that is no output: asked to be repaired, once."""
        if self.invalid is not None:
            return self.failure(error.code, f"{error} (after one repair)")
        self.invalid = text
        return None

    def _truncated(self) -> Failure | None:
        """A reply that was cut too early: another one within the same limit would be, too."""
        plan = self.step
        if plan.may_grow and not self.raised:
            self.raised = True
            return None
        limit = plan.raised_max_tokens if self.raised else plan.max_tokens
        advice = "raise max_tokens" if limit < plan.price.max_output_tokens else "ask for less"
        return self.failure(
            TRUNCATED,
            f"the reply was cut at {limit} tokens (max_tokens), reasoning included: {advice}",
        )

    def failed(self, error: ModelError, *, jitter: float) -> float | None:
        """A call gave no reply: seconds until the next attempt, None if there is none. `jitter` is
        uniform in [0, 1).
        """
        self.waits_longer |= error.timed_out
        delay = decide(error.kind, self.attempts, jitter=jitter, retry_after=error.retry_after)
        # A suspect has one attempt in each pass: more would be paid, and tell no more.
        return None if self.is_suspect and RULES[error.kind].is_outage else delay

    def failure(self, kind: str, message: str) -> Failure:
        """The record as a line of failures.jsonl."""
        return Failure(
            job_id=self.job_id,
            index=self.index,
            seed_data_id=self.seed_id,
            step=self.place,
            kind=kind,
            message=clean_text(message)[:MAX_FAILURE_MESSAGE_CHARACTERS],
            attempts=self.calls,
            attempt=self.attempt if self.plan.template.checks else None,
        )
