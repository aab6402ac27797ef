"""Many seeds, little memory (D7). `tests/bench/seed_memory.py` measures 200 MB by hand."""

import sys
from pathlib import Path

import pytest

from tests.bench.seed_memory import peak_of, write_seeds
from tests.fixtures.bedrock_double import BedrockDouble


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_d7_memory_does_not_grow_with_the_seeds(tmp_path: Path) -> None:
    """40 MB of JSONL, in command and worker: whoever held the file, or its rows, would need more
    than 40 MB, or 200, on top of what a handful of seeds takes.
    """
    peaks: list[float] = []
    with BedrockDouble() as double:
        for name, megabytes in (("few", 1), ("many", 40)):
            folder = tmp_path / name
            folder.mkdir()
            write_seeds(folder / "seeds.jsonl", megabytes)
            peaks.append(peak_of(folder, double.url, seeds=folder / "seeds.jsonl")[0])
    few, many = peaks
    assert many < few + 20
    assert many < 150
