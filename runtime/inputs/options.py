"""Options that more than one way into a dataset has, checked by the same rules."""

from decimal import Decimal, InvalidOperation
from typing import Final

from runtime.domain.errors import InputError
from runtime.domain.jobs.job import MAX_RECORDS
from runtime.domain.models.limiter import MAX_CONCURRENCY

MAX_WORKERS: Final = 64
DEFAULT_MAX_FAILURES: Final = "10%"

PRICED_BACKEND: Final = "bedrock"
"""Where models are looked up by what looks before paying, unless a caller says otherwise."""


def check_count(count: object) -> int:
    """`num_records` within its range. Raises `InputError`."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise InputError(f"-n is {count!r}: give a whole number of records")
    if not 1 <= count <= MAX_RECORDS:
        raise InputError(f"-n is {count}: a dataset has 1 to {MAX_RECORDS} records")
    return count


def check_workers(workers: object) -> int:
    """Worker processes within their range. Raises `InputError`."""
    good = isinstance(workers, int) and not isinstance(workers, bool)
    if not good or not 1 <= int(str(workers)) <= MAX_WORKERS:
        raise InputError(f"workers is {workers}: 1 to {MAX_WORKERS} processes side by side")
    return int(str(workers))


def check_concurrency(calls: object) -> int | None:
    """Model calls at a time within their range; None leaves it to the backend.

    Raises `InputError`.
    """
    if calls is None:
        return None
    if isinstance(calls, bool) or not isinstance(calls, int) or not 1 <= calls <= MAX_CONCURRENCY:
        raise InputError(f"concurrency is {calls}: 1 to {MAX_CONCURRENCY} calls at a time")
    return calls


def read_share(text: str) -> Decimal:
    """A share of records, `10%` or `0.1`, as a number from 0 to 1. Raises `InputError`."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = Decimal(number) / (100 if percent else 1)
    except InvalidOperation:
        share = Decimal(-1)
    if not (share.is_finite() and 0 <= share <= 1):
        raise InputError(f"--max-failures is {text!r}: give a share such as 10% or 0.1")
    return share


def share_text(share: Decimal) -> str:
    """A share for people, in percent with at most one decimal: `12.5%`."""
    return f"{(share * 100).quantize(Decimal('0.1')).normalize():f}%"
