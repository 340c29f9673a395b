"""The commands that people type, with a server and without one."""

import asyncio
import signal
from pathlib import Path

from pydantic_core import from_json

from tests.process.servers import SLOW_TOOL, Done, make_folder, run, serving, spawn

PROMPT = "count the words of 'the quick brown fox'"


def events_of(done: Done) -> list[str]:
    assert done.code == 0, done.stderr
    return [from_json(line)["type"] for line in done.stdout.splitlines()]


async def test_a_run_without_a_server_is_shown_live_and_recorded(tmp_path: Path) -> None:
    make_folder(tmp_path)
    shown = await run(tmp_path, "run", PROMPT)
    assert shown.code == 0, shown.stderr
    assert "✓ word_count(" in shown.stdout
    assert "completed  " in shown.stdout
    listed = await run(tmp_path, "runs", "list", "--json")
    (recorded,) = from_json(listed.stdout)
    assert recorded["status"] == "completed"
    assert recorded["id"] in shown.stdout
    replayed = await run(tmp_path, "runs", "replay", recorded["id"], "--speed", "1000")
    assert replayed.stdout.splitlines()[-1] == shown.stdout.splitlines()[-1]


async def test_a_run_goes_through_the_server_that_holds_the_database(tmp_path: Path) -> None:
    make_folder(tmp_path)
    async with serving(tmp_path) as served:
        types = events_of(await run(tmp_path, "run", PROMPT, "--json"))
        assert types[0] == "run.created"
        assert "tool_result.completed" in types
        assert types[-1] == "run.completed"
        listed = from_json((await run(tmp_path, "runs", "list", "--json")).stdout)
        run_id = listed[0]["id"]
        by_server = await run(tmp_path, "runs", "export", run_id)
        async with served.client() as client:
            page = await client.get(
                f"/v1/runs/{run_id}/events?limit=100", headers={"accept": "application/json"}
            )
            assert [event["type"] for event in page.json()["data"]] == types
        await served.end()
    from_disk = await run(tmp_path, "runs", "export", run_id)
    assert from_disk.stdout == by_server.stdout
    assert events_of(from_disk) == types


async def test_two_runs_on_one_thread_share_a_history(tmp_path: Path) -> None:
    make_folder(tmp_path)
    async with serving(tmp_path) as served:
        first = await run(tmp_path, "run", PROMPT, "--json")
        thread_id = from_json(first.stdout.splitlines()[0])["thread_id"]
        second = await run(tmp_path, "run", "thank you", "--thread", thread_id, "--json")
        async with served.client() as client:
            messages = (await client.get(f"/v1/threads/{thread_id}/messages")).json()["data"]
        assert sum(message["role"] == "user" for message in messages) >= 2
        assert from_json(second.stdout.splitlines()[0])["thread_id"] == thread_id
        await served.end()


async def test_ctrl_c_cancels_the_run_and_what_happened_is_on_record(tmp_path: Path) -> None:
    make_folder(tmp_path, slow=SLOW_TOOL)
    process = await spawn(tmp_path, "run", "please wait long: 30 seconds", "--json")
    assert process.stdout is not None
    seen: list[str] = []
    async with asyncio.timeout(30):
        while "tool_call.running" not in seen:
            seen.append(from_json(await process.stdout.readline())["type"])
        process.send_signal(signal.SIGINT)
        rest, _errors = await process.communicate()
    seen += [from_json(line)["type"] for line in rest.splitlines()]
    assert process.returncode == 130
    assert seen[-1] == "run.cancelled"
    (recorded,) = from_json((await run(tmp_path, "runs", "list", "--json")).stdout)
    assert recorded["status"] == "cancelled"
    assert (await run(tmp_path, "db", "verify")).code == 0


async def test_a_request_that_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for arguments, expected in (
        (("run", "hello", "--agent", "defualt"), "Did you mean 'default'?"),
        (("runs", "show", "run_nope"), "run"),
        (("tools", "show", "wordcount"), "word_count"),
        (("tools", "call", "word_count", '{"txt": 1}'), "text"),
    ):
        done = await run(tmp_path, *arguments)
        assert done.code == 1, arguments
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


