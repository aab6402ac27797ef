"""SECURITY.md says of every promise which test holds it, and those tests exist."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
CITED: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def threats() -> list[str]:
    section = PAGE.split("\n## What is promised, and the test that holds it\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def test_every_threat_names_a_test_that_exists() -> None:
    rows = threats()
    assert len(rows) >= 20
    for row in rows:
        cited = CITED.findall(row)
        assert cited, row
        for file, name in cited:
            assert (ROOT / file).exists(), file
            assert name in names_in(file), f"{file}::{name}"


def test_every_fault_of_hostile_input_is_on_the_page() -> None:
    """Tests of hostile input begin with the id of their fault."""
    ids = {
        match[1]
        for path in (ROOT / "tests").rglob("test_*.py")
        for match in re.finditer(r"^def test_(e\d+)_", path.read_text(), re.MULTILINE)
    }
    cited = {
        match[1] for _, name in CITED.findall(PAGE) if (match := re.match(r"test_(e\d+)_", name))
    }
    assert ids <= cited
    assert len(ids) >= 10


def test_the_readme_leads_to_it() -> None:
    assert "](SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
