"""What every `TemplateStore` promises. Requirement S7.3: a missing template is a `ValueError`."""

import pytest

from runtime.domain.errors import ConflictError, TemplateNotFoundError
from runtime.domain.templates.template import TemplateRef
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import OpenPorts, Storage, new_template, renamed


def test_a_template_comes_back_as_it_was_saved(open_ports: OpenPorts) -> None:
    template = new_template("Größe & Stil")
    ref = open_ports().templates.save_template("ada", "reviews", template)
    assert ref == TemplateRef(template_id="reviews", version=1)
    assert open_ports().templates.load_template(ref) == template


def test_versions_count_up_and_old_ones_stay(ports: Storage) -> None:
    names = [f"draft {number}" for number in range(12)]
    refs = [
        ports.templates.save_template("ada", "reviews", renamed(new_template(), name))
        for name in names
    ]
    assert [ref.version for ref in refs] == list(range(1, 13))
    assert [ports.templates.load_template(ref).name for ref in refs] == names


def test_ids_count_apart(ports: Storage) -> None:
    ports.templates.save_template("ada", "reviews", new_template())
    assert ports.templates.save_template("ada", "dialogue", new_template()).version == 1


@pytest.mark.parametrize("ref", [("reviews", 2), ("reviews", 0), ("nothing", 1)])
def test_a_template_that_is_not_there(ports: Storage, ref: tuple[str, int]) -> None:
    ports.templates.save_template("ada", "reviews", new_template())
    with pytest.raises(TemplateNotFoundError, match="Template not found") as caught:
        ports.templates.load_template(TemplateRef(template_id=ref[0], version=ref[1]))
    assert isinstance(caught.value, ValueError)


def test_the_id_of_another_user_is_taken(ports: Storage) -> None:
    mine = ports.templates.save_template("ada", "reviews", new_template("Mine"))
    with pytest.raises(ConflictError):
        ports.templates.save_template("bob", "reviews", new_template("Theirs"))
    assert ports.templates.load_template(mine).name == "Mine"
    assert ports.templates.save_template("ada", "reviews", new_template()).version == 2


def test_racing_writers_never_share_a_version(open_ports: OpenPorts) -> None:
    writers = [open_ports() for _ in range(3)]
    saved: dict[int, str] = {}
    for round_ in range(8):
        names = [f"{round_}-{number}" for number in range(len(writers))]
        outcomes = race(
            [
                lambda writer=writer, name=name: writer.templates.save_template(  # type: ignore[misc]
                    "ada", "reviews", renamed(new_template(), name)
                )
                for writer, name in zip(writers, names, strict=True)
            ]
        )
        won = [
            (outcome.version, name)
            for outcome, name in zip(outcomes, names, strict=True)
            if isinstance(outcome, TemplateRef)
        ]
        assert len(won) >= 1
        assert len(won) + of_type(outcomes, ConflictError) == len(writers)
        assert not saved.keys() & dict(won).keys()
        saved |= won
    assert sorted(saved) == list(range(1, len(saved) + 1))
    for version, name in saved.items():
        ref = TemplateRef(template_id="reviews", version=version)
        assert writers[0].templates.load_template(ref).name == name
