"""What a process may do that reads what strangers wrote: compute, in bounded memory and time.

    parent   start_child(…), or Popen(…, env=child_environment())
    child    give_up_privileges() ─▶ limit_resources(…) ─▶ reads, with allow_cpu(…) before each task

Limits hold until the process ends. What was loaded before stays usable, so a child imports all it
needs first.
"""

import ctypes
import os
import resource
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    import subprocess

PR_SET_NO_NEW_PRIVS: Final = 38
"""prctl(2): has no name in Python."""
WATCH_SECONDS: Final = 0.02

_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")


def child_environment(**more: str) -> dict[str, str]:
    """What Python needs to start, and no secret. The parent's import path stands for its folder."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    paths = (os.path.abspath(path) for path in sys.path)  # noqa: PTH100 - "" is the current folder
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **more}


def start_child(module: str, *arguments: str) -> "tuple[subprocess.Popen[bytes], socket.socket]":
    """A process that runs a module of ours, and our end of the socket that is its standard input.
    Raises `OSError`.
    """
    # Imported here: a child imports this module, too, and starts nothing.
    import socket  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            # Its own session: what a terminal sends to the parent's group doesn't reach it.
            start_new_session=True,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours


def give_up_privileges() -> None:
    """Never gain a privilege by running another program, where the system can promise that."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def limit_resources(memory_bytes: int, *, more: bool = False, opens_files: bool = False) -> None:
    """Let this process hold `memory_bytes` in all, or so many `more` than now. It starts no process
    and writes no file; unless it `opens_files`, it gets no new descriptor either.
    """
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - pathlib costs start-up time
            size, resident = (
                int(pages) * resource.getpagesize() for pages in statm.read().split()[:2]
            )
        growth = memory_bytes if more else max(0, memory_bytes - resident)
        _limit(resource.RLIMIT_AS, size + growth)
    else:
        # macOS accepts RLIMIT_AS and ignores it.
        threading.Thread(target=watch_memory, args=(memory_bytes,), daemon=True).start()
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        _limit(kind, 0)
    if not opens_files:
        # Those that are open stay. None can be opened, not even under a number that becomes free.
        _limit(resource.RLIMIT_NOFILE, 0)


def _limit(kind: int, value: int) -> None:
    """Set a limit for good; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (lowest, lowest))


def watch_memory(memory_bytes: int) -> None:
    """End the process when it has grown by `memory_bytes`.

    By, not to: a peak may be inherited from the process that started this one.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) * unit <= memory_bytes:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def allow_cpu(seconds: int) -> None:
    """End the process after so much more processor time, unless this is called again before."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
