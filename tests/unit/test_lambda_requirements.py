"""Every package that a handler imports is in the pinned list of its bundle."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.contract.routes import FUNCTIONS

LISTS = {
    "core": "requirements/lambda.txt",
    "templates": "requirements/lambda-templates.txt",
    "data": "requirements/lambda-data.txt",
}

# Runs in a process of its own: refuses every package that is installed here and not in the bundle.
PROBE = """
import importlib, importlib.abc, importlib.metadata, re, sys

allowed, modules = set(sys.argv[1].split()), sys.argv[2].split()
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
owners = importlib.metadata.packages_distributions()

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        found = owners.get(name) if "." not in name and name != "runtime" else None
        if found and not allowed & {normal(each) for each in found}:
            raise ModuleNotFoundError(f"{name} is in no list of the bundle", name=name)
        return None

sys.meta_path.insert(0, Refuse())
for module in modules:
    importlib.import_module(module)
"""


@pytest.mark.parametrize("bundle", LISTS)
def test_a_bundle_has_what_its_handlers_import(bundle: str) -> None:
    modules = [f"runtime.lambdas.{each.module}" for each in FUNCTIONS if each.bundle == bundle]
    assert modules
    # What ports and operations import on first use.
    modules += ["runtime.aws.api"]
    if bundle != "core":
        modules += ["runtime.models.bedrock", "runtime.domain.templates.check"]
        modules += ["runtime.engine.rendering.child", "jsonschema_rs"]
    if bundle == "data":
        modules += ["pyarrow.parquet"]
    text = Path(LISTS[bundle]).read_text(encoding="utf-8")
    listed = re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, " ".join(listed), " ".join(modules)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr.splitlines()[-1:]
