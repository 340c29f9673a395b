"""The clock of one attempt at the model: pings of the provider do not count as content."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from agent_server.errors import ModelError


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an attempt, in seconds: for content to begin, to go on, and to end."""

    first_content_s: float = 60
    silence_s: float = 60
    turn_s: float = 600


class Watchdog:
    """Bounds an attempt: until the first content, between contents, and in all. Pings do not count.

    One timer that looks at the clock when it fires, not one rescheduled for every delta.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._started = self._last = self._loop.time()
        self._quiet_s = patience.first_content_s
        self._scope = asyncio.timeout(None)
        self._timer: asyncio.Handle | None = None

    def seen(self) -> None:
        """Note a sign of content."""
        self._last, self._quiet_s = self._loop.time(), self._patience.silence_s

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._scope.__aexit__(kind, error, traceback)
        except TimeoutError as timeout:
            raise ModelError(
                "Upstream model timed out.",
                code="upstream_timeout",
                retryable=self._loop.time() < self._started + self._patience.turn_s,
            ) from timeout

    def _check(self) -> None:
        limit = min(self._started + self._patience.turn_s, self._last + self._quiet_s)
        if self._loop.time() >= limit:
            self._scope.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_at(limit, self._check)
