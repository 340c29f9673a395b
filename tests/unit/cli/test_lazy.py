"""The command line's frame: cheap help, close matches, one line an error, exit codes."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from agent_server.cli.lazy import Invocation
from agent_server.cli.main import _complain, app
from agent_server.errors import ConfigError, SchemaMismatch, StoreError, StoreLocked, Unavailable

HEAVY = ("anthropic", "fastapi", "sqlmodel", "sqlalchemy", "uvicorn", "httpx2", "alembic")


def test_help_names_every_command_and_loads_none_of_them() -> None:
    script = (
        "import sys, time\n"
        "from agent_server.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('agent_server.cli.')])\n"
        f"print([m for m in {HEAVY} if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    *shown, commands, heavy = done.stdout.splitlines()
    for name in ("init", "serve", "dev", "run", "runs", "tools", "db", "config", "doctor"):
        assert any(f" {name} " in line for line in shown), name
    assert heavy == "[]"
    assert set(eval(commands)) <= {"agent_server.cli.main", "agent_server.cli.lazy"}


def test_an_unknown_command_is_a_usage_error_with_the_nearest_match() -> None:
    result = CliRunner().invoke(app, ["serv"])
    assert result.exit_code == 2
    assert "Did you mean 'serve'?" in result.output


def test_every_command_takes_debug() -> None:
    for arguments in (["config", "schema"], ["config", "check"]):
        invocation = Invocation()
        result = CliRunner().invoke(app, [*arguments, "--debug"], obj=invocation)
        assert result.exit_code == 0, result.output
        assert invocation.debug


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("config.yaml:3: a: b"), 78),
        (SchemaMismatch("newer"), 78),
        (StoreError("read-only"), 74),
        (StoreLocked("held"), 69),
        (Unavailable("full"), 69),
        (ExceptionGroup("g", [ExceptionGroup("g", [StoreError("deep")])]), 74),
        (RuntimeError("odd\nand long"), 1),
    ],
)
def test_an_error_is_one_line_and_the_exit_code_of_its_class(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _complain(error, Invocation()) == code
    printed = capsys.readouterr().err
    assert printed.startswith("agent-server: ")
    assert printed.count("\n") == 1
    assert "Traceback" not in printed


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as raised:
        _divide_by_nothing()
    _complain(raised.value, Invocation(debug=True))
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "_divide_by_nothing" in printed


def _divide_by_nothing() -> None:
    raise RuntimeError("odd")
