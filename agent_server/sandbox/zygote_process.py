"""The server's side of a zygote: starting it, having children forked, and its end."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from pydantic_core import from_json, to_json

from agent_server.errors import SandboxUnavailable, ToolLoadError
from agent_server.sandbox import warden
from agent_server.sandbox.child_process import Child, Ended
from agent_server.sandbox.frames import FrameError, FrameReader, parse_strictly
from agent_server.sandbox.protocol import START_CAP_BYTES, Report, Spawn, Start, ZygoteConfig
from agent_server.tooling.spec import ToolSpec

_BOOT: Final = (
    "import json, sys\n"
    "sys.path[:] = json.loads(sys.argv[1])['path']\n"
    "from agent_server.sandbox.zygote import main\n"
    "main(sys.argv[1], int(sys.argv[2]))"
)
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # Libraries that start a thread per core at import would keep the zygote from forking.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_MESSAGE_BYTES: Final = 65_536
_START_GRACE_S: Final = 10.0
_STOP_S: Final = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ZygotePlan:
    """What every zygote of a sandbox is started with."""

    tool_paths: tuple[Path, ...]
    entry_points: bool
    load_timeout_s: float
    scratch_root: Path


class Zygote:
    """A running zygote. ``ended`` is done when it and everything below it are gone."""

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket, *, scratch_root: Path
    ) -> None:
        self.manifest: list[ToolSpec] = []
        self.pid = 0
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._process = process
        self._warden = os.pidfd_open(process.pid)
        self._pidfd: int | None = None
        self._control = control
        control.setblocking(False)
        self._scratch_root = scratch_root
        self._numbers = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._loop.add_reader(self._warden, self._bury)

    @property
    def serving(self) -> bool:
        """Whether children can be had from it."""
        return self._pidfd is not None and self._control.fileno() >= 0

    def spawn(self, *, rehearse: bool) -> Child:
        """Have a child forked; it can be sent its request at once.

        One that parks first may ``rehearse``: it starts later and then serves faster.

        Raises:
            SandboxUnavailable: the zygote takes no message, or there are no descriptors left.
        """
        if not self.serving:
            raise SandboxUnavailable("No process can be had: the zygote has ended.")
        number = next(self._numbers)
        try:
            child = Child(number, self._scratch_root / str(self.pid) / str(number))
        except OSError as error:
            raise SandboxUnavailable(f"No process can be had: {error.strerror}.") from error
        message = to_json(Spawn(number, rehearse))
        try:
            socket.send_fds(self._control, [message], child.far_ends)
        except OSError as error:
            child.close()
            if isinstance(error, ConnectionError):
                self._close_control()
            raise SandboxUnavailable(f"No process can be had: {error.strerror}.") from error
        child.give_away()
        self._children[number] = child
        return child

    def kill(self) -> None:
        """Kill the zygote; its warden then kills all below it."""
        if self.ended.done():
            return
        target = self._warden if self._pidfd is None else self._pidfd
        try:
            signal.pidfd_send_signal(target, signal.SIGKILL)
        except ProcessLookupError:  # its end is about to be seen
            return

    async def stop(self) -> None:
        """Let it end, killing every child, and wait until all are gone."""
        self._close_control()
        _, pending = await asyncio.wait([self.ended], timeout=_STOP_S)
        if pending:
            self.kill()
            await asyncio.wait([self.ended], timeout=_STOP_S)

    def begin(self, start: Start) -> None:
        """Serve: ``start`` is what the zygote said when it had loaded its tools."""
        self.manifest = start.manifest
        self.pid = start.pid
        self._pidfd = os.pidfd_open(start.pid)
        self._loop.add_reader(self._control.fileno(), self._listen)

    def _listen(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, 1)
            except BlockingIOError:
                return
            except OSError as error:  # no descriptor left for a pidfd, or the zygote is dead
                log.warning("sandbox.control_failed", error=str(error))
                data = b""
            if not data:
                self._close_control()
                self.kill()
                return
            self._hear(Report(*from_json(data)), descriptors)

    def _hear(self, report: Report, descriptors: list[int]) -> None:
        child = self._children[report.number]
        if report.op == "spawned":
            if descriptors:
                child.arrive(descriptors[0])
            else:  # this process is out of descriptors: a child that cannot be killed must not be
                log.error("sandbox.pidfd_lost")
                self.kill()
            return
        del self._children[report.number]
        if report.op == "refused":
            child.refused = report.error
            child.ended.set_result(None)
            return
        ended = Ended(report.status, cpu_ms=report.cpu_ms, peak_rss_kb=report.peak_rss_kb)
        child.ended.set_result(ended)

    def _close_control(self) -> None:
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()

    def _bury(self) -> None:
        """The warden has ended: nothing below it is left."""
        self._loop.remove_reader(self._warden)
        self._close_control()
        os.close(self._warden)
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._process.wait()
        for child in self._children.values():
            child.ended.set_result(None)
        self._children.clear()
        self.ended.set_result(None)

    @property
    def exit_status(self) -> int | None:
        """The zygote's exit status once it has ended; over 128, the signal that killed it."""
        return self._process.returncode


