"""The same workload with Curator, as its documentation has it: a model class, a data set of seeds,
as many requests at a time as asked for, and limits a minute so high that they hold nothing up.

    python tests/bench/peers/curator_run.py --url http://127.0.0.1:PORT/v1 --calls 2000
"""

import argparse
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.bench.workload import MAX_TOKENS, PROMPT


def main() -> None:
    """Run the calls."""
    parser = argparse.ArgumentParser(description="The benchmark's calls with Curator.")
    parser.add_argument("--url", required=True, help="base URL of the double's OpenAI face")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp()
    # Nothing leaves this machine; the tokenizer is the copy that another of its parts brings.
    litellm = find_spec("litellm")
    assert litellm is not None
    assert litellm.origin is not None
    tokenizers = Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ |= {
        "TELEMETRY_ENABLED": "false",
        "CURATOR_VIEWER": "0",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": folder,
        "HOME": folder,
        "OPENAI_API_KEY": "testing",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TIKTOKEN_CACHE_DIR": str(tokenizers),
    }
    from bespokelabs import curator  # noqa: PLC0415 - reads the variables

    class Reviews(curator.LLM):  # type: ignore[misc]
        def prompt(self, row: dict[str, Any]) -> str:
            return PROMPT.format(index=row["number"])

        def parse(self, row: dict[str, Any], response: str) -> dict[str, Any]:
            return {"number": row["number"], "review": response}

    reviews = Reviews(
        model_name="bench",
        backend="openai",
        generation_params={"max_tokens": MAX_TOKENS},
        backend_params={
            "base_url": arguments.url,
            "max_concurrent_requests": arguments.in_flight,
            "max_requests_per_minute": 10**9,
            "max_tokens_per_minute": 10**12,
        },
    )
    rows = [{"number": number} for number in range(arguments.calls)]
    done = reviews(rows, working_dir=folder)
    assert len(done.dataset) == arguments.calls


if __name__ == "__main__":
    main()
