"""One simulated worker process: the production worker between faulty stores and faulty models."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, Self

import orjson

from runtime.contract.exit_codes import ExitCode
from runtime.contract.keys import (
    REJECTED_PARTS,
    batches_prefix,
    checkpoint_key,
    failure_parts_prefix,
    shard_number,
)
from runtime.domain.errors import (
    ModelError,
    ModelErrorKind,
    SchemaRefusedError,
    StorageUnavailableError,
)
from runtime.domain.jobs.job import work_id_of
from runtime.domain.jobs.record import index_of, kind_of
from runtime.domain.jobs.sharding import MAX_SHARDS
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.models.price import Price
from runtime.domain.models.retry import is_service_failure
from runtime.domain.ports import ObjectStat, Ports
from runtime.worker.control import StopReason
from runtime.worker.heartbeat import Heartbeat
from runtime.worker.pool import Completion
from runtime.worker.schema_calls import WARM_UP_SECONDS
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker
from tests.fixtures.memory_objects import MemoryObjects
from tests.simulation.engines import CheckedEngine, CheckScript, PlainEngine, step_of
from tests.simulation.scheduler import Scheduler
from tests.simulation.truth import Call, InvariantError, Truth

HANG_SECONDS: Final = 1e6


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Probabilities: of each store call, of each model call, and of each process."""

    store_down: float = 0.0
    reply_lost: float = 0.0
    crash: float = 0.0
    stall: float = 0.0
    """A pause longer than the lease, as by SIGSTOP, somewhere around a store call."""
    hang: float = 0.0
    """A pause that only its end ends, somewhere around a store call."""
    throttled: float = 0.0
    in_doubt: float = 0.0
    server_fault: float = 0.0
    unavailable: float = 0.0
    model_failed: float = 0.0
    outages: float = 0.0
    """Of a round, that the provider is down for a while in it: see `Truth.is_out`."""
    not_sent: float = 0.0
    rejected: float = 0.0
    fatal: float = 0.0
    slow: float = 0.0
    invalid: float = 0.0
    uncompiled: float = 0.0
    """Of a call under a schema, that the provider can't compile it."""
    shutdown: float = 0.0

    def calm(self, factor: float) -> "Rates":
        """All of them scaled down."""
        return Rates(**{name: value * factor for name, value in vars(self).items()})

    def with_hangs(self, hang: float) -> "Rates":
        """The same and a chance to hang."""
        return replace(self, hang=hang)