async def start_zygote(plan: ZygotePlan) -> Zygote:
    """Start a zygote and wait until it has loaded the tools.

    Raises:
        ToolLoadError: a tool file cannot be loaded; the message names file and line.
        SandboxUnavailable: the process cannot be started.
    """
    near_control, far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near_start, far_start = socket.socketpair()
    with far_control, near_start, far_start:
        process = _execute(plan, control=far_control.fileno(), start=far_start.fileno())
        zygote = Zygote(process, near_control, scratch_root=plan.scratch_root)
        far_control.close()
        far_start.close()
        try:
            async with asyncio.timeout(plan.load_timeout_s + _START_GRACE_S):
                start = await _receive_start(near_start, zygote)
            if start.error is not None:
                raise ToolLoadError(start.error)
            zygote.begin(start)
        except TimeoutError as error:
            raise ToolLoadError(
                f"the tool files take longer than {plan.load_timeout_s:g} s to import"
            ) from error
        finally:
            if not zygote.serving:
                zygote.kill()
                await zygote.stop()
    return zygote


def _execute(plan: ZygotePlan, *, control: int, start: int) -> subprocess.Popen[bytes]:
    config = ZygoteConfig(
        control=control,
        start=start,
        tool_paths=[path.absolute() for path in plan.tool_paths],
        entry_points=plan.entry_points,
        load_timeout_s=plan.load_timeout_s,
        scratch_root=plan.scratch_root.absolute(),
        path=[str(Path(entry).absolute()) for entry in sys.path],
    )
    # The warden takes nothing but the standard library (-S); the zygote what the server has.
    command = [sys.executable, "-I", "-S", "-B", warden.__file__]
    command += [sys.executable, "-I", "-B", "-c", _BOOT, config.model_dump_json(), "{warden}"]
    try:
        return subprocess.Popen(  # noqa: S603 our own interpreter and program
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            pass_fds=(control, start),
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxUnavailable(f"The sandbox cannot be started: {error.strerror}.") from error


async def _receive_start(channel: socket.socket, zygote: Zygote) -> Start:
    channel.setblocking(False)
    loop = asyncio.get_running_loop()
    frames = FrameReader(START_CAP_BYTES)
    while data := await loop.sock_recv(channel, _MESSAGE_BYTES):
        for body in frames.feed(data):
            try:
                return Start.model_validate(parse_strictly(body))
            except (FrameError, ValueError) as error:
                raise SandboxUnavailable(f"The sandbox cannot be started: {error}.") from error
    await asyncio.wait([zygote.ended])
    raise ToolLoadError(
        f"importing the tool files ended the process that did it, with status {zygote.exit_status}"
    )
