"""The clock of a run that nobody follows."""

import asyncio
from collections.abc import Callable


class FollowerWatch:
    """Calls ``on_abandoned`` once a run has had no follower for ``grace_s`` seconds.

    ``grace_s`` None: nobody need follow the run. Any follower stops the clock.
    """

    def __init__(self, grace_s: float | None, on_abandoned: Callable[[], None]) -> None:
        self._grace_s = grace_s
        self._on_abandoned = on_abandoned
        self._timer: asyncio.TimerHandle | None = None

    def count(self, followers: int) -> None:
        """Take note of how many followers there are now."""
        self.stop()
        if followers == 0 and self._grace_s is not None:
            self._timer = asyncio.get_running_loop().call_later(self._grace_s, self._on_abandoned)

    def stop(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
