"""Thinning: how often a tool's progress is shown, however often it reports it."""

import time
from collections.abc import Callable
from typing import Final

from agent_server.sandbox.protocol import PROGRESS_FRAMES

_FREE: Final = 100
"""So many reports are shown as they come; each further hundred doubles the interval."""
_FIRST_INTERVAL_S: Final = 0.05


class Thinning:
    """Decides which reports are shown: all at first, then ever fewer, at most 1,000 in all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown = 0
        self._last_s = 0.0

    def admits(self) -> bool:
        """Whether a report made now is shown."""
        now_s = self._clock()
        if self._shown >= PROGRESS_FRAMES:
            return False
        if self._shown >= _FREE:
            interval_s = _FIRST_INTERVAL_S * 2.0 ** (self._shown // _FREE - 1)
            if now_s - self._last_s < interval_s:
                return False
        self._shown += 1
        self._last_s = now_s
        return True
