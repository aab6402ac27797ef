"""Mutants that are written down fit the code of today: `make mutate` takes too long to tell."""

import ast
import json

import pytest

from tests.mutation.laboratory import ROOT
from tests.mutation.named import NAMED, Named
from tests.mutation.run import JUDGED, all_mutants


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named.name)
def test_a_named_mutant_fits(named: Named) -> None:
    source = (ROOT / named.path).read_text(encoding="utf-8")
    assert source.count(named.old) == 1
    ast.parse(source.replace(named.old, named.new))
    assert all((ROOT / test.partition("::")[0]).exists() for test in named.tests)


def test_every_judgement_is_of_a_mutant_that_there_is() -> None:
    judged = json.loads(JUDGED.read_text(encoding="utf-8"))
    paths = {name.partition(":")[0] for name in judged}
    assert judged.keys() <= {mutant.name for path in paths for mutant in all_mutants(path)}
