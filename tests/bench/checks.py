"""The examples with checks at 10 000 records on a double of OpenAI's server: time, tries, accepted.

    python -m tests.bench.checks                        (make bench-checks)
    python -m tests.bench.checks --records 1000 even-tickets

The double answers at once, as the checks of each example need it; its time is in the figures.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.fixtures import command
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.checked_examples import RULES, arguments

SECONDS: Final = 3600


def measure(name: str, records: int) -> str:
    """One line with the figures."""
    with tempfile.TemporaryDirectory() as folder, BedrockDouble() as double:
        double.faults(RULES[name])
        work = Path(folder)
        env = command.environment(OPENAI_API_KEY="sk-of-the-bench", TMPDIR=folder)
        began = time.perf_counter()
        done = command.run(
            arguments(name, records, double.url, work), cwd=work, env=env, timeout=SECONDS
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            return f"{name}: exit code {done.returncode}: {done.stdout}{done.stderr}"
        checks = json.loads(done.stdout)["checks"]
        rejected = sum(checks["rejected_by"].values())
        return (
            f"{name}: {checks['accepted']} accepted of {checks['tries']} tries"
            f" ({checks['accepted'] / checks['tries']:.0%}), {rejected} rejected,"
            f" left out {checks['left_out']}, surplus {checks['surplus']};"
            f" {double.calls} calls, {seconds:.0f} s"
        )


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(RULES))
    parser.add_argument("--records", type=int, default=10_000)
    asked = parser.parse_args()
    for name in asked.names:
        sys.stdout.write(measure(name, asked.records) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
