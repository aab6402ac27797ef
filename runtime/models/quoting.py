"""Whether a provider's own words quote a prompt: then nobody is shown them, and no log has them."""

from typing import Final

from runtime.domain.models.calls import ModelRequest
from runtime.domain.plain_text import plain_line

DETAIL_LIMIT: Final = 400
"""Characters of a provider's message that are shown."""

_QUOTE_LENGTH: Final = 16
"""So many characters in common with a prompt make an error text a quotation of it."""


def quotes_prompt(said: str, request: ModelRequest) -> bool:
    """Whether the text holds a piece of a prompt, or is too long to tell."""
    if len(said) > 5 * DETAIL_LIMIT:
        return True
    # Compared as they are shown: in one line of plain text, where white space is no difference.
    text = _as_shown(said)
    prompts = [_as_shown(message.text) for message in request.messages]
    if request.system:
        prompts.append(_as_shown(request.system))
    pieces = {text[at : at + _QUOTE_LENGTH] for at in range(len(text) - _QUOTE_LENGTH + 1)}
    return any(
        (len(prompt) < _QUOTE_LENGTH and prompt in text) or any(piece in prompt for piece in pieces)
        for prompt in prompts
    )


def _as_shown(text: str) -> str:
    return " ".join(plain_line(text).split())
