"""Whatever is said in whatever pieces: bytes read are bytes committed, and rows are their fold."""

import asyncio
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_server.events import (
    AnyEvent,
    RunResumed,
    TextCompleted,
    TextDelta,
    TextStarted,
    ThinkingCompleted,
    ThinkingDelta,
    ToolCallStarted,
    TurnRestarted,
    TurnStarted,
)
from agent_server.store import Claim, Commit, PendingEvent, Store
from agent_server.store.memory import MemoryStore
from agent_server.store.sql import SqlStore
from agent_server.store.verify import verify
from tests.unit.store.store_samples import (
    completed,
    first_events,
    new_run,
    pending,
    raw_attempt,
    sqlite_store,
    tool_result,
    tool_turn,
    turn_completed,
)

characters = st.characters(exclude_categories=["Cs"])
odd = st.sampled_from(['"', "\\", "\\u0041", "\n", "\x00", "\u2028", "😀", '","text":"', "é"])
piece = st.one_of(st.text(characters, max_size=40), odd, st.just("plain words, twenty and more, "))
block = st.tuples(
    st.sampled_from(["text", "thinking", "tool"]),
    st.lists(piece, max_size=6),
    st.sampled_from(["", "", "", "!"]),  # a completed value that is not what its deltas were
)
turn = st.tuples(st.lists(block, max_size=3), st.booleans())
plan = st.lists(turn, min_size=1, max_size=3)


def events_of(turns: list[tuple[list[tuple[str, list[str], str]], bool]]) -> Iterator[AnyEvent]:
    """A legal run: every turn begun, perhaps asked again, completed; then a tool; then the end."""
    output = ""
    for number, (blocks, is_restarted) in enumerate(turns, 1):
        yield TurnStarted(turn=number, model="m-1", attempt=1)
        content: list[dict[str, str]] = []
        for attempt in (1, 2) if is_restarted else (1,):
            if attempt > 1:
                yield TurnRestarted(turn=number, attempt=attempt, reason="upstream_error")
            content = []
            for index, (kind, parts, tail) in enumerate(blocks):
                name, text = f"b{number}.{attempt}.{index}", "".join(parts) + tail
                if kind == "text":
                    yield TextStarted(turn=number, block=name)
                    for part in parts:
                        yield TextDelta(turn=number, block=name, delta=part)
                    yield TextCompleted(turn=number, block=name, text=text)
                    content.append({"type": "text", "text": text})
                elif kind == "thinking":
                    for part in parts:
                        yield ThinkingDelta(turn=number, block=name, thinking=part)
                    yield ThinkingCompleted(turn=number, block=name, text=text)
                    content.append({"type": "thinking", "thinking": text, "signature": "s"})
                else:
                    yield ToolCallStarted(
                        turn=number, call_id=f"t{name}", name="add", block=name, executor="server"
                    )
        yield turn_completed([*content], turn=number)
        output = "".join(one["text"] for one in content if one["type"] == "text")
    last = len(turns) + 1
    yield from tool_turn(turn=last)
    yield from tool_result(turn=last)
    yield completed(output)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(turns=plan, cuts=st.sets(st.integers(1, 60), max_size=8), restart=st.integers(0, 8))
def test_bytes_and_rows_survive_every_division_and_a_restart(
    turns: list[tuple[list[tuple[str, list[str], str]], bool]], cuts: set[int], restart: int
) -> None:
    asyncio.run(_check(turns, cuts, restart))


async def _check(
    turns: list[tuple[list[tuple[str, list[str], str]], bool]], cuts: set[int], restart: int
) -> None:
    events = pending(*events_of(turns))
    edges = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    parts = [events[a:b] for a, b in itertools.pairwise(edges)]
    run = new_run()
    head = first_events(run)
    committed = list(head)
    memory = MemoryStore()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        opened = await stack.enter_async_context(AsyncExitStack())
        sql: SqlStore = await opened.enter_async_context(sqlite_store(folder / "a.db"))
        for store in (memory, sql):
            await store.create_run(run, head)
        epoch = 1
        for number, part in enumerate(parts):
            if number == restart:
                await opened.aclose()
                sql = await opened.enter_async_context(sqlite_store(folder / "a.db"))
                epoch += 1
                resumed = pending(RunResumed(reason="crash", attempt=epoch))
                for store in (memory, sql):
                    await store.claim_orphans()
                    await store.commit([Commit(Claim(run.id, epoch), resumed)])
                committed += resumed
            raw = [raw_attempt(attempt=number + 1)]
            for store in (memory, sql):
                first = await store.commit([Commit(Claim(run.id, epoch), part, raw)])
                assert first == [len(committed) + 1]
            committed += part
        await _compare(sql, memory, run.id, committed)
        assert verify(folder / "a.db") == []


async def _compare(sql: Store, memory: Store, run_id: str, committed: list[PendingEvent]) -> None:
    shown = [(one.ts, one.event.type, one.event.turn, one.data) for one in committed]
    for after in (0, len(shown) // 2, len(shown) - 1):
        recorded = await sql.read_events(run_id, after=after, limit=1000)
        assert [(e.ts, e.type, e.turn, e.data) for e in recorded] == shown[after:]
    assert await sql.read_events(run_id) == await memory.read_events(run_id)
    assert await sql.history(run_id) == await memory.history(run_id)
    assert await sql.get_run("acme", run_id) == await memory.get_run("acme", run_id)
    assert await sql.turns(run_id) == await memory.turns(run_id)
    assert await sql.tool_calls(run_id) == await memory.tool_calls(run_id)
