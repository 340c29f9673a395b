"""The zygote: what it refuses to load, and what happens when it dies."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agent_server.errors import ConfigError, SandboxUnavailable, ToolLoadError
from agent_server.sandbox import Failed
from agent_server.sandbox.process import ProcessSandbox
from tests.unit.sandbox.sandboxes import (
    CONTRACT,
    LIMIT_S,
    Caller,
    entered,
    gone,
    is_alive,
    process_sandbox,
)

THREAD = """
import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
BROKEN = {
    "syntax error": ("def f(:\n", ":1: "),
    "missing module": ('"""."""\n\nimport no_such_module\n', ":3: "),
    "exit": ('"""."""\n\nimport sys\n\nsys.exit(3)\n', ":5: "),
    "thread": (THREAD, "thread"),
    "socket": ('"""."""\nimport socket\n\nCONNECTION = socket.socket()\n', ":4: "),
    "file": ('"""."""\nLOG = open("/proc/self/stat")\n', ":2: "),
    "endless": ('"""."""\nwhile True:\n    pass\n', "longer than 2 s"),
    "asleep": ('"""."""\nimport time\ntime.sleep(600)\n', ":3: "),
}


@pytest.mark.parametrize(("source", "told"), BROKEN.values(), ids=BROKEN)
async def test_a_file_that_cannot_be_loaded_is_named_with_its_line(
    tmp_path: Path, source: str, told: str
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(source, encoding="utf-8")
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(ToolLoadError) as raised:
            async with process_sandbox(file, load_timeout_s=2.0):
                pytest.fail("it opened")
    assert str(file) in raised.value.message
    assert told in raised.value.message
    assert "\n" not in raised.value.message


async def test_a_file_that_kills_its_process_is_a_load_error(tmp_path: Path) -> None:
    file = tmp_path / "deadly.py"
    file.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", encoding="utf-8")
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(ToolLoadError, match="ended the process"):
            async with process_sandbox(file):
                pytest.fail("it opened")


async def test_a_file_that_swallows_its_deadline_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_server.sandbox.zygote_process._START_GRACE_S", 1.0)
    file = tmp_path / "stubborn.py"
    source = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
    file.write_text(source + "signal.pause()\n", encoding="utf-8")
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(ToolLoadError, match="longer than"):
            async with process_sandbox(file, load_timeout_s=0.5):
                pytest.fail("it opened")


async def test_what_a_file_prints_while_it_is_imported_is_no_tools_output(
    tmp_path: Path,
) -> None:
    file = tmp_path / "loud.py"
    source = 'from agent_server import tool\nprint("hello")\n@tool\ndef f() -> int:\n    "F."\n'
    file.write_text(source + "    return 1\n", encoding="utf-8")
    async with process_sandbox(file) as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        assert await call.output("f") == 1
        assert call.shown == []


async def test_no_tools_at_all_make_an_empty_manifest(tmp_path: Path) -> None:
    async with process_sandbox(tmp_path) as sandbox:
        assert sandbox.manifest == []


async def test_the_manifest_tells_where_each_tool_lives() -> None:
    async with process_sandbox(CONTRACT) as sandbox:
        greet = next(tool for tool in sandbox.manifest if tool.name == "greet")
    assert greet.file == str(CONTRACT / "plain.py")
    assert greet.qualname == "greet"
    assert len(greet.source_sha256) == 64


async def test_the_server_never_imports_a_tool_file(tmp_path: Path) -> None:
    file = tmp_path / "where.py"
    source = "import os\nfrom agent_server import tool\nPID = os.getpid()\n@tool\n"
    file.write_text(source + 'def pid() -> int:\n    "P."\n    return PID\n', encoding="utf-8")
    async with process_sandbox(file) as sandbox:
        assert await Caller(sandbox, sandbox.manifest).output("pid") == sandbox.zygote_pid
        assert sandbox.zygote_pid != os.getpid()


async def kill_zygote(sandbox: ProcessSandbox) -> None:
    pid = sandbox.zygote_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await gone(pid)


async def test_a_dead_zygote_fails_what_runs_and_another_serves_within_a_second(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "ledger"
    async with process_sandbox(warm=2) as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        first = sandbox.zygote_pid
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            task = group.create_task(call.failure("family", ledger=str(ledger), then="hang"))
            await call.showed.wait()
            await kill_zygote(sandbox)
        failed = task.result()
        assert (failed.kind, failed.retryable) == ("sandbox_unavailable", True)
        assert [pid for pid in entered(ledger) if is_alive(pid)] == []
        assert await call.output("look_around")
        assert sandbox.zygote_pid not in {None, first}


async def test_a_tool_that_kills_its_zygote_is_answered_and_the_next_call_works() -> None:
    async with process_sandbox() as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        failed = await call.failure("kill_parent")
        assert (failed.kind, failed.retryable) == ("sandbox_unavailable", True)
        assert await call.output("look_around")


async def test_a_call_that_comes_while_the_zygote_is_dead_waits_for_the_next_one() -> None:
    async with process_sandbox() as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        await kill_zygote(sandbox)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            tasks = [group.create_task(call("look_around")) for _ in range(8)]
        outcomes = [task.result() for task in tasks]
        failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        assert all(outcome.retryable for outcome in failed)
        assert await call.output("look_around")


async def test_a_stopped_zygote_is_replaced_and_its_calls_are_over(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with process_sandbox() as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            task = group.create_task(call("bear", ledger=str(ledger), timeout_s=0.5))
            await call.showed.wait()
            assert sandbox.zygote_pid is not None
            os.kill(sandbox.zygote_pid, signal.SIGSTOP)
        assert isinstance(task.result(), Failed)
        assert [pid for pid in entered(ledger) if is_alive(pid)] == []
        assert await call.output("look_around")


async def test_a_tool_that_was_changed_since_the_start_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "tools.py"
    source = 'from agent_server import tool\n@tool\ndef f() -> int:\n    "F."\n    return {}\n'
    file.write_text(source.format(1), encoding="utf-8")
    async with process_sandbox(file) as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        assert await call.output("f") == 1
        file.write_text(source.format(2), encoding="utf-8")
        assert await call.output("f") == 1
        await kill_zygote(sandbox)
        outcome = await call.failure("f")
        while outcome.kind == "sandbox_unavailable":
            outcome = await call.failure("f")
        assert outcome.kind == "not_found"
        assert "restart" in outcome.message


async def test_a_zygote_that_cannot_be_replaced_leaves_calls_a_retryable_failure(
    tmp_path: Path,
) -> None:
    file = tmp_path / "tools.py"
    source = 'from agent_server import tool\n@tool\ndef f() -> int:\n    "F."\n    return 1\n'
    file.write_text(source, encoding="utf-8")
    async with process_sandbox(file, queue_timeout_s=0.5) as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        file.write_text("nonsense(\n", encoding="utf-8")
        await kill_zygote(sandbox)
        for _ in range(2):
            failed = await call.failure("f")
            assert (failed.kind, failed.retryable) == ("sandbox_unavailable", True)
        file.write_text(source, encoding="utf-8")
        async with asyncio.timeout(LIMIT_S):
            while isinstance(await call("f"), Failed):
                continue


async def test_calls_over_the_limit_wait_and_give_up_in_time(tmp_path: Path) -> None:
    async with process_sandbox(max_running=1, queue_timeout_s=0.3) as sandbox:
        running, waiting = (Caller(sandbox, sandbox.manifest) for _ in range(2))
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            task = group.create_task(running("bear", ledger=str(tmp_path / "ledger")))
            await running.showed.wait()
            failed = await waiting.failure("look_around")
            task.cancel()
        assert (failed.kind, failed.retryable) == ("sandbox_unavailable", True)
        assert "0.3 s" in failed.message
        assert await waiting.output("look_around")


async def test_calls_over_the_limit_run_when_a_place_is_free() -> None:
    async with process_sandbox(max_running=1) as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call.output("look_around")) for _ in range(5)]
        assert len({task.result()["pid"] for task in tasks}) == 5


async def test_an_error_of_the_user_of_the_sandbox_comes_out_as_it_is() -> None:
    with pytest.raises(ConfigError, match="agents"):
        async with process_sandbox(CONTRACT):
            raise ConfigError("agents: wrong")


async def test_elsewhere_than_on_linux_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SandboxUnavailable, match="Linux"):
        async with process_sandbox(CONTRACT):
            pytest.fail("it opened")


async def test_the_layers_are_named() -> None:
    async with process_sandbox(CONTRACT, warm=0) as sandbox:
        assert sandbox.isolation == "process"
        assert sandbox.layers["process"] == "on"
