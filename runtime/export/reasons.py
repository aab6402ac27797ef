"""Why records failed, in few words: what most failures of a list say."""

from collections import Counter
from itertools import islice
from typing import BinaryIO, Final

import orjson

MAX_LINES: Final = 1000
MAX_LINE_BYTES: Final = 100_000
MAX_CHARACTERS: Final = 300


def common_reason(failures: BinaryIO) -> str:
    """What most of the first failures of a `failures.jsonl` say, and how many of them, in one line;
    empty where it says nothing. The words may be a server's own: whoever shows them shows plain
    text.
    """
    counts: Counter[str] = Counter()
    lines = iter(lambda: failures.readline(MAX_LINE_BYTES), b"")
    for line in islice(lines, MAX_LINES):
        reason = _reason(line)
        if reason:
            counts[reason] += 1
    if not counts:
        return ""
    ((reason, most),) = counts.most_common(1)
    return f"{most} of {counts.total()} with {_cut(reason)}"


def _reason(line: bytes) -> str:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(document, dict):
        return ""
    said = " ".join(str(document.get("message") or "").split())
    return f"{document.get('kind')}: {said}" if said else ""


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"
