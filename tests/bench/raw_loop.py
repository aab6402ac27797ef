"""The other baseline of the benchmark: an event loop that signs requests, reads replies, and does
nothing else. What a client of models in Python can reach at most.

    python tests/bench/raw_loop.py --url http://127.0.0.1:PORT --calls 2000
"""

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.transports import Calls, HttptoolsReader


async def ask_all(url: str, count: int, in_flight: int) -> int:
    """Make so many calls; tokens of the replies."""
    calls = Calls(url, count)
    host, port = url.rpartition("//")[2].split(":")
    loop = asyncio.get_running_loop()
    for _ in range(min(in_flight, count)):
        await loop.create_connection(lambda: HttptoolsReader(calls), host, int(port))
    await calls.done
    return calls.tokens


def main() -> None:
    """Run the calls."""
    parser = argparse.ArgumentParser(description="Calls of a bare event loop.")
    parser.add_argument("--url", required=True, help="endpoint of the double")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    asyncio.run(ask_all(arguments.url, arguments.calls, arguments.in_flight))


if __name__ == "__main__":
    main()
