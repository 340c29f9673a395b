import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_server.errors import Conflict, StoreError
from agent_server.events import TextDelta, TurnStarted
from agent_server.status import RunStatus
from agent_server.store import Commit
from agent_server.store.sql import SqlStore, open_sql_store
from agent_server.store.transaction import Transaction
from agent_server.store.verify import verify
from tests.unit.store.store_samples import (
    append,
    completed,
    new_run,
    pending,
    raw_attempt,
    sqlite_store,
    start,
    text_turn,
)

LIMIT_S = 20


def connection(store: SqlStore) -> sqlite3.Connection:
    return store._writer._connection


@asynccontextmanager
async def held(store: SqlStore) -> AsyncIterator[None]:
    """Keep the writer busy meanwhile, so that what is written queues up."""
    begun, go_on = threading.Event(), threading.Event()

    def wait(_tx: Transaction) -> None:
        begun.set()
        go_on.wait(LIMIT_S)

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(store._writer.write(wait))
        await asyncio.to_thread(begun.wait, LIMIT_S)
        try:
            yield
        finally:
            go_on.set()


def io_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


async def test_what_waits_is_committed_in_one_transaction(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        claims = [(await start(store))[1] for _ in range(8)]
        statements: list[str] = []
        connection(store).set_trace_callback(statements.append)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group, held(store):
            tasks = [group.create_task(append(store, c, *text_turn("x"))) for c in claims]
            await asyncio.sleep(0)
        connection(store).set_trace_callback(None)
    assert [task.result() for task in tasks] == [3] * 8
    assert statements.count("COMMIT") == 2  # the one that held the writer, and all the others
    assert not any(statement.startswith("SAVEPOINT") for statement in statements)


async def test_writes_take_effect_in_the_order_asked(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        run, claim = await start(store)
        delta = TextDelta(turn=1, block="b1.1.0", delta="x")
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group, held(store):
            tasks = []
            for _ in range(20):
                tasks.append(group.create_task(append(store, claim, delta)))
                await asyncio.sleep(0)
        assert [task.result() for task in tasks] == list(range(3, 23))
        assert (await store.get_run("acme", run.id)).last_seq == 22


async def test_a_group_of_live_runs_is_fenced_without_asking_for_each(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        claims = [(await start(store))[1] for _ in range(5)]
        delta = TextDelta(turn=1, block="b1.1.0", delta="x")
        statements: list[str] = []
        connection(store).set_trace_callback(statements.append)
        for seq in (3, 4):
            assert await store.commit([Commit(c, pending(delta)) for c in claims]) == [seq] * 5
        connection(store).set_trace_callback(None)
    fences = [one for one in statements if one.startswith("UPDATE runs")]
    assert len(fences) == 10
    assert not any("RETURNING" in one for one in fences)


@pytest.mark.parametrize("guess", [(1, 99), (7, 3), (1, 2)])
async def test_wrong_memory_of_a_run_costs_time_and_nothing_else(
    tmp_path: Path, guess: tuple[int, int]
) -> None:
    path = tmp_path / "agent.db"
    async with sqlite_store(path) as store:
        runs = [await start(store) for _ in range(3)]
        store._writer._live[runs[1][0].id] = guess
        commits = [Commit(claim, pending(*text_turn("x" * 50))) for _, claim in runs]
        assert await store.commit(commits) == [3, 3, 3]
        assert await store.commit([Commit(c, pending(completed(""))) for _, c in runs]) == [11] * 3
        assert store._writer._live == {}
    assert verify(path) == []


async def test_an_owner_of_long_ago_is_fenced_whatever_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with sqlite_store(path) as store:
        run, late = await start(store)
        other, _ = await start(store)
        claims = {claim.run_id: claim for claim, _ in await store.claim_orphans()}
        store._writer._live[run.id] = (late.epoch, 3)
        delta = TextDelta(turn=1, block="b1.1.0", delta="x")
        commits = [Commit(late, pending(delta)), Commit(claims[other.id], pending(delta))]
        assert await store.commit(commits) == [0, 3]
        assert await append(store, claims[run.id], delta) == 3
    assert verify(path) == []


async def test_a_faulty_write_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    text = "A text that is long enough to be kept by reference to its deltas."
    async with sqlite_store(path) as store:
        runs = [await start(store) for _ in range(3)]
        bad = runs[1][1]
        await store.commit([Commit(bad, [], [raw_attempt()])])
        commits = [Commit(claim, pending(*text_turn(text))) for _, claim in runs]
        commits[1] = Commit(bad, commits[1].events, [raw_attempt()])  # the same attempt twice
        assert await store.commit(commits) == [3, 0, 3]
        for run, claim in runs:
            await append(store, claim, completed(text))
            assert (await store.get_run("acme", run.id)).output == text
        assert len(await store.read_events(runs[1][0].id)) == 3
    assert verify(path) == []


async def test_a_refused_write_is_an_answer_not_a_fault(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        run, claim = await start(store)
        statements: list[str] = []
        connection(store).set_trace_callback(statements.append)
        with pytest.raises(Conflict):
            await start(store, new_run(thread_id=run.thread_id, new_thread=False))
        assert await append(store, claim, TurnStarted(turn=1, model="m", attempt=1)) == 3
        assert not any(statement.startswith("SAVEPOINT") for statement in statements)


async def test_a_cancelled_caller_s_write_is_done_all_the_same(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        run, claim = await start(store)
        async with held(store):
            task = asyncio.Task(append(store, claim, TurnStarted(turn=1, model="m", attempt=1)))
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await append(store, claim, *text_turn("x")[1:]) == 4
        assert (await store.get_run("acme", run.id)).last_seq == 7


async def test_a_full_disk_fails_the_writes_and_space_heals_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with sqlite_store(path) as store:
        run, claim = await start(store)
        big = TextDelta(turn=1, block="b1.1.0", delta="x" * 100_000)
        ((pages,),) = connection(store).execute("PRAGMA page_count")
        connection(store).execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="the disk is full"):
            await append(store, claim, big)
        with pytest.raises(StoreError, match="the disk is full"):
            await start(store, new_run(metadata={"big": "x" * 100_000}))
        assert (await store.get_run("acme", run.id)).last_seq == 2
        connection(store).execute("PRAGMA max_page_count = 1000000")
        assert await append(store, claim, big) == 3
        await append(store, claim, completed("x" * 100_000))
    assert verify(path) == []


async def test_a_locked_database_fails_the_writes_until_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with sqlite_store(path) as store:
        _, claim = await start(store)
        connection(store).execute("PRAGMA busy_timeout = 30")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process has locked it"):
            await append(store, claim, *text_turn("x"))
        assert not await store.is_writable()
        other.execute("ROLLBACK")
        other.close()
        assert await store.is_writable()
        assert await append(store, claim, *text_turn("x")) == 3


async def test_a_dead_writer_fails_everyone_and_says_so_once(tmp_path: Path) -> None:
    deaths: list[StoreError] = []
    async with open_sql_store(tmp_path / "agent.db", on_fatal=deaths.append) as store:
        run, claim = await start(store)

        def die(_tx: Transaction) -> None:
            raise io_error()

        async with asyncio.timeout(LIMIT_S):
            async with held(store):
                doomed: list[asyncio.Task[Any]] = [asyncio.Task(store._writer.write(die))]
                await asyncio.sleep(0)
                doomed += [asyncio.Task(append(store, claim, completed(""))) for _ in range(3)]
                await asyncio.sleep(0)
            done = await asyncio.wait(doomed)
        assert len(done[0]) == 4
        for task in doomed:
            assert isinstance(task.exception(), StoreError)
        with pytest.raises(StoreError, match="the disk failed"):
            await append(store, claim, completed(""))
        assert not await store.is_writable()
        assert (await store.get_run("acme", run.id)).status is RunStatus.RUNNING
        assert [error.message for error in deaths] == [
            f"the database {tmp_path / 'agent.db'} cannot be used: the disk failed"
        ]


async def test_a_closed_connection_is_a_dead_writer(tmp_path: Path) -> None:
    deaths: list[StoreError] = []
    async with open_sql_store(tmp_path / "agent.db", on_fatal=deaths.append) as store:
        connection(store).close()
        with pytest.raises(StoreError):
            await start(store)
        await asyncio.sleep(0)
        assert len(deaths) == 1


async def test_closing_waits_for_what_is_queued(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with asyncio.timeout(LIMIT_S), sqlite_store(path) as store:
        run, claim = await start(store)
        async with held(store):
            task = asyncio.Task(append(store, claim, completed("")))
            await asyncio.sleep(0)
    await asyncio.wait([task])
    assert task.result() == 3
    with pytest.raises(StoreError, match="closed"):
        await append(store, claim, completed(""))
    async with sqlite_store(path) as store:
        assert (await store.get_run("acme", run.id)).status is RunStatus.COMPLETED


async def test_a_large_write_goes_in_whole_and_alone(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        claims = [(await start(store))[1] for _ in range(3)]
        statements: list[str] = []
        connection(store).set_trace_callback(statements.append)
        delta = TextDelta(turn=1, block="b1.1.0", delta="x" * 3_000_000)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group, held(store):
            tasks = [group.create_task(append(store, claim, delta)) for claim in claims]
            await asyncio.sleep(0)
        connection(store).set_trace_callback(None)
        assert [task.result() for task in tasks] == [3, 3, 3]
        assert statements.count("COMMIT") == 4
