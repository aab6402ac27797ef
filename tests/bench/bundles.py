"""All function bundles, really made for this machine: sizes, import times, every handler.

    python -m tests.bench.bundles

Needs the package index. Every handler is imported from its bundle with nothing else on the path,
as Lambda would: what a bundle leaves out too much shows here. Exits with 1 if one can't be
imported, or a bundle is too large.
"""

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cdk_app.bundling import BUNDLES, SDK_SERVICES, Bundler, target_of
from cdk_app.config import DEV
from runtime.contract.routes import FUNCTIONS
from tests.fixtures.bundles import MAX_CORE_BYTES, size, size_besides_sdk

MAX_BYTES: Final = 250 * 2**20
"""What Lambda takes, unzipped."""

_IMPORT: Final = """
import sys
sys.path.append({folder!r})
sys.dont_write_bytecode = True
import importlib, time
begin = time.perf_counter()
for name in {modules!r}:
    importlib.import_module(name)
print(round((time.perf_counter() - begin) * 1000))
from runtime.sdk import _create
import os
os.environ.update(AWS_REGION="us-east-1", AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x")
for service in {services!r}:
    _create(service)
{parquet}
"""
_PARQUET: Final = """
import io, pyarrow as pa, pyarrow.parquet as pq
from runtime.files.parquet import read_parquet
stream = io.BytesIO()
pq.write_table(pa.table({"a": [1]}), stream)
assert [found.row for found in read_parquet(stream, "seeds.parquet")] == [{"a": 1}]
"""


def import_handlers(folder: Path, bundle: str) -> int:
    """Milliseconds to import the handlers of a bundle, in a process of their own."""
    modules = [
        function.handler.rpartition(".")[0] for function in FUNCTIONS if function.bundle == bundle
    ]
    program = _IMPORT.format(
        folder=str(folder),
        modules=modules,
        services=sorted(SDK_SERVICES - {"sso", "sso-oidc", "sts"}),
        parquet=_PARQUET if bundle == "data" else "",
    )
    done = subprocess.run(
        # The standard library and nothing else.
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    if done.returncode:
        sys.exit(f"{bundle}: a handler can't be imported from its bundle\n{done.stderr}")
    return int(done.stdout)


def main() -> None:
    target = target_of(replace(DEV, bundle_for="this-machine"))
    for bundle, requirements in BUNDLES.items():
        with TemporaryDirectory() as temporary:
            folder = Path(temporary) / "bundle"
            folder.mkdir()
            begin = time.monotonic()
            Bundler(requirements=requirements, target=target).bundle(folder)
            seconds = time.monotonic() - begin
            unzipped, own = size(folder), size_besides_sdk(folder)
            zipped = Path(shutil.make_archive(str(folder), "zip", folder)).stat().st_size
            compiled = min(import_handlers(folder, bundle) for _ in range(3))
            for path in [*folder.rglob("__pycache__")]:
                shutil.rmtree(path)
            source = min(import_handlers(folder, bundle) for _ in range(3))
            print(
                f"{bundle}: {unzipped / 1e6:.1f} MB, {own / 1e6:.1f} besides the SDK,"
                f" {zipped / 1e6:.1f} zipped; made in {seconds:.0f} s;"
                f" imports {compiled} ms compiled, {source} ms as source"
            )
            if unzipped > MAX_BYTES:
                sys.exit(f"{bundle} is larger than Lambda takes")
            if bundle == "core" and own > MAX_CORE_BYTES:
                sys.exit(f"core has more than {MAX_CORE_BYTES / 1e6:.0f} MB besides the SDK")


if __name__ == "__main__":
    main()
