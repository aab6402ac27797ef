"""Amounts of money: integer nano-USD inside, decimal USD at the edges, never a binary float.

One USD is 1 000 000 000 nano-USD, and one USD per million tokens is 1000 nano-USD per token.
"""

import re
from decimal import Decimal
from typing import Final

from runtime.domain.errors import InputError

NANO_PER_USD: Final = 1_000_000_000
MAX_BUDGET_NANO: Final = 1000 * NANO_PER_USD
"""Largest budget of a job (requirement S1.3)."""

FALLBACK_BUDGET_NANO: Final = 100 * NANO_PER_USD
"""Budget of a stored job whose own can't be read (requirement S8.5)."""

_NANO: Final = Decimal(1) / NANO_PER_USD
_MAX_USD: Final = Decimal(MAX_BUDGET_NANO) / NANO_PER_USD
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,6})?")
_SHOWN_CHARACTERS: Final = 40


def usd(nano: int) -> str:
    """A text for people: cents at least, three significant digits below a dollar: `$0.0123`."""
    size = abs(nano)
    decimals = min(max(12 - len(str(size)), 2), 9) if size else 2
    unit = 10 ** (9 - decimals)
    whole, fraction = divmod((size + unit // 2) // unit, 10**decimals)
    digits = f"{fraction:0{decimals}d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}${whole:,}.{digits}"


def usd_decimal(nano: int) -> str:
    """An exact text for stores and scripts, such as `0.0123`; `parse_usd` reads it."""
    sign, size = "-" if nano < 0 else "", abs(nano)
    return f"{sign}{size // NANO_PER_USD}.{size % NANO_PER_USD:09d}".rstrip("0").rstrip(".")


def to_usd(nano: int) -> float:
    """USD as a number of a JSON document. Up to 999 999 USD it is exact to the nano-USD when it is
    written: a double holds 15 digits.
    """
    return nano / NANO_PER_USD


def from_usd(amount: float) -> int:
    """Nano-USD from a number that `to_usd` wrote. Any amount, zero too; `parse_usd` is for
    budgets.
    """
    return int(Decimal(repr(amount)) * NANO_PER_USD)


def exact_usd(nano: int) -> Decimal:
    """The exact decimal, for stores that keep decimals and for comparisons."""
    return Decimal(nano).scaleb(-9)


def nano_of(amount: Decimal) -> int:
    """Nano-USD of a decimal that `exact_usd` gave; what is finer is cut off."""
    return int(amount.scaleb(9))


def parse_usd(value: object) -> int:
    """A budget that a user wrote, in nano-USD: a string, int, Decimal or JSON float.

    Raises `InputError` with the allowed range for anything else: booleans, NaN, infinity, zero or
    less, above 1000 USD, or finer than a nano-USD.
    """
    number = _finite(value)
    # The range comes first: it bounds the digits that divmod has to handle.
    if number is not None and _NANO <= number <= _MAX_USD:
        nano, rest = divmod(number, _NANO)
        if not rest:
            return int(nano)
    raise InputError(
        "a budget is more than 0 and at most 1000 USD, with at most 9 decimal places; "
        f"got {_shown(value)}"
    )


def parse_budget(value: object) -> tuple[int, str | None]:
    """The budget of a stored job in nano-USD, and a warning to log when it isn't what is stored.

    What is no number falls back to 100 USD. A number is never raised: one that no user could have
    written is cut to whole nano-USD between 0 (nothing may be spent) and 1000 USD.
    """
    try:
        return parse_usd(value), None
    except InputError:
        number = _finite(value)
    if number is None:
        nano, kept = FALLBACK_BUDGET_NANO, "is not an amount of USD"
    else:
        nano, kept = int(min(max(number, Decimal(0)), _MAX_USD) // _NANO), "is out of range"
    return nano, f"the stored budget {_shown(value)} {kept}: {usd(nano)} is used instead"


def _finite(value: object) -> Decimal | None:
    """The exact decimal that `value` spells, or None."""
    if isinstance(value, float):
        value = repr(value)  # the shortest text is what the user wrote in JSON
    if isinstance(value, str):
        text = value.strip()
        return Decimal(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None


def _shown(value: object) -> str:
    """`value` for a message: one short line."""
    if isinstance(value, int) and abs(value) > MAX_BUDGET_NANO:
        return "an integer of many digits"  # Python refuses to print very long integers
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
