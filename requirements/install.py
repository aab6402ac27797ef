"""Installs a pinned list by uv, in a tenth of pip's time, from where pip is told to take it.

    .venv/bin/python requirements/install.py requirements.txt [python]

pip brings uv first, and everything where uv can't: an index that only pip knows how to reach is no
reason to fail. Neither resolves anything, and both check every hash. Needs nothing but Python.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

INSTALLER: Final = Path(__file__).parent / "installer.txt"
LOCKED: Final = ("install", "--quiet", "--no-deps", "--require-hashes")
PIP: Final = ("-m", "pip", "--disable-pip-version-check")

NAMES: Final[Mapping[str, str]] = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_OFFLINE",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "cache-dir": "UV_CACHE_DIR",
}
"""pip's settings of where packages come from, and how uv calls them. What pip was told of other
things changes nothing about a list that is complete and hashed.
"""
SECTIONS: Final = ("global", "install", ":env:")
"""A later one goes before an earlier one."""
SEVERAL: Final = {"UV_INDEX": " ", "UV_FIND_LINKS": ",", "UV_INSECURE_HOST": " "}
"""What may be several, and what uv wants between them; pip takes white space."""


def uv_settings(listed: str) -> dict[str, str]:
    """The environment for uv, from what `pip config list` prints: `global.index-url='https://…'`."""
    found: dict[tuple[int, str], str] = {}
    for line in listed.splitlines():
        place, _, value = line.partition("=")
        section, _, name = place.rpartition(".")
        if section in SECTIONS and name in NAMES:
            found[SECTIONS.index(section), NAMES[name]] = str(ast.literal_eval(value))
    settings = {name: value for (_, name), value in sorted(found.items())}
    for name in SEVERAL.keys() & settings.keys():
        settings[name] = SEVERAL[name].join(settings[name].split())
    if "ALL_PROXY" in settings:  # which uv takes only where there is none for the protocol
        settings |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), settings["ALL_PROXY"])
    if "SSL_CERT_FILE" not in settings:
        settings["UV_SYSTEM_CERTS"] = "true"  # as pip does
    # Whichever index has the file, as pip does: the hash says that it is the right one.
    settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return settings


def run(*command: str, extra: Mapping[str, str] | None = None) -> bool:
    """Whether it succeeded."""
    return not subprocess.run(command, check=False, env={**os.environ, **(extra or {})}).returncode


def uv_is_here() -> bool:
    """Whether the pinned release is installed."""
    try:
        return f"uv=={version('uv')}" in INSTALLER.read_text().split()
    except PackageNotFoundError:
        return False


def main(requirements: str, python: str = sys.executable) -> int:
    """Install the list into the environment of that Python."""
    listed = subprocess.run(
        [sys.executable, *PIP, "config", "list"], check=False, capture_output=True, text=True
    ).stdout
    bring_uv = (sys.executable, *PIP, *LOCKED, "--requirement", str(INSTALLER))
    if (uv_is_here() or run(*bring_uv)) and run(
        *(sys.executable, "-m", "uv", "pip", *LOCKED),
        *("--python", python, "--requirement", requirements),
        extra=uv_settings(listed),
    ):
        return 0
    print("uv could not install it, so pip does, which takes a minute or two …", file=sys.stderr)
    command = (sys.executable, *PIP, "--python", python, *LOCKED, "--requirement", requirements)
    return 0 if run(*command) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
