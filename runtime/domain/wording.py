"""Small words of messages: one thing or several, and sentences that follow each other."""


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 seed`, `2 seeds`; with `things` for words that don't only get an s."""
    return f"{number} {plural(number, thing, things)}"


def plural(number: int, thing: str, things: str | None = None) -> str:
    """The word alone, where the number is written in another way."""
    return thing if number == 1 else things or f"{thing}s"


def sentence(text: object) -> str:
    """A message with something at its end, so that another sentence can follow."""
    shown = str(text).rstrip()
    return shown if shown.endswith((".", "?", "!", "…")) else f"{shown}."
