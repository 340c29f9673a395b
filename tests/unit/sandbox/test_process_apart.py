"""Calls are apart from the server and from each other, and nothing of them is left."""

import asyncio
import contextlib
import gc
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_server.sandbox.process import ProcessSandbox
from tests.unit.sandbox.sandboxes import LIMIT_S, Caller, gone, process_sandbox

SECRET = "the server's own"


@pytest.fixture(scope="module")
async def sandbox(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ProcessSandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", SECRET)
        async with process_sandbox(scratch_root=tmp_path_factory.mktemp("scratch")) as opened:
            yield opened


@pytest.fixture
def call(sandbox: ProcessSandbox) -> Caller:
    return Caller(sandbox, sandbox.manifest)


async def test_a_tool_sees_nothing_of_the_servers_environment(call: Caller) -> None:
    seen = await call.output("look_around")
    assert SECRET not in str(seen)
    assert set(seen["environment"]) <= {
        "HOME",
        "LANG",
        "LC_CTYPE",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PATH",
        "TMPDIR",
    }


async def test_a_tool_has_no_descriptors_but_its_own(call: Caller) -> None:
    seen = await call.output("look_around")
    assert seen["descriptors"] == [0, 1, 2, 3, 4]  # the last one is what lists them


async def test_a_tool_has_an_empty_folder_of_its_own_which_is_its_home(call: Caller) -> None:
    first, second = await call.output("look_around"), await call.output("look_around")
    assert first["folder"] != second["folder"]
    assert first["files"] == []
    assert first["environment"]["HOME"] == first["folder"]
    assert first["environment"]["TMPDIR"] == first["folder"]


async def test_a_tool_leaves_no_core_and_cannot_gain_privileges(call: Caller) -> None:
    seen = await call.output("look_around")
    assert seen["core"] == [0, 0]
    assert seen["open_files"] == [256, 256]
    assert seen["no_new_privs"]


async def test_each_call_has_a_process_of_its_own(call: Caller) -> None:
    pids = [(await call.output("look_around"))["pid"] for _ in range(3)]
    assert len({*pids, os.getpid()}) == 4


async def test_each_call_draws_numbers_of_its_own(call: Caller) -> None:
    assert await call.output("random_number") != await call.output("random_number")


async def test_a_broken_interpreter_is_gone_with_its_call(call: Caller) -> None:
    await call("poison")  # what comes of it is its own affair
    seen = await call.output("look_around")
    assert seen["length"] == 4
    assert "POISON" not in seen["environment"]


async def test_a_secret_is_given_to_the_call_that_declared_it_only(call: Caller) -> None:
    seen = await call.output("secret_places", secrets={"API_KEY": "s3cret"})
    assert seen == ["s3cret", "s3cret"]
    assert "API_KEY" not in (await call.output("look_around"))["environment"]


async def test_a_tree_that_no_recursion_can_walk_is_cleared_away(
    tmp_path: Path,
) -> None:
    async with process_sandbox(scratch_root=tmp_path) as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        folder = Path(await call.output("leave_tree", depth=3000))
        assert folder.is_relative_to(tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("warm", [0, 2])
async def test_many_calls_leave_no_descriptor_no_process_and_no_folder(
    tmp_path: Path, warm: int
) -> None:
    before = descriptors()
    async with process_sandbox(scratch_root=tmp_path, warm=warm) as sandbox:
        call = Caller(sandbox, sandbox.manifest)

        async def work() -> list[int]:
            return [(await call.output("look_around"))["pid"] for _ in range(25)]

        async with asyncio.timeout(4 * LIMIT_S), asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for _ in range(8)]
        pids = [pid for task in tasks for pid in task.result()]
        assert len(set(pids)) == 200
        for pid in pids:
            await gone(pid)
        # One to the zygote, its pidfd and its warden's; and five to each parked child.
        expected = before + 3 + 5 * warm
        async with asyncio.timeout(LIMIT_S):
            while descriptors() != expected:  # noqa: ASYNC110 the last ones are being buried
                await asyncio.sleep(0)
        (root,) = names_in(tmp_path)
        (zygote,) = names_in(tmp_path / root)
        assert len(names_in(tmp_path / root / zygote)) <= warm
    assert names_in(tmp_path) == []
    assert descriptors() == before
    assert own_children() == []


async def test_closing_the_sandbox_leaves_no_process(tmp_path: Path) -> None:
    before = descriptors()
    async with process_sandbox(scratch_root=tmp_path) as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        await call.output("look_around")
        zygote = sandbox.zygote_pid
        assert zygote is not None
    with pytest.raises(ProcessLookupError):
        os.kill(zygote, 0)
    assert descriptors() == before


async def test_a_call_that_runs_when_the_sandbox_closes_is_over(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        asyncio.TaskGroup() as group,
        process_sandbox(scratch_root=tmp_path) as sandbox,
    ):
        call = Caller(sandbox, sandbox.manifest)
        task = group.create_task(call.failure("bear", ledger=str(tmp_path / "ledger")))
        await call.showed.wait()
    failed = task.result()
    assert (failed.kind, failed.retryable) == ("sandbox_unavailable", True)


@pytest.mark.parametrize("spare", [0, 3, 6])
async def test_a_server_out_of_descriptors_fails_the_call_and_recovers(
    tmp_path: Path, spare: int
) -> None:
    async with process_sandbox(scratch_root=tmp_path, warm=0) as sandbox:
        call = Caller(sandbox, sandbox.manifest)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, own_descriptors())) + 3, hard))
        try:
            with use_up_descriptors(but=spare):
                failed = await call.failure("look_around")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (failed.kind, failed.retryable) == ("sandbox_unavailable", True)
        assert await call.output("look_around")


@contextmanager
def use_up_descriptors(*, but: int) -> Iterator[None]:
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(but):
            os.close(taken.pop())
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def own_descriptors() -> list[str]:
    return names_in(Path("/proc/self/fd"))


def descriptors() -> int:
    gc.collect()
    return len(own_descriptors())


def own_children() -> list[int]:
    """Children of this process that are there or that nobody has reaped, but for other tests'."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in listed}
    return [pid for pid, command in commands.items() if b"warden" not in command]
