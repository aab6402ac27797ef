"""Run inside the process of a Lambda function, before its handler is imported."""

import os
import sys
from sysconfig import get_path

# Beats and leases are as short as the schedules' minutes: see `faults.py` and `__main__.py`.
os.environ.setdefault("LEASE_SECONDS", "8")
# The emulator's own, by which the functions' loggers would go too.
os.environ.pop("LOG_LEVEL", None)


def use_bundle(code: str) -> None:
    """Make the bundle in that folder the only source of packages, as on AWS: what is missing there
    is missing here, whatever is installed on this machine.
    """
    standard = tuple({get_path("stdlib"), get_path("platstdlib")})
    own = [path for path in sys.path if path.startswith(standard) and "-packages" not in path]
    sys.path[:] = [code, *own]
