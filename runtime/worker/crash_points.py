"""Named places where a worker may die. Tests stop it at each; production passes straight through.

after_claim · after_reserve · after_call · before_batch_put · after_batch_put · after_failures_put ·
between_checkpoint_writes · after_checkpoint · before_export · before_status
"""

from collections.abc import Callable

CrashPoint = Callable[[str], None]


def pass_through(_name: str) -> None:
    """What production does at a crash point: nothing."""
