"""``init``: a folder that works, and nothing overwritten."""

from pathlib import Path

from pydantic_core import from_json
from typer.testing import CliRunner

from agent_server.cli.init import app
from agent_server.config import load_settings


def test_an_empty_folder_gets_configuration_tools_and_an_env_example(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "new")])
    assert result.exit_code == 0
    names = sorted(
        str(path.relative_to(tmp_path / "new"))
        for path in (tmp_path / "new").rglob("*")
        if path.is_file()
    )
    assert names == [".env.example", "config.yaml", "tools/countdown.py", "tools/word_count.py"]
    assert "agent-server serve" in result.output


def test_the_written_configuration_is_valid_and_what_the_defaults_say(tmp_path: Path) -> None:
    CliRunner().invoke(app, [str(tmp_path)])
    written = load_settings(tmp_path / "config.yaml", environ={}).model_dump()
    defaults = load_settings(environ={}).model_dump()
    written["agents"]["default"].pop("system")
    defaults["agents"]["default"].pop("system")
    assert written == defaults


def test_files_that_exist_are_kept_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("server: {port: 1}\n")
    result = CliRunner().invoke(app, [str(tmp_path), "--json"])
    answer = from_json(result.output)
    assert answer["kept"] == [str(tmp_path / "config.yaml")]
    assert len(answer["written"]) == 3
    assert (tmp_path / "config.yaml").read_text() == "server: {port: 1}\n"


def test_a_place_that_cannot_be_written_is_an_io_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, [str(tmp_path / "file" / "below")])
    assert getattr(result.exception, "exit_code", None) == 74
