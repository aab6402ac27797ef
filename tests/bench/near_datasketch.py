"""datasketch on the texts of `tests/bench/near.py`. A program of its own, since datasketch lives in
another environment.

    python tests/bench/near_datasketch.py FILE THRESHOLD
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

from datasketch import MinHash, MinHashLSH


def memory_mb(field: str) -> int:
    """Resident memory of this process. Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 // 10**6
    raise RuntimeError(f"this system has no {field}")


def main() -> None:
    """Print one JSON line."""
    path, threshold = sys.argv[1], float(sys.argv[2])
    base = memory_mb("VmRSS")
    index = MinHashLSH(threshold=threshold, num_perm=128)
    kept: dict[int, MinHash] = {}
    count = spent = found = others = of = 0
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            is_copy, text = line[0] == "*", line[1:-1]
            began = time.process_time_ns()
            words = text.split()
            signature = MinHash(num_perm=128)
            signature.update_batch(
                [each.encode() for each in {*words, *map(" ".join, pairwise(words))}]
            )
            repeats = any(
                kept[other].jaccard(signature) >= threshold for other in index.query(signature)
            )
            if not repeats:
                kept[number] = signature
                index.insert(number, signature)
            spent += time.process_time_ns() - began
            count += 1
            of += is_copy
            found += is_copy and repeats
            others += repeats and not is_copy
    row = {
        "way": "datasketch",
        "texts": count,
        "us": round(spent / count / 1000, 1),
        "peak_mb": memory_mb("VmHWM"),
        "base_mb": base,
        "found": found,
        "of": of,
        "others": others,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
