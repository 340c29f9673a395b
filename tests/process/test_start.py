"""The start contract, and every way in which a start can fail: one line, the right exit code."""

import socket
import sqlite3
from pathlib import Path

import pytest
from pydantic_core import from_json

from tests.process.servers import SLOW_TOOL, TOOL, Done, make_folder, run, serving


def one_line(done: Done, code: int) -> str:
    """Check that the command failed as a command should, and return its one line."""
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("agent-server: ")
    return lines[0]


def drafts_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".ready*")]


async def test_a_started_server_says_where_it_is_to_programs_and_to_people(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path)
    ready = tmp_path / "ready.json"
    async with serving(tmp_path, "--ready-file", str(ready), "--db", "here.db") as served:
        facts = from_json(ready.read_bytes())
        assert facts == {"url": served.url, "pid": served.process.pid, "version": facts["version"]}
        assert {key: served.log[-1][key] for key in facts} == facts
        assert drafts_in(tmp_path) == []
        lock = tmp_path / "here.db.lock"
        assert from_json(lock.read_bytes())["url"] == served.url
        assert from_json(lock.read_bytes())["pid"] == served.process.pid
        assert len(from_json(lock.read_bytes())["admin_token"]) >= 32
        assert lock.stat().st_mode & 0o777 == 0o600
        banner = (tmp_path / "stderr.txt").read_text()
        for expected in (served.url, "scripted, no AI", "word_count", "here.db", "curl -N"):
            assert expected in banner
        async with served.client() as client:
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
        code, _log = await served.end()
    assert code == 0
    assert not ready.exists()


async def test_a_taken_port_is_refused_before_the_database_is_made(tmp_path: Path) -> None:
    make_folder(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = await run(tmp_path, "serve", "--port", str(port))
    line = one_line(done, 69)
    assert f"port {port} on 127.0.0.1 is taken" in line
    assert not (tmp_path / "data" / "agent-server.db").exists()


async def test_a_second_server_on_one_database_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    async with serving(tmp_path) as served:
        line = one_line(await run(tmp_path, "serve", "--port", "0"), 69)
        assert str(served.process.pid) in line
        async with served.client() as client:
            assert (await client.get("/readyz")).status_code == 200
        await served.end()


async def test_an_address_that_others_reach_is_refused_without_keys(tmp_path: Path) -> None:
    make_folder(tmp_path)
    assert "no API keys" in one_line(await run(tmp_path, "serve", "--host", "0.0.0.0"), 78)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("server:\n  prot: 1\n", "config.yaml:2: server.prot: unknown key. Did you mean 'port'?"),
        ("server:\n  drain_s: soon\n", "config.yaml:2: server.drain_s: "),
        ("server: [\n", "config.yaml:2: "),
        ("agents:\n  default:\n    tools: [wrod_count]\n", "agents.default: "),
    ],
)
async def test_a_broken_configuration_names_file_line_and_key(
    tmp_path: Path, config: str, expected: str
) -> None:
    make_folder(tmp_path, config=config)
    assert expected in one_line(await run(tmp_path, "serve", "--port", "0"), 78)


@pytest.mark.parametrize(
    ("source", "line_number"),
    [("def broken(:\n", 1), ("x = 1\nimport no_such_module_anywhere\n", 2)],
)
async def test_a_broken_tool_file_names_file_and_line(
    tmp_path: Path, source: str, line_number: int
) -> None:
    make_folder(tmp_path, good=TOOL, bad=source)
    line = one_line(await run(tmp_path, "serve", "--port", "0"), 78)
    assert f"bad.py:{line_number}" in line


async def test_a_database_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    make_folder(tmp_path)
    async with serving(tmp_path, "--db", "new.db") as served:
        await served.end()
    with sqlite3.connect(tmp_path / "new.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999_future'")
    database.close()
    before = (tmp_path / "new.db").read_bytes()
    one_line(await run(tmp_path, "serve", "--port", "0", "--db", "new.db"), 78)
    assert (tmp_path / "new.db").read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "notes.db").write_text("these are my notes, not a database\n" * 100)
    done = await run(tmp_path, "serve", "--port", "0", "--db", "notes.db")
    assert done.code in {74, 78}
    one_line(done, done.code)
    assert (tmp_path / "notes.db").read_text().startswith("these are my notes")


async def test_a_place_that_cannot_be_written_is_an_io_error(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "file").write_text("")
    one_line(await run(tmp_path, "serve", "--port", "0", "--db", "file/below/a.db"), 74)


async def test_a_ready_file_that_cannot_be_written_is_an_io_error(tmp_path: Path) -> None:
    make_folder(tmp_path)
    done = await run(tmp_path, "serve", "--port", "0", "--ready-file", "no/such/folder/ready")
    assert done.code == 74
    assert "ready file" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


async def test_paths_in_the_configuration_belong_to_its_file_and_flags_to_the_folder(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path / "project")
    make_folder(tmp_path / "more", slow=SLOW_TOOL)
    folders = ("--tools", "project/tools", "--tools", "more/tools")
    async with serving(tmp_path, "--config", "project/config.yaml", *folders) as served:
        async with served.client() as client:
            tools = (await client.get("/v1/tools")).json()
        assert sorted(tool["name"] for tool in tools["data"]) == ["wait_long", "word_count"]
        assert (tmp_path / "project" / "data" / "agent-server.db").exists()
        await served.end()
