"""Which records are open, as a checkpoint is told."""

from types import SimpleNamespace
from typing import Any, cast

from runtime.domain.jobs.checkpoint import Partial
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.sampling import Draws
from runtime.domain.samplers.samplers import NO_SAMPLERS
from runtime.worker.goal import Goal
from runtime.worker.prompts import Prompts
from tests.fixtures.seed_files import seed_rows


def prompts(finished: IndexSet, *, next_index: int, partials: dict[int, Partial]) -> Prompts:
    """Only what `unfinished` looks at is there."""
    saver: Any = SimpleNamespace(finished=finished, partials=partials, room=finished.size)
    nothing = cast("Any", None)
    template = SimpleNamespace(samplers=NO_SAMPLERS, batch_of=None)
    return Prompts(
        job=cast("Any", SimpleNamespace(job_id="j", config=SimpleNamespace(draws=Draws()))),
        plan=cast("Any", SimpleNamespace(template=template)),
        seeds=seed_rows([]),
        saver=saver,
        engine=nothing,
        next_index=next_index,
        admit=lambda: None,
        goal=Goal(attempts=1),
    )


def finished_of(*indices: int) -> IndexSet:
    finished = IndexSet(20)
    for index in indices:
        finished.add(index)
    return finished


def test_the_next_index_lies_beyond_everything_that_adopted_batches_hold() -> None:
    """N2: an adopted index above `next_index` would be paid for again once the checkpoint has moved
    past its batch.
    """
    partial = Partial(steps={"one": {"output": "x"}})
    view = prompts(finished_of(0, 1, 2, 5, 9), next_index=4, partials={7: partial})
    assert view.unfinished() == (
        10,
        {3: None, 4: None, 6: None, 7: partial, 8: None},
    )


def test_nothing_is_pending_beyond_the_next_index() -> None:
    view = prompts(finished_of(0, 1), next_index=3, partials={})
    assert view.unfinished() == (3, {2: None})
