"""The pool: a zygote that is always there, and children parked ahead of the calls they serve."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from agent_server.errors import SandboxUnavailable, ToolLoadError
from agent_server.sandbox.child_process import GONE_S, Child
from agent_server.sandbox.scratch import ScratchSweeper
from agent_server.sandbox.zygote_process import Zygote, ZygotePlan, start_zygote
from agent_server.tooling.spec import ToolSpec

_FIRST_RETRY_S: Final = 0.25
_LAST_RETRY_S: Final = 30.0

log = structlog.get_logger(__name__)


class ChildPool:
    """Hands out children, each used once, and takes them back dead."""

    def __init__(
        self, plan: ZygotePlan, zygote: Zygote, *, warm: int, sweeper: ScratchSweeper
    ) -> None:
        self._plan = plan
        self._zygote = zygote
        self._warm = warm
        self._sweeper = sweeper
        self._parked: deque[Child] = deque()
        self._serving = asyncio.Event()
        self._begin()

    @property
    def manifest(self) -> Sequence[ToolSpec]:
        """The tools that the zygote has loaded."""
        return self._zygote.manifest

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's process id; None while a new one is being started."""
        return self._zygote.pid if self._zygote.serving else None

    async def take(self) -> Child:
        """Return a child to send a request to, parked if there is one; wait for a zygote.

        Raises:
            SandboxUnavailable: the zygote can fork none.
        """
        while True:
            while self._parked and self._zygote.serving:
                child = self._parked.popleft()
                if not child.ended.done():
                    return child
                self._discard(child)
            try:
                return self._zygote.spawn(rehearse=False)
            except SandboxUnavailable:
                if self._zygote.serving:
                    raise
            self._serving.clear()
            await self._serving.wait()

    def bury(self, child: Child) -> None:
        """Take back a child that was killed; once it is gone, park another in its place.

        Nobody waits for that: clearing up costs as much time as many a call.
        """
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(GONE_S, self._report_overdue, child)

        def replace(_: object) -> None:
            overdue.cancel()
            self._discard(child)
            self._fill()

        child.ended.add_done_callback(replace)

    def _report_overdue(self, child: Child) -> None:
        log.error("sandbox.child_not_gone", child=child.number)
        self._zygote.kill()

    def kill_zygote(self) -> None:
        """Kill the zygote and all its children; another takes its place."""
        self._zygote.kill()

    async def serve(self) -> None:
        """Replace each zygote that dies, until cancelled."""
        while True:
            await asyncio.wait([self._zygote.ended])
            log.error("sandbox.zygote_died", status=self._zygote.exit_status)
            self._discard_parked()
            self._zygote = await self._start_another()
            self._begin()

    async def stop(self) -> None:
        """End the zygote and every child."""
        await self._zygote.stop()
        self._discard_parked()

    async def _start_another(self) -> Zygote:
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                return await start_zygote(self._plan)
            except (ToolLoadError, SandboxUnavailable) as error:
                log.warning("sandbox.zygote_not_started", error=error.message, retry_s=retry_s)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _LAST_RETRY_S)

    def _begin(self) -> None:
        self._fill()
        self._serving.set()

    def _fill(self) -> None:
        while len(self._parked) < self._warm and self._zygote.serving:
            try:
                self._parked.append(self._zygote.spawn(rehearse=True))
            except SandboxUnavailable as error:  # the next call will be told
                log.warning("sandbox.not_parked", error=error.message)
                return

    def _discard_parked(self) -> None:
        while self._parked:
            self._discard(self._parked.popleft())

    def _discard(self, child: Child) -> None:
        child.close()
        self._sweeper.remove(child.scratch)
