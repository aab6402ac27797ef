"""The shipped examples as text: templates whole, and the first of their seeds."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from runtime.domain.wording import counted
from runtime.guide.markdown import without_links
from runtime.guide.shipped import shipped

SEEDS_SHOWN: Final = 2
_ROW: Final = re.compile(r"^\| \[([\w-]+)\]\([^)]+\) \| (.+) \| [^|]+ \|$", re.MULTILINE)
_KINDS: Final = {".yaml": "yaml", ".txt": "text"}
"""Files that are shown whole, and what their blocks are called."""
_LINES: Final = (".jsonl", ".csv")


def example_names() -> list[str]:
    """Every shipped example, by its folder."""
    return sorted(path.name for path in shipped("examples").iterdir() if path.is_dir())


def show_examples(names: Sequence[str]) -> str:
    """Each example under a heading: its files by their paths, then the commands that run it."""
    readme = (shipped("examples") / "README.md").read_text(encoding="utf-8")
    shown = dict(_ROW.findall(readme))
    commands = re.findall(r"^ {4}(seedwright .+)$", readme, re.MULTILINE)
    return "\n".join(
        part
        for name in names
        for part in (
            f"## {name}\n",
            *([f"Shows {without_links(shown[name], lambda _: None)}.\n"] if name in shown else []),
            *_files(name),
            _block(
                "sh", "\n".join(dict.fromkeys(each for each in commands if f"/{name}/" in each))
            ),
        )
    )


def _files(name: str) -> Iterator[str]:
    root = shipped("examples")
    for path in sorted((root / name).rglob("*"), key=_order):
        if not path.is_file():
            continue
        place = f"examples/{path.relative_to(root).as_posix()}"
        if path.suffix in _KINDS:
            yield f"`{place}`:\n"
            yield _block(_KINDS[path.suffix], path.read_text(encoding="utf-8"))
        elif path.suffix in (*_LINES, ".json"):
            text, total = _first_seeds(path)
            yield f"`{place}`, the first {SEEDS_SHOWN} of {counted(total, 'seed')}:\n"
            yield _block(path.suffix.removeprefix("."), text)
        else:
            yield f"`{place}`: {path.stat().st_size} bytes, not shown\n"


def _order(path: Path) -> tuple[bool, str]:
    """Templates first."""
    return path.suffix != ".yaml", path.as_posix()


def _first_seeds(path: Path) -> tuple[str, int]:
    """The first seeds in the format of their file, and how many there are."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        seeds = json.loads(text)
        return json.dumps(seeds[:SEEDS_SHOWN], ensure_ascii=False, indent=1), len(seeds)
    lines = text.splitlines()
    header = 1 if path.suffix == ".csv" else 0
    return "\n".join(lines[: header + SEEDS_SHOWN]), len(lines) - header


def _block(kind: str, text: str) -> str:
    return f"```{kind}\n{text.rstrip()}\n```\n"