class Process:
    """Everything that dies with one worker."""

    def __init__(
        self,
        name: str,
        *,
        ports: Ports,
        objects: MemoryObjects,
        scheduler: Scheduler,
        truth: Truth,
        rates: Rates,
        rng: random.Random,
        settings: WorkerSettings,
        price: Price,
        owner_of: Callable[[str], str],
        script: CheckScript | None = None,
    ) -> None:
        self.name = name
        self._owner_of = owner_of
        self.script = script
        self.scheduler = scheduler
        self.truth = truth
        self.rates = rates
        self.rng = rng
        self.price = price
        self.beats: Heartbeat | None = None
        self._next_beat = 0.0
        self._beat_seconds = settings.heartbeat_seconds
        self.paid: set[Call] = set()
        self.saved: set[int] = set()
        self.partials: set[Call] = set()
        self.code: ExitCode | None = None
        self.presumed_slow = False
        self.pool = SimulatedPool(self)
        guarded = {
            each: _Guarded(getattr(ports, each), self)
            for each in ("queue", "jobs", "templates", "checkpoints", "costs", "budgets")
        }
        self.worker = Worker(
            replace(ports, objects=_GuardedObjects(objects, self), **guarded),  # type: ignore[arg-type]
            owner=name,
            settings=settings,
            rng=random.Random(rng.getrandbits(64)),  # noqa: S311
            crash_point=self._crash_point,
            make_pool=lambda: self.pool,
            make_heartbeat=self._make_heartbeat,
            pause=self._pause,
            template_engine=PlainEngine() if script is None else CheckedEngine(),
        )

    # ── living ─────────────────────────────────────────────────────────────────────────────────

    def run(self, work_id: str | None) -> None:
        """The body of the process: work on one item, or on whatever is queued."""
        try:
            self.code = self.worker.run(work_id)
        finally:
            self.pool.die()
            self._count_losses()
        if (
            self.code is ExitCode.INTERRUPTED
            and self.worker._control.reason is StopReason.SHUTDOWN
            and not self.presumed_slow
            # A store that is down, or a lease that ended meanwhile, makes it another kind of stop.
            and self.rates.store_down == self.rates.reply_lost == self.rates.stall == 0
        ):
            lost = self.paid - self.partials - {c for c in self.paid if c[0] in self.saved}
            if lost:
                raise InvariantError(f"a graceful stop lost {len(lost)} paid replies")

    def owns(self, key: str) -> bool:
        """Whether the queue says so of the work that writes an object."""
        return self._owner_of(work_id_of("job", shard_number(key))) == self.name

    def _count_losses(self) -> None:
        kept = {call for call in self.paid if call[0] in self.saved or call in self.partials}
        self.truth.lost += len(self.paid - kept)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass while the heartbeat thread goes on."""
        clock = self.scheduler.clock
        end = clock.monotonic() + seconds
        while True:
            left = end - clock.monotonic()
            if self.beats is None or left < self._next_beat - clock.monotonic():
                self.scheduler.pause(max(left, 0.0))
                return
            self.scheduler.pause(max(self._next_beat - clock.monotonic(), 0.0))
            self._next_beat = clock.monotonic() + self._beat_seconds
            self.beats.beat()

    def _pause(self, seconds: float) -> bool:
        self.scheduler.pause(seconds)
        return self.worker.shutdown_requested

    def _make_heartbeat(self, *args: Any, **kwargs: Any) -> Heartbeat:
        process = self

        class VirtualHeartbeat(Heartbeat):
            def __enter__(self) -> Self:
                process.beats = self
                process._next_beat = process.scheduler.clock.monotonic() + process._beat_seconds
                return self

            def __exit__(self, *_: object) -> None:
                process.beats = None

        return VirtualHeartbeat(*args, **kwargs)

    def _crash_point(self, _name: str) -> None:
        self.scheduler.check_alive()
        if self.rng.random() < self.rates.crash:
            self.scheduler.crash()

    @contextmanager
    def touching_store(self) -> Iterator[None]:
        """Around the effect of one store call: before it, after it, or never."""
        self.scheduler.check_alive()
        dice = self.rng.random
        if dice() < self.rates.crash:
            self.scheduler.crash()
        if self.rates.hang and dice() < self.rates.hang:
            self.scheduler.pause(HANG_SECONDS)
        if dice() < self.rates.stall:
            self.scheduler.pause(60 + 120 * dice())
        elif dice() < 0.2:
            self.scheduler.pause(0.01 * dice())
        if dice() < self.rates.store_down:
            raise StorageUnavailableError("simulated: no effect")
        yield
        self.truth.check_money()
        if dice() < self.rates.crash:
            self.scheduler.crash()
        if dice() < self.rates.reply_lost:
            raise StorageUnavailableError("simulated: the reply was lost")


class _Guarded:
    """A port of one process."""

    def __init__(self, target: object, process: Process) -> None:
        self._target = target
        self._process = process

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._process.touching_store():
                return method(*args, **kwargs)

        return call


_CHECKPOINTS: Final = {checkpoint_key("job", shard) for shard in (None, *range(MAX_SHARDS))}


class _GuardedObjects:
    """The object store of one process; notes what this very process has made durable."""

    def __init__(self, target: MemoryObjects, process: Process) -> None:
        self._target = target
        self._process = process

    def get(self, key: str, *, version: str | None = None) -> bytes:
        with self._process.touching_store():
            return self._target.get(key, version=version)

    def stat(self, key: str) -> ObjectStat:
        with self._process.touching_store():
            return self._target.stat(key)

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        if batches_prefix("job") in key:
            raise InvariantError("a batch may be overwritten")
        with self._process.touching_store():
            if key in _CHECKPOINTS:
                if self._process.owns(key):
                    self._process.partials |= _paid_in(body)
                else:
                    # A stale owner may still replace the blob, though not its version. Batches are
                    # beyond its reach; paid steps of unfinished records are what it can cost.
                    self._process.truth.lost += len(_paid_in(self._target.bodies.get(key)))
            self._target.put(key, body, content_type=content_type)

    def put_if_absent(self, key: str, body: bytes, *, content_type: str) -> None:
        with self._process.touching_store():
            self._target.put_if_absent(key, body, content_type=content_type)
            if self._process.owns(key) and key.startswith(REJECTED_PARTS.prefix("job")):
                self._process.partials |= _rejected_in(body)
            # What a stale owner still writes does not count: its successor has paid again.
            if self._process.owns(key) and key.startswith(
                (batches_prefix("job"), failure_parts_prefix("job"))
            ):
                self._process.saved |= {
                    index_of(line)
                    for line in body.splitlines()
                    # What the service failed is tried again, and may be paid and lost then.
                    if not is_service_failure(kind_of(line))
                }

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        with self._process.touching_store():
            return self._target.list(prefix)

    def open_reader(self, key: str) -> AbstractContextManager[BinaryIO]:
        with self._process.touching_store():
            return self._target.open_reader(key)

    def open_version(
        self, key: str, *, version: str | None = None
    ) -> AbstractContextManager[BinaryIO]:
        with self._process.touching_store():
            return self._target.open_version(key, version=version)

    @contextmanager
    def open_writer(self, key: str, *, content_type: str) -> Iterator[BinaryIO]:
        with (
            self._process.touching_store(),
            self._target.open_writer(key, content_type=content_type) as stream,
        ):
            yield stream

    def delete(self, keys: Iterable[str]) -> None:
        with self._process.touching_store():
            self._target.delete(keys)


def _paid_in(checkpoint: bytes | None) -> set[Call]:
    """The paid calls of unfinished records that a checkpoint keeps."""
    paid: set[Call] = set()
    document = orjson.loads(checkpoint) if checkpoint else {"partials": {}}
    for index, partial in document["partials"].items():
        steps, attempt = (
            [*partial["steps"], *partial.get("verdicts", ())],
            partial.get("attempt", 0),
        )
        # Of a repaired step both calls are behind it; of an invalid one the first is.
        paid |= {
            (int(index), step_of(step, attempt), repair)
            for step in steps
            for repair in (False, True)
        }
        if partial["invalid"] is not None:
            paid.add((int(index), step_of("two" if steps else "one", attempt), False))
    return paid


def _rejected_in(part: bytes) -> set[Call]:
    """The paid calls of rejected tries."""
    lines = map(orjson.loads, part.splitlines())
    return {
        (line["index"], step_of(step, line["try"]), repair)
        for line in lines
        for step in (*line["generation_result"], *line["checks"])
        for repair in (False, True)
    }


class SimulatedPool:
    """Model calls whose fate is drawn when they are made and known when they end."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._in_flight: dict[int, tuple[float, Call, ModelReply | ModelError, int]] = {}
        self._under_schema: set[int] = set()
        self._compiled = False

    def submit(self, call: int, request: ModelRequest) -> None:
        self._process.scheduler.check_alive()
        key = self._key(request)
        self._process.truth.asked[key[0]] += 1
        clock = self._process.scheduler.clock
        if request.output_schema and not self._compiled:
            if self._under_schema:
                raise InvariantError("two calls under a schema before its first reply")
            if request.timeout_seconds < WARM_UP_SECONDS:
                raise InvariantError("the first call under a schema is not waited for")
        if request.output_schema:
            self._under_schema.add(call)
        delay, result, nano = self._fate(request, key)
        self._in_flight[call] = (clock.monotonic() + delay, key, result, nano)

    def _key(self, request: ModelRequest) -> Call:
        if self._process.script is not None:
            return self._process.script.call(request)
        index, step = request.messages[0].text.split("/")[:2]
        return int(index), step.split("\n")[0], len(request.messages) > 1

    def _fate(self, request: ModelRequest, key: Call) -> tuple[float, ModelReply | ModelError, int]:
        rng, rates = self._process.rng, self._process.rates
        delay = 0.2 + rng.random() * 3
        usage = Usage(
            input_tokens=rng.randint(1, 20), output_tokens=rng.randint(1, request.max_tokens)
        )
        nano = self._process.price.cost(usage)
        maybe = nano if rng.random() < 0.5 else 0
        draws: list[tuple[float, ModelErrorKind, int]] = [
            (rates.throttled, ModelErrorKind.THROTTLED, 0),
            (rates.in_doubt, ModelErrorKind.IN_DOUBT, maybe),
            (rates.server_fault, ModelErrorKind.SERVER_FAULT, maybe),
            (rates.unavailable, ModelErrorKind.UNAVAILABLE, 0),
            (rates.model_failed, ModelErrorKind.MODEL_FAILED, maybe),
            (rates.not_sent, ModelErrorKind.NOT_SENT, 0),
            (rates.rejected, ModelErrorKind.REJECTED, 0),
            (rates.fatal, ModelErrorKind.FATAL, 0),
        ]
        if self._process.truth.is_out(self._process.scheduler.clock.monotonic()):
            self._process.truth.refused_while_out += 1
            kind = rng.choice((ModelErrorKind.SERVER_FAULT, ModelErrorKind.UNAVAILABLE))
            return delay, ModelError(kind, "simulated: out"), 0
        if rates.uncompiled and request.output_schema and rng.random() < rates.uncompiled:
            return 185.0, SchemaRefusedError(ModelErrorKind.REJECTED, "simulated"), 0
        for rate, kind, cost in draws:
            if rng.random() < rate:
                return delay, ModelError(kind, "simulated"), cost
        if rng.random() < rates.slow:
            delay += 200 * rng.random()
        text = '{"answer": 1}' if request.output_schema or key[1].startswith("two") else "text"
        if self._process.script is not None:
            text = self._process.script.reply(key, text)
        if key[1].startswith("two") and rng.random() < rates.invalid:
            text = "not what was asked for"
        return delay, ModelReply(text=text, usage=usage), nano

    def wait(self, timeout: float) -> list[Completion]:
        process = self._process
        clock = process.scheduler.clock
        if process.rng.random() < process.rates.shutdown:
            process.worker.request_shutdown()
        # Shorter waits would not move a clock of this size, and the worker would ask for ever.
        end = clock.monotonic() + (max(timeout, 1e-6) if timeout > 0 else 0.0)
        while True:
            now = clock.monotonic()
            ended = [call for call, fate in self._in_flight.items() if fate[0] <= now]
            if ended or now >= end:
                break
            due = min([fate[0] for fate in self._in_flight.values()] + [end])
            process.advance(due - now)
        return [self._end(call) for call in ended]

    def _end(self, call: int) -> Completion:
        _, key, result, nano = self._in_flight.pop(call)
        if call in self._under_schema:
            self._under_schema.remove(call)
            self._compiled |= isinstance(result, ModelReply)
        self._bill(key, nano, replied=isinstance(result, ModelReply))
        return Completion(call=call, result=result)

    def _bill(self, key: Call, nano: int, *, replied: bool) -> None:
        if nano:
            self._process.truth.pay(key, nano, replied=replied)
            if replied:
                self._process.paid.add(key)

    def withdraw(self) -> list[int]:
        return []

    def wake(self) -> None:
        return None

    def close(self) -> None:
        return None

    def die(self) -> None:
        """The process has ended: the provider goes on with what it has received, and bills it."""
        self._process.presumed_slow = bool(self._in_flight)
        for _, key, result, nano in self._in_flight.values():
            self._bill(key, nano, replied=isinstance(result, ModelReply))
        self._in_flight.clear()
