"""The text of the grammar that constrains the embedded model.

The grammar is LLGuidance's, which llama.cpp has built in. It ignores keywords that it doesn't know,
and a schema that it can't follow at all leaves the model free. What it is given and what is said in
words is decided before, in `grammar_schema.py`; every reply is validated wherever it came from.
"""

import json
from collections.abc import Mapping
from typing import Final

_OPTIONS: Final = {
    "lenient": True,
    # A small model loses itself in white space; without it every token is content.
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}


def grammar_of(schema: Mapping[str, object]) -> str:
    """The grammar of all documents that `schema` allows, as far as a grammar can say it."""
    document = {**schema, "x-guidance": _OPTIONS}
    # A YAML template may hold dates in an enum; `default` writes them as the text they were.
    return "%llguidance {}\nstart: %json " + json.dumps(document, default=str)
