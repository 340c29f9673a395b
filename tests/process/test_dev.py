"""``dev``: a change is served at once, a broken one never takes the good server away."""

import asyncio
from pathlib import Path

from tests.process.servers import TOOL, Served, make_folder, run, serving

OTHER = TOOL.replace("word_count", "letter_count").replace("text.split()", "text")


async def tool_names(served: Served) -> list[str]:
    async with served.client() as client:
        tools = (await client.get("/v1/tools")).json()
    return sorted(tool["name"] for tool in tools["data"])


async def said(served: Served, expected: str) -> None:
    """Return once stderr says so; the server must answer all the while."""
    async with served.client() as client, asyncio.timeout(30):
        while expected not in (served.folder / "stderr.txt").read_text():
            assert (await client.get("/livez")).status_code == 200


async def test_changes_are_served_by_a_new_server_and_a_broken_file_is_not(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path)
    async with serving(tmp_path, command="dev") as served:
        assert await tool_names(served) == ["word_count"]
        (tmp_path / "tools" / "other.py").write_text("def broken(:\n")
        await said(served, "the last good server goes on")
        assert "other.py:1" in (tmp_path / "stderr.txt").read_text()
        assert await tool_names(served) == ["word_count"]
        (tmp_path / "tools" / "other.py").write_text(OTHER)
        await served.ready()
        assert await tool_names(served) == ["letter_count", "word_count"]
        (tmp_path / ".env").write_text("ANTHROPIC_API_KEY=sk-not-a-key\n")
        (tmp_path / "config.yaml").write_text("model: {provider: auto}\n")
        await served.ready()
        assert served.log[-1]["provider"] == "anthropic"
        code, _log = await served.end()
    assert code == 0


async def test_a_server_that_cannot_start_for_another_reason_ends_dev_with_its_code(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path)
    async with serving(tmp_path) as served:
        done = await run(tmp_path, "dev", "--port", "0")
        assert done.code == 69
        assert "another server" in done.stderr
        await served.end()
