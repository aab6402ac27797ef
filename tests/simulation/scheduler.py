"""Runs simulated processes one at a time in virtual time, in an order that a seed decides.

Each process is a thread, but only one of them runs at any moment: it gives control back whenever it
waits or touches a store. Time moves only when every process waits.
"""

import random
import threading
from collections.abc import Callable

from tests.fixtures.clock import ManualClock


class Crashed(BaseException):
    """The process is gone: nothing it would still do may happen."""


class Actor:
    """One simulated process."""

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.due = 0.0
        self.dead = False
        self.ended = False
        self.error: BaseException | None = None
        self.turn = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, args=(body,), name=name, daemon=True)
        self.hand_back: Callable[[], None] = lambda: None

    def _run(self, body: Callable[[], None]) -> None:
        self.turn.acquire()
        try:
            body()
        except Crashed:
            pass
        except BaseException as error:  # noqa: BLE001 - the schedule reports it
            self.error = error
        self.ended = True
        self.hand_back()


class Scheduler:
    """Owns the clock and decides who runs next."""

    def __init__(self, rng: random.Random) -> None:
        self.clock = ManualClock()
        self.errors: list[BaseException] = []
        """What processes have ended with, but for crashes."""
        self._rng = rng
        self._actors: list[Actor] = []
        self._current: Actor | None = None
        self._main = threading.Semaphore(0)

    def spawn(self, name: str, body: Callable[[], None]) -> Actor:
        """A new process; it begins when the scheduler picks it."""
        actor = Actor(name, body)
        actor.due = self.clock.monotonic()
        actor.hand_back = self._main.release
        actor.thread.start()
        self._actors.append(actor)
        return actor

    def pause(self, seconds: float = 0.0) -> None:
        """Called by a process: let others run, and go on `seconds` later."""
        actor = self._current
        if actor is None:
            return  # the supervisor itself never waits
        actor.due = self.clock.monotonic() + seconds
        self._main.release()
        actor.turn.acquire()
        if actor.dead:
            raise Crashed

    def check_alive(self) -> None:
        """Called by a process: nothing happens after its death."""
        if self._current is not None and self._current.dead:
            raise Crashed

    def crash(self) -> None:
        """Called by a process: die here."""
        if self._current is not None:
            self._current.dead = True
        raise Crashed

    @property
    def alive(self) -> list[Actor]:
        """Processes that have not ended."""
        return [actor for actor in self._actors if not actor.ended]

    def kill(self, actor: Actor) -> None:
        """Called from outside: the process does nothing more, wherever it waits."""
        actor.dead, actor.due = True, self.clock.monotonic()

    def run_for(self, seconds: float) -> bool:
        """Run processes until all have ended or `seconds` have passed; whether all have ended."""
        end = self.clock.monotonic() + seconds
        while alive := self.alive:
            self._actors = alive
            now = self.clock.monotonic()
            ready = [actor for actor in alive if actor.due <= now]
            if not ready:
                next_due = min(actor.due for actor in alive)
                if next_due > end:
                    self.clock.advance(max(end - now, 0.0))
                    return False
                self.clock.advance(next_due - now)
                continue
            self._current = self._rng.choice(ready)
            self._current.turn.release()
            self._main.acquire()
            if self._current.error is not None:
                self.errors.append(self._current.error)
            self._current = None
        self._actors.clear()
        return True
