from pathlib import Path

import pytest

from agent_server.config import load_settings, read_secrets
from agent_server.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "server: {port: 1, host: 127.0.0.9}\nlog: {flush_ms: 7}\n")
    environ = {"AGENT_SERVER__SERVER__PORT": "2", "AGENT_SERVER__DEMO__DELAY_MS": "0"}
    settings = load_settings(path, environ=environ)
    assert (settings.server.port, settings.server.host) == (2, "127.0.0.9")
    assert settings.demo.delay_ms == 0
    assert settings.log.flush_ms == 7
    flagged = load_settings(path, flags={"server": {"port": 3}}, environ=environ)
    assert flagged.server.port == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server:\n  prot: 1\n", ":2: server.prot: unknown key. Did you mean 'port'?"),
        ("servr: {}\n", ":1: servr: unknown key. Did you mean 'server'?"),
        ("server:\n  port: many\n", ":2: server.port: Input should be a valid integer"),
        ("agents:\n  a:\n    limits: {max_turn: 2}\n", ":3: agents.a.limits.max_turn: unknown"),
        ("agents: {}\n", ":1: agents: at least one agent is needed"),
        ("a: [\n", ":2: "),
        ("- 1\n", ":1: the file must be a mapping"),
    ],
)
def test_a_broken_file_is_one_line_with_file_line_and_key(
    tmp_path: Path, text: str, told: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ={})
    assert str(caught.value).startswith(f"{path}{told}")
    assert "\n" not in str(caught.value)


def test_a_broken_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^AGENT_SERVER__SERVER__PORT: "):
        load_settings(write(tmp_path, ""), environ={"AGENT_SERVER__SERVER__PORT": "x"})


def test_auto_is_the_demo_model_until_a_key_is_set(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    assert load_settings(path, environ={}).provider == "demo"
    keyed = load_settings(path, environ={"ANTHROPIC_API_KEY": "sk-ant-1"})
    assert keyed.provider == "anthropic"
    assert "sk-ant-1" not in repr(keyed)


def test_relative_paths_belong_to_the_files_folder(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "storage: {url: sqlite:///x/a.db}\n"), environ={})
    assert settings.database == tmp_path / "x/a.db"
    assert settings.tool_paths == (tmp_path / "tools",)


def test_secrets_are_read_by_name_and_absent_ones_left_out() -> None:
    assert read_secrets(["A", "B", "C"], {"A": "1", "B": "", "D": "4"}) == {"A": "1"}
