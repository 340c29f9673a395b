"""One call in one child, from its request to its outcome.

The server owns time: at the deadline, on cancellation, after the result and at any excess it kills
the child. It then waits until the whole process tree is gone, but for one case: a child that has
told its result, has no process below it and has been sent SIGKILL runs no more, and only takes the
kernel a while to clear away.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agent_server.sandbox import Observe, Outcome, Progress
from agent_server.sandbox.child_process import GONE_S, Child
from agent_server.sandbox.frames import FrameError, FrameReader, OversizeError
from agent_server.sandbox.outcomes import Stopped, Verdict, conclude, timed_out
from agent_server.sandbox.output import FloodError, PrintedStream
from agent_server.sandbox.protocol import (
    PROGRESS_FRAMES,
    ErrorFrame,
    ProgressFrame,
    ResultFrame,
    frame_cap_bytes,
    parse_child_frame,
    too_large,
)
from agent_server.tooling.spec import ToolSpec

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What bounds one call besides what the tool declared."""

    timeout_s: float
    result_bytes: int


class Supervision:
    """The server's side of one call."""

    def __init__(
        self, child: Child, tool: ToolSpec, *, limits: CallLimits, observe: Observe
    ) -> None:
        self._child = child
        self._tool = tool
        self._limits = limits
        self._observe = observe
        self._frames = FrameReader(frame_cap_bytes(limits.result_bytes))
        self._progress_count = 0
        self._streams = {
            child.stdout: PrintedStream("stdout", cap_kb=tool.output_kb),
            child.stderr: PrintedStream("stderr", cap_kb=tool.output_kb),
        }
        self._open = set(self._streams)

    async def run(self, request: bytes, *, give_up: Callable[[], None]) -> Outcome:
        """Have the child serve ``request``; return when nothing of it can run any more.

        ``give_up`` kills the child's zygote: the last resort when a killed child is not buried.
        """
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        verdict: Verdict | None = None
        try:
            verdict = await self._serve(request)
        finally:
            self._child.kill()
            told = isinstance(verdict, (ResultFrame, ErrorFrame)) and verdict.alone
            if not (told and self._child.struck):
                await _wait_until_gone(self._child, give_up)
        duration_ms = round((loop.time() - started_s) * 1000)
        await self._show_rest()
        return conclude(verdict, self._child, tool=self._tool, duration_ms=duration_ms)

    async def _serve(self, request: bytes) -> Verdict | None:
        timeout_s = self._limits.timeout_s
        try:
            async with asyncio.timeout(timeout_s) as limit:
                await self._child.send(request)
                return await self._read()
        except TimeoutError:
            if not limit.expired():  # the observer's own
                raise
            return timed_out(timeout_s)
        except FloodError as flood:
            return Stopped("output", str(flood))
        except OversizeError:
            return too_large(self._limits.result_bytes)
        except FrameError as broken:
            return Stopped("crashed", f"The tool's process sent no proper result: {broken}.")

    async def _read(self) -> Verdict | None:
        """Show what the child shows until it says how the call ended, or ends without a word."""
        child = self._child
        while True:
            ready = await child.readable()
            for descriptor in self._streams.keys() & ready:
                await self._show(descriptor)
            data = child.read_channel() if child.channel in ready else None
            if data:
                verdict = await self._hear(data)
                if verdict is not None:
                    return verdict
            elif data == b"" or (child.ended.done() and not ready):
                return None

    async def _hear(self, data: bytes) -> Verdict | None:
        for body in self._frames.feed(data):
            frame = parse_child_frame(body)
            if not isinstance(frame, ProgressFrame):
                return frame
            self._progress_count += 1
            if self._progress_count > PROGRESS_FRAMES:
                raise FloodError(f"The tool reported progress more than {PROGRESS_FRAMES} times.")
            for descriptor in self._streams:  # printed before it, so shown before it
                await self._show(descriptor)
            await self._observe(Progress(frame.done, frame.total, frame.message))
        return None

    async def _show(self, descriptor: int) -> bool:
        """Show what can be read of stdout or stderr now; say whether there was anything."""
        data = self._child.read_output(descriptor) if descriptor in self._open else None
        if data is None:
            return False
        if not data:
            self._open.remove(descriptor)
            self._child.forget(descriptor)
            return False
        shown = self._streams[descriptor].feed(data)
        if shown is not None:
            await self._observe(shown)
        return True

    async def _show_rest(self) -> None:
        """Show what the killed child had printed and nobody had read yet."""
        for descriptor, stream in self._streams.items():
            # A flood is no reason to stop the call any more, only to stop reading.
            with contextlib.suppress(FloodError):
                while await self._show(descriptor):
                    continue
            rest = stream.finish()
            if rest is not None:
                await self._observe(rest)


async def _wait_until_gone(child: Child, give_up: Callable[[], None]) -> None:
    """Wait for a killed child's burial, also when cancelled meanwhile; then cancel after all."""
    cancelled: asyncio.CancelledError | None = None
    loop = asyncio.get_running_loop()
    for last_resort in (give_up, None):
        deadline_s = loop.time() + GONE_S
        while not child.ended.done() and (left_s := deadline_s - loop.time()) > 0:
            try:
                await asyncio.wait([child.ended], timeout=left_s)
            except asyncio.CancelledError as error:
                cancelled = error
        if not child.ended.done():
            log.error("sandbox.child_not_gone", child=child.number)
            if last_resort is not None:
                last_resort()
    if cancelled is not None:
        raise cancelled
