"""The topics of the guide, and which sections of the documentation each is made of."""

from dataclasses import dataclass
from typing import Final

from runtime.guide.markdown import HEAD


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Sections of a page, by their headings.

    `only` names them; left empty it is all of the page but `without`, so that what a page gets
    later is there by itself. Those of `more` are in the topic, and not in the whole guide.
    """

    page: str
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """What can be asked for by `name`; `says` is its line in the list."""

    name: str
    title: str
    says: str
    parts: tuple[Part, ...] = ()


_CHECKS: Final = ("Checks",)
_LOOKS: Final = ("A review", "The report", "Records that were checked", "Near repeats")

TEMPLATES: Final = Topic(
    name="templates",
    title="Templates",
    says="every field, what prompts see, samplers, filters, schemas, errors",
    parts=(
        Part(
            page="templates.md",
            without=_CHECKS,
            more=("Several seeds a record", "Includes", "Reasoning", "Limits", "Common errors"),
        ),
    ),
)
SEEDS: Final = Topic(
    name="seeds",
    title="Seeds",
    says="files, documents, the Hub, standard input; which record gets which seed",
    parts=(
        Part(
            page="seeds.md",
            more=(
                "What is kept",
                "One seed of each item",
                "The Hub",
                "Large files",
                "Parquet",
                "Documents",
                "A dataset as seeds",
                "At an API",
            ),
        ),
    ),
)
OUTPUTS: Final = Topic(
    name="outputs",
    title="Outputs",
    says="what a row is, splits, the folder, loading it, other shapes, the Hub",
    parts=(
        Part(
            page="datasets.md",
            without=(*_LOOKS, "Figures"),
            more=(
                HEAD,
                "Types of columns",
                "The folder",
                "Formats and their limits",
                "Loading",
                "Again without a call",
                "The Hub",
                "Worth knowing",
            ),
        ),
    ),
)
CHECKS: Final = Topic(
    name="checks",
    title="Checks",
    says="what holds records to what you want: checks, schemas, cut replies, review, report",
    parts=(
        Part(page="templates.md", only=_CHECKS),
        Part(
            page="templates.md",
            only=("Data instead of text: output_schema", "Replies that were cut"),
        ),
        Part(page="datasets.md", only=_LOOKS, more=_LOOKS),
    ),
)
MODELS: Final = Topic(
    name="models",
    title="Models",
    says="providers, names, prices, servers of your own, what a call costs at most",
    parts=(
        Part(
            page="models.md",
            more=(
                "Names",
                "What it costs",
                "Servers of your own",
                "Schemas",
                "What a model can be asked for",
                "Bedrock's models that don't speak Converse",
                "When a server fails",
            ),
        ),
        Part(
            page="prices.md",
            without=("Where the figures come from", "Checking them again"),
            more=(HEAD, "How a cost is computed", "A row", "Regions", "Your own prices"),
        ),
    ),
)
COMMANDS: Final = Topic(
    name="commands",
    title="Commands",
    says="commands and options, resuming, what is written, exit codes",
    parts=(
        Part(
            page="cli.md",
            without=(
                "The API on your machine",
                "Signing in",
                "Jobs at an API",
                "Templates and seeds at an API",
                "An AWS account",
                "What others have written",
            ),
            more=(
                "A session",
                "What it says",
                "The same command goes on",
                "What it writes",
                "The Hub",
                "Options of export and review",
                "Bedrock",
            ),
        ),
    ),
)
EXAMPLES: Final = Topic(
    name="examples",
    title="Examples",
    says="templates that run as they stand, with some of their seeds",
)
SKILL: Final = Topic(
    name="skill",
    title="Skill",
    says="the steps from a wish to a dataset, as a skill for coding agents (SKILL.md)",
)

TOPICS: Final = (TEMPLATES, SEEDS, OUTPUTS, CHECKS, MODELS, COMMANDS, EXAMPLES, SKILL)
"""In the order of the whole guide, which has all but the skill."""

SHORT_EXAMPLES: Final = ("product-reviews", "balanced-tickets", "help-desk-chats")
"""Examples of the whole guide: data, samplers without seeds, chats with a split."""
