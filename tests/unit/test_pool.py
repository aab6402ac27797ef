"""The threads that call the model: every call ends once, and nothing is left behind."""

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.calls import Message, ModelReply, ModelRequest
from runtime.domain.roles import Role
from runtime.worker.pool import BackgroundCallPool, CallPool, Completion, call_pool

DEADLINE = 20.0


class Model:
    """A `ModelClient` that does what a test says with the text of the request."""

    def __init__(self, answer: Callable[[str], ModelReply]) -> None:
        self._answer = answer

    def converse(self, request: ModelRequest) -> ModelReply:
        return self._answer(request.messages[0].text)

    def close(self) -> None: ...


class Gate:
    """Holds calls until it is opened; counts them."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self.inside = 0
        self.most = 0

    def answer(self, text: str) -> ModelReply:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self._opened.wait(DEADLINE)
        with self._lock:
            self.inside -= 1
        return reply(text)

    def open(self) -> None:
        self._opened.set()


def reply(text: str) -> ModelReply:
    return ModelReply(text=text, usage=None)


def request(text: str = "") -> ModelRequest:
    return ModelRequest(model="m", messages=(Message(role=Role.USER, text=text),), max_tokens=1)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "model-call"]


def collect(pool: CallPool, count: int) -> list[Completion]:
    completions: list[Completion] = []
    deadline = time.monotonic() + DEADLINE
    while len(completions) < count:
        assert time.monotonic() < deadline
        completions += pool.wait(DEADLINE)
    return completions


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    until(lambda: not threads())


def test_every_call_ends_once_with_its_own_reply() -> None:
    pool = call_pool(Model(reply), 4)
    for call in range(50):
        pool.submit(call, request(f"text {call}"))
    completions = collect(pool, 50)
    assert {each.call: each.result for each in completions} == {
        call: reply(f"text {call}") for call in range(50)
    }
    assert len(completions) == 50
    assert pool.wait(0) == []
    pool.close()


def test_no_more_calls_at_a_time_than_threads() -> None:
    gate = Gate()
    pool = call_pool(Model(gate.answer), 3)
    for call in range(7):
        pool.submit(call, request())
    until(lambda: gate.inside == 3)
    assert len(threads()) == 3
    gate.open()
    collect(pool, 7)
    assert gate.most == 3
    pool.close()


def test_threads_are_started_as_calls_need_them() -> None:
    pool = call_pool(Model(reply), 64)
    assert threads() == []
    for call in range(5):
        pool.submit(call, request())
        collect(pool, 1)
    assert len(threads()) == 1
    assert all(thread.daemon for thread in threads())
    pool.close()


def test_withdrawn_calls_are_those_that_nobody_began() -> None:
    """S4.2: what was not sent is not paid for."""
    gate = Gate()
    pool = call_pool(Model(gate.answer), 2)
    for call in range(6):
        pool.submit(call, request())
    until(lambda: gate.inside == 2)
    withdrawn = pool.withdraw()
    gate.open()
    begun = [each.call for each in collect(pool, 2)]
    assert sorted(withdrawn + begun) == list(range(6))
    assert withdrawn == [2, 3, 4, 5]
    assert pool.withdraw() == []
    pool.submit(6, request())
    assert collect(pool, 1)[0].call == 6
    pool.close()


def test_a_model_error_is_handed_on() -> None:
    error = ModelError(ModelErrorKind.THROTTLED, "slow down")

    def refuse(_text: str) -> ModelReply:
        raise error

    pool = call_pool(Model(refuse), 1)
    pool.submit(1, request())
    [completion] = collect(pool, 1)
    assert completion.result is error
    pool.close()


@pytest.mark.parametrize("defect", [ValueError, MemoryError, ZeroDivisionError])
def test_a_defect_is_a_call_in_doubt(defect: type[Exception]) -> None:
    """N3: it may have been billed. N10: its message may quote anything, so it is not kept."""

    def break_down(_text: str) -> ModelReply:
        raise defect("the prompt was: secret")

    pool = call_pool(Model(break_down), 1)
    for call in (1, 2):  # the thread survives
        pool.submit(call, request())
        [completion] = collect(pool, 1)
        assert isinstance(completion.result, ModelError)
        assert completion.result.kind is ModelErrorKind.IN_DOUBT
        assert str(completion.result) == f"unexpected {defect.__name__} in a model call"
    pool.close()


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_wait_that_may_not_wait_returns(timeout: float) -> None:
    pool = call_pool(Model(reply), 1)
    assert pool.wait(timeout) == []
    pool.close()


def test_a_wake_from_another_thread_ends_a_wait() -> None:
    pool = call_pool(Model(reply), 1)
    started = time.monotonic()
    thread = threading.Thread(target=pool.wake)
    thread.start()
    assert pool.wait(60) == []
    thread.join()
    assert time.monotonic() - started < DEADLINE
    pool.close()


def test_a_wake_from_a_signal_handler_ends_a_wait() -> None:
    """S4.1."""
    pool = call_pool(Model(reply), 1)
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: pool.wake())
    started = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert pool.wait(60) == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < DEADLINE
    pool.close()


def test_a_wake_hides_no_completion() -> None:
    pool = call_pool(Model(reply), 1)
    pool.wake()
    pool.submit(1, request())
    assert isinstance(pool, BackgroundCallPool)
    until(lambda: pool._ended.qsize() == 2)
    pool.wake()
    assert [each.call for each in pool.wait(0)] == [1]
    pool.close()


def test_close_begins_nothing_and_lets_threads_in_a_call_end_with_it() -> None:
    gate = Gate()
    pool = call_pool(Model(gate.answer), 2)
    for call in range(5):
        pool.submit(call, request())
    until(lambda: gate.inside == 2)
    pool.close()
    pool.close()
    assert len(threads()) == 2
    gate.open()
    until(lambda: not threads())
    assert sorted(each.call for each in pool.wait(0)) == [0, 1]
    assert gate.most == 2
