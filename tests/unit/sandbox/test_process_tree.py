"""However a call ends, nothing it started goes on: judged by process ids a ledger holds."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_server.sandbox import CallRequest
from agent_server.sandbox.process import ProcessSandbox
from tests.unit.sandbox.sandboxes import (
    LIMIT_S,
    Caller,
    Shown,
    entered,
    gone,
    is_alive,
    process_sandbox,
)


@pytest.fixture(scope="module")
async def sandbox(anyio_backend: str) -> AsyncIterator[ProcessSandbox]:
    async with process_sandbox() as opened:
        yield opened


@pytest.fixture
def call(sandbox: ProcessSandbox) -> Caller:
    return Caller(sandbox, sandbox.manifest)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    ledger = tmp_path / "ledger"
    ledger.touch()
    return ledger


@pytest.mark.parametrize(
    ("then", "kind"), [("return", None), ("fail", "exception"), ("crash", "crashed")]
)
async def test_no_process_of_a_call_outlives_it(
    call: Caller, ledger: Path, then: str, kind: str | None
) -> None:
    outcome = await call("family", ledger=str(ledger), then=then)
    assert getattr(outcome, "kind", None) == kind
    pids = entered(ledger)
    assert len(pids) == 5
    assert [pid for pid in pids if is_alive(pid)] == []


async def test_a_lie_about_what_is_left_saves_no_process(call: Caller, ledger: Path) -> None:
    assert await call.output("lie", ledger=str(ledger)) == 1
    pids = entered(ledger)
    assert len(pids) == 5
    for pid in pids:
        await gone(pid)


async def test_no_process_outlives_the_deadline(call: Caller, ledger: Path) -> None:
    failed = await call.failure("family", ledger=str(ledger), then="hang", timeout_s=1.0)
    assert failed.kind == "timeout"
    pids = entered(ledger)
    assert pids
    assert [pid for pid in pids if is_alive(pid)] == []


async def test_no_process_outlives_a_cancelled_call(call: Caller, ledger: Path) -> None:
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        task = group.create_task(call("family", ledger=str(ledger), then="hang"))
        await call.showed.wait()
        assert len(entered(ledger)) == 5
        task.cancel()
    assert task.cancelled()
    assert [pid for pid in entered(ledger) if is_alive(pid)] == []


async def test_a_tool_that_heeds_no_signal_is_killed(call: Caller, ledger: Path) -> None:
    failed = await call.failure("bear", ledger=str(ledger), timeout_s=0.5)
    assert failed.kind == "timeout"
    assert [pid for pid in entered(ledger) if is_alive(pid)] == []


async def test_a_process_that_stops_itself_is_killed(call: Caller, ledger: Path) -> None:
    failed = await call.failure("stop_itself", ledger=str(ledger), timeout_s=0.5)
    assert failed.kind == "timeout"
    assert [pid for pid in entered(ledger) if is_alive(pid)] == []


async def test_a_thread_does_not_go_on_after_the_result(call: Caller, ledger: Path) -> None:
    assert await call.output("result_then_more", ledger=str(ledger)) == "done"
    (pid,) = set(entered(ledger))
    await gone(pid)  # it is dead by now, and the kernel may still be clearing it away
    lines = len(entered(ledger))
    await call.output("look_around")
    assert len(entered(ledger)) == lines


async def test_a_cancel_in_the_first_moment_leaves_nothing(
    sandbox: ProcessSandbox, ledger: Path
) -> None:
    calls = [Caller(sandbox, sandbox.manifest) for _ in range(12)]
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(call("bear", ledger=str(ledger))) for call in calls]
        for rounds, task in enumerate(tasks):
            for _ in range(rounds):  # each a step later in its life than the one before
                await asyncio.sleep(0)
            task.cancel()
    pids = entered(ledger)
    assert [pid for pid in pids if is_alive(pid)] == []
    assert await Caller(sandbox, sandbox.manifest).output("look_around")


async def test_a_second_cancel_does_not_cut_the_killing_short(call: Caller, ledger: Path) -> None:
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        task = group.create_task(call("family", ledger=str(ledger), then="hang"))
        await call.showed.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert [pid for pid in entered(ledger) if is_alive(pid)] == []


async def test_a_slow_observer_holds_the_tool_back(sandbox: ProcessSandbox) -> None:
    let_go = asyncio.Event()
    shown: Shown = []

    async def observe(item: object) -> None:
        shown.append(item)  # type: ignore[arg-type]  # what is shown
        await let_go.wait()

    tool = next(tool for tool in sandbox.manifest if tool.name == "flood")
    request = CallRequest("run_1", "call_1", "key", timeout_s=0.7)
    arguments = {"stream": "stdout", "kib": 100_000}
    async with asyncio.timeout(LIMIT_S):
        outcome = await sandbox.call(tool, arguments, request, observe)
    # Nobody read on after the first piece: it ran into its deadline, not into its output's cap.
    assert getattr(outcome, "kind", None) == "timeout"
    assert len(shown) == 1


async def test_no_process_and_no_folder_outlives_a_killed_server(
    ledger: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.unit.sandbox.serve_and_hang",
        str(ledger),
        str(scratch),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert server.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        zygote = int(await server.stdout.readline())
        pids = entered(ledger)
        assert len(pids) == 5
        server.kill()
        await server.wait()
        for pid in [zygote, *pids]:
            await gone(pid)
    with pytest.raises(StopIteration):
        next(scratch.iterdir())
