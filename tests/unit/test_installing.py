"""What `make` installs its lists with: uv, told what pip is told, and pip where uv can't."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from requirements import install


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (
            "global.index-url='https://one.example/simple'",
            {"UV_DEFAULT_INDEX": "https://one.example/simple"},
        ),
        ("global.extra-index-url='file:///a file:///b'", {"UV_INDEX": "file:///a file:///b"}),
        ("global.find-links='\\n/one\\n/two'", {"UV_FIND_LINKS": "/one,/two"}),
        (":env:.trusted-host='a.example b.example'", {"UV_INSECURE_HOST": "a.example b.example"}),
        ("global.no-index='true'", {"UV_OFFLINE": "true"}),
        ("global.proxy='http://p:1'", {"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://p:1"}),
        # The environment goes before the section of the command, that before the general one.
        (
            ":env:.index-url='https://e'\nglobal.index-url='https://g'\ninstall.index-url='https://i'",
            {"UV_DEFAULT_INDEX": "https://e"},
        ),
        (
            "install.index-url='https://i'\nglobal.index-url='https://g'",
            {"UV_DEFAULT_INDEX": "https://i"},
        ),
        (
            "global.index-url='https://u:p=x@one.example/s'",
            {"UV_DEFAULT_INDEX": "https://u:p=x@one.example/s"},
        ),
    ],
)
def test_uv_asks_what_pip_would(listed: str, expected: dict[str, str]) -> None:
    assert install.uv_settings(listed).items() >= expected.items()


def test_what_is_not_about_an_index_is_left_alone() -> None:
    listed = "global.constraint='/c.txt'\ndownload.index-url='https://other'\nglobal.quiet='1'"
    assert install.uv_settings(listed) == install.uv_settings("")


def test_certificates_are_those_of_pip_or_of_the_machine() -> None:
    named = install.uv_settings("global.cert='/ca.pem'")
    assert named["SSL_CERT_FILE"] == "/ca.pem"
    assert "UV_SYSTEM_CERTS" not in named
    assert install.uv_settings("")["UV_SYSTEM_CERTS"] == "true"


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pinned list of one wheel, which lies in the one folder that pip is told to look into."""
    pytest.importorskip("pip")  # an environment that uv has made has none
    links = tmp_path / "links"
    links.mkdir()
    wheel = links / "kettle-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("kettle.py", "COLOUR = 'red'\n")
        info = "kettle-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: kettle\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"kettle.py,,\n{info}/RECORD,,\n")
    path = tmp_path / "list.txt"
    path.write_text(f"kettle==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nno-index = true\nfind-links = {links}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The Python of an empty environment."""
    folder = tmp_path / "environment"
    subprocess.run(
        [sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(folder)],
        check=True,
    )
    return folder / "bin" / "python"


def colour(target: Path) -> str:
    command = [str(target), "-P", "-c", "import kettle; print(kettle.COLOUR)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_uv_installs_from_where_pip_is_told(
    pinned: Path, target: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert install.main(str(pinned), str(target)) == 0
    assert colour(target) == "red"
    assert "so pip does" not in capfd.readouterr().err


def test_pip_installs_what_uv_can_not(
    pinned: Path, target: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UV_CONFIG_FILE", "/nowhere/uv.toml")
    assert install.main(str(pinned), str(target)) == 0
    assert colour(target) == "red"
    assert "so pip does" in capfd.readouterr().err


def test_another_file_than_the_pinned_one_is_installed_by_neither(
    pinned: Path, target: Path
) -> None:
    pinned.write_text(f"kettle==1.0 --hash=sha256:{'0' * 64}\n")
    assert install.main(str(pinned), str(target)) == 1
    assert colour(target) == ""


def test_uv_itself_is_the_one_of_the_full_list() -> None:
    """Otherwise each `make` would install one over the other."""
    (line,) = [
        line for line in install.INSTALLER.read_text().splitlines() if line.startswith("uv==")
    ]
    full = install.INSTALLER.parents[1] / "requirements.txt"
    assert line in full.read_text().splitlines()
