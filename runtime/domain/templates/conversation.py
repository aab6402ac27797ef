"""What a step sends beside its prompt, as the document says it: when it is called at all, the turns
before the prompt, and the texts that end a reply.
"""

from collections.abc import Mapping
from typing import Any, Final

from runtime.domain.fields import Refuse, is_text
from runtime.domain.hints import hint_for
from runtime.domain.roles import Role
from runtime.domain.templates.template import EarlierTurn

MAX_MESSAGES: Final = 100
"""Turns before a prompt."""
MAX_STOPS: Final = 4
"""The fewest that a model of the Converse API takes, of those that take any."""
MAX_STOP_CHARACTERS: Final = 100

_TURN_FIELDS: Final = ("role", "content")


def read_when(place: str, document: object, refuse: Refuse) -> str | None:
    """The condition of a step; None: every record takes it."""
    if isinstance(document, bool):
        return str(document).lower()
    if document is None or (isinstance(document, str) and is_text(document)):
        return document
    refuse(place, 'when must be an expression that is true or false, such as seed.kind == "long"')
    return None


def read_messages(place: str, document: object, refuse: Refuse) -> tuple[EarlierTurn, ...]:
    """The turns before a prompt. They alternate, begin with the user's and end with the
    assistant's: the prompt is the user's next turn.
    """
    if document is None:
        return ()
    if not isinstance(document, list | tuple) or not 1 <= len(document) <= MAX_MESSAGES:
        refuse(place, f"messages must list 1 to {MAX_MESSAGES} turns, each with role and content")
        return ()
    turns = [
        _turn(f"{place}, message {number}", each, refuse)
        for number, each in enumerate(document, start=1)
    ]
    read = [turn for turn in turns if turn is not None]
    if len(read) == len(turns):
        _check_order(place, read, refuse)
    return tuple(read)


def _turn(place: str, document: object, refuse: Refuse) -> EarlierTurn | None:
    if not isinstance(document, Mapping):
        refuse(place, "a message has role and content")
        return None
    for name in document:
        if name not in _TURN_FIELDS:
            refuse(place, f'unknown field "{str(name)[:100]}"{hint_for(str(name), _TURN_FIELDS)}')
    role, content = document.get("role"), document.get("content")
    if role not in list(Role):
        hint = ': the system text has a field of its own, "system"' if role == "system" else ""
        hint = hint or (hint_for(role, Role) if isinstance(role, str) else "")
        refuse(place, f"role must be one of {', '.join(Role)}{hint}")
        return None
    if not isinstance(content, str) or not is_text(content):
        refuse(place, "content must be a text that is not empty")
        return None
    return EarlierTurn(role=Role(role), content=content)


def _check_order(place: str, turns: list[EarlierTurn], refuse: Refuse) -> None:
    for number, turn in enumerate(turns):
        expected = (Role.USER, Role.ASSISTANT)[number % 2]
        if turn.role is not expected:
            problem = f"role must be {expected}: turns alternate and begin with the user's"
            refuse(f"{place}, message {number + 1}", f"{problem}; join two texts of one role")
            return
    if len(turns) % 2:
        refuse(
            place,
            "messages must end with the assistant's turn: the prompt is the user's next one, so"
            " join the last message and the prompt",
        )


def read_stop(place: str, document: object, refuse: Refuse) -> tuple[str, ...]:
    """The texts that end a reply; one may stand without a list."""
    if document is None:
        return ()
    texts = [document] if isinstance(document, str) else document
    if (
        not isinstance(texts, list | tuple)
        or not 1 <= len(texts) <= MAX_STOPS
        or not all(
            isinstance(text, str) and is_text(text, empty=True, limit=MAX_STOP_CHARACTERS) and text
            for text in texts
        )
        or len(set(texts)) < len(texts)
    ):
        refuse(
            place,
            f"stop must list 1 to {MAX_STOPS} different texts of 1 to {MAX_STOP_CHARACTERS}"
            " characters",
        )
        return ()
    return tuple(texts)


def messages_document(turns: tuple[EarlierTurn, ...]) -> list[dict[str, str]]:
    """Inverse of `read_messages`."""
    return [{"role": turn.role.value, "content": turn.content} for turn in turns]


def stored_messages(document: list[dict[str, Any]]) -> tuple[EarlierTurn, ...]:
    """Turns that were checked before they were stored."""
    return tuple(EarlierTurn(role=Role(turn["role"]), content=turn["content"]) for turn in document)
