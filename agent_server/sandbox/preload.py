"""Importing the tool files in the zygote, and refusing those that a fork cannot copy.

A thread does not survive a fork, and a socket, pipe or open file would be shared by all calls.
"""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from agent_server.errors import ToolLoadError
from agent_server.tooling.decorator import Tool
from agent_server.tooling.loader import load_tools

_HARMLESS: Final = ("/dev/null", "/dev/urandom", "/dev/random")
_EVENTS: Final = frozenset({"_thread.start_new_thread", "socket.__new__", "open"})
_REMEDY: Final = "do that inside the tool function instead"


def preload(
    paths: Sequence[Path], *, entry_points: bool, timeout_s: float
) -> dict[str, Tool[..., Any]]:
    """Import the tools once, for all children; return them by name.

    Raises:
        ToolLoadError: a file cannot be imported in ``timeout_s`` seconds, or starts a thread, or
            leaves something open.
    """
    before = _open_descriptors()
    with _watching() as origins, _deadline(timeout_s):
        tools = load_tools(paths, entry_points=entry_points)
    _refuse_threads(origins)
    _refuse_descriptors(before, origins)
    return {tool.spec.name: tool for tool in tools}


class _Origins:
    """Remembers which line of a tool file was running when something was started or opened."""

    def __init__(self) -> None:
        self.watching = True
        self.lines: dict[str, str] = {}

    def __call__(self, event: str, _: tuple[object, ...]) -> None:
        if self.watching and event in _EVENTS:
            self.lines[event] = _tool_line() or self.lines.get(event, "")

    def of(self, event: str) -> str:
        """Name file and line, as a prefix of a message."""
        line = self.lines.get(event)
        return f"{line}: " if line else ""


def _tool_line() -> str:
    """Return ``file:line`` of the innermost frame that is neither the library's nor ours."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 the documented way to walk a stack
    while frame is not None:
        name = frame.f_code.co_filename
        module = frame.f_globals.get("__name__", "")
        library = "site-packages" in name or name.startswith(("<", sys.base_prefix))
        if not library and module.partition(".")[0] != "agent_server":
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


@contextmanager
def _watching() -> Iterator[_Origins]:
    origins = _Origins()
    sys.addaudithook(origins)  # cannot be taken away again, only told to look away
    try:
        yield origins
    finally:
        origins.watching = False


@contextmanager
def _deadline(timeout_s: float) -> Iterator[None]:
    """Raise in the line that is running after ``timeout_s``, so that the loader names it."""

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"importing the tool files takes longer than {timeout_s:g} s")

    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _refuse_threads(origins: _Origins) -> None:
    count = len(list(Path("/proc/self/task").iterdir())) - 1
    if count:
        names = ", ".join(t.name for t in threading.enumerate() if t is not threading.main_thread())
        where = origins.of("_thread.start_new_thread")
        named = f" ({names})" if names else " (not Python's own)"
        raise ToolLoadError(f"{where}importing starts {count} thread(s){named}; {_REMEDY}")


def _refuse_descriptors(before: dict[int, str], origins: _Origins) -> None:
    for number, target in _open_descriptors().items():
        if target in _HARMLESS or before.get(number) == target:
            continue
        event = "socket.__new__" if target.startswith("socket:") else "open"
        raise ToolLoadError(f"{origins.of(event)}importing leaves {target} open; {_REMEDY}")


def _open_descriptors() -> dict[int, str]:
    found: dict[int, str] = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            found[int(link.name)] = str(link.readlink())
        except FileNotFoundError:  # the one this listing was read by
            continue
    return found
