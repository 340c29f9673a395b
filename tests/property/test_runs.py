"""Whatever the model says and whoever interferes, a run leaves a legal log and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agent_server.agents import Overrides
from agent_server.events import RecordedEvent
from agent_server.messages import text_message
from agent_server.model.scripted import ScriptedModel
from agent_server.runs import RunRequest
from agent_server.runtime import Runtime, open_runtime
from agent_server.store import Store
from agent_server.store.verify import verify
from agent_server.tooling.registry import ToolRegistry
from tests.fakes.wayward_store import WaywardStore
from tests.interaction.harness import SPECS, LocalSandbox, make_settings
from tests.property.laws import check_history, check_log, check_requests
from tests.property.scripts import Interference, RunScript, Script, scripts
from tests.unit.store.store_samples import sqlite_store

LIMIT_S = 10
BOUNDED = settings(
    max_examples=120,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
FEWER = settings(BOUNDED, max_examples=40)


@dataclass
class Scene:
    """A runtime in the middle of one example."""

    runtime: Runtime
    sandbox: LocalSandbox
    followed: list[tuple[int, bool, list[RecordedEvent]]] = field(default_factory=list)

    async def play(self, script: RunScript, thread_id: str | None) -> tuple[str, str]:
        """Work one run to its end while it is interfered with; return its id and its thread's."""
        self.sandbox.gate.clear()
        self.followed = []
        created = await self.runtime.runs.start(
            RunRequest(
                input=[text_message("user", "go on")],
                thread_id=thread_id,
                overrides=Overrides(limits={"deadline_s": script.deadline_s, "max_turns": 4}),
                on_disconnect=script.on_disconnect,
                disconnect_grace_s=0,
            )
        )
        async with asyncio.TaskGroup() as tasks:
            for interference in script.interferences:
                tasks.create_task(self.interfere(created.run_id, interference))
            await self.runtime.runs.wait(created.run_id)
        return created.run_id, created.thread_id

    async def interfere(self, run_id: str, interference: Interference) -> None:
        await self.reach(run_id, interference.at)
        match interference.what:
            case "cancel":
                await self.runtime.runs.cancel(run_id)
                events = await self.runtime.store.read_events(run_id, limit=10_000)
                assert events[-1].is_terminal
            case "open the gate":
                self.sandbox.gate.set()
            case "join":
                await self.follow(run_id, interference.after, leaves=False)
            case "join and leave":
                await self.follow(run_id, interference.after, leaves=True)

    async def reach(self, run_id: str, seq: int) -> None:
        """Return when event ``seq`` is out, or the run has ended before."""
        async with aclosing(self.runtime.log.follow(run_id)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                if batch[-1].seq >= seq:
                    return

    async def follow(self, run_id: str, after: int, *, leaves: bool) -> None:
        seen: list[RecordedEvent] = []
        self.followed.append((after, leaves, seen))
        async with aclosing(self.runtime.log.follow(run_id, after=after)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                seen.extend(batch)
                if leaves:
                    return

    async def check(self, run_id: str) -> None:
        store = self.runtime.store
        events = await store.read_events(run_id, limit=10_000)
        check_log(events)
        check_history(await store.history(run_id))
        row = await store.get_run("default", run_id)
        assert row.status.is_terminal
        assert row.last_seq == len(events)
        for after, leaves, seen in self.followed:
            first = seen[0].seq if seen else min(after, len(events)) + 1
            assert first <= after + 1
            expected = events[first - 1 :]
            assert [event.json for event in seen] == [
                event.json for event in (expected[: len(seen)] if leaves else expected)
            ]


async def play(script: Script, store: Store) -> list[str]:
    """Play one example; return the ids of its runs."""
    model, sandbox = ScriptedModel(script.turns), LocalSandbox()
    run_ids: list[str] = []
    thread_id: str | None = None
    before = asyncio.all_tasks()
    async with (
        asyncio.timeout(LIMIT_S),
        open_runtime(
            make_settings(),
            model=model,
            store=store,
            sandbox=sandbox,
            registry=ToolRegistry(SPECS),
        ) as runtime,
    ):
        scene = Scene(runtime, sandbox)
        for run in script.runs:
            run_id, thread_id = await scene.play(run, thread_id)
            run_ids.append(run_id)
            await scene.check(run_id)
        assert runtime.runs.active == 0
        assert not runtime.log._live
        assert not runtime.log._dirty
    assert asyncio.all_tasks() == before
    check_requests(model.requests)
    return run_ids


@BOUNDED
@given(script=scripts)
async def test_any_script_and_any_interference_leave_a_legal_log(script: Script) -> None:
    store = WaywardStore()
    store.steps.extend(script.commits)
    await play(script, store)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "runs.db"


@pytest.fixture(scope="module")
async def disk(anyio_backend: str, database: Path) -> AsyncIterator[Store]:
    async with sqlite_store(database) as store:
        yield store


@FEWER
@given(script=scripts)
async def test_they_do_on_disk_too(script: Script, disk: Store) -> None:
    await play(script, disk)


async def test_the_rows_of_all_those_runs_follow_from_their_events(
    disk: Store, database: Path
) -> None:
    assert verify(database) == []
