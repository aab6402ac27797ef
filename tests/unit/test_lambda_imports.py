"""A cold start imports what its operation needs: nothing heavy comes along before it is used."""

import os
import subprocess
import sys

import pytest

from runtime.contract.functions import Function
from runtime.contract.routes import FUNCTIONS

HEAVY = ("boto3", "botocore.client", "jinja2", "pandas", "pyarrow", "sqlite3", "rich", "typer")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_every_handler_string_imports(function: Function) -> None:
    module, _, name = function.handler.rpartition(".")
    found = getattr(__import__(module, fromlist=[name]), name)
    assert callable(found)
    assert found.__doc__


def test_no_handler_imports_anything_heavy() -> None:
    modules = ", ".join(f"runtime.lambdas.{function.module}" for function in FUNCTIONS)
    code = f"import sys, {modules}; print(*sorted({set(HEAVY)} & sys.modules.keys()))"
    # Where coverage is measured, it brings a database of its own.
    environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == []
