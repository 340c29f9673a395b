"""What only the store on a disk can get wrong."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent_server.errors import NotFound, SchemaMismatch, StoreError
from agent_server.events import (
    AnyEvent,
    RunResumed,
    TextCompleted,
    TextDelta,
    TextStarted,
    TurnStarted,
)
from agent_server.store import Claim, Commit, RunFilter, sql_reads
from agent_server.store.migrate import upgrade
from agent_server.store.rows import select_runs
from agent_server.store.sql import open_sql_store
from agent_server.store.sql_reads import open_sql_reads
from agent_server.store.verify import verify
from tests.unit.store.store_samples import (
    append,
    completed,
    finished_run,
    new_run,
    next_in_thread,
    pending,
    raw_attempt,
    sqlite_store,
    start,
    text_turn,
)

ROOT = Path(__file__).parent.parent.parent.parent
TEXT = "Twenty characters!! "

WRITE_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from tests.unit.store.store_samples import *
from agent_server.events import TextDelta

async def work(store, number):
    while True:
        run, claim = await start(store)
        print("run", run.id, 2, flush=True)
        for _ in range(3 + number):
            pieces = [TextDelta(turn=1, block="b1.1.0", delta="some text, " * 9) for _ in range(5)]
            first = await append(store, claim, *pieces)
            print("run", run.id, first + 4, flush=True)
        whole = "some text, " * 45 * (3 + number)
        first = await append(store, claim, *text_turn(whole, turn=2), completed(whole))
        print("end", run.id, first + 8, flush=True)

class Uncommitted:
    # The negative control: a connection on which nothing is ever committed.

    def __init__(self, connection):
        self.connection, self.begun = connection, False

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, sql, *parameters):
        if sql == "COMMIT" or (sql == "BEGIN IMMEDIATE" and self.begun):
            return None
        self.begun = self.begun or sql == "BEGIN IMMEDIATE"
        return self.connection.execute(sql, *parameters)

async def main():
    async with sqlite_store(Path(sys.argv[1])) as store:
        if sys.argv[2] == "uncommitted":
            store._writer._connection = Uncommitted(store._writer._connection)
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(work(store, number))

asyncio.run(main())
"""


def test_a_kill_loses_no_commit_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    upgrade(path)
    for acks_before_kill in (3, 20, 50, 90, 150):
        acked, ended = _write_and_kill(path, acks_before_kill)
        assert sum(acked.values()) > 0
        asyncio.run(_check_survivors(path, acked, ended))
        assert verify(path) == []


def test_commits_that_never_reach_the_disk_would_be_noticed(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    upgrade(path)
    acked, ended = _write_and_kill(path, 20, mode="uncommitted")
    with pytest.raises(NotFound):
        asyncio.run(_check_survivors(path, acked, ended))


def _write_and_kill(
    path: Path, acks_before_kill: int, *, mode: str = "committed"
) -> tuple[dict[str, int], set[str]]:
    """Return the last acknowledged seq of every run, and the runs that ended."""
    acked: dict[str, int] = {}
    ended: set[str] = set()
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(path), mode]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for count, line in enumerate(_acks(writer.stdout)):
            kind, run_id, seq = line.split()
            acked[run_id] = int(seq)
            if kind == "end":
                ended.add(run_id)
            if count == acks_before_kill:
                os.kill(writer.pid, signal.SIGKILL)
    return acked, ended


def _acks(lines: Iterable[str]) -> Iterator[str]:
    """The whole lines that say what was acknowledged; a kill may cut the last one."""
    return (line for line in lines if line.startswith(("run ", "end ")) and line.endswith("\n"))


async def _check_survivors(path: Path, acked: dict[str, int], ended: set[str]) -> None:
    async with sqlite_store(path) as store:
        for run_id, seq in acked.items():
            run = await store.get_run("acme", run_id)
            assert run.last_seq >= seq
            if run_id in ended:
                assert run.output is not None
                assert set(run.output.split(", ")) == {"some text", ""}
        for claim, row in await store.claim_orphans():
            assert row.id not in ended
            await append(store, claim, RunResumed(reason="crash", attempt=2), completed(""))


async def test_a_run_of_500_deltas_takes_less_than_25_kilobytes(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with sqlite_store(path) as store:
        run, claim = await start(store)
        text = (TEXT * 10)[:200]
        whole = text * 50
        head: list[AnyEvent] = [
            TurnStarted(turn=1, model="m-1", attempt=1),
            TextStarted(turn=1, block="b1.1.0"),
        ]
        await append(store, claim, *head)
        for _ in range(50):
            await append(store, claim, TextDelta(turn=1, block="b1.1.0", delta=text))
        frame = 'event: content_block_delta\ndata: {"index":0,"text":"%s","n":%d}\n\n'
        response = "".join(frame % (TEXT, n) for n in range(500))
        ending: list[AnyEvent] = [
            TextCompleted(turn=1, block="b1.1.0", text=whole),
            text_turn(whole)[-1],
            completed(whole),
        ]
        raw = raw_attempt(response=response.encode())
        await store.commit([Commit(claim, pending(*ending), [raw])])
        assert (await store.get_run("acme", run.id)).output == whole
    with closing(sqlite3.connect(path)) as connection:
        ((payload,),) = connection.execute(
            "SELECT sum(payload) FROM dbstat WHERE name NOT LIKE 'sqlite_%'"
        )
        ((events,),) = connection.execute("SELECT sum(length(data)) FROM events")
    assert events < 14_000
    assert payload < 25_000


async def test_the_text_is_whole_after_a_restart_in_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    whole = TEXT * 20
    events = pending(*text_turn(whole), completed(whole))
    async with sqlite_store(path) as store:
        run, claim = await start(store)
        await store.commit([Commit(claim, events[:4])])
    async with sqlite_store(path) as store:
        assert await store.commit([Commit(claim, events[4:])]) == [7]
        recorded = await store.read_events(run.id, after=2)
        assert [event.data for event in recorded] == [one.data for one in events]
        assert (await store.get_run("acme", run.id)).output == whole
    assert verify(path) == []


async def test_a_spec_is_kept_once_as_long_as_a_run_has_it(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        shared = {"system": "Be brief. " * 99, "tools": []}
        first = await finished_run(store, new_run(spec=shared))
        second = await finished_run(store, new_run(spec=dict(shared)))
        await finished_run(store, new_run(spec=shared, tenant="other"))
        await finished_run(store, new_run(spec={"system": "Be kind."}))

        async def kept() -> list[tuple[str, int]]:
            counts = "SELECT tenant, count(*) FROM specs GROUP BY tenant ORDER BY tenant"
            return await store._query(counts, ())

        assert await kept() == [("acme", 2), ("other", 1)]
        await store.delete_thread("acme", first.thread_id)
        assert (await store.get_run("acme", second.id)).spec == shared
        assert await kept() == [("acme", 2), ("other", 1)]
        await store.delete_thread("acme", second.thread_id)
        assert await kept() == [("acme", 1), ("other", 1)]
        third = await finished_run(store, new_run(spec=shared))
        assert (await store.get_run("acme", third.id)).spec == shared


async def test_readers_see_what_was_committed_while_others_write(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        runs = [await start(store) for _ in range(4)]

        async def write(claim: Claim) -> None:
            for _ in range(20):
                await append(store, claim, TextDelta(turn=1, block="b1.1.0", delta=TEXT))
            await append(store, claim, completed(""))

        async def read(run_id: str) -> None:
            cursor = 0
            while True:
                for event in await store.read_events(run_id, after=cursor, limit=7):
                    cursor += 1
                    assert event.seq == cursor
                    if event.is_terminal:
                        return

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for run, claim in runs:
                group.create_task(write(claim))
                group.create_task(read(run.id))


async def test_a_database_can_be_read_without_owning_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with pytest.raises(StoreError, match="there is no database"):
        async with open_sql_reads(path):
            raise AssertionError
    async with sqlite_store(path) as store:
        run = await finished_run(store, text=TEXT)
        async with open_sql_reads(f"sqlite:///{path}") as reads:
            assert (await reads.get_run("acme", run.id)).output == TEXT
    async with open_sql_reads(path) as reads:
        assert (await reads.get_run("acme", run.id)).output == TEXT
        with pytest.raises(StoreError, match="read-only"):
            await reads._query("DELETE FROM runs", ())


async def test_a_newer_database_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch):
        async with open_sql_store(path):
            raise AssertionError
    with pytest.raises(SchemaMismatch):
        async with open_sql_reads(path):
            raise AssertionError


async def test_a_damaged_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with sqlite_store(path) as store:
        for _ in range(30):
            await finished_run(store, text=TEXT * 40)
    _overwrite(path, 4096 * 3)
    with pytest.raises(StoreError, match="cannot be used"):
        await _read_everything(path)


async def _read_everything(path: Path) -> None:
    async with open_sql_reads(path) as reads:
        for row in await reads.list_runs("acme", RunFilter(), limit=50, before=None):
            await reads.get_run("acme", row.id)
            await reads.read_events(row.id)


def _overwrite(path: Path, start_at: int) -> None:
    with path.open("r+b") as file:
        file.seek(start_at)
        file.write(b"\xff" * (path.stat().st_size - start_at))


async def test_the_hot_reads_use_their_indexes(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    upgrade(path)
    runs, parameters = select_runs("acme", RunFilter(), limit=50, before="run_9")
    plans: dict[str, Any] = {
        sql_reads._PAGE: ("run_1", 0, 10),
        sql_reads._DELTAS: ("run_1", 0, 10),
        sql_reads._HISTORY: ("run_1",),
        sql_reads._END: ("run_1",),
        runs: parameters,
    }
    with closing(sqlite3.connect(path)) as connection:
        for sql, values in plans.items():
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            scans = [step for step in steps if step.startswith("SCAN") and step != "SCAN chain"]
            assert scans == [], (sql, steps)
            assert sql is not runs or not any("TEMP B-TREE" in step for step in steps)


async def test_a_long_history_is_read_in_order(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "agent.db") as store:
        run = await finished_run(store, text=TEXT * 5)
        chain = [run]
        for _ in range(9):
            run = await finished_run(store, next_in_thread(run), text=TEXT * 5)
            chain.append(run)
        events = await store.history(run.id)
        assert [event.run_id for event in events if event.type == "run.created"] == [
            one.id for one in chain
        ]
        assert all(TEXT * 5 in event.data.decode() for event in events[1::2])


async def test_a_dead_writer_ends_the_process_with_74(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from tests.unit.store.store_samples import start\n"
        "from agent_server.store.sql import open_sql_store\n"
        "async def main():\n"
        "    async with open_sql_store(sys.argv[1]) as store:\n"
        "        store._writer._connection.close()\n"
        "        try:\n"
        "            await start(store)\n"
        "        finally:\n"
        "            await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, str(tmp_path / "agent.db")],
        cwd=ROOT,
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == 74, ended.stderr
    assert b"store.writer_died" in ended.stdout
