"""The same workload with Data Designer, as its documentation has it: a sampler column for the seed,
a column of text by a model, as many requests at a time as asked for.

    python tests/bench/peers/data_designer_run.py --url http://127.0.0.1:PORT/v1 --calls 2000
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.bench.workload import MAX_TOKENS, PROMPT


def main() -> None:
    """Run the calls."""
    parser = argparse.ArgumentParser(description="The benchmark's calls with Data Designer.")
    parser.add_argument("--url", required=True, help="base URL of the double's OpenAI face")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp()
    os.environ |= {"NEMO_TELEMETRY_ENABLED": "false", "HOME": folder, "HF_HUB_OFFLINE": "1"}

    import data_designer.config as dd  # noqa: PLC0415 - reads the variables
    import pandas as pd  # noqa: PLC0415
    from data_designer.interface import DataDesigner  # noqa: PLC0415

    provider = dd.ModelProvider(name="double", endpoint=arguments.url, api_key="testing")
    model = dd.ModelConfig(
        alias="writer",
        model="bench",
        provider="double",
        skip_health_check=True,
        inference_parameters=dd.ChatCompletionInferenceParams(
            max_parallel_requests=arguments.in_flight, max_tokens=MAX_TOKENS
        ),
    )
    config = dd.DataDesignerConfigBuilder(model_configs=[model])
    rows = pd.DataFrame({"number": range(arguments.calls)})
    config.with_seed_dataset(dd.DataFrameSeedSource(df=rows))
    config.add_column(
        dd.LLMTextColumnConfig(
            name="review", model_alias="writer", prompt=PROMPT.format(index="{{ number }}")
        )
    )
    designer = DataDesigner(artifact_path=folder, model_providers=[provider])
    designer.set_run_config(dd.RunConfig(otel_metrics_port=None))
    done = designer.create(config, num_records=arguments.calls)
    assert len(done.load_dataset()) == arguments.calls


if __name__ == "__main__":
    main()
