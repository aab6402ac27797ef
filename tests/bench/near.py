"""Near repeats: what a text takes, in time and memory, beside exact ones and beside datasketch.

    make bench-near

Texts of 25 to 60 words, of which one in ten is an earlier one with one to three words replaced.
Each way of finding repeats reads the same file in a process of its own, ours in one that has loaded
what a worker loads. Times are of the processor, without reading the file. `found` counts planted
copies that are alike by the threshold, of so many; `others` are texts that were left out besides.
To rebuild is to add the texts that were kept, as after a worker was lost.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

WORDS: Final = 20_000
THRESHOLD: Final = 0.8
_RECENT: Final = 10_000
PEER: Final = Path(__file__).with_name("near_datasketch.py")
OURS: Final = Path(__file__).with_name("near_index.py")
_COLUMNS: Final = ("way", "texts", "us", "peak_mb", "base_mb", "found", "of", "others")


def texts(count: int) -> Iterator[tuple[str, bool]]:
    """Texts, and of each whether it is a copy that is near enough."""
    chance = random.Random(1)  # noqa: S311 - the same in each run
    words = [f"word{number}" for number in range(WORDS)]
    frequencies = list(accumulate(1 / (rank + 5) for rank in range(WORDS)))
    recent: list[list[str]] = []
    for number in range(count):
        if number % 10 == 9:
            original = chance.choice(recent)
            copy = list(original)
            for _ in range(chance.randint(1, 3)):
                copy[chance.randrange(len(copy))] = chance.choice(words)
            yield " ".join(copy), alike(original, copy) >= THRESHOLD
            continue
        text = chance.choices(words, cum_weights=frequencies, k=chance.randint(25, 60))
        recent[number % _RECENT : number % _RECENT + 1] = [text]
        yield " ".join(text), False


def alike(one: list[str], other: list[str]) -> float:
    """Jaccard of words and pairs of words."""
    first, second = ({*words, *pairwise(words)} for words in (one, other))
    return len(first & second) / len(first | second)


def write_texts(path: Path, count: int) -> None:
    """A line for each text, with a mark before it that says whether it is to be found."""
    with path.open("w", encoding="utf-8") as file:
        for text, is_copy in texts(count):
            file.write(f"{'*' if is_copy else '.'}{text}\n")


def measured(python: Path | str, program: Path, *arguments: str) -> dict[str, Any]:
    """What a program says of its run."""
    command = [str(python), str(program), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def show(row: dict[str, Any]) -> None:
    """One line of the table."""
    print("".join(f"{row.get(column, ''):>12}" for column in _COLUMNS), flush=True)


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--near", type=float, nargs="+", default=[THRESHOLD])
    parser.add_argument("--peer", type=Path, help="a Python that has datasketch")
    parser.add_argument("--peer-texts", type=int, default=100_000)
    given = parser.parse_args()
    show({column: column for column in _COLUMNS})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts"
        for count in given.texts:
            write_texts(path, count)
            exact = measured(sys.executable, OURS, str(path), "exact")
            show(exact)
            for near in given.near:
                for way in ("near", "rebuild"):
                    row = measured(sys.executable, OURS, str(path), way, str(near))
                    show(row)
                    more = (row["us"] - exact["us"]) / 1000
                    print(f"  {way} {near}: {more:.3f} ms a text beyond exact", flush=True)
            if given.peer is not None and count <= given.peer_texts:
                show(measured(given.peer, PEER, str(path), str(THRESHOLD)))


if __name__ == "__main__":
    main()
