"""The statistics of a dataset as the terminal shows them: the same figures as its page, shorter."""

from collections.abc import Iterator, Mapping
from typing import Final

from runtime.cli.figures import print_figures
from runtime.cli.output import plain, print_line, print_table, say
from runtime.datasets.folder import REPORT
from runtime.datasets.statistics import FolderReport
from runtime.datasets.waiting import saving
from runtime.domain.money.amounts import usd
from runtime.domain.wording import counted
from runtime.export.report.checked import Scores
from runtime.export.report.columns import ColumnStatistics
from runtime.export.report.counters import Share
from runtime.export.report.statistics import DatasetStatistics

_OPENINGS: Final = 5
_LABELS: Final = 8
_PAIR_CHARACTERS: Final = 100
_REJECTED_CHARACTERS: Final = 160
_SIZES: Final = ("column", "values", "null", "unit", "min", "median", "p95", "max", "repeats")


def print_statistics(report: FolderReport) -> None:
    """Records, steps, columns, repeats; at last where the page is."""
    found = report.statistics
    print_line(
        f"{found.records} of {counted(found.requested, 'record')}, {found.failed} failed · "
        f"{usd(found.cost_nano)} · {counted(found.tokens, 'token')} · {found.seconds:.1f} s"
    )
    if found.unsaved:
        print_line(f"not counted yet: {found.unsaved.text}; {saving(report.folder)}")
    print_figures(report.job.progress)
    for line in _checked(found):
        print_line(line)
    if found.columns:
        print_line("")
        print_table([_row(column) for column in found.columns], _SIZES)
    for line in _values(found):
        print_line(line)
    print_line("")
    for line in (*_repeats(found), *_diversity(found)):
        print_line(line)
    if report.page is None:
        say(f"{REPORT} of the folder was not made here and stays as it is")
    else:
        print_line(report.page)


def _row(column: ColumnStatistics) -> Mapping[str, object]:
    for sizes, unit in ((column.words, "words"), (column.items, "items")):
        if sizes is not None:
            shown = {
                "unit": unit,
                "min": sizes.minimum,
                "median": sizes.median,
                "p95": sizes.p95,
                "max": sizes.maximum,
            }
            break
    else:
        shown = {}
        if column.numbers is not None:
            shown = {
                "unit": "value",
                "min": f"{column.numbers.minimum:g}",
                "max": f"{column.numbers.maximum:g}",
            }
    return {
        "column": column.name,
        "values": column.values,
        "null": column.nulls,
        **shown,
        "repeats": "" if column.repeats is None else column.repeats.repeated,
    }


def _values(found: DatasetStatistics) -> Iterator[str]:
    """The balance of columns with few values, and how the others begin."""
    for column in found.columns:
        if column.labels:
            yield f"{column.name}: {_shares(column.labels, column.values, _LABELS)}"
        elif column.openings is not None and column.openings.most_frequent:
            frequent = column.openings.most_frequent
            yield f"{column.name} begins: {_shares(frequent, column.openings.texts, _OPENINGS)}"


def _shares(shares: tuple[Share, ...], whole: int, most: int) -> str:
    shown = [f"{share.value!r} {share.count / whole:.0%}" for share in shares[:most]]
    return ", ".join([*shown, "…"] if len(shares) > most else shown)


def _repeats(found: DatasetStatistics) -> Iterator[str]:
    yield f"exact repeats: {counted(found.repeats.repeated, 'record')}"
    near = found.near_repeats
    more = "" if near.complete else ", and there may be more"
    yield (
        f"near repeats: {near.near} in {counted(near.groups, 'group')} of a keyed sample of "
        f"{near.sampled} (alike by {near.threshold:.0%} of their word pairs or more{more})"
    )
    for pair in near.pairs:
        yield (
            f"  {pair.similarity:.0%} alike: {_cut(pair.first, _PAIR_CHARACTERS)!r}"
            f" and {_cut(pair.second, _PAIR_CHARACTERS)!r}"
        )


def _diversity(found: DatasetStatistics) -> Iterator[str]:
    shown = found.diversity
    shares = [
        f"distinct-{length} {share:.1%}"
        for length, share in enumerate((shown.distinct_1, shown.distinct_2, shown.distinct_3), 1)
        if share is not None
    ]
    if shown.compression_ratio is not None:
        shares.append(f"compression ratio {shown.compression_ratio:.2f}")
    if shares:
        yield f"diversity: {', '.join(shares)} (of a keyed sample of {shown.sampled} of {shown.of})"


def _checked(found: DatasetStatistics) -> Iterator[str]:
    """Checks, what judges said, and some of what was kept out."""
    if found.checks is None:
        return
    so_far = "" if found.checks.exact else " so far"
    yield f"checks{so_far}: {plain('; '.join(found.checks.texts()))}"
    for judge in found.judges:
        unjudged = f", {judge.not_judged} not" if judge.not_judged else ""
        yield (
            f"judge {plain(judge.check)}: {counted(judge.judged, 'record')} judged{unjudged}; "
            f"{counted(judge.calls, 'call')}, {usd(judge.cost_nano)}"
        )
        for score in judge.scores:
            yield (
                f"  {plain(score.name)}: accepted {_scores(score.accepted)};"
                f" rejected {_scores(score.rejected)}"
            )
    for example in found.rejected_examples:
        texts = " · ".join(cell.text for cell in example.cells)
        yield (
            f"kept out by {plain(example.check)}: record {example.index}, try"
            f" {example.attempt + 1}: {_cut(texts, _REJECTED_CHARACTERS)!r}"
        )


def _scores(scores: Scores) -> str:
    if not scores.counts:
        return "none"
    shown = ", ".join(f"{each.value!r} {each.count}" for each in scores.counts)
    return shown if scores.mean is None else f"{shown} (mean {scores.mean:.2f})"


def _cut(text: str, characters: int) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text[: 4 * characters].split())
    return line if len(line) <= characters else f"{line[: characters - 1]}…"
