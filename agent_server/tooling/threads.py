"""Refusing tool files that start threads when they are imported."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from agent_server.errors import ToolLoadError

__all__ = ["refusing_threads"]

_TASKS: Final = Path("/proc/self/task")


@contextmanager
def refusing_threads(file: Path) -> Iterator[None]:
    """Refuse a file that starts threads: they would not exist in a forked process.

    Raises:
        ToolLoadError: a thread is running that ``file`` started.
    """
    tasks = _count_tasks()
    with _recording_starts(str(file)) as started:
        yield
    alive = {thread.name: line for thread, line in started.items() if thread.is_alive()}
    # A thread of Python's that has just ended may still be counted as a task.
    if alive or (not started and tasks == 1 and _count_tasks() > 1):
        line = min(alive.values(), default=1)
        names = ", ".join(alive) or "a native library's"
        raise ToolLoadError(
            f"{file}:{line}: it starts a thread ({names}) when it is imported, which a forked "
            "process would lack: start it inside the tool"
        )


@contextmanager
def _recording_starts(file: str) -> Iterator[dict[threading.Thread, int]]:
    """Give the threads that ``file`` starts meanwhile, each with the line that does it.

    Python 3.11 has no audit event for it, so ``Thread.start`` is replaced for the time of the
    import.
    """
    original = threading.Thread.start
    started: dict[threading.Thread, int] = {}

    def start(thread: threading.Thread) -> None:
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- how a stack is walked
        while frame is not None and frame.f_code.co_filename != file:
            frame = frame.f_back
        if frame is not None:
            started[thread] = frame.f_lineno
        original(thread)

    threading.Thread.start = start  # type: ignore[method-assign, assignment]  # put back below
    try:
        yield started
    finally:
        threading.Thread.start = original  # type: ignore[method-assign]


def _count_tasks() -> int:
    """Count this process's threads, native ones too; 0 where the system does not tell."""
    return len(list(_TASKS.iterdir())) if _TASKS.is_dir() else 0
