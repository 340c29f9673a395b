"""Refusing tool files that start threads when they are imported."""

import functools
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
    """Refuse files that start threads: they would not exist in a forked process.

    Raises:
        ToolLoadError: a thread is running that was not before.
    """
    before = set(threading.enumerate())
    tasks = _count_tasks()
    audit = _thread_audit()
    audit.watch(str(file))
    try:
        yield
    finally:
        line = audit.stop()
    started = [thread.name for thread in threading.enumerate() if thread not in before]
    if (started and line) or (tasks == 1 and _count_tasks() > 1):
        names = ", ".join(started) or "of a native library"
        raise ToolLoadError(
            f"{file}:{line or 1}: it starts a thread ({names}) when it is imported, which a forked "
            "process would lack: start it inside the tool"
        )


class _ThreadAudit:
    """An audit hook that remembers which line of a file started a thread."""

    def __init__(self) -> None:
        self._file: str | None = None
        self._line: int | None = None

    def watch(self, file: str) -> None:
        """Look for threads that ``file`` starts from now on."""
        self._file, self._line = file, None

    def stop(self) -> int | None:
        """Look away; return the line that started one."""
        self._file = None
        return self._line

    def __call__(self, event: str, _arguments: tuple[object, ...]) -> None:
        if self._file is None or event != "_thread.start_new_thread":
            return
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- how a stack is walked
        while frame is not None and frame.f_code.co_filename != self._file:
            frame = frame.f_back
        if frame is not None:
            self._line = frame.f_lineno


@functools.cache
def _thread_audit() -> _ThreadAudit:
    """Return the process's one hook: none can ever be taken away again."""
    hook = _ThreadAudit()
    sys.addaudithook(hook)
    return hook


def _count_tasks() -> int:
    """Count this process's threads, native ones too; 0 where the system does not tell."""
    return len(list(_TASKS.iterdir())) if _TASKS.is_dir() else 0
