"""Every way in which a call in a process of its own can end."""

import signal
import struct
from collections.abc import AsyncIterator

import pytest
from pydantic_core import to_json

from agent_server.sandbox import Returned
from agent_server.sandbox.output import FLOOD_FACTOR
from tests.unit.sandbox.sandboxes import Caller, process_sandbox


@pytest.fixture(scope="module")
async def opened(anyio_backend: str) -> AsyncIterator[Caller]:
    async with process_sandbox(result_kb=64, scratch_mb=4) as sandbox:
        yield Caller(sandbox, sandbox.manifest)


@pytest.fixture
def call(opened: Caller) -> Caller:
    return Caller(opened.sandbox, list(opened.tools.values()))


def frame(body: bytes) -> str:
    return (struct.pack(">I", len(body)) + body).hex()


async def test_a_call_tells_what_it_used(call: Caller) -> None:
    outcome = await call("random_number")
    assert isinstance(outcome, Returned)
    assert outcome.duration_ms >= 0
    assert outcome.cpu_ms is not None
    assert outcome.peak_rss_kb is not None
    assert outcome.peak_rss_kb > 1000


@pytest.mark.parametrize("stubborn", [False, True])
async def test_processor_time_is_limited_whatever_the_tool_does(
    call: Caller, stubborn: bool
) -> None:
    failed = await call.failure("burn", stubborn=stubborn)
    assert (failed.kind, failed.retryable) == ("cpu", False)
    assert "1 s" in failed.message


async def test_memory_is_limited(call: Caller) -> None:
    failed = await call.failure("hog")
    assert failed.kind == "memory"
    assert "64 MiB" in failed.message


async def test_the_size_of_a_file_is_limited(call: Caller) -> None:
    failed = await call.failure("fill_disk")
    assert failed.kind == "exception"
    assert "File too large" in failed.message


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_output_over_the_cap_is_not_shown_and_said_so(call: Caller, stream: str) -> None:
    assert await call.output("flood", stream=stream, kib=8) == "done"
    printed = call.printed(stream)
    assert printed.startswith("x" * 1023)
    assert printed.endswith(f"\n[{stream} is not shown beyond 4 KiB]\n")
    assert len(printed) < 5 * 1024


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_a_flood_of_output_ends_the_call(call: Caller, stream: str) -> None:
    failed = await call.failure("flood", stream=stream, kib=100_000)
    assert failed.kind == "output"
    assert f"{FLOOD_FACTOR} times" in failed.message
    assert len(call.printed(stream)) < 5 * 1024


async def test_what_is_printed_before_a_report_is_shown_before_it(call: Caller) -> None:
    assert await call.output("print_and_report", count=3) == "done"
    shown = [str(getattr(item, "text", "")) or item for item in call.shown]
    printed = ""
    reported = 0
    for item in shown:
        if isinstance(item, str):
            printed += item
        else:
            assert printed.count("\n") >= reported + 1
            reported += 1
    assert reported == 3
    assert printed == "line 0\nline 1\nline 2\nno line end"


async def test_characters_cut_between_writes_are_shown_whole(call: Caller) -> None:
    text = "naïve ✓ 🙂"
    await call.output("print_bytes", hexadecimal=text.encode().hex())
    assert call.printed() == text


async def test_bytes_that_are_no_text_are_shown_as_such(call: Caller) -> None:
    await call.output("print_bytes", hexadecimal=b"a\x00b\xffc\xe2\x82".hex())
    assert call.printed() == "a\ufffdb\ufffdc\ufffd"


async def test_progress_reported_too_often_is_thinned_out(call: Caller) -> None:
    assert await call.output("report_often", times=20_000) == 20_000
    assert 100 <= len(call.progress()) <= 1000
    assert call.progress() == sorted(call.progress())


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
async def test_a_crash_names_its_signal(call: Caller, number: signal.Signals) -> None:
    failed = await call.failure("die", signal_number=int(number))
    assert (failed.kind, failed.retryable) == ("crashed", False)
    assert number.name in failed.message


async def test_a_forbidden_system_call_is_told_from_a_crash(call: Caller) -> None:
    failed = await call.failure("die", signal_number=int(signal.SIGSYS))
    assert failed.kind == "syscall"


@pytest.mark.parametrize("status", [0, 3])
async def test_a_process_that_exits_without_a_result_fails_the_call(
    call: Caller, status: int
) -> None:
    failed = await call.failure("exit_at_once", status=status)
    assert failed.kind == "crashed"
    assert f"status {status}" in failed.message


async def test_a_tool_that_closes_its_channel_has_crashed(call: Caller) -> None:
    failed = await call.failure("close_channel")
    assert failed.kind == "crashed"


BROKEN = {
    "no JSON": b"\x80\x04K\x01.",
    "NaN": b'{"t":"result","content":[],"output":NaN,"truncated":false}',
    "out of range": b'{"t":"result","content":[],"output":1e999,"truncated":false}',
    "a lone surrogate": b'{"t":"result","content":[],"output":"\\ud800","truncated":false}',
    "too deep": b'{"t":"result","content":[],"output":' + b"[" * 900 + b"]" * 900 + b"}",
    "a huge integer": b'{"t":"result","content":[],"output":' + b"9" * 9_000 + b"}",
    "invalid UTF-8": b'{"t":"result","content":[],"output":"\xff","truncated":false}',
    "an unknown frame": b'{"t":"obey","content":[]}',
    "no object": b"[]",
    "a block that calls a tool": to_json(
        {
            "t": "result",
            "content": [{"type": "tool_use", "id": "1", "name": "x", "input": {}}],
            "output": None,
            "truncated": False,
        }
    ),
    "an unknown field": b'{"t":"progress","done":1,"total":null,"message":null,"more":1}',
    "endless progress": b'{"t":"progress","done":1e999,"total":null,"message":null}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_a_frame_that_is_not_the_protocols_fails_the_call(call: Caller, body: bytes) -> None:
    failed = await call.failure("send_raw", hexadecimal=frame(body), times=1)
    assert failed.kind == "crashed"
    assert "no proper result" in failed.message
    assert len(failed.message) < 500


async def test_a_frame_over_the_cap_is_refused_before_it_is_read(call: Caller) -> None:
    failed = await call.failure("send_raw", hexadecimal="ffffffff", times=1)
    assert failed.kind == "output"
    assert "64 KiB" in failed.message


async def test_a_flood_of_reports_behind_the_sandboxs_back_ends_the_call(call: Caller) -> None:
    body = b'{"t":"progress","done":1,"total":null,"message":null}'
    failed = await call.failure("send_raw", hexadecimal=frame(body), times=100_000)
    assert failed.kind == "output"
    assert len(call.progress()) == 1000


async def test_a_nul_in_a_result_is_replaced(call: Caller) -> None:
    body = to_json(
        {
            "t": "result",
            "content": [{"type": "text", "text": "a\x00b"}],
            "output": {"a\x00b": ["\x00"]},
            "truncated": False,
        }
    )
    outcome = await call("send_raw", hexadecimal=frame(body), times=1)
    assert isinstance(outcome, Returned)
    assert outcome.content == [{"type": "text", "text": "a\ufffdb"}]
    assert outcome.output == {"a\ufffdb": ["\ufffd"]}


async def test_a_lie_about_what_was_used_is_no_way_out(call: Caller) -> None:
    body = b'{"t":"result","content":[],"output":1,"truncated":false,"cpu_ms":-1}'
    failed = await call.failure("send_raw", hexadecimal=frame(body), times=1)
    assert failed.kind == "crashed"
