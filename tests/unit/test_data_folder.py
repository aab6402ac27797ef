"""The folder of `serve`: for its owner alone, whatever stood there before."""

import os
from pathlib import Path

import pytest

from runtime.domain.errors import ConfigurationError, SeedwrightError
from runtime.server.data_folder import DataFolder


def modes(folder: Path) -> dict[str, str]:
    paths = [folder, *sorted(folder.rglob("*"))]
    return {
        str(each.relative_to(folder.parent)): f"{each.stat().st_mode & 0o777:o}" for each in paths
    }


def test_e17_an_open_folder_is_closed_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "storage").mkdir(parents=True)
    (folder / "storage" / "state.sqlite").touch(mode=0o644)
    for each in (folder, folder / "storage"):
        each.chmod(0o755)
    with DataFolder(folder).locked():
        (folder / "storage" / "new").mkdir()
        (folder / "storage" / "new" / "object").write_text("x")
        DataFolder(folder).token()
    assert set(modes(folder).values()) == {"700", "600"}
    assert modes(folder)["data/storage/state.sqlite"] == "600"
    # What the process creates afterwards is its own matter again.
    (tmp_path / "later").touch()
    assert modes(tmp_path / "later")["later"] != "600"


def test_e17_a_private_folder_is_left_as_it_is(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        first = folder.token()
    (tmp_path / "data" / "link").symlink_to(tmp_path)
    with folder.locked():
        assert folder.token() == first


@pytest.mark.parametrize("mode", [0o666, 0o644, 0o620])
def test_e17_a_token_that_others_could_write_or_read_is_replaced(tmp_path: Path, mode: int) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        folder.remember("http://127.0.0.1:1")
    token = tmp_path / "data" / "token"
    token.write_text("planted")
    token.chmod(mode)
    with pytest.raises(ConfigurationError, match="start `seedwright serve` again"):
        folder.profile()
    with folder.locked():
        assert folder.token() != "planted"
    assert token.stat().st_mode & 0o777 == 0o600
    found = folder.profile()
    assert found is not None
    assert found.access_token == folder.token()


@pytest.mark.parametrize("mode", [0o666, 0o644])
def test_e17_a_token_planted_in_an_open_folder_is_replaced(tmp_path: Path, mode: int) -> None:
    """Closing the folder takes away what told who could have written it."""
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    for name in ("token", "address"):
        (data / name).write_text("p" * 43)
        (data / name).chmod(mode)
    folder = DataFolder(data)
    with folder.locked():
        assert folder.token() != "p" * 43
        assert not (data / "address").exists()


def test_e17_a_link_in_the_place_of_the_token_is_not_followed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        folder.token()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("planted")
    elsewhere.chmod(0o600)
    (tmp_path / "data" / "token").unlink()
    (tmp_path / "data" / "token").symlink_to(elsewhere)
    with folder.locked():
        assert folder.token() != "planted"
    assert elsewhere.read_text() == "planted"


def test_e17_what_others_could_have_planted_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "log.jsonl").symlink_to(tmp_path / "victim")
    folder.chmod(0o777)
    with (
        pytest.raises(ConfigurationError, match="is a link: delete it"),
        DataFolder(folder).locked(),
    ):
        pass
    if os.geteuid() == 0:  # only root can make a file of somebody else
        (folder / "log.jsonl").unlink()
        (folder / "storage").touch()
        os.chown(folder / "storage", 12345, 12345)
        folder.chmod(0o777)
        with (
            pytest.raises(ConfigurationError, match="belongs to another user"),
            DataFolder(folder).locked(),
        ):
            pass
    (tmp_path / "file").touch()
    with pytest.raises(SeedwrightError, match="choose another folder"):
        DataFolder(tmp_path / "file").locked().__enter__()
