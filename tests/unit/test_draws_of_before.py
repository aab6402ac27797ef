"""What an earlier version began goes on with the draws it began with, by the same words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.cli.commands import demo
from runtime.datasets.folder import DatasetFolder
from runtime.datasets.identity import stored_job_id, template_digest_of_before
from runtime.datasets.request import DatasetRequest, read_request
from runtime.domain.errors import InputError
from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.options import options_given

DEMO: dict[str, object] = {
    "template": "47a5d83d44c3b932bc1cc0d77a7355f87547cb0fe949ded3b945f4b6547b9db2",
    "seeds": "e5c2d9f8c1a91199c3740ed9c9f3c27e4019c6f7b9cc20e45e8b508b0333b3e8",
    "-n": 12,
    "--seed-strategy": "sequential",
    "--random-seed": 0,
    "--model": None,
    "--backend": "local",
}
"""What the version of November 2026 (042a8e6) wrote into the folder of `demo`."""
DEMO_JOB = "5c1fa596-8d6e-552d-8f38-4e2bee62b007"


def asked(strategy: SeedStrategy | None = None, *, random_seed: int = 0) -> DatasetRequest:
    """What the command asks for with `--seed-strategy`, or without it."""
    template = {"name": "one", "steps": [{"id": "text", "prompt": "Say {{ topic }}."}]}
    return read_request(
        template,
        [{"topic": "tea"}, {"topic": "rain"}],
        num_records=6,
        backend="local",
        draws=options_given(Draws(), seed_strategy=strategy, random_seed=random_seed),
        strategy_chosen=strategy is not None,
    )


def folder_of(path: Path, document: Any) -> DatasetFolder:
    (path / ".seedwright").mkdir()
    (path / ".seedwright" / "job.json").write_bytes(orjson.dumps(document))
    return DatasetFolder(path)


def before(path: Path, strategy: str, *, random_seed: int = 0) -> DatasetFolder:
    """A folder as that version made it."""
    document = {
        **asked().identity(),
        "template": template_digest_of_before(asked().template),
        "--seed-strategy": strategy,
        "--random-seed": random_seed,
    }
    del document["--draws"]
    return folder_of(path, document)


@pytest.mark.parametrize("own", ["random", "sequential"])
@pytest.mark.parametrize("random_seed", [0, 7])
def test_a_folder_goes_on_with_its_own_draws(tmp_path: Path, own: str, random_seed: int) -> None:
    folder = before(tmp_path, own, random_seed=random_seed)
    draws = Draws(seed_strategy=SeedStrategy(own), random_seed=random_seed, scheme=1)

    for strategy in (None, SeedStrategy(own)):
        assert folder.check(asked(strategy, random_seed=random_seed)).draws == draws
    with pytest.raises(InputError, match="different --random-seed"):
        folder.check(asked(random_seed=8))


@pytest.mark.parametrize(
    ("own", "named"),
    [("random", "shuffle"), ("random", "sequential"), ("sequential", "random")],
)
def test_a_strategy_that_is_named_is_not_passed_over(tmp_path: Path, own: str, named: str) -> None:
    with pytest.raises(InputError, match=r"another dataset \(different --seed-strategy\)"):
        before(tmp_path, own).check(asked(SeedStrategy(named)))


def test_the_id_of_the_job_is_what_it_was(tmp_path: Path) -> None:
    """By it the folder's own job is found, which has the records that are there."""
    folder = before(tmp_path, "random")
    stored = orjson.loads((folder.state / "job.json").read_bytes())
    then = replace(asked(), begun_as=stored_job_id(stored))

    assert folder.check(asked()).job_id() == then.job_id() != asked().job_id()


def test_a_new_folder_begins_with_shuffle_and_keeps_what_it_began_with(tmp_path: Path) -> None:
    assert DatasetFolder(tmp_path).check(asked()).draws == Draws()

    folder = folder_of(tmp_path, asked(SeedStrategy.RANDOM).identity())
    assert folder.check(asked(SeedStrategy.RANDOM)).draws.scheme == 2
    with pytest.raises(InputError, match="different --seed-strategy"):
        folder.check(asked())


def test_two_words_for_one_strategy_are_one_dataset(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, asked(SeedStrategy.SEQUENTIAL).identity())

    ordered, sequential = map(asked, (SeedStrategy.ORDERED, SeedStrategy.SEQUENTIAL))
    assert folder.check(ordered).identity() == folder.check(sequential).identity()


def test_the_demo_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[DatasetRequest] = []
    monkeypatch.setattr(demo, "generate_and_report", lambda request, *_: made.append(request))
    folder = folder_of(tmp_path, DEMO)

    demo.demo(out=tmp_path)

    going_on = folder.check(made[0])
    assert going_on.draws == Draws(seed_strategy=SeedStrategy.SEQUENTIAL, scheme=1)
    assert going_on.job_id() == DEMO_JOB
