"""Small words of messages: one thing or several, and sentences that follow each other."""


def counted(number: int, thing: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def sentence(text: object) -> str:
    """A message with something at its end, so that another sentence can follow."""
    shown = str(text).rstrip()
    return shown if shown.endswith((".", "?", "!", "…")) else f"{shown}."
