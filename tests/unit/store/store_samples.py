"""Runs and events to put into a store."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_server.errors import StoreError
from agent_server.events import (
    AnyEvent,
    RawAttempt,
    RunCompleted,
    RunCreated,
    RunStarted,
    TextCompleted,
    TextDelta,
    TextStarted,
    ToolCallRequested,
    ToolCallRunning,
    ToolCallStarted,
    ToolResultCompleted,
    TurnCompleted,
    TurnStarted,
    Usage,
    encode_data,
)
from agent_server.ids import new_id
from agent_server.messages import JsonObject, text_message
from agent_server.store import Claim, Commit, NewRun, PendingEvent, Store, ThreadRow
from agent_server.store.sql import SqlStore, open_sql_store

T0 = 1_700_000_000_000
_clock = itertools.count(T0)

USAGE = Usage(input_tokens=3, output_tokens=4, model_calls=1)


def new_run(**given: Any) -> NewRun:
    values: dict[str, Any] = {
        "id": new_id("run"),
        "tenant": "acme",
        "thread_id": new_id("thread"),
        "kind": "agent",
        "agent": "default",
        "model": "m-1",
        "trigger": "api",
        "spec": {"system": "Be brief.", "tools": []},
        "limits": {"max_turns": 5},
        "metadata": {"team": "blue"},
        "created_at": T0 * 1000,
        "deadline_at": None,
        "new_thread": True,
    }
    return NewRun(**{**values, **given})


def next_in_thread(run: NewRun, **given: Any) -> NewRun:
    """A run that follows ``run`` in its thread."""
    following = replace(
        run, id=new_id("run"), new_thread=False, expected_head=run.id, previous_run_id=run.id
    )
    return replace(following, **given)


def thread_row(**given: Any) -> ThreadRow:
    values: dict[str, Any] = {
        "id": new_id("thread"),
        "tenant": "acme",
        "external_id": None,
        "head_run_id": None,
        "metadata": {},
        "created_at": T0 * 1000,
        "updated_at": T0 * 1000,
    }
    return ThreadRow(**{**values, **given})


def pending(*events: AnyEvent) -> list[PendingEvent]:
    return [PendingEvent(next(_clock), event, encode_data(event)) for event in events]


def first_events(run: NewRun, *, started: bool = True) -> list[PendingEvent]:
    created = RunCreated(
        agent=run.agent,
        model=run.model,
        input=[text_message("user", "hello")],
        limits=run.limits,
        previous_run_id=run.previous_run_id,
    )
    return pending(created, *([RunStarted()] if started else []))


def text_turn(text: str, *, turn: int = 1, attempt: int = 1, pieces: int = 4) -> list[AnyEvent]:
    """A turn that says ``text`` in some deltas."""
    block = f"b{turn}.{attempt}.0"
    size = max(1, -(-len(text) // pieces))
    return [
        TurnStarted(turn=turn, model="m-1", attempt=attempt),
        TextStarted(turn=turn, block=block),
        *(
            TextDelta(turn=turn, block=block, delta=text[start : start + size])
            for start in range(0, len(text), size)
        ),
        TextCompleted(turn=turn, block=block, text=text),
        turn_completed([{"type": "text", "text": text}], turn=turn),
    ]


def turn_completed(
    content: list[JsonObject], *, turn: int = 1, stop_reason: str = "end_turn"
) -> TurnCompleted:
    return TurnCompleted(
        turn=turn,
        stop_reason=stop_reason,
        message={"role": "assistant", "content": content},
        usage=USAGE,
        provider_usage={"input_tokens": 3, "output_tokens": 4},
        ttft_ms=5,
        duration_ms=9,
    )


def tool_turn(call_id: str = "toolu_1", *, turn: int = 1, name: str = "add") -> list[AnyEvent]:
    """A turn that asks for one tool, up to its request."""
    block = {"type": "tool_use", "id": call_id, "name": name, "input": {"a": 1}}
    return [
        TurnStarted(turn=turn, model="m-1", attempt=1),
        ToolCallStarted(
            turn=turn, call_id=call_id, name=name, block=f"b{turn}.1.0", executor="server"
        ),
        turn_completed([block], turn=turn, stop_reason="tool_use"),
        ToolCallRequested(turn=turn, call_id=call_id, name=name, input={"a": 1}),
    ]


def tool_result(call_id: str = "toolu_1", *, turn: int = 1) -> list[AnyEvent]:
    return [
        ToolCallRunning(turn=turn, call_id=call_id, attempt=1, isolation="process", limits={}),
        ToolResultCompleted(
            turn=turn, call_id=call_id, content=[{"type": "text", "text": "3"}], duration_ms=7
        ),
    ]


def completed(output: str) -> RunCompleted:
    return RunCompleted(
        stop_reason="end_turn", output=output, usage=USAGE, cost_usd=0.25, duration_ms=11
    )


def raw_attempt(**given: Any) -> RawAttempt:
    values: dict[str, Any] = {
        "turn": 1,
        "attempt": 1,
        "status": "completed",
        "request_sha256": "ab" * 32,
        "params": {"max_tokens": 10},
        "response": b"event: message_start\n" * 20,
        "upstream_request_id": "req_1",
        "error_code": None,
        "started_at": 1,
        "finished_at": 2,
    }
    return RawAttempt(**{**values, **given})


async def start(store: Store, run: NewRun | None = None) -> tuple[NewRun, Claim]:
    """Create a claimed run."""
    run = run or new_run()
    await store.create_run(run, first_events(run))
    return run, Claim(run.id, 1)


async def append(store: Store, claim: Claim, *events: AnyEvent) -> int:
    """Commit events as the run's owner; return the first seq."""
    (first,) = await store.commit([Commit(claim, pending(*events))])
    return first


async def finished_run(store: Store, run: NewRun | None = None, text: str = "Hi.") -> NewRun:
    """Create a run and work it to its end."""
    run, claim = await start(store, run)
    await append(store, claim, *text_turn(text), completed(text))
    return run


def must_not_die(error: StoreError) -> None:
    raise AssertionError(f"the writer died: {error}")


@asynccontextmanager
async def sqlite_store(path: Path) -> AsyncIterator[SqlStore]:
    async with open_sql_store(path, on_fatal=must_not_die) as store:
        yield store
