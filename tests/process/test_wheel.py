"""The wheel holds everything: a folder without the checkout can be made, served and migrated."""

import zipfile
from pathlib import Path

import pytest

from tests.process.servers import run, run_python, serving

ROOT = Path(__file__).parents[2]


async def build(target: Path) -> list[str]:
    """Build the wheel of this checkout and unpack it; return the names of its files."""
    done = await run_python(
        ROOT, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target.parent)
    )
    assert done.code == 0, done.stdout + done.stderr
    (wheel,) = target.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
        return archive.namelist()


async def test_the_wheel_serves_from_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = await build(tmp_path / "wheel")
    for needed in ("migrations/env.py", "migrations/script.py.mako", "templates/config.yaml"):
        assert f"agent_server/{needed}" in names
    assert any(name.startswith("agent_server/migrations/versions/0001_") for name in names)
    assert "agent_server/migrations/__init__.py" not in names
    assert "agent_server/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "tools/", "alembic/"))]

    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "wheel"))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert (await run(empty, "init")).code == 0
    where = await run_python(empty, "-c", "import agent_server; print(agent_server.__file__)")
    assert where.stdout.startswith(str(tmp_path / "wheel"))
    async with serving(empty) as served, served.client() as client:
        answer = await client.post(
            "/v1/runs", json={"input": "count the words of 'a b c'", "wait": True}
        )
        assert answer.json()["status"] == "completed"
        assert answer.json()["tool_calls"][0]["name"] == "word_count"
        await served.end()
