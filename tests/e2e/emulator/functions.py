"""Lambda functions run by the project's interpreter, from their bundles.

A bundle carries wheels for ARM64 and for one Python version, which this machine may not be able to
load. Packages with compiled parts are therefore taken from the project's environment, which holds
the same pinned versions. Everything else comes from the bundle. Functions with the same bundle
share one copy of it, so that only the first of them waits for unpacking and compiling.
"""

import hashlib
import shutil
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from zipfile import ZipFile

from ministack.core import lambda_runtime

_START: Final = Path(__file__).with_name("lambda_start.py")
_CODE_FIRST: Final = "    sys.path.insert(0, code_dir)\n"
_unpacking: Final = threading.Lock()


def install(*, python: str, packages: Path) -> None:
    """Run functions with that interpreter and the compiled packages of that folder."""
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    assert script.count(_CODE_FIRST) == 1, "another release of ministack?"
    start = f"    import runpy; runpy.run_path({str(_START)!r})['use_bundle'](code_dir)\n"
    script = script.replace(_CODE_FIRST, start)
    lambda_runtime._detect_runtime_binary = lambda _runtime: (python, script)

    class SharedBundle(ZipFile):
        def extractall(self, path: Any = None, *_: Any, **__: Any) -> None:
            code = Path(path)
            code.rmdir()
            code.symlink_to(_unpacked(self, packages))

    lambda_runtime.zipfile = SimpleNamespace(ZipFile=SharedBundle)


def _unpacked(bundle: ZipFile, packages: Path) -> Path:
    """The folder that holds the bundle, unpacked once."""
    listing = [(entry.filename, entry.CRC, entry.file_size) for entry in bundle.infolist()]
    digest = hashlib.sha256(repr(listing).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), "bundles", digest)
    with _unpacking:
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            ZipFile.extractall(bundle, partial)
            for entry in list(partial.iterdir()):
                if entry.suffix == ".so" or (entry.is_dir() and any(entry.rglob("*.so"))):
                    _replace(entry, packages)
            partial.rename(folder)
    return folder


def _replace(entry: Path, packages: Path) -> None:
    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    name = entry.name.partition(".")[0]
    for local in packages.glob(f"{name}*"):
        if local.name.partition(".")[0] == name:
            entry.with_name(local.name).symlink_to(local)
