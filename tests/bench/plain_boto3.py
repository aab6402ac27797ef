"""The baseline of the benchmark: what a short script on plain boto3 reaches.

It calls `converse` from a pool of threads, with boto3's defaults except the size of the connection
pool, keeps nothing and survives nothing. One line of JSON tells records a second, CPU seconds a
record (user and system, of the whole process), the peak of its memory and how long it took to get
to the first call.

    python tests/bench/plain_boto3.py --url http://127.0.0.1:PORT --calls 2000
"""

import argparse
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import psutil
from botocore.config import Config

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.workload import MAX_TOKENS, MODEL, PROMPT


def main() -> None:
    """Run the calls and print the figures."""
    parser = argparse.ArgumentParser(description="Calls a second of plain boto3.")
    parser.add_argument("--url", required=True, help="endpoint of the double")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=64)
    arguments = parser.parse_args()
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=arguments.url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - the double reads no credentials
        config=Config(max_pool_connections=arguments.threads),
    )

    def generate(index: int) -> int:
        response = client.converse(
            modelId=MODEL,
            messages=[{"role": "user", "content": [{"text": PROMPT.format(index=index)}]}],
            inferenceConfig={"maxTokens": MAX_TOKENS},
        )
        return response["usage"]["outputTokens"]

    first_call = time.time()
    started = time.perf_counter()
    with ThreadPoolExecutor(arguments.threads) as pool:
        tokens = sum(pool.map(generate, range(arguments.calls)))
    seconds = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "calls": arguments.calls,
        "threads": arguments.threads,
        "output_tokens": tokens,
        "records_per_second": round(arguments.calls / seconds, 1),
        "cpu_seconds_per_record": round((usage.ru_utime + usage.ru_stime) / arguments.calls, 6),
        "peak_rss_mb": round(usage.ru_maxrss / 1024, 1),
        "seconds_to_first_call": round(first_call - psutil.Process().create_time(), 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
