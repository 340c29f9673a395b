"""What a child may not do: its limits and privileges, in the order the kernel needs them."""

import ctypes
import math
import os
import resource
from pathlib import Path
from typing import Final

from agent_server.sandbox.protocol import Limits
from agent_server.sandbox.warden import control_process

_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38

OPEN_FILES: Final = 256
PROCESSES: Final = 64
_MIB: Final = 1_048_576


def confine(limits: Limits, *, base_bytes: int) -> None:
    """Give up, for good, what the call does not need.

    The order is fixed. Limits come first, because a filter may forbid to set them; then the
    promise never to gain privileges, which the kernel wants before it takes rules from an
    unprivileged process; then rules on files and sockets; then capabilities, which laying those
    rules may need; and the filter of system calls last, because it forbids all of the above.
    """
    set_limits(limits, base_bytes=base_bytes)
    control_process(_PR_SET_NO_NEW_PRIVS, 1)


def set_limits(limits: Limits, *, base_bytes: int) -> None:
    """Lower the limits of this process, soft and hard, so that it cannot raise them again.

    ``base_bytes`` is the address space the child was born with; memory comes on top of it.
    """
    cpu_s = math.ceil(limits["cpu_s"])
    file_bytes = limits["file_mb"] * _MIB
    memory_bytes = base_bytes + limits["memory_mb"] * _MIB
    # The kernel counts all threads of the user, not ours alone; those of the whole machine bound
    # them. It does not hold root to it.
    processes = count_threads() + PROCESSES
    _lower(resource.RLIMIT_CPU, cpu_s, grace=1)  # SIGXCPU, and a second later SIGKILL
    _lower(resource.RLIMIT_AS, memory_bytes)
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_NPROC, processes)
    _lower(resource.RLIMIT_MEMLOCK, 0)
    if hasattr(resource, "RLIMIT_MSGQUEUE"):  # Python 3.11 has it on some platforms only
        _lower(resource.RLIMIT_MSGQUEUE, 0)


def count_threads() -> int:
    """Count the threads of the whole machine."""
    descriptor = os.open("/proc/loadavg", os.O_RDONLY)
    try:
        running_of_all = os.read(descriptor, 128).split()[3]
    finally:
        os.close(descriptor)
    return int(running_of_all.partition(b"/")[2])


def forbid_core_dumps() -> None:
    """Keep what is in memory out of core files."""
    _lower(resource.RLIMIT_CORE, 0)


def address_space_bytes() -> int:
    """Return the size of this process's address space."""
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    return pages * resource.getpagesize()


def name_process(name: str) -> None:
    """Set the name that ``ps`` and ``top`` show; the kernel keeps 15 bytes."""
    text = ctypes.create_string_buffer(name.encode()[:15])
    control_process(_PR_SET_NAME, ctypes.addressof(text))


def _lower(limit: int, value: int, *, grace: int = 0) -> None:
    _, inherited = resource.getrlimit(limit)
    if inherited != resource.RLIM_INFINITY:
        value = min(value, inherited)
        grace = min(grace, inherited - value)
    resource.setrlimit(limit, (value, value + grace))
