"""What an id looks like, wherever one comes from."""

import re
from typing import Final

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_uuid(text: str) -> bool:
    """Whether this is the text of a UUID, in either case."""
    return _UUID.fullmatch(text) is not None
