"""What a rate of acceptance means for an estimate: how many tries the records of a template with
checks are likely to take.

A try is accepted with probability r, whichever try of its record it is. So n accepted records take
n / r tries, however many of them each record may have.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from runtime.domain.checks.acceptance import MAX_CANDIDATES, candidates
from runtime.domain.errors import InputError
from runtime.domain.jobs.check_counts import counted_tries
from runtime.domain.wording import counted

FIRST_TRIES: Final = (
    "each record is counted as accepted at its first try; an acceptance rate says otherwise"
)
_LONGEST: Final = 40
"""Characters of a rate: no one writes more."""


def read_acceptance(value: object, *, records: int) -> Fraction:
    """The share of tries that are accepted, such as 0.4 or "40%", exactly. Raises `InputError`
    unless it is above 0 and at most 1, and gives so many records in the tries that a job may have.
    """
    text = str(value).strip()[:_LONGEST]
    number, is_percent = text.removesuffix("%"), text.endswith("%")
    try:
        rate = Decimal(number) / (100 if is_percent else 1)
    except ArithmeticError:  # of `decimal`: no number, or out of its range
        rate = Decimal(0)
    if not (rate.is_finite() and 0 < rate <= 1):
        raise InputError(
            f"acceptance is {text!r}: give the share of tries that are accepted, above 0 and at"
            " most 1, such as 0.4 or 40%"
        )
    # The first is for a fraction of thousands of digits.
    if rate * MAX_CANDIDATES < 1 or tries_for(records, Fraction(rate)) > MAX_CANDIDATES:
        raise InputError(
            f"acceptance is {text!r}: {counted(records, 'record')} would take more than the"
            f" {MAX_CANDIDATES} tries that a job may have: ask for fewer records, or change the"
            " checks so that more tries pass"
        )
    return Fraction(rate)


def tries_for(records: int, rate: Fraction) -> int:
    """How many tries so many accepted records are likely to take."""
    return -(-records * rate.denominator // rate.numerator)


def assumption(records: int, rate: Fraction | None) -> str:
    """What an estimate takes for granted of checks; None: that every first try is accepted."""
    if rate is None:
        return FIRST_TRIES
    tries = tries_for(records, rate)
    text = f"{float(rate):.1%} of all tries are accepted: about {counted_tries(tries)}"
    most = candidates(records)
    if tries > most:
        within = records * most // tries
        text += (
            f", more than the {most} that there are by default, which give about"
            f" {counted(within, 'record')}"
        )
        if tries <= MAX_CANDIDATES:
            text += f"; --max-candidates {tries} allows all"
    return text
