"""The log while a commit is on its way: the moments at which something could be forgotten."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agent_server.errors import StoreError
from agent_server.events import AnyEvent, HistoryRepaired, RunCreated, RunStarted, TextDelta
from agent_server.log import EventLog
from agent_server.messages import text_message
from agent_server.store import Claim
from tests.fakes.wayward_store import Step, WaywardStore
from tests.unit.store.store_samples import completed, new_run

LIMIT_S = 5
WAITS = HistoryRepaired(repairs=[])


@dataclass
class Scene:
    """One run in a log whose store is slow or fails."""

    store: WaywardStore
    log: EventLog
    run_id: str
    outcomes: list[str] = field(default_factory=list)

    async def append(self, event: AnyEvent) -> None:
        try:
            await self.log.append(Claim(self.run_id, 1), event)
        except StoreError as error:
            self.outcomes.append(type(error).__name__)
        else:
            self.outcomes.append("recorded")

    async def read(self) -> list[str]:
        return [event.type for event in await self.store.read_events(self.run_id)]


@asynccontextmanager
async def scene(*steps: Step) -> AsyncIterator[Scene]:
    store, run = WaywardStore(), new_run()
    log = EventLog(store, flush_s=0)
    created = RunCreated(agent="a", model="m", input=[text_message("user", "hi")], limits={})
    await log.create(run, created, RunStarted())
    store.steps = deque(steps)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as services:
        serving = services.create_task(log.serve())
        yield Scene(store, log, run.id)
        serving.cancel()


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def delta(text: str) -> TextDelta:
    return TextDelta(turn=1, block="b1.1.0", delta=text)


async def test_who_waits_behind_a_commit_that_fails_is_told() -> None:
    async with scene(Step(turns=5, mood="fails")) as run, asyncio.TaskGroup() as tasks:
        await run.append(delta("x"))
        await turns(3)
        tasks.create_task(run.append(WAITS))
    assert run.outcomes == ["recorded", "StoreError"]
    assert await run.read() == ["run.created", "run.started"]


async def test_who_waits_for_a_run_that_is_closed_is_told() -> None:
    async with scene(Step(turns=5)) as run, asyncio.TaskGroup() as tasks:
        await run.append(delta("x"))
        await turns(3)
        tasks.create_task(run.append(WAITS))
        await turns(1)
        run.log.close(run.run_id)
    assert run.outcomes == ["recorded", "Fenced"]


async def test_a_slow_follower_ends_when_the_run_is_closed_in_a_commit() -> None:
    reads, ended = asyncio.Event(), asyncio.Event()

    async def follow(run: Scene) -> None:
        async with aclosing(run.log.follow(run.run_id)) as batches:  # type: ignore[type-var]
            async for _batch in batches:
                await reads.wait()
        ended.set()

    async with scene(Step(turns=5)) as run, asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(run))
        await run.append(delta("x"))
        await turns(3)
        run.log.close(run.run_id)
        await turns(15)
        reads.set()
        await ended.wait()
    assert await run.read() == ["run.created", "run.started", "text.delta"]


@pytest.mark.parametrize("head_start", range(8))
async def test_settling_waits_for_what_was_appended_last(head_start: int) -> None:
    async with scene(Step(turns=5), Step(turns=5)) as run, asyncio.TaskGroup() as tasks:
        await run.append(delta("x"))
        await turns(3)
        writing = tasks.create_task(run.append(completed("bye")))
        await turns(head_start)
        writing.cancel()
        await turns(1)
        await run.log.settle(Claim(run.run_id, 1))
        run.log.close(run.run_id)
        kinds = await run.read()
    assert ("run.completed" in kinds) == (head_start > 0)
