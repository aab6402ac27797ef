"""`report.html`: the statistics of a dataset as one page, without a script and with nothing from
elsewhere.

The template is ours, and everything it shows is escaped. What users and models wrote is made plain
text of bounded length before. The same statistics give the same bytes.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.domain.jobs.check_counts import counted_tries
from runtime.domain.money.amounts import usd
from runtime.domain.plain_text import plain_line, plain_lines
from runtime.domain.wording import counted, plural
from runtime.export.report.charts import (
    Chart,
    Part,
    Row,
    size_chart,
    stacked,
    table_rows,
    with_others,
)
from runtime.export.report.columns import ColumnStatistics, Numbers
from runtime.export.report.counters import Repeats, Sizes
from runtime.export.report.near_repeats import NearRepeats
from runtime.export.report.page_checks import checks_view, diversity_text
from runtime.export.report.statistics import DatasetStatistics

if TYPE_CHECKING:
    from jinja2 import Template

_MAX_LINE: Final = 400
_MAX_SHORT: Final = 320
_MINUTE: Final = 60
_COST_COLORS: Final = (0, 6, 5, 4, 7)
"""Without those that mean that something failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tile:
    name: str
    value: str
    more: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reply:
    name: str
    count: int
    meaning: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _RepeatRow:
    name: str
    texts: int
    repeated: int
    most: int
    shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _ShownNumbers:
    minimum: str
    mean: str
    maximum: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _ColumnView:
    name: str
    summary: str
    words: Sizes | None
    characters: Sizes | None
    items: Sizes | None
    numbers: _ShownNumbers | None
    chart: Chart | None
    labels: Sequence[Row]
    openings: Sequence[Row]
    openings_error: int


def render_page(statistics: DatasetStatistics) -> str:
    """The page."""
    template, css, css_hash = _template()
    return template.render(css=css, css_hash=css_hash, s=statistics, **_context(statistics)) + "\n"


@cache
def _template() -> tuple["Template", object, str]:
    """The compiled template, its style sheet as it stands in the page, and the hash of that, which
    is all that the page's policy lets in.
    """
    # Imported here: who only counts has no need of it.
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    room = Path(__file__).parent
    css = (room / "page.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters.update(
        plain=_plain, plain_text=plain_lines, short=_short, number=_number, usd=usd
    )
    page = environment.from_string((room / "page.html.jinja").read_text(encoding="utf-8"))
    digest = b64encode(sha256(css.encode()).digest()).decode()
    return page, Markup(css), f"sha256-{digest}"  # noqa: S704 - our own style sheet


def _plain(text: object) -> str:
    """One line of bounded length."""
    return plain_line(_cut(str(text), _MAX_LINE))


def _short(text: str) -> str:
    return plain_line(_cut(text, _MAX_SHORT))


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}…"


def _number(number: int) -> str:
    return f"{number:,}"


def _percent(part: int, whole: int) -> str:
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    return "< 0.1 %" if share < 0.1 else f"{share:.1f} %"  # noqa: PLR2004 - what is shown


def _context(s: DatasetStatistics) -> Mapping[str, Any]:
    return {
        "title": s.name or "Dataset",
        "span": _span(s),
        "skips": any(step.skipped for step in s.steps),
        "tiles": _tiles(s),
        "outcome": _outcome(s),
        "replies": [reply for reply in _replies(s) if reply.count],
        "cost_parts": _cost_parts(s),
        "columns": [_column(column) for column in s.columns],
        "repeats": _repeats(s),
        "near": _near(s.near_repeats),
        "checked": checks_view(s, percent=_percent),
        "diversity": diversity_text(s),
    }


def _span(s: DatasetStatistics) -> str:
    if s.first_at is None or s.last_at is None:
        return ""
    return f"{_time(s.first_at)} to {_time(s.last_at)} UTC"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _tiles(s: DatasetStatistics) -> list[_Tile]:
    own = s.failed - s.service_failures
    rate = f"{s.records / s.seconds:,.1f} records a second" if s.seconds else ""
    each = f"{usd(s.cost_nano // s.records)} a record" if s.records else ""
    found = s.near_repeats
    return [
        _Tile(name="Records", value=_number(s.records), more=f"of {s.requested:,} asked for"),
        _Tile(
            name="Failed",
            value=_number(s.failed),
            more=f"{own:,} of their own, {s.service_failures:,} of the service",
        ),
        *_checked(s),
        _Tile(name="Cost", value=usd(s.cost_nano), more=each),
        _Tile(
            name="Tokens",
            value=_number(s.tokens),
            more=f"in {s.calls.calls:,} {plural(s.calls.calls, 'call')}" if s.calls.calls else "",
        ),
        _Tile(name="Time", value=_duration(s.seconds), more=rate),
        _Tile(
            name="Exact repeats",
            value=_number(s.repeats.repeated),
            more=_percent(s.repeats.repeated, s.repeats.texts),
        ),
        _Tile(
            name="Near repeats",
            value=_number(found.near),
            more=f"in a sample of {found.sampled:,}",
        ),
        _Tile(
            name="Cut outputs",
            value=_number(sum(step.cut for step in s.steps)),
            more="at max_tokens",
        ),
    ]


