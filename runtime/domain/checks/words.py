"""The words that short forms of checks take: languages, patterns of personal data, and code."""

from typing import Final

_CODES: Final = (
    "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et"
    " eu ext fa fi fo fr fuv fy ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id"
    " ig is it ja jv ka kab kik kk km kn ko ku ky la lb lg lij ln lo lt ltg lv mg mk ml mn mr ms"
    " mt my ne nl nn no nso oc om or pa pcm pl ps pt qu ro ru rw sa sdh se si sk sl sn so sq sr"
    " st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo yue zh zu"
)
LANGUAGES: Final = frozenset(_CODES.split())
"""Codes of ISO 639 that a text can be told to be in, by py3langid 0.4."""

PII: Final = ("email", "phone", "iban", "credit_card", "ip", "us_ssn", "url")
"""Patterns of `no_pii`; `runtime.engine.rendering.personal` has them."""
PII_UNLESS_NAMED: Final = tuple(name for name in PII if name != "url")
"""Those of `no_pii: true`: an address of the web alone names nobody."""

CODE: Final = ("python", "json")
"""Languages of `code`."""

JACCARD: Final = "minhash"
EMBEDDING: Final = "embedding"
"""Ways to compare texts by `near`. The second one is not built yet."""
