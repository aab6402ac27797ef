"""Our index of repeats on the texts of `tests/bench/near.py`, in a process like a worker's.

python tests/bench/near_index.py FILE exact|near|rebuild [THRESHOLD]
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import boto3
import pyarrow.parquet  # noqa: F401 - a worker loads it

import runtime.worker.__main__  # noqa: F401 - what a worker loads
from runtime.engine.repeats.index import repeat_index


def memory_mb(field: str) -> int:
    """Resident memory of this process: `VmRSS` now, `VmHWM` at its peak. Linux only."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError(f"this system has no {field}")
    return int(found[1]) * 1024 // 10**6


def main() -> None:
    """Print one JSON line."""
    path, way, *threshold = sys.argv[1:]
    for service in ("dynamodb", "s3"):
        boto3.client(service, region_name="us-east-1")
    base = memory_mb("VmRSS")
    index = repeat_index(float(threshold[0]) if threshold else None)
    kept = None
    if way == "rebuild":  # it is known which were kept
        kept = bytearray()
        for number, _, text in lines(path):
            kept.append(index.find(text) is None)
            if kept[-1]:
                index.add(number, text)
        index = repeat_index(float(threshold[0]))
    count = spent = found = others = of = 0
    for number, is_copy, text in lines(path):
        began = time.process_time_ns()
        repeats = index.find(text) is not None if kept is None else not kept[number]
        if not repeats:
            index.add(number, text)
        spent += time.process_time_ns() - began
        count += 1
        of += is_copy
        found += is_copy and repeats
        others += repeats and not is_copy
    row = {
        "way": " ".join([way, *threshold]),
        "texts": count,
        "us": round(spent / count / 1000, 1),
        "peak_mb": memory_mb("VmHWM") if kept is None else "",
        "base_mb": base,
        "found": found,
        "of": of,
        "others": others,
    }
    print(json.dumps(row))


def lines(path: str) -> Iterator[tuple[int, bool, str]]:
    """Number, mark and text of each line."""
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            yield number, line[0] == "*", line[1:-1]


if __name__ == "__main__":
    main()