def _checked(s: DatasetStatistics) -> list[_Tile]:
    """What its checks did, where the template has any."""
    if s.checks is None:
        return []
    rejected = sum(s.checks.rejected_by.values())
    by = {**s.checks.rejected_by, **s.checks.left_out}
    most = ", ".join(f"{plain_line(check)} {count:,}" for check, count in by.items())
    out = sum(s.checks.left_out.values())
    return [
        _Tile(
            name="Rejected by checks",
            value=_number(rejected + out),
            more=f"of {counted_tries(s.checks.tries)}{': ' if most else ''}{most[:_MAX_SHORT]}",
        )
    ]


def _outcome(s: DatasetStatistics) -> Sequence[Part]:
    own = s.failed - s.service_failures
    return stacked(
        [
            ("in the dataset", s.records, 0, _number(s.records)),
            ("failed, of their own", own, 1, _number(own)),
            ("failed by the service", s.service_failures, 2, _number(s.service_failures)),
            ("finished, not saved yet", s.unsaved.records, 4, _number(s.unsaved.records)),
            ("failed, not saved yet", s.unsaved.failed, 5, _number(s.unsaved.failed)),
            ("not generated", s.missing, 3, _number(s.missing)),
        ]
    )


def _replies(s: DatasetStatistics) -> list[_Reply]:
    calls = s.calls
    return [
        _Reply(name="cut", count=calls.cut, meaning="replies that ended at their max_tokens"),
        _Reply(
            name="repaired",
            count=calls.repaired,
            meaning="replies to a request to correct an output that was not valid",
        ),
        _Reply(name="refused", count=calls.refused, meaning="replies without a usable answer"),
        _Reply(
            name="retried",
            count=calls.retried,
            meaning="calls that were made again after a failure of the service",
        ),
        _Reply(
            name="presumed",
            count=calls.presumed,
            meaning=f"calls that may have been billed, counted with {usd(calls.presumed_nano)}",
        ),
    ]


def _cost_parts(s: DatasetStatistics) -> Sequence[Part]:
    """Of several steps that cost anything."""
    costs = [(step.step, step.calls.cost_nano) for step in s.steps if step.calls is not None]
    costs = [(step, nano) for step, nano in costs if nano]
    if len(costs) < 2:  # noqa: PLR2004 - one part is no comparison
        return ()
    return stacked(
        [
            (step, nano, color, usd(nano))
            for (step, nano), color in zip(costs, cycle(_COST_COLORS), strict=False)
        ]
    )


def _column(column: ColumnStatistics) -> _ColumnView:
    summary = f"{column.values:,} {'value' if column.values == 1 else 'values'}"
    if column.nulls:
        summary += f", {column.nulls:,} null"
    if column.labels:
        summary += f", {len(column.labels)} different"
    openings = column.openings
    frequent = () if openings is None or column.labels else openings.most_frequent
    return _ColumnView(
        name=column.name,
        summary=summary,
        words=None if column.labels else column.words,
        characters=column.characters,
        items=column.items,
        numbers=None if column.numbers is None else _numbers(column.numbers),
        chart=None if column.labels else _chart(column),
        labels=with_others(column.labels, percent=_percent),
        openings=table_rows(frequent, openings.texts if openings else 0, percent=_percent),
        openings_error=openings.error if openings else 0,
    )


def _chart(column: ColumnStatistics) -> Chart | None:
    for sizes, unit in ((column.words, "words"), (column.items, "items")):
        if sizes is not None and sizes.maximum > sizes.minimum:
            return size_chart(sizes, unit)
    return None


def _numbers(numbers: Numbers) -> _ShownNumbers:
    return _ShownNumbers(
        minimum=f"{numbers.minimum:,.6g}",
        mean=f"{numbers.mean:,.4g}",
        maximum=f"{numbers.maximum:,.6g}",
    )


def _repeats(s: DatasetStatistics) -> list[_RepeatRow]:
    rows = [_repeat_row("whole records", s.repeats)]
    columns = [column for column in s.columns if column.repeats and not column.labels]
    if len(s.columns) == 1:
        return rows  # a column alone is the whole record
    return rows + [_repeat_row(each.name, each.repeats) for each in columns if each.repeats]


def _repeat_row(name: str, repeats: Repeats) -> _RepeatRow:
    return _RepeatRow(
        name=name,
        texts=repeats.texts,
        repeated=repeats.repeated,
        most=repeats.most,
        shown=_percent(repeats.repeated, repeats.texts),
    )


def _near(found: NearRepeats) -> str:
    drawn = (
        f"All {found.sampled:,} records were looked at"
        if found.sampled == found.of
        else f"A keyed sample of {found.sampled:,} of {found.of:,} records was looked at"
    )
    text = (
        f"{drawn}. Of {found.compared:,} different texts that are long enough, {found.near:,} are "
        f"nearly another one, in {counted(found.groups, 'group')}: they share at least "
        f"{found.threshold:.0%} of their pairs of neighbouring words."
    )
    if not found.complete:
        text += " There were more to compare than the report takes time for: there may be more."
    return text
