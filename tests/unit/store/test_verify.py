import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent_server.errors import SchemaMismatch, StoreError
from agent_server.events import RunCancelled, RunWaiting, TurnStarted, Usage
from agent_server.ids import new_id
from agent_server.store.backup import backup
from agent_server.store.verify import Finding, verify
from tests.unit.store.store_samples import (
    append,
    completed,
    finished_run,
    new_run,
    next_in_thread,
    sqlite_store,
    start,
    text_turn,
    tool_result,
    tool_turn,
)

TEXT = "A text that is long enough to be kept by reference to its deltas."


async def build(path: Path) -> str:
    """A database with one run of every sort; return the id of the one that used a tool."""
    async with sqlite_store(path) as store:
        first = await finished_run(store, text=TEXT)
        second, claim = await start(store, next_in_thread(first))
        await append(store, claim, *tool_turn(), *tool_result())
        await append(store, claim, *text_turn(TEXT, turn=2), completed(TEXT))
        _, waiting = await start(store)
        await append(store, waiting, RunWaiting(reason="approval", approvals=[]))
        _, cut = await start(store)
        cancelled = RunCancelled(by="user", calls=[], usage=Usage(), cost_usd=None, duration_ms=1)
        await append(store, cut, *tool_turn(), cancelled)
        _, running = await start(store)
        await append(store, running, TurnStarted(turn=1, model="m", attempt=1))
        direct, call = await start(store, new_run(kind="tool", trigger="tool"))
        assert direct.kind == "tool"
        await append(store, call, tool_turn()[-1], *tool_result(), completed(""))
        return second.id


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def test_a_database_of_all_sorts_of_runs_is_as_promised(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    await build(path)
    assert verify(path) == []
    assert verify(f"sqlite:///{path}") == []


async def test_a_database_can_be_checked_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with sqlite_store(path) as store:
        _, claim = await start(store)
        assert verify(path) == []
        await append(store, claim, *text_turn(TEXT))
        assert verify(path) == []


@pytest.mark.parametrize(
    ("statement", "check", "word"),
    [
        ("DELETE FROM events {at} 5", "numbers", "missing [5]"),
        ("DELETE FROM events {at} 17", "end", "0 terminal"),
        ("UPDATE events SET data = '{{}}' {at} 2", "", ""),
        ("UPDATE events SET data = '{{}}' {at} 3", "events", "event 3"),
        ("UPDATE events SET refs = '[[1,\"b\",1,2,9]]' {at} 15", "events", "event 15"),
        ("UPDATE runs SET next_seq = next_seq + 1 WHERE id = '{run}'", "numbers", "missing [18]"),
        ("UPDATE runs SET status = 'running' WHERE id = '{run}'", "end", "terminal event 17"),
        ("UPDATE runs SET status = 'failed' WHERE id = '{run}'", "rows", "runs.status"),
        ("UPDATE runs SET output_tokens = 0 WHERE id = '{run}'", "rows", "runs.output_tokens"),
        ("UPDATE turns SET attempt = 7 WHERE run_id = '{run}'", "rows", "turns"),
        ("DELETE FROM tool_calls WHERE run_id = '{run}'", "rows", "tool_calls"),
        ("UPDATE runs SET previous_run_id = id WHERE id = '{run}'", "history", "predecessor"),
        ("UPDATE runs SET previous_run_id = 'run_0' WHERE id = '{run}'", "history", "missing"),
        ("DELETE FROM threads", "foreign_keys", "runs names no row of threads"),
        ("DELETE FROM specs", "foreign_keys", "runs names no row of specs"),
        ("UPDATE specs SET spec = '{{}}'", "specs", "not what its hash says"),
    ],
)
async def test_every_breach_is_found(tmp_path: Path, statement: str, check: str, word: str) -> None:
    path = tmp_path / "agent.db"
    run = await build(path)
    change(path, statement.format(run=run, at=f"WHERE run_id = '{run}' AND seq ="))
    findings = verify(path)
    if not check:
        assert findings == []
        return
    assert any(f.check == check and word in f.message for f in findings), findings


async def test_a_terminal_event_in_the_middle_is_found(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    run = await build(path)
    change(
        path,
        f"UPDATE events SET (type, data) = (SELECT type, data FROM events WHERE run_id = '{run}' "
        f"AND seq = 17) WHERE run_id = '{run}' AND seq = 9",
    )
    messages = [finding.message for finding in verify(path) if finding.check == "end"]
    assert any("2 terminal events" in message for message in messages)
    assert any("events follow" in message for message in messages)


async def test_a_call_without_a_result_is_found(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with sqlite_store(path) as store:
        run, claim = await start(store)
        await append(store, claim, *tool_turn(), completed(""))
        twice, other = await start(store)
        await append(store, other, *tool_turn(), *tool_result(), *tool_result(), completed(""))
    findings = [finding for finding in verify(path) if finding.check == "history"]
    assert findings == [
        Finding(run.id, "history", "answered_orphan: toolu_1"),
        Finding(twice.id, "history", "dropped_stray_result: toolu_1"),
    ]


async def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    await build(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 8192)
    assert any(finding.check == "integrity" for finding in verify(path))


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        verify(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("nothing " * 200)
    with pytest.raises(SchemaMismatch):
        verify(tmp_path / "text.db")


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "copy" in path.name)


# --- backup ----------------------------------------------------------------------------------


async def test_a_backup_of_a_live_database_is_whole(tmp_path: Path) -> None:
    path, target = tmp_path / "agent.db", tmp_path / "copy.db"
    async with sqlite_store(path) as store:
        run, claim = await start(store)
        await append(store, claim, *text_turn(TEXT))
        backup(path, target)
        await append(store, claim, completed(TEXT))
    assert verify(target) == []
    assert target.stat().st_mode & 0o777 == 0o600
    assert copies(tmp_path) == ["copy.db"]
    async with sqlite_store(target) as copy:
        assert (await copy.get_run("acme", run.id)).last_seq == 10


async def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    await build(path)
    for name in ("copy.db", "other.db.partial"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(StoreError, match="exists"):
            backup(path, tmp_path / name.removesuffix(".partial"))
        assert (tmp_path / name).read_text() == "mine"


async def test_a_backup_of_a_broken_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    run = await build(path)
    change(path, f"UPDATE runs SET status = 'failed' WHERE id = '{run}'")
    with pytest.raises(StoreError, match="faults, the first: rows"):
        backup(path, tmp_path / "copy.db")
    assert copies(tmp_path) == []
    with pytest.raises(StoreError, match="cannot be written"):
        backup(path, tmp_path / new_id("run") / "copy.db")
