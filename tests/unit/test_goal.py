"""When a worker has enough, and what it makes of a forecast that was wrong."""

from collections.abc import Mapping

from runtime.domain.checks.check import Balance, Checks, Unique
from runtime.domain.checks.totals import Selection
from runtime.domain.jobs.indices import IndexSet
from runtime.engine.repeats.index import repeat_index
from runtime.export.selection import Chosen
from runtime.worker.forecast import DatasetForecast
from runtime.worker.goal import AcceptedRecords, Goal
from runtime.worker.outcomes import Outcomes


class Guess:
    """A forecast that sees repeats only when it looks at what is stored."""

    def __init__(self, exact: int) -> None:
        self._exact = exact
        self.left_out: Mapping[str, int] = {}

    def passed(self, index: int, document: Mapping[str, object]) -> None:
        pass

    def confirm(self) -> None:
        self.left_out = {"fresh": self._exact}


def outcomes_of(records: int) -> Outcomes:
    outcomes = Outcomes(100, attempts=2)
    for index in range(records):
        outcomes.record(index)
    return outcomes


def asks(goal: AcceptedRecords) -> bool:
    """A property that changes: a type checker would take it for a constant."""
    return goal.must_confirm


def test_a_forecast_is_confirmed_before_it_is_believed() -> None:
    outcomes = outcomes_of(10)
    goal = AcceptedRecords(outcomes, wanted=10, most_tries=100, forecast=Guess(2))
    assert not goal.wants(under_way=0)
    assert asks(goal)
    goal.confirm()
    assert not asks(goal)
    assert goal.accepted == 8
    assert goal.wants(under_way=2)
    assert not goal.wants(under_way=3)
    outcomes.record(10)
    assert asks(goal)


def test_without_checks_of_the_dataset_nothing_has_to_be_confirmed() -> None:
    goal = AcceptedRecords(outcomes_of(10), wanted=10, most_tries=100)
    assert not goal.must_confirm
    assert not goal.wants(under_way=0)


def test_more_are_opened_where_fewer_pass() -> None:
    outcomes = outcomes_of(4)
    goal = AcceptedRecords(outcomes, wanted=10, most_tries=100)
    assert not goal.wants(under_way=6)
    for index in range(4, 14):
        outcomes.fail(index, "rejected")
    assert goal.wants(under_way=17)
    assert not goal.wants(under_way=18)


def test_a_shard_and_a_job_without_checks_open_every_index() -> None:
    goal = Goal(attempts=2)
    assert goal.wants(under_way=10**6)
    assert goal.tries_for(5, 1, ()) == 1
    assert not goal.must_confirm


def test_the_order_of_indices_decides_in_the_end() -> None:
    """Record 1 ends first: then 0 repeats it, and 2 as well. In the order of indices 1 falls out,
    and 2 repeats nobody.
    """
    checks = Checks((Unique(id="a", by="steps.one.output"), Unique(id="b", by="steps.two.output")))
    chosen = Chosen(
        selection=Selection(wanted=3, records=3, accepted=2, left_out={"a": 1}),
        passed=IndexSet(9),
        accepted=IndexSet(9),
    )
    forecast = DatasetForecast(
        checks, wanted=3, make_index=repeat_index, stored=[said(1, "x", "q")], choose=lambda: chosen
    )
    forecast.passed(0, said(0, "x", "p"))
    forecast.passed(2, said(2, "y", "q"))
    assert forecast.left_out == {"a": 1, "b": 1}
    forecast.confirm()
    assert forecast.left_out == {"a": 1}


def test_labels_without_room_are_left_out_until_there_are_enough() -> None:
    checks = Checks((Balance(id="even", by="steps.one.output", values=("x", "y")),))
    chosen = Chosen(
        selection=Selection(wanted=4, records=4, accepted=3),
        passed=IndexSet(9),
        accepted=IndexSet(9),
    )
    stored = [{**said(index, "x", ""), "checks": {"even": {"value": "x"}}} for index in range(3)]
    forecast = DatasetForecast(
        checks, wanted=4, make_index=repeat_index, stored=stored, choose=lambda: chosen
    )
    assert forecast.left_out == {"even": 1}
    forecast.confirm()
    assert forecast.left_out == {"even": 1}


def said(index: int, one: str, two: str) -> dict[str, object]:
    """A record's line, as far as these checks look at it."""
    result = {"one": {"output": one}, "two": {"output": two}}
    return {"index": index, "generation_result": result}
