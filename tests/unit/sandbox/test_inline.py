"""Inline tools: found when first called, cancelled and not killed."""

import asyncio
from pathlib import Path

import pytest

from agent_server.sandbox import Failed, Output, Progress, Returned
from agent_server.sandbox.inline import InlineSandbox
from agent_server.sandbox.local import LocalSandbox
from agent_server.tooling.loader import load_tools
from tests.unit.sandbox.sandboxes import LIMIT_S, Caller

SOURCE = '''
"""Inline tools."""

import asyncio

from agent_server import ToolContext, tool

LOADED = []


@tool(isolation="inline")
async def linger(ctx: ToolContext) -> str:
    """Take time to leave."""
    try:
        ctx.progress(0)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        LOADED.append("left")
    return "never"


@tool(isolation="inline")
async def stay() -> str:
    """Heed no cancellation."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "stayed"
    return "never"


@tool(isolation="inline")
async def cancel_itself() -> str:
    """Raise what only a canceller should."""
    raise asyncio.CancelledError


@tool(isolation="inline")
async def time_out() -> str:
    """Run out of a time of its own."""
    async with asyncio.timeout(0):
        await asyncio.Event().wait()
    return "never"


@tool(isolation="inline")
async def left() -> list[str]:
    """Tell who has left."""
    return LOADED
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "inline_tools.py"
    file.write_text(SOURCE, encoding="utf-8")
    return file


@pytest.fixture
def call(file: Path) -> Caller:
    manifest = [tool.spec for tool in load_tools([file], entry_points=False)]
    return Caller(InlineSandbox(), manifest)


async def test_its_isolation_is_told(call: Caller) -> None:
    assert call.sandbox.isolation == "inline"
    assert LocalSandbox([]).isolation == "inline"


async def test_a_cancelled_tool_has_left_when_the_caller_goes_on(call: Caller) -> None:
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        task = group.create_task(call("linger"))
        await call.showed.wait()
        task.cancel()
    assert task.cancelled()
    assert await call.output("left") == ["left"]


async def test_a_tool_that_heeds_no_cancellation_is_late_all_the_same(call: Caller) -> None:
    failed = await call.failure("stay", timeout_s=0.05)
    assert failed.kind == "timeout"


async def test_a_cancellation_that_a_tool_makes_up_is_its_failure(call: Caller) -> None:
    failed = await call.failure("cancel_itself")
    assert (failed.kind, failed.message) == ("exception", "CancelledError")


async def test_a_tools_own_time_out_is_an_exception(call: Caller) -> None:
    failed = await call.failure("time_out")
    assert (failed.kind, failed.message) == ("exception", "TimeoutError")


async def test_a_tool_file_that_is_gone_fails_the_call_without_telling_its_place(
    call: Caller, file: Path
) -> None:
    call.tools["left"] = call.tools["left"].model_copy(update={"file": f"{file}.gone"})
    failed = await call.failure("left")
    assert (failed.kind, failed.retryable) == ("sandbox_unavailable", False)
    assert str(file.parent) not in failed.message
    assert failed.detail is not None
    assert f"{file}.gone" in failed.detail


async def test_the_local_fake_has_no_tool_it_was_not_given(call: Caller) -> None:
    outcome = await Caller(LocalSandbox([]), list(call.tools.values())).failure("left")
    assert outcome.kind == "not_found"


async def test_results_and_reports_have_the_shape_of_the_seam(call: Caller) -> None:
    outcome = await call("left")
    assert isinstance(outcome, Returned)
    assert (outcome.cpu_ms, outcome.peak_rss_kb) == (None, None)
    assert all(isinstance(shown, Output | Progress) for shown in call.shown)
    assert not isinstance(outcome, Failed)
