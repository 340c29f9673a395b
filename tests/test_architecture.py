"""The rules of structure that a reader relies on, checked."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent_server

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "agent_server").rglob("*.py"))
REQUEST_PATH = [
    "http/routes/runs.py",
    "runs.py",
    "loop.py",
    "turn.py",
    "attempt.py",
    "model/anthropic.py",
    "dispatch.py",
    "sandbox/process.py",
    "log.py",
    "store/sql.py",
    "http/sse.py",
    "wire/native.py",
]
"""The files a request passes through, in reading order."""


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions() -> Iterator[tuple[str, int]]:
    """Every function of the package, with the lines of its body less its docstring."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]  # parsed nodes have line numbers
                yield f"{path.relative_to(ROOT)}:{node.name}", length


def test_no_file_is_longer_than_500_lines_and_most_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): lines(path) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > 500} == {}
    assert sorted(sizes.values())[len(sizes) // 2] <= 150


def test_no_function_is_longer_than_50_lines() -> None:
    assert {name: length for name, length in functions() if length > 50} == {}


def test_the_loop_can_be_read_in_one_sitting() -> None:
    assert lines(ROOT / "agent_server/loop.py") <= 150


def test_a_request_is_read_in_twelve_files_and_2200_lines() -> None:
    assert len(REQUEST_PATH) <= 12
    assert sum(lines(ROOT / "agent_server" / name) for name in REQUEST_PATH) <= 2_200


def test_the_public_names_are_exactly_what_the_package_offers() -> None:
    offered = {
        name
        for name in vars(agent_server)
        if not name.startswith("_")
        and name not in {module.name for module in pkgutil.iter_modules(agent_server.__path__)}
    }
    assert offered == set(agent_server.__all__)


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ["anthropic", "fastapi", "sqlmodel", "sqlalchemy", "uvicorn", "jsonschema"]
    code = f"import sys, agent_server; print([m for m in {heavy!r} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_name_has_a_docstring(path: Path) -> None:
    if "templates" in path.parts:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert node.name.startswith("_") or ast.get_docstring(node), node.name


def test_the_layers_hold() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert shown.returncode == 0, shown.stdout


def test_every_module_imports_on_its_own() -> None:
    for module in pkgutil.walk_packages(agent_server.__path__, "agent_server."):
        if "templates" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
