"""Fuzzes: `make fuzz`, or

    python -m tests.fuzz [--seconds 600] [--jobs 2] [--seed …] [KIND …]

What is found is made small and kept in tests/fixtures/fuzz, where a test tries it from then on.
Without a seed each run tries something else; its seed is printed.
"""

import argparse
import hashlib
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.case import KEPT, encode
from tests.fuzz.hunt import Report, hunt
from tests.fuzz.kinds import KINDS

SHRINK_SECONDS = 60.0


def main() -> int:
    """Fuzz; 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND")
    parser.add_argument("--seconds", type=float, default=600.0, help="for each kind")
    parser.add_argument("--jobs", type=int, default=1, help="kinds at a time")
    parser.add_argument("--seed", default=secrets.token_hex(4))
    options = parser.parse_args()
    failed = False
    with ThreadPoolExecutor(max(options.jobs, 1)) as threads:
        hunts = [
            threads.submit(hunt, kind, options.seed, options.seconds, shrink_seconds=SHRINK_SECONDS)
            for kind in options.kinds or KINDS
        ]
        for each in hunts:
            report = each.result()
            print(report, flush=True)
            if report.problem is not None:
                failed = True
                print(f"kept as {keep(report)}", flush=True)
    return int(failed)


def keep(report: Report) -> str:
    """Write a finding to where the test of kept cases reads it; the path."""
    body = encode(report.case) + b"\n"
    path = KEPT / report.kind / f"found-{hashlib.sha256(body).hexdigest()[:12]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
