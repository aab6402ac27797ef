"""A check in one line, for people."""

from runtime.domain.checks.check import Balance, Check, Condition, Judge, TextCheck, Unique


def check_text(check: Check) -> str:
    """What it asks for, as `keep_if …` or `max_words: 60, of steps.answer.output`."""
    match check:
        case Condition():
            return f"keep_if {_line(check.keep_if)}"
        case TextCheck(argument=asked):
            shown = ", ".join(asked) if isinstance(asked, tuple) else asked
            return f"{check.kind}: {shown}, of {check.of}"
        case Judge():
            scores = ", ".join(each.name for each in check.scores)
            return f"judge of {check.of}: {scores}; {_decision(check)}"
        case Unique():
            near = "" if check.near is None else f", near {check.near:g}"
            return f"unique by {check.by}{near}"
        case Balance():
            return f"balance by {check.by}: {', '.join(check.values)}"


def _decision(judge: Judge) -> str:
    if judge.keep_if is not None:
        return f"keep_if {_line(judge.keep_if)}"
    share = "" if judge.sample is None else f" on {judge.sample:.4g} of the records"
    return f"reports only{share}"


def _line(text: str) -> str:
    return " ".join(text.split())
