"""The zygote: imports the tools once, forks a child per call, buries what is left of each.

It is a program of its own, started with a clean environment and none of the server's memory. It
never sees the arguments of a call: those go from the server straight to the child. It is
single-threaded and does nothing between messages; when the server goes, it goes.
"""

import asyncio  # noqa: F401 imported here once, for the children of all calls
import contextlib
import gc
import os
import random  # noqa: F401 the same
import select
import signal
import socket
import sys
import tempfile  # noqa: F401 the same
from pathlib import Path
from typing import Final, NoReturn, TextIO

from pydantic_core import from_json, to_json

from agent_server.errors import AgentServerError
from agent_server.sandbox.child import Birth, Tools, live
from agent_server.sandbox.confine import address_space_bytes, name_process
from agent_server.sandbox.frames import encode_frame
from agent_server.sandbox.preload import preload
from agent_server.sandbox.protocol import Report, Spawn, Start, ZygoteConfig
from agent_server.sandbox.removal import remove_tree
from agent_server.sandbox.warden import adopt_orphans, die_with_parent, kill_descendants

_MESSAGE_BYTES: Final = 65_536
_DESCRIPTORS: Final = 3


def main(config_json: str, warden: int) -> NoReturn:
    """Load the tools, tell the server of them, and serve it until it goes. Never returns."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # sent to all of a service: the server decides
    die_with_parent(warden)
    name_process("agent-zygote")
    config = ZygoteConfig.model_validate_json(config_json)
    for descriptor in (config.control, config.start):
        os.set_inheritable(descriptor, False)
    _prepare_streams()
    with socket.socket(fileno=config.start) as start:
        try:
            tools = preload(
                config.tool_paths,
                entry_points=config.entry_points,
                timeout_s=config.load_timeout_s,
            )
        except AgentServerError as error:
            start.sendall(encode_frame(Start(pid=os.getpid(), error=error.message)))
            os._exit(0)
        manifest = [tool.spec for tool in tools.values()]
        start.sendall(encode_frame(Start(pid=os.getpid(), manifest=manifest)))
    sys.stdout.flush()
    adopt_orphans()
    gc.collect()
    gc.freeze()
    scratch = config.scratch_root / str(os.getpid())
    scratch.mkdir(mode=0o700)
    with contextlib.suppress(ConnectionError):  # the server went in the middle of a message
        _Nursery(socket.socket(fileno=config.control), tools, scratch).serve()
    kill_descendants()
    with contextlib.suppress(OSError):  # the server, if it is still there, removes what is left
        remove_tree(scratch)
        config.scratch_root.rmdir()
    os._exit(0)


def _prepare_streams() -> None:
    """Set up the streams that every child inherits: what it prints is shown line by line.

    They are made over a pipe, which cannot be sought in, as those of the children cannot. While
    tool files are imported, what they print goes where the server's own errors go.
    """
    shown = os.dup(2)
    reads, writes = os.pipe()
    for number in (1, 2):
        os.dup2(writes, number)
    sys.stdout, sys.stderr = _open_stream(1), _open_stream(2)
    for number in (1, 2):
        os.dup2(shown, number)
    for descriptor in (shown, reads, writes):
        os.close(descriptor)


def _open_stream(number: int) -> TextIO:
    return open(number, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


class _Nursery:
    """The children alive, by their pidfds, and the messages that make and mourn them."""

    def __init__(self, control: socket.socket, tools: Tools, scratch: Path) -> None:
        self._control = control
        self._scratch = scratch
        self._tools = tools
        self._base_bytes = address_space_bytes()
        self._poller = select.poll()
        self._alive: dict[int, tuple[int, int]] = {}

    def serve(self) -> None:
        """Fork and bury until the server closes its end."""
        control = self._control.fileno()
        self._poller.register(control, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in self._poller.poll()]
            for descriptor in ready:  # calls that wait for an end come before new children
                if descriptor != control:
                    self._bury(descriptor)
            if control in ready and not self._obey():
                return

    def _obey(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, _DESCRIPTORS)
        if not data:
            return False
        try:
            self._spawn(Spawn(*from_json(data)), descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _spawn(self, spawn: Spawn, descriptors: list[int]) -> None:
        channel, stdout, stderr = descriptors
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(Report("refused", spawn.number, error=error.strerror or "fork failed"))
            return
        if pid == 0:
            live(
                Birth(
                    descriptors=(channel, stdout, stderr),
                    scratch=self._scratch / str(spawn.number),
                    zygote=zygote,
                    base_bytes=self._base_bytes,
                    tools=self._tools,
                    rehearses=spawn.rehearse,
                )
            )
        pidfd = os.pidfd_open(pid)
        self._alive[pidfd] = (spawn.number, pid)
        self._poller.register(pidfd, select.POLLIN)
        socket.send_fds(self._control, [to_json(Report("spawned", spawn.number))], [pidfd])

    def _bury(self, pidfd: int) -> None:
        number, pid = self._alive.pop(pidfd)
        _, status, usage = os.wait4(pid, 0)
        kill_descendants(spare={pid for _, pid in self._alive.values()})
        cpu_ms = round((usage.ru_utime + usage.ru_stime) * 1000)
        self._tell(Report("ended", number, status, cpu_ms, usage.ru_maxrss))
        self._poller.unregister(pidfd)
        os.close(pidfd)

    def _tell(self, report: Report) -> None:
        self._control.send(to_json(report))
