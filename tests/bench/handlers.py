"""How long a handler takes to import, beside boto3 with one client, and to answer once it is warm.

    python -m tests.bench.handlers --rounds 5 --calls 200

Imports are measured in fresh processes with compiled files, the two kinds in turn, because a busy
machine changes its pace. Answers come from local storage, so that what is measured is the handler
and not the network. The target: an import takes at most 60 ms longer than boto3 and one client.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from runtime.bootstrap import LocalService, local_api
from runtime.contract.routes import FUNCTIONS
from runtime.domain.models.calls import ModelReply, ModelRequest
from runtime.domain.models.price_table import load_prices
from tests.fixtures.api import Api, Reply, captured_logs

TARGET_SECONDS: Final = 0.060
HEAVY: Final = ("pyarrow", "pandas", "jinja2.compiler", "boto3", "botocore.client")
"""What no handler may import before it needs it."""

_BASE: Final = "import boto3; boto3.client('dynamodb', region_name='us-east-1')"
_TIMED: Final = """
import sys, time
begin = time.perf_counter()
{statement}
print(time.perf_counter() - begin, ",".join(sorted(set({heavy}) & set(sys.modules))) or "-")
"""
_ROOT: Final = Path(__file__).parents[2]


def import_seconds(statement: str) -> tuple[float, str]:
    """Seconds of a statement in a fresh process, and which heavy modules it brought."""
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.format(statement=statement, heavy=HEAVY)],
        capture_output=True,
        text=True,
        check=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    seconds, heavy = done.stdout.split()
    return float(seconds), heavy


def report_imports(rounds: int) -> bool:
    """Print a line for each handler; whether all are within the target."""
    names = {function.name: function.module for function in FUNCTIONS}
    base: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in names}
    heavy: dict[str, str] = {}
    for number in range(rounds + 1):
        base_seconds, _ = import_seconds(_BASE)
        for name, module in names.items():
            seconds, heavy[name] = import_seconds(f"import runtime.lambdas.{module}")
            if number:  # the first round compiles
                found[name].append(seconds)
        if number:
            base.append(base_seconds)
    middle = median(base)
    print(f"boto3 and one client      {middle * 1000:6.0f} ms   (median of {rounds})")
    for name, seconds_of in found.items():
        seconds = median(seconds_of)
        print(
            f"{name:<24}  {seconds * 1000:6.0f} ms   {seconds / middle:4.2f} of boto3"
            f"   heavy: {heavy[name]}"
        )
    slowest = max(median(each) for each in found.values())
    print(f"slowest: {(slowest - middle) * 1000:+.0f} ms beside boto3; target at most +60 ms")
    return slowest <= middle + TARGET_SECONDS and not any(each != "-" for each in heavy.values())


class NoModel:
    """Nothing here calls a model."""

    def converse(self, request: ModelRequest) -> ModelReply:
        raise AssertionError(request.model)

    def close(self) -> None:
        """Nothing is open."""


def open_service(folder: Path) -> LocalService:
    """An API on empty local storage."""
    return local_api(
        folder,
        models=NoModel(),
        provider="bedrock",
        prices=load_prices(),
        base_url="http://127.0.0.1:1",
        on_launch=lambda _: None,
    )


def report_answers(calls: int) -> None:
    """Print median and 99th percentile of warm answers."""
    with TemporaryDirectory() as folder:
        service = open_service(Path(folder))
        api = Api(service.api)
        steps = [{"id": "review", "prompt": "Review the {{ product }}.", "max_tokens": 20}]
        template = api.post("/templates", {"name": "Reviews", "steps": steps})
        path = f"/templates/{template.body['template_id']}"
        requests: dict[str, Callable[[], Reply]] = {
            "GET /health": lambda: api.get("/health", user=None),
            "GET /jobs": lambda: api.get("/jobs"),
            f"GET {path}": lambda: api.get(path),
            "POST /templates": lambda: api.post("/templates", {"name": "Reviews", "steps": steps}),
        }
        base = 0.0
        for name, request in requests.items():
            times: list[float] = []
            for _ in range(calls):
                begin = perf_counter()
                reply: Reply = request()
                times.append(perf_counter() - begin)
                if reply.status not in {200, 201}:
                    raise RuntimeError(f"{name}: {reply.status}")
            base = base or median(times)
            label = name.partition(template.body["template_id"])[0]
            print(
                f"{label:<24}  {median(times) * 1000:6.2f} ms median"
                f"   {quantiles(times, n=100)[98] * 1000:6.2f} ms p99"
                f"   {median(times) / base:5.1f} of GET /health",
                file=sys.__stdout__,
            )
        service.close()


def main() -> int:
    """Measure and print; 1 if an import misses the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200)
    arguments = parser.parse_args()
    met = report_imports(arguments.rounds)
    # Metrics go to standard output, which on Lambda is where they are collected.
    with contextlib.redirect_stdout(io.StringIO()), captured_logs():
        report_answers(arguments.calls)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
