"""The guide: everything a template can say, the models and examples, as Markdown."""

from collections.abc import Iterator
from functools import cache, partial
from typing import Final

from runtime.domain.errors import InputError
from runtime.domain.hints import hint_for
from runtime.domain.models.price_table import load_prices
from runtime.domain.money.amounts import usd
from runtime.guide.examples import example_names, show_examples
from runtime.guide.markdown import HEAD, anchor_of, sections, without_links
from runtime.guide.shipped import shipped
from runtime.guide.topics import EXAMPLES, MODELS, SHORT_EXAMPLES, SKILL, TOPICS, Part, Topic

_SKILL: Final = "seedwright/SKILL.md"

_INTRODUCTION: Final = """\
# Seedwright

A template says what to ask a model, seeds say about what; `seedwright generate` makes a dataset of
both, within a budget that it never passes. This is the reference for writing a template. The steps
from a wish to a dataset are `seedwright guide skill`. Each topic alone has more than is shown here:

"""


def guide(topic: str | None = None) -> str:
    """One topic as Markdown, or without a name all of them in a length that can be read at once
    (70 kB at most; a topic alone has more of its subject). `topic_lines` lists the names.

    Raises `InputError` for a topic that does not exist.
    """
    if topic is None:
        return _whole()
    named = {each.name: each for each in TOPICS}
    if topic not in named:
        known = ", ".join(named)
        raise InputError(
            f'there is no topic "{topic}"{hint_for(topic, named)}; the topics are {known}'
        )
    if topic == SKILL.name:
        return (shipped("skills") / _SKILL).read_text(encoding="utf-8")
    return "\n".join((f"# {named[topic].title}\n", *_texts(named[topic], whole=False, seen=set())))


def topic_lines() -> list[str]:
    """Each topic with what it is about."""
    width = max(len(topic.name) for topic in TOPICS)
    return [f"{topic.name:<{width}}  {topic.says}" for topic in TOPICS]


def _whole() -> str:
    seen: set[tuple[str, str]] = set()
    listed = "".join(f"- `seedwright guide {each.name}`: {each.says}\n" for each in TOPICS)
    return "\n".join(
        (
            _INTRODUCTION + listed,
            *(
                text
                for topic in TOPICS
                if topic is not SKILL
                for text in (f"# {topic.title}\n", *_texts(topic, whole=True, seen=seen))
            ),
        )
    )


def _texts(topic: Topic, *, whole: bool, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The sections of a topic, each once in a guide, and at the end what is elsewhere."""
    left_out: list[str] = []
    for part in topic.parts:
        for title, text in _chosen(part):
            if (whole and title in part.more) or (part.page, title) in seen:
                left_out.append(title)
                continue
            seen.add((part.page, title))
            yield without_links(text, partial(_target, part.page))
    if topic is MODELS:
        yield _models(tiers_only=whole)
    if topic is EXAMPLES:
        names = SHORT_EXAMPLES if whole else example_names()
        yield show_examples(names)
        left_out += [name for name in example_names() if name not in names]
    if missing := [title for title in left_out if title != HEAD]:
        yield f"`seedwright guide {topic.name}` also has: {'; '.join(missing)}.\n"
    if not whole:
        yield from _elsewhere(topic)


def _chosen(part: Part) -> Iterator[tuple[str, str]]:
    for title, text in _sections(part.page).items():
        if title not in part.without and (not part.only or title in part.only) and text.strip():
            yield title, text


def _elsewhere(topic: Topic) -> Iterator[str]:
    """What the pages of a topic have, and no topic."""
    for page in dict.fromkeys(part.page for part in topic.parts if part.without):
        titles = [title for title in _sections(page) if _owner(page, title) is None]
        if titles:
            yield f"Not in this guide, but in docs/{page}: {'; '.join(titles)}.\n"


@cache
def _sections(page: str) -> dict[str, str]:
    return sections((shipped("docs") / page).read_text(encoding="utf-8"))


@cache
def _owner(page: str, title: str) -> Topic | None:
    """The first topic that has a section."""
    for topic in TOPICS:
        for part in topic.parts:
            if part.page == page and title in dict(_chosen(part)):
                return topic
    return None


def _target(page: str, link: str) -> str | None:
    """How a link of a page is said: by the heading that it leads to, and by the topic that has it
    where that is on another page. None for what is not in the guide.
    """
    file, _, anchor = link.partition("#")
    target = file or page
    if target not in {part.page for topic in TOPICS for part in topic.parts}:
        return None
    title = next((each for each in _sections(target) if anchor_of(each) == anchor), HEAD)
    owner = _owner(target, title)
    if owner is None:
        return None
    if target == page:
        return title or None
    return f"guide {owner.name}: {title}" if title else f"guide {owner.name}"


def _models(*, tiers_only: bool) -> str:
    """The models of the price table."""
    prices = load_prices()
    which = "Those of the tiers, in" if tiers_only else "In"
    lines = [
        "## Models with a price\n",
        f"{which} US dollars per million tokens, prices of {prices.version}:\n",
        "| model | input | output | tiers | held to a schema | last day |",
        "|---|---|---|---|---|---|",
    ]
    for model_id, price in sorted(prices.prices.items()):
        tiers = prices.tiers_of(model_id)
        if tiers_only and not tiers:
            continue
        cells = (
            usd(price.input * 1_000_000),
            usd(price.output * 1_000_000),
            ", ".join(tiers),
            "yes" if price.structured_output else "",
            str(price.valid_until or ""),
        )
        lines.append(f"| `{model_id}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
