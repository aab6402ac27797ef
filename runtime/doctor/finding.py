"""What a look has found: one line about one thing, and how to mend it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runtime.domain.plain_text import plain_line

MAX_CHARACTERS: Final = 600
"""Of one text: it may quote what AWS or another program has answered."""


def deployment(stage: str) -> str:
    """The command that deploys a stage: `npm run deploy` is for the default one."""
    return "npm run deploy" if stage == "dev" else f"npx cdk deploy --all -c stage={stage}"


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It could not be looked at, or what it means for this account can't be known."""
    NOT_DEPLOYED = "not deployed"
    """It belongs to a deployment that is still to come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """`says` is a sentence about the thing called `name`; `mend` a command or a place to read,
    empty where there is nothing to do. All of it is plain text on one line.
    """

    name: str
    state: State
    says: str
    mend: str = ""

    def document(self) -> dict[str, str]:
        """For scripts: every field, `mend` also if it is empty."""
        return {"name": self.name, "state": self.state, "says": self.says, "mend": self.mend}


def ok(name: str, says: str) -> Finding:
    """Nothing to do."""
    return _finding(name, State.OK, says, "")


def wrong(name: str, says: str, *, mend: str) -> Finding:
    """Something to mend."""
    return _finding(name, State.WRONG, says, mend)


def unknown(name: str, says: str, *, mend: str = "") -> Finding:
    """No answer; `mend` says how to get one."""
    return _finding(name, State.UNKNOWN, says, mend)


def not_deployed(name: str, stage: str) -> Finding:
    """It comes with the deployment."""
    return _finding(name, State.NOT_DEPLOYED, "not deployed yet", deployment(stage))


def _finding(name: str, state: State, says: str, mend: str) -> Finding:
    return Finding(name=_short(name), state=state, says=_short(says), mend=_short(mend))


def _short(text: str) -> str:
    plain = plain_line(text)
    return plain if len(plain) <= MAX_CHARACTERS else f"{plain[:MAX_CHARACTERS]}…"
