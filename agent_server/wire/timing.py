"""A reader's view of a run's events in time: up to a seq, or at the pace they once happened."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from agent_server.events import RecordedEvent

Batches = AsyncGenerator[list[RecordedEvent], None]


async def stop_after(batches: Batches, until: int) -> Batches:
    """Yield the events up to seq ``until``, then end."""
    async with aclosing(batches):
        async for batch in batches:
            wanted = [event for event in batch if event.seq <= until]
            if wanted:
                yield wanted
            if batch[-1].seq >= until:
                return


async def pace(
    batches: Batches,
    speed: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Batches:
    """Yield the events as far apart as they were recorded, ``speed`` times as fast.

    The first comes at once. Events that are due together stay together. A reader who has caught
    up with a live run gets its events as they come.
    """
    begin: tuple[float, int] | None = None
    async with aclosing(batches):
        async for batch in batches:
            if begin is None:
                begin = clock(), batch[0].ts
            start, first_ts = begin
            due: list[RecordedEvent] = []
            for event in batch:
                at = start + (event.ts - first_ts) / 1000 / speed
                if due and at > clock():
                    yield due
                    due = []
                wait_s = at - clock()
                if wait_s > 0:
                    await sleep(wait_s)
                due.append(event)
            yield due
