"""Process trees: adopting what is left of one, killing all of it, and the zygote's warden.

The warden is the zygote's parent. It does nothing until the zygote has died, whatever killed it,
and then kills what the tool calls had started, so that no process is ever left behind. It is run
as a script, and so knows nothing of the package: the standard library is all it loads.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Container
from pathlib import Path
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

_libc = ctypes.CDLL(None, use_errno=True)


def control_process(option: int, value: int) -> None:
    """Call ``prctl(option, value, 0, 0, 0)``; raise ``OSError`` where the kernel refuses."""
    zero = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")


def adopt_orphans() -> None:
    """Make this process the new parent of every process below it that loses its own."""
    control_process(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when ``parent`` dies; exit at once if it is dead already."""
    control_process(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def kill_descendants(*, spare: Container[int] = ()) -> None:
    """Kill and reap all children of this process, and all below them, except those in ``spare``.

    The caller has one thread and has adopted orphans: what a dead process leaves behind is found
    in the next round.
    """
    own = f"/proc/self/task/{os.getpid()}/children"
    while doomed := [pid for pid in _read_pids(own) if pid not in spare]:
        for pid in _with_descendants(doomed):
            _kill(pid)
        for pid in doomed:
            os.waitpid(pid, 0)


def _with_descendants(pids: list[int]) -> list[int]:
    found = list(pids)
    for pid in found:  # grows while it is walked
        with contextlib.suppress(OSError):  # gone meanwhile, and what it left has come to us
            for thread in Path(f"/proc/{pid}/task").iterdir():
                found += _read_pids(f"{thread}/children")
    return found


def _kill(pid: int) -> None:
    # One far below may have been reaped since it was listed. Its number is not in use again:
    # numbers are given out in turn.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _read_pids(path: str) -> list[int]:
    """Read a list of children, dead ones that nobody has reaped included."""
    listed = b""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while chunk := os.read(descriptor, 65_536):
            listed += chunk
    finally:
        os.close(descriptor)
    return [int(pid) for pid in listed.split()]


def main(arguments: list[str]) -> NoReturn:
    """Start the zygote by the command line ``arguments``, wait for its end, kill what it left.

    The warden's process id takes the place of the argument ``{warden}``.
    """
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    adopt_orphans()
    command = [str(os.getpid()) if word == "{warden}" else word for word in arguments]
    environment = os.environ  # noqa: TID251 the clean one that the server gave it
    zygote = os.posix_spawn(command[0], command, environment)
    os.closerange(
        3, os.sysconf("SC_OPEN_MAX")
    )  # the zygote's channels: their end must be seen when it ends
    _, status = os.waitpid(zygote, 0)
    kill_descendants()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1:])
