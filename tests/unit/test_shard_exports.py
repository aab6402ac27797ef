"""Shards that export side by side: what is joined is what one task would have written (N20)."""

import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.contract.keys import (
    batch_key,
    card_key,
    export_key,
    exports_prefix,
    failures_key,
    pieces_prefix,
    report_key,
    rows_result_key,
)
from runtime.domain.errors import ModelError, ModelErrorKind, StorageFullError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import JobStatus
from runtime.local.objects import DirectoryObjects
from runtime.service.retry import retry_failed
from tests.fixtures.memory_ports import captured_logs
from tests.unit.test_worker_shards import TEMPLATE, World

ALL: Final = tuple(OutputFormat)


def refuses(*indices: int) -> Callable[[int], ModelError | None]:
    error = ModelError(ModelErrorKind.REJECTED, "no")
    return lambda index: error if index in indices else None


def exported(world: World) -> dict[str, Any]:
    """What a reader has of the dataset: rows by split, and every other file."""
    bodies, prefix = world.objects.bodies, exports_prefix("j")
    found: dict[str, Any] = {}
    tables: dict[str, list[pa.Table]] = {}
    for key in sorted(bodies):
        name = key.removeprefix(prefix)
        if name == "dataset.parquet":
            found[name] = pq.read_table(io.BytesIO(bodies[key])).to_pylist()
        elif name.startswith("data/"):
            split = name.removeprefix("data/").split("-")[0]
            tables.setdefault(split, []).append(pq.read_table(io.BytesIO(bodies[key])))
        elif key.startswith(prefix) or key in {failures_key("j"), report_key("j")}:
            found[name] = bodies[key]
    found |= {split: pa.concat_tables(some).to_pylist() for split, some in tables.items()}
    results = orjson.loads(bodies.get(rows_result_key("j"), b"[]"))
    found["results"] = [{**each, "files": None} for each in results]
    found["card"] = bodies.get(card_key("j"))
    return found


def files(world: World, split: str) -> list[str]:
    prefix = f"{exports_prefix('j')}data/{split}-"
    return [key.removeprefix(prefix) for key in sorted(world.objects.bodies) if prefix in key]


def pieces(world: World) -> list[str]:
    return [key for key in world.objects.bodies if key.startswith(pieces_prefix("j"))]


def manifests(world: World) -> list[str]:
    return [key for key in pieces(world) if key.endswith("/manifest.json")]


def alone(records: int, shards: int, **more: Any) -> World:
    """The same job by one task."""
    return World(records, shards, **more)


def side_by_side(records: int, shards: int, **more: Any) -> World:
    return World(records, shards, piece_bytes=1, **more)


def warnings(logs: list[tuple[str, str]]) -> list[str]:
    return [message for level, message in logs if level != "INFO"]


def generate(world: World, shards: int) -> None:
    """All shards, and not the job's own work."""
    for shard in range(shards):
        assert world.work_on(f"j#{shard}") is ExitCode.DONE


@pytest.mark.parametrize("shards", [4, 9])
def test_n20_what_is_joined_is_what_one_task_writes(shards: int) -> None:
    worlds = [make(600, shards, formats=ALL) for make in (alone, side_by_side)]
    for world in worlds:
        world.fate = refuses(0, 17, 150, 151, 152, 599)
        assert world.work() is ExitCode.DONE
        assert world.ended() is JobStatus.COMPLETED

    one, other = map(exported, worlds)
    assert one.keys() == other.keys() >= {"train", "test", "data-csv/test.csv", "dataset.csv"}
    for name, body in one.items():
        assert other[name] == body, name
    assert len(other["train"]) + len(other["test"]) == 594
    # The one is in one file, the other in a file of each shard.
    assert files(worlds[0], "train") == ["00000-of-00001.parquet"]
    assert files(worlds[1], "train") == [
        f"{number:05}-of-{shards:05}.parquet" for number in range(shards)
    ]
    assert not pieces(worlds[1])


class DiskObjects(DirectoryObjects):
    """As a laptop has them."""

    @property
    def bodies(self) -> dict[str, bytes]:
        return {stat.key: self.get(stat.key) for stat in self.list("")}


def test_n20_so_it_is_on_a_laptop(tmp_path: Path) -> None:
    one = alone(120, 3, formats=ALL)
    with closing(DiskObjects(tmp_path)) as objects:
        world = side_by_side(120, 3, formats=ALL, objects=objects)
        generate(one, 3)
        generate(world, 3)
        made = [tmp_path / key for key in pieces(world) if "/train-" in key]
        inodes = {path.stat().st_ino for path in made}
        for each in (one, world):
            assert each.work() is ExitCode.DONE
        assert exported(world) == exported(one)
        rows = tmp_path / exports_prefix("j") / "data"
        assert {path.stat().st_ino for path in rows.glob("train-*")} == inodes, "no byte is copied"
        assert not pieces(world)


