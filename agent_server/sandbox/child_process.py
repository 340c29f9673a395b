"""The server's side of one child: its channel, its output, how to wait for it, how to kill it."""

import asyncio
import os
import select
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GONE_S: Final = 1.0
"""How long a killed child may take to be buried before its zygote is killed too."""
_READ_BYTES: Final = 65_536
_FRAME_BYTES: Final = 262_144


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child's process ended. ``status`` is as ``wait`` gives it."""

    status: int
    cpu_ms: int
    peak_rss_kb: int


class Child:
    """A child of the zygote: parked, serving its one call, or dead.

    ``ended`` is done when the process and all below it are gone: with how it ended, or with None
    if the zygote died before it could tell. ``refused`` says why there never was a process.
    ``killed``: its end was asked for; ``struck``: SIGKILL was sent, so that it runs no more.
    """

    def __init__(self, number: int, scratch: Path) -> None:
        self.number = number
        self.scratch = scratch
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ended | None] = self._loop.create_future()
        self.refused: str | None = None
        self.killed = False
        self.struck = False
        self._pidfd: int | None = None
        with ExitStack() as near, ExitStack() as far:
            self._readable = near.enter_context(select.epoll())
            self._channel, far_channel = socket.socketpair()
            near.enter_context(self._channel)
            far.enter_context(far_channel)
            self._channel.setblocking(False)
            self.channel = self._channel.fileno()
            self.stdout, far_stdout = _open_pipe(near, far)
            self.stderr, far_stderr = _open_pipe(near, far)
            for descriptor in (self.channel, self.stdout, self.stderr):
                self._readable.register(descriptor, select.EPOLLIN)
            self.far_ends = [far_channel.fileno(), far_stdout, far_stderr]
            self._near, self._far = near.pop_all(), far.pop_all()

    def give_away(self) -> None:
        """Close the far ends here, so that their end is seen when the child ends."""
        self._far.close()

    def arrive(self, pidfd: int) -> None:
        """Take the process's pidfd; kill it at once if that was asked for meanwhile."""
        self._pidfd = pidfd
        if self.killed:
            self.kill()

    def kill(self) -> None:
        """Kill the process, now or when it arrives; the zygote kills what is below it."""
        self.killed = True
        if self._pidfd is None or self.ended.done():
            return
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:  # dead and buried; the message that says so is on its way
            return
        self.struck = True

    async def send(self, data: bytes) -> None:
        """Write to the channel. A child that is gone does not take it, and its end tells."""
        try:
            sent = self._channel.send(data)  # the buffer takes most requests whole
            if sent < len(data):
                await self._loop.sock_sendall(self._channel, memoryview(data)[sent:])
        except ConnectionError:
            return

    async def readable(self) -> set[int]:
        """Wait until the child has said something or ended; return the descriptors to read.

        They are ``channel``, ``stdout`` and ``stderr``; the end of a stream counts as readable.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()

        def wake(_: object = None) -> None:
            if not waiter.done():
                waiter.set_result(None)

        self._loop.add_reader(self._readable.fileno(), wake)
        self.ended.add_done_callback(wake)
        try:
            await waiter
        finally:
            self._loop.remove_reader(self._readable.fileno())
            self.ended.remove_done_callback(wake)
        return {descriptor for descriptor, _ in self._readable.poll(0)}

    def read_channel(self) -> bytes | None:
        """Return what the channel has: nothing (None) yet, or its end (empty)."""
        try:
            return self._channel.recv(_FRAME_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    def read_output(self, descriptor: int) -> bytes | None:
        """Return what stdout or stderr has: nothing (None) yet, or its end (empty)."""
        try:
            return os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return None

    def forget(self, descriptor: int) -> None:
        """Wait no more for a stream that has ended."""
        self._readable.unregister(descriptor)

    def close(self) -> None:
        """Close all that is open here; the process must have ended."""
        self._far.close()
        self._near.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def _open_pipe(near: ExitStack, far: ExitStack) -> tuple[int, int]:
    reads, writes = os.pipe()
    near.callback(os.close, reads)
    far.callback(os.close, writes)
    os.set_blocking(reads, False)
    return reads, writes
