"""What every store must do: the memory one and the one on SQLite pass the same tests."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_server.errors import Conflict, InvalidRequest, NotFound
from agent_server.events import (
    AnyEvent,
    ApprovalRequested,
    ApprovalResolved,
    HistoryRepaired,
    ModelRetried,
    RecordedEvent,
    RunCancelled,
    RunFailed,
    RunIncomplete,
    RunResumed,
    RunWaiting,
    TextDelta,
    ToolCallRejected,
    ToolCallStarted,
    ToolResultFailed,
    TurnRestarted,
    TurnStarted,
    Usage,
)
from agent_server.events.run import ErrorInfo
from agent_server.ids import new_id
from agent_server.status import RunStatus
from agent_server.store import Claim, Commit, RunFilter, Store
from agent_server.store.memory import MemoryStore
from tests.unit.store.store_samples import (
    USAGE,
    append,
    completed,
    finished_run,
    first_events,
    new_run,
    next_in_thread,
    pending,
    raw_attempt,
    sqlite_store,
    start,
    text_turn,
    thread_row,
    tool_result,
    tool_turn,
)

LONG = "The quick brown fox jumps over the lazy dog, and then some more. "


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with sqlite_store(tmp_path / "agent.db") as opened:
        yield opened


def requested(approval_id: str = "apr_toolu_1.1") -> ApprovalRequested:
    return ApprovalRequested(
        turn=1,
        approval_id=approval_id,
        call_id="toolu_1",
        name="add",
        input={"a": 1},
        input_hash="ff",
        reason="policy",
        expires_at=None,
    )


def resolved(approval_id: str = "apr_toolu_1.1") -> ApprovalResolved:
    return ApprovalResolved(
        turn=1,
        approval_id=approval_id,
        call_id="toolu_1",
        decision="approve",
        by="key_1",
        note=None,
        edited_input=None,
    )


def cancelled() -> RunCancelled:
    return RunCancelled(by="user", calls=[], usage=Usage(), cost_usd=None, duration_ms=1)


# --- runs ------------------------------------------------------------------------------------


async def test_a_new_run_is_there_with_its_thread_and_first_events(store: Store) -> None:
    run = new_run(deadline_at=99, on_disconnect="cancel")
    created = await store.create_run(run, events := first_events(run))
    assert (created.run_id, created.thread_id, created.replayed) == (run.id, run.thread_id, False)
    row = await store.get_run("acme", run.id)
    assert (row.status, row.epoch, row.attempts, row.last_seq) == (RunStatus.RUNNING, 1, 1, 2)
    assert (row.spec, row.limits, row.metadata) == (run.spec, run.limits, run.metadata)
    assert (row.deadline_at, row.on_disconnect) == (99, "cancel")
    assert row.started_at == events[1].ts * 1000
    assert row.output is None
    assert (await store.get_thread("acme", run.thread_id)).head_run_id == run.id
    recorded = await store.read_events(run.id)
    assert [event.data for event in recorded] == [one.data for one in events]
    assert [(e.seq, e.type, e.thread_id) for e in recorded] == [
        (1, "run.created", run.thread_id),
        (2, "run.started", run.thread_id),
    ]


async def test_an_unclaimed_run_waits_in_the_queue(store: Store) -> None:
    run = new_run(claimed=False)
    await store.create_run(run, first_events(run, started=False))
    row = await store.get_run("acme", run.id)
    assert (row.status, row.epoch, row.started_at) == (RunStatus.QUEUED, 0, None)


async def test_the_same_key_and_body_give_the_same_run(store: Store) -> None:
    run = await finished_run(store, new_run(idempotency_key="k", request_sha256="aa"))
    again = new_run(idempotency_key="k", request_sha256="aa")
    created = await store.create_run(again, first_events(again))
    assert (created.run_id, created.thread_id, created.replayed) == (run.id, run.thread_id, True)
    with pytest.raises(NotFound):
        await store.get_run("acme", again.id)


async def test_the_same_key_with_another_body_is_refused(store: Store) -> None:
    await start(store, new_run(idempotency_key="k", request_sha256="aa"))
    other = new_run(idempotency_key="k", request_sha256="bb")
    with pytest.raises(InvalidRequest) as refusal:
        await store.create_run(other, first_events(other))
    assert refusal.value.code == "idempotency_key_reused"


async def test_another_tenant_may_use_the_same_key(store: Store) -> None:
    await start(store, new_run(idempotency_key="k"))
    other = new_run(idempotency_key="k", tenant="other")
    assert not (await store.create_run(other, first_events(other))).replayed


async def test_a_thread_takes_one_active_run(store: Store) -> None:
    run, claim = await start(store)
    following = next_in_thread(run)
    with pytest.raises(Conflict) as busy:
        await store.create_run(following, first_events(following))
    assert busy.value.code == "thread_busy"
    await append(store, claim, completed(""))
    await store.create_run(following, first_events(following))
    assert (await store.get_thread("acme", run.thread_id)).head_run_id == following.id


async def test_a_run_built_on_an_older_head_is_told_so(store: Store) -> None:
    run = await finished_run(store)
    await finished_run(store, next_in_thread(run))
    late = next_in_thread(run)
    with pytest.raises(Conflict) as moved:
        await store.create_run(late, first_events(late))
    assert moved.value.code == "thread_moved"


@pytest.mark.parametrize("change", [{"tenant": "other"}, {"thread_id": "thread_none"}])
async def test_a_run_needs_a_thread_of_its_tenant(store: Store, change: dict[str, str]) -> None:
    run = await finished_run(store)
    foreign = replace(next_in_thread(run), **change)  # type: ignore[arg-type]  # names and types are NewRun's
    with pytest.raises(NotFound) as missing:
        await store.create_run(foreign, first_events(foreign))
    assert missing.value.code == "thread_not_found"


async def test_a_run_of_another_tenant_is_not_found(store: Store) -> None:
    run, _ = await start(store)
    with pytest.raises(NotFound) as missing:
        await store.get_run("other", run.id)
    assert missing.value.code == "run_not_found"


# --- commits ---------------------------------------------------------------------------------


async def test_a_commit_numbers_events_without_gaps(store: Store) -> None:
    run, claim = await start(store)
    assert await append(store, claim, *text_turn(LONG)) == 3
    assert await append(store, claim, completed(LONG)) == 11
    assert [event.seq for event in await store.read_events(run.id)] == list(range(1, 12))


async def test_what_is_read_is_byte_for_byte_what_was_committed(store: Store) -> None:
    text = 'Grüße, "friend" \\ \n\t 😀 \u2028 ' + LONG
    run, claim = await start(store)
    events = pending(*text_turn(text, pieces=7), completed(text))
    await store.commit([Commit(claim, events)])
    recorded = await store.read_events(run.id, after=2)
    assert [(e.data, e.ts, e.type, e.turn) for e in recorded] == [
        (one.data, one.ts, one.event.type, one.event.turn) for one in events
    ]
    assert [event.parse() for event in recorded] == [one.event for one in events]


async def test_a_page_past_the_deltas_still_has_the_whole_text(store: Store) -> None:
    run, claim = await start(store)
    events = pending(*text_turn(LONG), completed(LONG))
    await store.commit([Commit(claim, events)])
    last = len(events) + 2
    for after in range(last):
        recorded = await store.read_events(run.id, after=after, limit=1)
        assert [event.seq for event in recorded] == [after + 1]
        if after >= 2:
            assert recorded[0].data == events[after - 2].data
    assert (await store.get_run("acme", run.id)).output == LONG


async def test_pages_join_to_the_whole(store: Store) -> None:
    run, claim = await start(store)
    await append(store, claim, *text_turn(LONG, pieces=30))
    whole = await store.read_events(run.id)
    pages: list[RecordedEvent] = []
    while page := await store.read_events(run.id, after=len(pages), limit=4):
        pages += page
    assert pages == whole


async def test_numbers_beyond_all_reason_match_nothing(store: Store) -> None:
    run = await finished_run(store)
    assert await store.read_events(run.id, after=10**30) == []
    assert await store.read_events("run_none") == []
    with pytest.raises(NotFound):
        await store.attempt_raw(run.id, 10**30, 1)


async def test_a_fenced_commit_writes_nothing_and_spoils_no_other(store: Store) -> None:
    run, claim = await start(store)
    other, other_claim = await start(store)
    ((newer, _),) = [one for one in await store.claim_orphans() if one[0].run_id == run.id]
    late = Commit(claim, pending(TurnStarted(turn=1, model="m", attempt=1)), [raw_attempt()])
    good = Commit(Claim(other.id, other_claim.epoch + 1), pending(*text_turn("x")))
    assert await store.commit([late, good]) == [0, 3]
    assert len(await store.read_events(run.id)) == 2
    with pytest.raises(NotFound):
        await store.attempt_raw(run.id, 1, 1)
    assert await append(store, newer, RunResumed(reason="crash", attempt=2)) == 3


async def test_nothing_follows_the_terminal_event(store: Store) -> None:
    run, claim = await start(store)
    await append(store, claim, completed("done"))
    assert await append(store, claim, TextDelta(turn=1, block="b1.1.0", delta="more")) == 0
    assert await append(store, claim, completed("again")) == 0
    assert len(await store.read_events(run.id)) == 3


async def test_two_commits_of_one_run_may_go_together(store: Store) -> None:
    run, claim = await start(store)
    delta = TextDelta(turn=1, block="b1.1.0", delta="x")
    commits = [Commit(claim, pending(delta)), Commit(claim, pending(delta, delta))]
    assert await store.commit(commits) == [3, 4]
    assert await store.commit([*commits, Commit(claim, pending(completed("")))]) == [6, 7, 9]
    assert (await store.get_run("acme", run.id)).last_seq == 9


async def test_nothing_follows_the_terminal_event_within_a_group(store: Store) -> None:
    run, claim = await start(store)
    other, other_claim = await start(store)
    delta = pending(TextDelta(turn=1, block="b1.1.0", delta="more"))
    commits = [
        Commit(claim, pending(completed("done"))),
        Commit(other_claim, delta),
        Commit(claim, delta),
    ]
    assert await store.commit(commits) == [3, 3, 0]
    assert len(await store.read_events(run.id)) == 3
    assert (await store.get_run("acme", other.id)).last_seq == 3


async def test_nothing_follows_a_wait_but_the_one_who_resumes(store: Store) -> None:
    run, claim = await start(store)
    await append(store, claim, RunWaiting(reason="client_tool", approvals=[]))
    assert await append(store, claim, TextDelta(turn=1, block="b1.1.0", delta="more")) == 0
    assert (await store.get_run("acme", run.id)).last_seq == 3


async def test_a_commit_with_an_illegal_order_is_refused_alone(store: Store) -> None:
    run, claim = await start(store)
    other, other_claim = await start(store)
    wrong = Commit(claim, pending(completed(""), TextDelta(turn=1, block="b", delta="x")))
    good = Commit(other_claim, pending(TurnStarted(turn=1, model="m", attempt=1)))
    assert await store.commit([wrong, good]) == [0, 3]
    assert (await store.get_run("acme", run.id)).status is RunStatus.RUNNING
    assert len(await store.read_events(other.id)) == 3


async def test_raw_bytes_are_kept_with_or_without_events(store: Store) -> None:
    run, claim = await start(store)
    (first,) = await store.commit([Commit(claim, [], [raw_attempt(response=b"\x00\xff" * 50)])])
    assert first == 3
    await store.commit([Commit(claim, pending(*text_turn("x")), [raw_attempt(attempt=2)])])
    assert await store.attempt_raw(run.id, 1, 1) == b"\x00\xff" * 50
    assert await store.attempt_raw(run.id, 1, 2) == raw_attempt().response
    with pytest.raises(NotFound):
        await store.attempt_raw(run.id, 1, 3)


# --- rows ------------------------------------------------------------------------------------


async def test_a_finished_run_says_how_it_ended(store: Store) -> None:
    run = await finished_run(store, text=LONG)
    row = await store.get_run("acme", run.id)
    assert (row.status, row.stop_reason, row.output) == (RunStatus.COMPLETED, "end_turn", LONG)
    assert (row.usage, row.cost_usd) == (USAGE.model_dump(), 0.25)
    assert (row.turn_count, row.tool_call_count, row.attempts) == (1, 0, 0)
    end = (await store.read_events(run.id))[-1]
    assert row.finished_at == end.ts * 1000
    assert (await store.get_thread("acme", run.thread_id)).updated_at == row.finished_at


async def test_incomplete_failed_and_cancelled_runs_say_why(store: Store) -> None:
    error = ErrorInfo(code="upstream_timeout", message="Late.", retryable=True)
    rest = {"usage": USAGE, "cost_usd": None, "duration_ms": 1}
    endings: list[AnyEvent] = [
        RunIncomplete.model_validate({"reason": "max_turns", "output": LONG, **rest}),
        RunFailed.model_validate({"error": error, **rest}),
        cancelled(),
    ]
    rows = []
    for ending in endings:
        run, claim = await start(store)
        await append(store, claim, ending)
        rows.append(await store.get_run("acme", run.id))
    assert [row.status for row in rows] == ["incomplete", "failed", "cancelled"]
    assert (rows[0].incomplete_reason, rows[0].output) == ("max_turns", LONG)
    assert rows[1].error == error.model_dump()
    assert rows[2].cancelled_by == "user"


async def test_usage_adds_up_while_a_run_goes_on(store: Store) -> None:
    run, claim = await start(store)
    await append(store, claim, *tool_turn(), *tool_result())
    await append(store, claim, *text_turn("x", turn=2))
    usage = (await store.get_run("acme", run.id)).usage
    assert usage == Usage(input_tokens=6, output_tokens=8, model_calls=2, tool_calls=1).model_dump()


async def test_who_ends_a_run_without_owning_it_takes_no_usage_away(store: Store) -> None:
    run, claim = await start(store)
    waiting = RunWaiting(reason="approval", approvals=[])
    await append(store, claim, *tool_turn(), waiting)
    await store.append_external(
        run.id, allowed=frozenset({RunStatus.WAITING}), events=pending(cancelled())
    )
    row = await store.get_run("acme", run.id)
    used = Usage(input_tokens=3, output_tokens=4, model_calls=1, tool_calls=1)
    assert (row.status, row.usage) == (RunStatus.CANCELLED, used.model_dump())


async def test_the_end_of_a_run_may_count_more_than_its_turns(store: Store) -> None:
    run, claim = await start(store)
    more = completed("x").model_copy(update={"usage": Usage(input_tokens=9, model_calls=3)})
    await append(store, claim, *text_turn("x"), more)
    usage = (await store.get_run("acme", run.id)).usage
    assert usage == Usage(input_tokens=9, output_tokens=4, model_calls=3).model_dump()


async def test_turns_tell_their_state_and_where_they_are(store: Store) -> None:
    run, claim = await start(store)
    await append(store, claim, *tool_turn(), *tool_result())
    await append(store, claim, TurnStarted(turn=2, model="m-1", attempt=1))
    first, second = await store.turns(run.id)
    assert (first.turn, first.status, first.stop_reason) == (1, "completed", "tool_use")
    assert (first.usage, first.ttft_ms, first.duration_ms) == (USAGE.model_dump(), 5, 9)
    assert (first.first_seq, first.last_seq) == (3, 8)
    assert (second.status, second.attempt, second.last_seq) == ("running", 1, None)
    await append(store, claim, cancelled())
    assert (await store.turns(run.id))[1].status == "cancelled"


async def test_a_retried_turn_counts_its_attempts_and_drops_its_calls(store: Store) -> None:
    run, claim = await start(store)
    begun = ToolCallStarted(
        turn=1, call_id="toolu_0", name="add", block="b1.1.0", executor="server"
    )
    await append(store, claim, TurnStarted(turn=1, model="m-1", attempt=1), begun)
    await append(store, claim, ModelRetried(turn=1, attempt=1, reason="upstream_error", delay_ms=1))
    assert [turn.attempt for turn in await store.turns(run.id)] == [2]
    await append(store, claim, TurnRestarted(turn=1, attempt=2, reason="upstream_error"))
    await append(store, claim, *tool_turn("toolu_1"))
    assert [call.call_id for call in await store.tool_calls(run.id)] == ["toolu_1"]


async def test_tool_calls_go_from_pending_over_running_to_their_result(store: Store) -> None:
    run, claim = await start(store)
    await append(store, claim, *tool_turn())
    (call,) = await store.tool_calls(run.id)
    assert (call.state, call.turn, call.ordinal, call.name) == ("pending", 1, 0, "add")
    assert (call.requested_seq, call.result_seq, call.attempt) == (6, None, 0)
    running, result = tool_result()
    await append(store, claim, running)
    (call,) = await store.tool_calls(run.id)
    assert (call.state, call.attempt, call.isolation) == ("running", 1, "process")
    await append(store, claim, result)
    (call,) = await store.tool_calls(run.id)
    assert (call.state, call.result_seq, call.duration_ms, call.kind) == ("completed", 8, 7, None)


async def test_calls_are_on_record_once_they_are_judged(store: Store) -> None:
    run, claim = await start(store)
    begun = [
        ToolCallStarted(turn=1, call_id=f"toolu_{n}", name="add", block="b", executor="server")
        for n in range(3)
    ]
    await append(store, claim, TurnStarted(turn=1, model="m-1", attempt=1), *begun)
    assert await store.tool_calls(run.id) == []
    rejected = ToolCallRejected(turn=1, call_id="toolu_2", errors=[], raw="{")
    failed = ToolResultFailed(
        turn=1, call_id="toolu_2", kind="invalid_input", message="no", retryable=True
    )
    requested_later = tool_turn("toolu_1")[-1]
    await append(store, claim, rejected, failed, requested_later)
    calls = await store.tool_calls(run.id)
    assert [(c.call_id, c.ordinal, c.state, c.kind) for c in calls] == [
        ("toolu_2", 0, "rejected", "invalid_input"),
        ("toolu_1", 1, "pending", None),
    ]
    assert calls[0].requested_seq is None
    assert (await store.get_run("acme", run.id)).tool_call_count == 2


async def test_progress_resets_the_count_of_claims(store: Store) -> None:
    run, _ = await start(store)
    ((claim, row),) = await store.claim_orphans()
    assert row.attempts == 2
    await append(store, claim, RunResumed(reason="crash", attempt=2), *text_turn("x"))
    assert (await store.get_run("acme", run.id)).attempts == 0


# --- ownership -------------------------------------------------------------------------------


async def test_orphans_are_claimed_with_a_new_epoch(store: Store) -> None:
    running, _ = await start(store)
    queued = new_run(claimed=False)
    await store.create_run(queued, first_events(queued, started=False))
    await finished_run(store)
    orphans = await store.claim_orphans()
    assert {(claim.run_id, claim.epoch) for claim, _ in orphans} == {
        (running.id, 2),
        (queued.id, 1),
    }
    assert {row.status for _, row in orphans} == {RunStatus.RUNNING}
    assert {row.id: row.attempts for _, row in orphans} == {running.id: 2, queued.id: 1}


async def test_waiting_runs_stay_waiting(store: Store) -> None:
    run, claim = await start(store)
    await append(store, claim, RunWaiting(reason="approval", approvals=["apr_1"]))
    assert await store.claim_orphans() == []
    assert await append(store, claim, TurnStarted(turn=1, model="m", attempt=1)) == 0
    assert (await store.get_run("acme", run.id)).status is RunStatus.WAITING


async def test_an_outsider_appends_only_in_the_allowed_states(store: Store) -> None:
    run, claim = await start(store)
    allowed = frozenset({RunStatus.QUEUED, RunStatus.WAITING})
    events = pending(cancelled())
    assert await store.append_external(run.id, allowed=allowed, events=events) == 0
    assert await store.append_external("run_none", allowed=allowed, events=events) == 0
    await append(store, claim, RunWaiting(reason="approval", approvals=[]))
    assert await store.append_external(run.id, allowed=allowed, events=events) == 4
    row = await store.get_run("acme", run.id)
    assert (row.status, row.last_seq) == (RunStatus.CANCELLED, 4)
    assert await store.append_external(run.id, allowed=allowed, events=events) == 0


async def test_owner_and_outsider_share_one_numbering(store: Store) -> None:
    run, claim = await start(store)
    allowed = frozenset({RunStatus.RUNNING})
    note = pending(HistoryRepaired(repairs=[]))
    assert await append(store, claim, TurnStarted(turn=1, model="m", attempt=1)) == 3
    assert await store.append_external(run.id, allowed=allowed, events=note) == 4
    assert await append(store, claim, TextDelta(turn=1, block="b1.1.0", delta="x")) == 5


async def test_a_run_is_queued_again_once_its_last_approval_is_decided(store: Store) -> None:
    run, claim = await start(store)
    both = ["apr_toolu_1.1", "apr_toolu_1.2"]
    waiting = RunWaiting(reason="approval", approvals=both)
    await append(store, claim, *tool_turn(), *map(requested, both), waiting)
    allowed = frozenset({RunStatus.WAITING})
    for approval_id, status in zip(both, ("waiting", "queued"), strict=True):
        answer = pending(resolved(approval_id))
        assert await store.append_external(run.id, allowed=allowed, events=answer)
        assert (await store.get_run("acme", run.id)).status == status
    ((again, _),) = await store.claim_orphans()
    assert again == Claim(run.id, 2)


# --- history ---------------------------------------------------------------------------------


async def test_history_follows_the_chain_of_runs_oldest_first(store: Store) -> None:
    first = await finished_run(store, text=LONG)
    second, claim = await start(store, next_in_thread(first))
    await append(store, claim, *tool_turn(), *tool_result(), *text_turn(LONG[::-1], turn=2))
    events = await store.history(second.id)
    assert [(event.run_id, event.type) for event in events] == [
        (first.id, "run.created"),
        (first.id, "turn.completed"),
        (second.id, "run.created"),
        (second.id, "turn.completed"),
        (second.id, "tool_call.requested"),
        (second.id, "tool_result.completed"),
        (second.id, "turn.completed"),
    ]
    for run in (first, second):
        by_seq = {event.seq: event for event in await store.read_events(run.id)}
        assert [e for e in events if e.run_id == run.id] == [
            by_seq[e.seq] for e in events if e.run_id == run.id
        ]


async def test_history_of_an_earlier_run_leaves_the_later_ones_out(store: Store) -> None:
    first = await finished_run(store)
    await finished_run(store, next_in_thread(first))
    assert {event.run_id for event in await store.history(first.id)} == {first.id}
    assert await store.history("run_none") == []


async def test_a_run_may_go_on_from_an_earlier_one(store: Store) -> None:
    first = await finished_run(store)
    second = await finished_run(store, next_in_thread(first))
    third = next_in_thread(first, expected_head=second.id)
    await finished_run(store, third)
    assert {event.run_id for event in await store.history(third.id)} == {first.id, third.id}


# --- lists -----------------------------------------------------------------------------------


async def ids(store: Store, where: RunFilter, *, tenant: str = "acme") -> list[str]:
    return [row.id for row in await store.list_runs(tenant, where, limit=50, before=None)]


async def test_runs_are_listed_newest_first_in_pages(store: Store) -> None:
    made = [new_run(id=f"run_{n:026d}") for n in range(5)]
    for run in made:
        await start(store, run)
    await start(store, new_run(tenant="other"))
    expected = [run.id for run in reversed(made)]
    first = await store.list_runs("acme", RunFilter(), limit=3, before=None)
    rest = await store.list_runs("acme", RunFilter(), limit=3, before=first[-1].id)
    assert [row.id for row in first + rest] == expected
    assert all(row.output is None for row in first)
    assert all(row.spec == {} for row in first)


async def test_lists_filter_by_every_field(store: Store) -> None:
    plain = await finished_run(store, new_run(agent="writer", metadata={"user": 'Zoë "Z"', "n": 1}))
    called, claim = await start(store)
    await append(store, claim, *tool_turn(name="fetch"))
    direct, _ = await start(store, new_run(kind="tool", trigger="tool"))
    both = {plain.id, called.id}
    assert set(await ids(store, RunFilter())) == both
    assert await ids(store, RunFilter(kind="tool")) == [direct.id]
    assert set(await ids(store, RunFilter(kind=None))) == {*both, direct.id}
    assert await ids(store, RunFilter(status="completed")) == [plain.id]
    assert await ids(store, RunFilter(agent="writer")) == [plain.id]
    assert await ids(store, RunFilter(thread_id=called.thread_id)) == [called.id]
    assert await ids(store, RunFilter(tool="fetch")) == [called.id]
    assert await ids(store, RunFilter(tool="other")) == []
    assert await ids(store, RunFilter(q=called.id[:-1])) == [called.id]
    assert await ids(store, RunFilter(q=called.thread_id)) == [called.id]
    assert await ids(store, RunFilter(q="Zoë")) == [plain.id]
    assert await ids(store, RunFilter(q="_")) == []
    assert await ids(store, RunFilter(extra={"n": 1})) == [plain.id]
    assert await ids(store, RunFilter(extra={"user": None})) == [called.id]
    assert await ids(store, RunFilter(), tenant="other") == []


# --- threads ---------------------------------------------------------------------------------


async def test_a_thread_is_found_by_id_and_by_external_id(store: Store) -> None:
    thread = thread_row(external_id="chat-1", metadata={"a": [1]})
    await store.create_thread(thread)
    assert await store.get_thread("acme", thread.id) == thread
    assert await store.get_thread("acme", "chat-1") == thread
    for tenant, name in (("other", thread.id), ("other", "chat-1"), ("acme", "chat-2")):
        with pytest.raises(NotFound) as missing:
            await store.get_thread(tenant, name)
        assert missing.value.code == "thread_not_found"


async def test_external_ids_are_taken_per_tenant(store: Store) -> None:
    await store.create_thread(thread_row(external_id="chat-1"))
    await store.create_thread(thread_row(external_id="chat-1", tenant="other"))
    await store.create_thread(thread_row())
    await store.create_thread(thread_row())
    with pytest.raises(Conflict) as taken:
        await store.create_thread(thread_row(external_id="chat-1"))
    assert taken.value.code == "thread_exists"


async def test_threads_are_listed_newest_first_without_direct_tool_calls(store: Store) -> None:
    made = [thread_row(id=f"thread_{n:026d}") for n in range(4)]
    for thread in made:
        await store.create_thread(thread)
    await start(store, new_run(kind="tool", trigger="tool"))
    first = await store.list_threads("acme", limit=3, before=None)
    rest = await store.list_threads("acme", limit=3, before=first[-1].id)
    assert first + rest == made[::-1]


async def test_a_deleted_thread_takes_its_runs_along(store: Store) -> None:
    run = await finished_run(store, new_run(idempotency_key="k"))
    kept = await finished_run(store)
    fork = next_in_thread(run, thread_id=new_id("thread"), new_thread=True, idempotency_key=None)
    await finished_run(store, fork)
    await store.delete_thread("acme", run.thread_id)
    for read in (store.get_run("acme", run.id), store.get_thread("acme", run.thread_id)):
        with pytest.raises(NotFound):
            await read
    assert await store.read_events(run.id) == []
    assert (await store.get_run("acme", kept.id)).status is RunStatus.COMPLETED
    assert (await store.get_run("acme", fork.id)).previous_run_id is None
    again = new_run(idempotency_key="k")
    assert not (await store.create_run(again, first_events(again))).replayed


async def test_a_thread_at_work_is_not_deleted(store: Store) -> None:
    run, claim = await start(store)
    with pytest.raises(Conflict) as busy:
        await store.delete_thread("acme", run.thread_id)
    assert busy.value.code == "thread_busy"
    await append(store, claim, completed(""))
    with pytest.raises(NotFound):
        await store.delete_thread("other", run.thread_id)
    await store.delete_thread("acme", run.thread_id)


async def test_a_store_at_work_is_writable(store: Store) -> None:
    assert await store.is_writable()
