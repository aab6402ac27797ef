"""The geometry of the report's pictures; the template draws them. Lengths are per cent of the
picture, rounded so that the same figures give the same text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.export.report.counters import Bar, Share, Sizes

_SHOWN_LABELS: Final = 15
_THINNEST: Final = 0.6
"""Whatever is there at all is seen."""

Percent = Callable[[int, int], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of a stacked bar."""

    name: str
    shown: str
    color: int
    start: float
    width: float


def stacked(parts: Sequence[tuple[str, int, int, str]]) -> list[Part]:
    """Parts side by side from name, amount, colour and the amount as text; none for an amount of
    zero.
    """
    there = [part for part in parts if part[1] > 0]
    whole = sum(amount for _, amount, _, _ in there)
    found: list[Part] = []
    start = 0.0
    for name, amount, color, shown in there:
        width = 100 * amount / whole
        found.append(
            Part(
                name=name,
                shown=shown,
                color=color,
                start=round(start, 3),
                width=round(max(width, _THINNEST), 3),
            )
        )
        start += width
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A bar of a histogram."""

    height: float
    color: int
    shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A histogram, with what is written around it and read out instead of it."""

    label: str
    spoken: str
    first: str
    last: str
    bars: Sequence[Column]


def size_chart(sizes: Sizes, unit: str) -> Chart:
    """How sizes are distributed. The bar of what is larger than the 99th percentile has a colour
    of its own: it is wider than it looks.
    """
    highest = max(bar.count for bar in sizes.histogram)
    last = sizes.histogram[-1]
    end = f"{last.start:,} and more" if last.end is None else f"{last.end - 1:,}"
    return Chart(
        label=f"Texts by {unit}" if unit == "words" else f"Lists by {unit}",
        spoken=(
            f"Histogram of {unit}: from {sizes.minimum:,} to {sizes.maximum:,}, "
            f"half of them at most {sizes.median:,}"
        ),
        first=f"{sizes.histogram[0].start:,}",
        last=f"{end} {unit}",
        bars=[_bar(bar, highest, unit) for bar in sizes.histogram],
    )


def _bar(bar: Bar, highest: int, unit: str) -> Column:
    upper = "and more" if bar.end is None else f"to {bar.end - 1:,}"
    height = 100 * bar.count / highest
    return Column(
        height=round(max(height, 1.5), 2) if bar.count else 0,
        color=2 if bar.end is None else 0,
        shown=f"{bar.start:,} {upper} {unit}: {bar.count:,}",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of a table with a bar in it."""

    name: str
    count: int
    shown: str
    width: float


def table_rows(shares: Sequence[Share], whole: int, *, percent: Percent) -> list[Row]:
    """A row for each share of the whole."""
    return [
        Row(
            name=share.value or "(empty)",
            count=share.count,
            shown=percent(share.count, whole),
            width=round(100 * share.count / whole, 2),
        )
        for share in shares
    ]


def with_others(shares: Sequence[Share], *, percent: Percent) -> list[Row]:
    """The most frequent values, and how many have another one."""
    whole = sum(share.count for share in shares)
    if len(shares) > _SHOWN_LABELS + 1:
        rest = shares[_SHOWN_LABELS:]
        others = Share(value=f"{len(rest)} others", count=sum(each.count for each in rest))
        shares = (*shares[:_SHOWN_LABELS], others)
    return table_rows(shares, whole, percent=percent)
