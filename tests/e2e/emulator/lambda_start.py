"""Run inside the process of a Lambda function, before its handler is imported."""

import os
import sys
from sysconfig import get_path

# The emulator's own level, which would keep a function's lines from its log: Lambda sets none.
os.environ.pop("LOG_LEVEL", None)


def use_bundle(code: str) -> None:
    """Make the bundle in that folder the only source of packages, as on AWS: what is missing there
    is missing here, whatever is installed on this machine.
    """
    standard = tuple({get_path("stdlib"), get_path("platstdlib")})
    own = [path for path in sys.path if path.startswith(standard) and "-packages" not in path]
    sys.path[:] = [code, *own]