async def test_a_traceback_is_shown_only_with_debug(tmp_path: Path) -> None:
    make_folder(tmp_path, config="server: {prot: 1}\n")
    plain = await run(tmp_path, "config", "check")
    assert (plain.code, plain.stderr.count("\n")) == (78, 1)
    debug = await run(tmp_path, "config", "check", "--debug")
    assert debug.code == 78
    assert "Traceback" in debug.stderr
    assert debug.stderr.endswith(plain.stderr)


async def test_tools_are_listed_checked_and_called_without_a_database(tmp_path: Path) -> None:
    make_folder(tmp_path)
    listed = from_json((await run(tmp_path, "tools", "list", "--json")).stdout)
    assert [tool["name"] for tool in listed] == ["word_count"]
    assert listed[0]["input_schema"]["required"] == ["text"]
    assert (await run(tmp_path, "tools", "check")).stdout == "1 tools: ok\n"
    called = await run(tmp_path, "tools", "call", "word_count", '{"text": "a b c"}')
    assert (called.code, called.stdout) == (0, "3\n")
    assert not (tmp_path / "data").exists()


async def test_a_failing_tool_shows_its_traceback_only_when_asked(tmp_path: Path) -> None:
    source = (
        "from agent_server import tool\n\n@tool(effects='none')\n"
        "def divide(a: int, b: int) -> float:\n    '''Divide.'''\n    return a / b\n"
    )
    make_folder(tmp_path, divide=source)
    call = ("tools", "call", "divide", '{"a": 1, "b": 0}')
    plain = await run(tmp_path, *call)
    assert plain.code == 1
    assert "ZeroDivisionError" in plain.stderr
    assert "Traceback" not in plain.stderr
    traced = await run(tmp_path, *call, "--traceback")
    assert "divide.py" in traced.stderr
    assert "return a / b" in traced.stderr


async def test_a_broken_tool_file_is_named_with_its_line(tmp_path: Path) -> None:
    make_folder(tmp_path, bad="x = 1\n\ndef broken(:\n")
    done = await run(tmp_path, "tools", "check")
    assert done.code == 78
    assert "bad.py:3" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_the_database_is_upgraded_verified_and_backed_up(tmp_path: Path) -> None:
    make_folder(tmp_path)
    assert (await run(tmp_path, "db", "upgrade", "--db", "a.db")).code == 0
    assert (await run(tmp_path, "run", PROMPT, "--db", "a.db")).code == 0
    assert "ok" in (await run(tmp_path, "db", "verify", "--db", "a.db")).stdout
    assert (await run(tmp_path, "db", "backup", "b.db", "--db", "a.db")).code == 0
    again = await run(tmp_path, "db", "backup", "b.db", "--db", "a.db")
    assert again.code != 0
    listed = await run(tmp_path, "runs", "list", "--db", "b.db", "--json")
    assert [row["status"] for row in from_json(listed.stdout)] == ["completed"]


async def test_commands_that_read_make_no_database(tmp_path: Path) -> None:
    make_folder(tmp_path)
    done = await run(tmp_path, "runs", "list")
    assert done.code == 1
    assert "there is no database" in done.stderr
    assert not (tmp_path / "data").exists()


async def test_doctor_says_what_is_there_and_fails_where_a_server_could_not_run(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path, config="server: {port: 0}\n")
    good = await run(tmp_path, "doctor", "--json")
    assert good.code == 0, good.stdout
    names = [finding["name"] for finding in from_json(good.stdout)]
    assert names == ["python", "sqlite", "sandbox", "provider", "tools", "disk", "server"]
    (tmp_path / "config.yaml").write_text("tools: {paths: [nowhere]}\nserver: {port: 0}\n")
    bad = await run(tmp_path, "doctor")
    assert bad.code == 1
    assert "FAIL  tools" in bad.stdout
