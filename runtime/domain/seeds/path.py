"""Which keys a user may name as seed data: objects below the user's own prefix, and nothing else.

S3 keys are plain text, but what reads them is not always: a path is refused for any character that
some layer might fold, decode or resolve, so that what was checked is what is read.
"""

import re
from typing import Final

from runtime.contract.keys import seed_prefix
from runtime.domain.errors import ForbiddenError, InputError

MAX_FILE_NAME_CHARACTERS: Final = 128

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._ ()+=@,-]{0,127}")

_MAX_PATH_CHARACTERS: Final = 512


def check_seed_path(user_id: str, path: str) -> str:
    """`path`, if it is an object below the user's own prefix. Raises `ForbiddenError`."""
    prefix = seed_prefix(user_id)
    rest = path.removeprefix(prefix)
    if (
        rest == path
        or len(path) > _MAX_PATH_CHARACTERS
        or not all(_SEGMENT.fullmatch(segment) for segment in rest.split("/"))
    ):
        raise ForbiddenError(
            f"seed data is read from your own files only: use an s3_key that begins with {prefix}"
        )
    return path


def check_file_name(name: str) -> str:
    """`name`, if it can be the last part of a seed path. Raises `InputError`."""
    if not _SEGMENT.fullmatch(name):
        raise InputError(
            "a file name has letters, digits, spaces and ._-()+=@, and at most"
            f" {MAX_FILE_NAME_CHARACTERS} characters"
        )
    return name
