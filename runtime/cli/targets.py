"""Whether a command is about a folder of this machine or a job of an API."""

import os
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.datasets.folder import DatasetFolder
from runtime.domain.errors import InputError

_JOB: Final = re.compile(r"[0-9a-f]{1,8}(-[0-9a-f-]{0,28})?", re.IGNORECASE)

TargetArgument = Annotated[str, typer.Argument(metavar="DIR|JOB", help="A folder, or a job's id.")]


def is_folder(target: str) -> bool:
    """Whether `target` names a folder of this machine. `./x` always does; what looks like an id
    is a job, unless there is a dataset of that name. Raises `InputError` for what is neither.
    """
    if os.sep in target or target in {".", ".."} or DatasetFolder(Path(target)).state.is_dir():
        return True
    if not _JOB.fullmatch(target):
        raise InputError(f"{target} is not a folder with a dataset, and not the id of a job")
    return False