def test_n20_a_dataset_of_records_alone_is_joined_too() -> None:
    template = {key: TEMPLATE[key] for key in ("name", "steps")}
    worlds = [make(90, 3, template=template) for make in (alone, side_by_side)]
    for world in worlds:
        generate(world, 3)
    assert [len(manifests(world)) for world in worlds] == [0, 3]
    with captured_logs() as logs:
        for world in worlds:
            assert world.work() is ExitCode.DONE
    assert not warnings(logs), "it was joined"
    assert exported(worlds[0]) == exported(worlds[1])
    assert len(worlds[1].dataset()) == 90


def test_small_shards_leave_the_export_to_one_task() -> None:
    world = World(90, 3, piece_bytes=10**6)
    generate(world, 3)
    assert not pieces(world)


def test_what_is_joined_is_not_read_again() -> None:
    """By this a million records are joined in seconds."""
    world = side_by_side(300, 3)
    generate(world, 3)
    first, older = batch_key("j", 1, 0), f"{exports_prefix('j')}data/train-00007-of-00008.parquet"
    world.objects.put(older, b"of an export before", content_type="")
    # The very bytes are what counts: those that no parser would take pass as they are.
    world.objects.bodies[first] = b"x" * len(world.objects.bodies[first])

    assert world.work() is ExitCode.DONE
    assert world.ended() is JobStatus.COMPLETED
    body = world.objects.bodies[export_key("j", "jsonl")]
    assert body.startswith(world.objects.bodies[first])
    assert older not in world.objects.bodies


def _without(world: World, ending: str) -> None:
    for key in pieces(world):
        if "shard-0001/" in key and key.endswith(ending):
            del world.objects.bodies[key]


def _damaged(world: World) -> None:
    (key,) = (each for each in manifests(world) if "shard-0001/" in each)
    world.objects.bodies[key] = world.objects.bodies[key][:-9]


def _of_other_rows(world: World) -> None:
    (key,) = (each for each in manifests(world) if "shard-0001/" in each)
    document = orjson.loads(world.objects.bodies[key])
    world.objects.bodies[key] = orjson.dumps({**document, "made_of": "other", "records": 1})


def _of_other_batches(world: World) -> None:
    """As a late owner leaves it, whose successor has generated more."""
    (key,) = (each for each in manifests(world) if "shard-0001/" in each)
    document = orjson.loads(world.objects.bodies[key])
    world.objects.bodies[key] = orjson.dumps({**document, "batches": "other", "records": 1})


@pytest.mark.parametrize(
    "harm",
    [
        lambda world: _without(world, "manifest.json"),
        lambda world: _without(world, ".parquet"),
        lambda world: _without(world, ""),
        _damaged,
        _of_other_rows,
        _of_other_batches,
    ],
    ids=["no manifest", "no file", "nothing", "damaged", "other rows", "other batches"],
)
def test_a_piece_that_does_not_count_is_made_by_the_jobs_own_work(
    harm: Callable[[World], None],
) -> None:
    one, world = alone(120, 3, formats=ALL), side_by_side(120, 3, formats=ALL)
    for each in (one, world):
        generate(each, 3)
    harm(world)
    with captured_logs() as logs:
        for each in (one, world):
            assert each.work() is ExitCode.DONE
    assert exported(world) == exported(one)
    assert len(files(world, "train")) == 3
    assert not warnings(logs), "it was joined all the same"
    assert not pieces(world)


def test_statistics_that_do_not_add_up_are_counted_from_the_records() -> None:
    one, world = alone(120, 3), side_by_side(120, 3)
    for each in (one, world):
        generate(each, 3)
    for key in manifests(world):
        document = orjson.loads(world.objects.bodies[key])
        world.objects.bodies[key] = orjson.dumps({**document, "has_statistics": False})
    for each in (one, world):
        assert each.work() is ExitCode.DONE
    assert exported(world) == exported(one)


def test_repeats_in_a_shard_are_dropped_and_counted() -> None:
    """A late owner's batch: what it repeats is there once, the first time."""
    one, world = alone(120, 3, formats=ALL), side_by_side(120, 3, formats=ALL)
    for each in (one, world):
        generate(each, 3)
        lines = each.objects.bodies[batch_key("j", 1, 1)]
        each.objects.bodies[batch_key("j", 9, 1)] = lines
        if each is world:
            assert each.queue.claim("j#1", "me") is None
            _without(world, "")
    for each in (one, world):
        assert each.work() is ExitCode.DONE
    assert exported(world) == exported(one)
    assert len(files(world, "train")) == 3


def test_repeats_across_shards_are_dropped_by_one_task() -> None:
    """Pieces can't tell: whoever finds a record of another shard leaves the export to one task."""
    one, world = alone(120, 3), side_by_side(120, 3)
    for each in (one, world):
        generate(each, 2)
        each.objects.bodies[batch_key("j", 9, 2)] = each.objects.bodies[batch_key("j", 1, 1)]
        generate_last(each)
    for each in (one, world):
        assert each.work() is ExitCode.DONE
    assert exported(world) == exported(one)
    assert files(world, "train") == ["00000-of-00001.parquet"]
    assert sorted(world.dataset()) == list(range(120))
    assert not pieces(world)


