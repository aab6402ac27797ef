"""Not a kind of input: what a fuzzer has to notice, for the tests of the fuzzers."""

import os
import time
from pathlib import Path
from random import Random
from typing import Final

from runtime.domain.errors import SeedError
from tests.fuzz.case import Case, demand
from tests.fuzz.worker import CPU_SECONDS, GROWTH_BYTES

TRAPS: Final = ("fault", "escape", "print", "slow", "grow", "abort", "hang")


class Traps:
    """Each text is a trap that this class falls into; every other one is fine."""

    name = "traps"

    def close(self) -> None:
        pass

    def make(self, rng: Random) -> Case:
        """Words in which a trap turns up before long."""
        return {"words": [rng.choice(("fine", "good", *TRAPS[:2])) for _ in range(9)]}

    def check(self, case: Case) -> str:  # noqa: C901 - one branch a trap
        """Fall into the first trap of the words."""
        for word in case["words"]:
            match word:
                case "fault":
                    demand(holds=False, problem="trapped")
                case "escape":
                    raise SeedError("nobody took it")
                case "print":
                    os.write(1, b"x")
                case "slow":
                    begun = time.process_time()
                    while time.process_time() - begun <= CPU_SECONDS:
                        pass
                case "grow":
                    len(b"x" * (GROWTH_BYTES + 2**20))
                case "abort":
                    os.abort()
                case "hang":
                    while True:
                        pass
        return "fine"


def open_kind(_folder: Path) -> Traps:
    """The kind."""
    return Traps()
