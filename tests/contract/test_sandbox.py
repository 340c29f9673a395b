"""What every sandbox must do: in a process, inline, and the local fake pass the same tests."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from agent_server.sandbox import CallRequest, Failed, Output, Progress, Returned
from agent_server.sandbox.inline import InlineSandbox
from agent_server.sandbox.local import LocalSandbox
from agent_server.tooling.loader import load_tools
from tests.unit.sandbox.sandboxes import CONTRACT, LIMIT_S, Caller, process_sandbox


@pytest.fixture(scope="module", params=["process", "inline", "local"])
async def sandbox(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Caller]:
    if request.param == "process":
        async with process_sandbox(CONTRACT, result_kb=64) as opened:
            yield Caller(opened, opened.manifest)
        return
    tools = load_tools([CONTRACT], entry_points=False)
    manifest = [tool.spec for tool in tools]
    local = LocalSandbox(tools, result_kb=64)
    yield Caller(local if request.param == "local" else InlineSandbox(result_kb=64), manifest)


@pytest.fixture
def call(sandbox: Caller) -> Caller:
    return Caller(sandbox.sandbox, list(sandbox.tools.values()))


async def test_a_tool_returns_its_value_as_content_and_as_json(call: Caller) -> None:
    outcome = await call("greet", name="Ada")
    assert isinstance(outcome, Returned)
    assert outcome.content == [{"type": "text", "text": "Hello, Ada!"}]
    assert outcome.output == "Hello, Ada!"
    assert not outcome.truncated


async def test_arguments_arrive_as_their_annotated_types(call: Caller) -> None:
    order = {
        "items": [{"name": "tea", "price": 2.5}, {"name": "milk", "price": 1}],
        "day": "2026-11-24",
    }
    assert await call.output("total", order=order) == {"total": 3.5, "weekday": 2}


async def test_a_coroutine_function_is_awaited(call: Caller) -> None:
    assert await call.output("later", text="now") == "now"


async def test_the_context_holds_what_the_request_says(call: Caller) -> None:
    before_s = time.time()
    context = await call.output("context", timeout_s=20, secrets={"KEY": "value"})
    assert context.pop("deadline") > before_s
    assert context == {
        "run_id": "run_1",
        "call_id": "call_1",
        "idempotency_key": "run_1:call_1",
        "secrets": {"KEY": "value"},
    }


async def test_an_exception_fails_the_call_with_its_type_and_text(call: Caller) -> None:
    failed = await call.failure("fail", text="no such word")
    assert (failed.kind, failed.message) == ("exception", "ValueError: no such word")
    assert not failed.retryable


async def test_the_traceback_is_detail_for_the_log_and_starts_in_the_tools_file(
    call: Caller,
) -> None:
    failed = await call.failure("fail", text="no such word")
    assert failed.detail is not None
    first, second, *_ = failed.detail.splitlines()
    assert first.startswith("Traceback")
    assert "sandbox_contract/plain.py" in second


async def test_a_long_exception_text_is_cut(call: Caller) -> None:
    failed = await call.failure("fail", text="x" * 5000)
    assert len(failed.message) == 500


async def test_a_text_that_cannot_be_stored_is_made_storable(call: Caller) -> None:
    failed = await call.failure("fail", text="a\x00b")
    assert failed.message == "ValueError: a\ufffdb"


@pytest.mark.parametrize("retryable", [True, False])
async def test_a_tool_error_speaks_to_the_model_word_for_word(
    call: Caller, retryable: bool
) -> None:
    text = "Say that again, " + "please " * 200
    failed = await call.failure("refuse", text=text, retryable=retryable)
    assert (failed.kind, failed.message, failed.detail) == ("exception", text, None)
    assert failed.retryable is retryable


async def test_a_tool_that_exits_fails_the_call_only(call: Caller) -> None:
    failed = await call.failure("leave")
    assert failed.kind == "crashed"
    assert "nothing to do" in failed.message


async def test_an_argument_that_does_not_fit_its_type_fails_as_invalid_input(
    call: Caller,
) -> None:
    failed = await call.failure("total", order={"items": [], "day": "the day after"})
    assert failed.kind == "invalid_input"
    assert "/order/day" in failed.message


async def test_progress_is_shown_in_order(call: Caller) -> None:
    assert await call.output("count", to=3) == 3
    assert call.shown == [
        Progress(1.0, 3.0, "at 1"),
        Progress(2.0, 3.0, "at 2"),
        Progress(3.0, 3.0, "at 3"),
    ]


async def test_a_result_without_json_form_fails_the_call(call: Caller) -> None:
    failed = await call.failure("not_json")
    assert failed.kind == "exception"


async def test_a_result_over_the_cap_is_cut_and_says_so(call: Caller) -> None:
    outcome = await call("long_text", kib=200)
    assert isinstance(outcome, Returned)
    assert outcome.truncated
    assert outcome.output is None
    (block,) = outcome.content
    assert len(block["text"]) < 70_000


async def test_a_tool_that_is_not_done_in_time_fails_and_may_be_tried_again(
    call: Caller,
) -> None:
    failed = await call.failure("wait_forever", timeout_s=0.2)
    assert failed.kind == "timeout"
    assert failed.retryable
    assert "0.2 s" in failed.message


async def test_cancelling_the_caller_ends_the_call(call: Caller) -> None:
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        task = group.create_task(call("wait_forever"))
        await call.showed.wait()
        task.cancel()
    assert task.cancelled()


async def test_what_the_observer_raises_reaches_the_caller(call: Caller) -> None:
    async def refuse(shown: Output | Progress) -> None:
        raise LookupError("the log is full")

    request = CallRequest("run_1", "call_1", "key", timeout_s=20)
    with pytest.raises(LookupError, match="the log is full"):
        async with asyncio.timeout(LIMIT_S):
            await call.sandbox.call(call.tools["count"], {"to": 3}, request, refuse)


async def test_calls_at_the_same_time_do_not_mix(call: Caller) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call.output("square", number=n)) for n in range(50)]
    assert [task.result() for task in tasks] == [n * n for n in range(50)]


async def test_an_unknown_tool_fails_the_call(call: Caller) -> None:
    unknown = call.tools["greet"].model_copy(
        update={"name": "no_such_tool", "source_sha256": "0" * 64}
    )
    request = CallRequest("run_1", "call_1", "key", timeout_s=20)
    outcome = await call.sandbox.call(unknown, {}, request, call.observe)
    assert isinstance(outcome, Failed)
    assert outcome.kind in {"not_found", "sandbox_unavailable"}