def test_records_of_another_shard_make_no_piece_where_nothing_counts_them() -> None:
    """As in a job that its budget ended: how many there are to be is not known."""
    world = side_by_side(120, 3)
    generate(world, 3)
    world.objects.bodies[batch_key("j", 9, 2)] = world.objects.bodies[batch_key("j", 1, 1)]
    worker, claim = world.worker(), world.queue.claim("j", "me")
    assert claim is not None
    with captured_logs() as logs:
        joined = worker.row_exports.shards.join(
            world.job,
            worker.templates.load_template(world.job),
            claim,
            expected=None,
            progress=lambda _records: None,
            may_write=lambda: True,
        )
    assert joined is None
    assert warnings(logs) == ["pieces not joined"]
    assert not pieces(world)


def generate_last(world: World) -> None:
    assert world.work_on("j#2") is ExitCode.DONE


def test_a_job_that_has_grown_is_exported_by_one_task() -> None:
    """Its rows are in the order of all indices, and a shard has two ranges of them."""
    one, world = alone(60, 3), side_by_side(60, 3)
    with captured_logs() as logs:
        for each in (one, world):
            generate(each, 3)
            assert each.work() is ExitCode.DONE
            each.jobs.set_num_records("j", 97)
            each.go_on()
            assert each.work() is ExitCode.DONE
    assert not warnings(logs), "no piece was tried"
    assert exported(world) == exported(one)
    assert files(world, "train") == ["00000-of-00001.parquet"]
    assert not pieces(world)


def test_what_is_tried_again_after_a_piece_was_made_is_in_the_dataset() -> None:
    one, world = alone(120, 3), side_by_side(120, 3)
    for each in (one, world):
        each.fate = refuses(3, 50)
        generate(each, 3)
        assert each.work() is ExitCode.DONE
        each.fate = refuses()
        retry_failed(each.objects, "j")
        each.go_on()
        generate(each, 2)
        assert len(manifests(each)) == (2 if each is world else 0)
        assert each.work() is ExitCode.DONE
        assert sorted(each.dataset()) == list(range(120))
    assert exported(world) == exported(one)
    assert failures_key("j") not in world.objects.bodies


class DiedError(BaseException):
    """Passes every handler that a worker has."""


@pytest.mark.parametrize("point", ["mid_piece", "after_piece"])
def test_n1_pieces_of_a_dead_worker_do_not_mix_with_those_of_the_next(point: str) -> None:
    one, world = alone(120, 3), side_by_side(120, 3)
    generate(one, 3)
    generate(world, 1)

    def die(name: str) -> None:
        if name == point:
            raise DiedError

    world.crash_point = die
    with pytest.raises(DiedError):
        world.work_on("j#1")
    left = [key for key in pieces(world) if "shard-0001/" in key]
    assert bool(left) is (point == "after_piece")
    world.crash_point = lambda _name: None
    _give_up(world)
    assert world.work_on("j#1") is ExitCode.DONE
    assert not set(left) & set(pieces(world)), "what the dead one left is gone"
    generate_last(world)
    for each in (one, world):
        assert each.work() is ExitCode.DONE
    made, wanted = exported(world), exported(one)  # whose records are of other seconds
    assert [made[split] for split in ("train", "test")] == [wanted["train"], wanted["test"]]
    assert sorted(world.dataset()) == list(range(120))
    assert len(files(world, "train")) == 3


def _give_up(world: World) -> None:
    """The lease of the dead worker runs out."""
    (lease,) = (each for each in world.queue.leases() if each.work_id == "j#1")
    world.queue.recover(lease)


def test_a_late_owner_never_removes_what_its_successor_has_made() -> None:
    world = side_by_side(120, 3)
    claim = world.queue.claim("j#1", "late")
    assert claim is not None
    _give_up(world)
    assert world.work_on("j#1") is ExitCode.DONE
    made = pieces(world)
    assert made
    worker = world.worker()
    template = worker.templates.load_template(world.job)
    worker.row_exports.shards.make(
        world.job, template, claim, expected=40, progress=lambda _records: None
    )
    assert set(made) < set(pieces(world))
    newest = world.worker().row_exports.shards
    found = newest._pieces.find(world.job, made_of=newest._made_of(world.job, template))
    assert (
        found[1].prefix == next(key for key in made if "manifest" in key)[: -len("manifest.json")]
    )


def test_a_full_disk_leaves_the_export_of_a_shard_to_the_jobs_own_work() -> None:
    world = side_by_side(120, 3)

    def full(key: str, **_: Any) -> Any:
        raise StorageFullError(f"no room for {key}")

    open_writer, world.objects.open_writer = world.objects.open_writer, full  # type: ignore[method-assign]
    with captured_logs() as logs:
        generate(world, 3)
    assert warnings(logs) == ["shard not exported by itself"] * 3
    world.objects.open_writer = open_writer  # type: ignore[method-assign]
    assert not manifests(world)
    assert world.work() is ExitCode.DONE
    assert world.ended() is JobStatus.COMPLETED
    assert not pieces(world)
