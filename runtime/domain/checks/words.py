"""The words that short forms of checks take: languages, patterns of personal data, and code."""

from typing import Final

_CODES: Final = (
    "af am an ar as az be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr ga gl gu he"
    " hi hr ht hu hy id is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mk ml mn mr ms mt nb ne"
    " nl nn no oc or pa pl ps pt qu ro ru rw se si sk sl sq sr sv sw ta te th tl tr ug uk ur vi vo"
    " wa xh zh zu"
)
LANGUAGES: Final = frozenset(_CODES.split())
"""Codes of ISO 639-1 that a text can be told to be in."""

PII: Final = ("email", "phone", "iban", "credit_card", "ip", "us_ssn", "url")
"""Patterns of `no_pii`; `runtime.engine.rendering.personal` has them."""
PII_UNLESS_NAMED: Final = tuple(name for name in PII if name != "url")
"""Those of `no_pii: true`: an address of the web alone names nobody."""

CODE: Final = ("python", "json")
"""Languages of `code`."""

JACCARD: Final = "minhash"
EMBEDDING: Final = "embedding"
"""Ways to compare texts by `near`. The second one is not built yet."""
