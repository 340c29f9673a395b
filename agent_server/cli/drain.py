"""DrainingServer: uvicorn that ends in order. The first signal drains, the second one forces."""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

import structlog
import uvicorn
from uvicorn.config import Config

from agent_server.runs import RunManager

STREAMS_END_S: Final = 5
"""How long open streams may take to say farewell, once the runs are done or out of time."""

_logger = structlog.get_logger(__name__)


class DrainingServer(uvicorn.Server):
    """Refuses new runs on the first signal, then waits for the running ones, at most ``drain_s``.

    The listener stays open meanwhile, so that ``/readyz`` can be seen to say 503. ``on_ready`` is
    called once the first request would be answered.
    """

    def __init__(
        self, config: Config, *, runs: RunManager, drain_s: float, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._runs = runs
        self._drain_s = drain_s
        self._on_ready = on_ready
        self._stop_signal: int | None = None
        self._deadline: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. Only flags are set here: it may come between any two bytecodes."""
        del frame
        if self._stop_signal is None:
            self._stop_signal = sig
        else:
            self.force_exit = True
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Move the drain on, ten times a second; say whether to leave the main loop."""
        if self._stop_signal is not None:
            self._drain(self._stop_signal)
        return await super().on_tick(counter)

    def _drain(self, signal_number: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._drain_s
            self._runs.begin_drain()
            _logger.info(
                "server.draining",
                signal=signal.Signals(signal_number).name,
                active_runs=self._runs.active,
                drain_s=self._drain_s,
            )
        if self._runs.active == 0 or now >= self._deadline:
            self.should_exit = True
