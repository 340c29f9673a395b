"""``config``: what is in force, with secrets masked; errors name file, line and key."""

from pathlib import Path

import pytest
import yaml
from pydantic_core import from_json
from typer.testing import CliRunner

from agent_server.cli.config import app
from agent_server.cli.options import read_settings
from agent_server.errors import ConfigError


def test_show_prints_effective_values_and_never_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://user:hidden@gateway.test/v1")
    monkeypatch.setenv("AGENT_SERVER__SERVER__PORT", "9000")
    (tmp_path / "config.yaml").write_text("server: {port: 1, drain_s: 3}\n")
    result = CliRunner().invoke(app, ["show", "--config", str(tmp_path / "config.yaml")])
    shown = yaml.safe_load(result.output)
    assert shown["server"]["port"] == 9000
    assert shown["server"]["drain_s"] == 3
    assert shown["effective"]["provider"] == "anthropic"
    assert shown["effective"]["anthropic_api_key"] == "********"
    assert "secret" not in result.output
    assert "hidden" not in result.output
    assert shown["model"]["base_url"] == "https://********@gateway.test/v1"


def test_schema_is_a_json_schema_without_the_secrets() -> None:
    schema = from_json(CliRunner().invoke(app, ["schema"]).output)
    assert "server" in schema["properties"]
    assert "anthropic_api_key" not in schema["properties"]


def test_check_names_file_line_and_key_of_the_first_mistake(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model:\n  provider: demo\nserver:\n  prot: 1\n")
    result = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == (f"{config}:4: server.prot: unknown key. Did you mean 'port'?")


def test_flags_win_over_the_environment_and_are_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_SERVER__SERVER__PORT", "9000")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "config.yaml").write_text("storage: {url: 'sqlite:///data/a.db'}\n")
    config = tmp_path / "sub" / "config.yaml"
    assert read_settings(config).database == tmp_path / "sub" / "data" / "a.db"
    settings = read_settings(
        config, database="b.db", tools=[Path("t")], server={"port": 0, "host": None}
    )
    assert settings.database == tmp_path / "b.db"
    assert settings.tool_paths == (tmp_path / "t",)
    assert (settings.server.port, settings.server.host) == (0, "127.0.0.1")
    assert (
        read_settings(config, database=f"sqlite:///{tmp_path}/c.db").database == tmp_path / "c.db"
    )


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(ConfigError, match="'postgresql' databases are not supported"):
        read_settings(database="postgresql://localhost/x")
