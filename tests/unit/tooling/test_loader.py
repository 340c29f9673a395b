"""Loading tools: folders, files, entry points, and one line for everything that can go wrong."""

import hashlib
import sys
import textwrap
import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType

import pytest

from agent_server import Tool
from agent_server.errors import ToolLoadError
from agent_server.tooling import loader
from agent_server.tooling.importing import forget_tool_files
from agent_server.tooling.loader import load_tool, load_tools

HELLO = """
    from agent_server import tool

    @tool
    def hello(name: str) -> str:
        '''Greet.'''
        return f"Hello {name}"
"""


def write(folder: Path, name: str, source: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


def load(*paths: Path) -> list[str]:
    return [tool.spec.name for tool in load_tools(paths, entry_points=False)]


def refusal(*paths: Path) -> str:
    with pytest.raises(ToolLoadError) as refused:
        load_tools(paths, entry_points=False)
    assert "\n" not in refused.value.message
    return refused.value.message


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    before = list(sys.path), list(sys.meta_path)
    yield
    assert (list(sys.path), list(sys.meta_path)) == before
    for folder in [tmp_path, *tmp_path.rglob("*")]:
        forget_tool_files(folder)


def test_every_file_of_a_folder_is_loaded_in_order_but_for_those_with_an_underscore(
    tmp_path: Path,
) -> None:
    write(tmp_path, "b.py", HELLO.replace("hello", "second"))
    write(tmp_path, "a.py", HELLO + HELLO.replace("hello", "again"))
    write(tmp_path, "_c.py", "raise RuntimeError")
    write(tmp_path, "notes.txt", "not Python")
    assert load(tmp_path) == ["hello", "again", "second"]


def test_a_single_file_is_loaded_alone(tmp_path: Path) -> None:
    file = write(tmp_path, "a.py", HELLO)
    write(tmp_path, "b.py", "raise RuntimeError")
    assert load(file) == ["hello"]
    assert load(file, file) == ["hello"]


def test_where_a_tool_lives_is_filled_in(tmp_path: Path) -> None:
    file = write(tmp_path, "greet.py", HELLO)
    [tool] = load_tools([tmp_path], entry_points=False)
    assert tool.spec.file == str(file)
    assert tool.spec.line == 4
    assert tool.spec.module.endswith(".greet")
    assert tool.spec.qualname == "hello"
    assert tool.spec.source_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert tool("Ada") == "Hello Ada"


def test_two_folders_may_hold_files_and_helpers_of_the_same_names(tmp_path: Path) -> None:
    source = """
        from agent_server import tool
        from _shared import WORD
        from ._shared import WORD as SAME

        @tool(name=WORD)
        def say() -> str:
            return WORD + SAME
    """
    for word in ("one", "two"):
        write(tmp_path / word, "say.py", source)
        write(tmp_path / word, "_shared.py", f"WORD = {word!r}")
    tools = load_tools([tmp_path / "one", tmp_path / "two"], entry_points=False)
    assert [tool() for tool in tools] == ["oneone", "twotwo"]
    assert "_shared" not in sys.modules


def test_a_tool_that_another_file_imports_is_counted_once(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "from .b import hello\nalias = hello\n")
    write(tmp_path, "b.py", HELLO)
    [tool] = load_tools([tmp_path], entry_points=False)
    assert (tool.spec.file or "").endswith("b.py")


def test_tools_of_a_helper_or_made_from_another_function_belong_to_the_file_that_names_them(
    tmp_path: Path,
) -> None:
    write(tmp_path, "_b.py", HELLO)
    write(
        tmp_path,
        "a.py",
        "from agent_server import tool\nfrom ._b import hello\n"
        "def plain(x: int) -> int:\n    return x\n"
        "same = tool(name='same')(plain)\n",
    )
    tools = load_tools([tmp_path], entry_points=False)
    assert [(tool.spec.name, tool.spec.qualname) for tool in tools] == [
        ("hello", "hello"),
        ("same", "same"),
    ]


def test_a_tool_file_never_shadows_the_standard_library(tmp_path: Path) -> None:
    write(tmp_path, "json.py", HELLO)
    write(tmp_path, "other.py", "import json\nassert json.dumps({}) == '{}'\n")
    assert load(tmp_path) == ["hello"]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, "_words.py", "WORD = 'a'")
    file = write(tmp_path, "a.py", "from ._words import WORD\n" + textwrap.dedent(HELLO))
    [first] = load_tools([tmp_path], entry_points=False)
    write(tmp_path, "_words.py", "WORD = 'b'")
    write(tmp_path, "a.py", "from ._words import WORD\n" + textwrap.dedent(HELLO) + "\n\n")
    [second] = load_tools([tmp_path], entry_points=False)
    assert first.spec.version != second.spec.version
    assert first.spec.module == second.spec.module
    assert vars(sys.modules[second.spec.module])["WORD"] == "b"
    assert not (file.parent / "__pycache__" / "a.cpython-311.pyc").exists()


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("x = 1\ndef broken(:\n", 2, "SyntaxError: invalid syntax"),
        (
            "x = 1\nimport no_such_module_here\n",
            2,
            "ModuleNotFoundError: No module named 'no_such_module_here'",
        ),
        ("from agent_server import tol\n", 1, "ImportError: cannot import name 'tol'"),
        ("\n\n1 / 0\n", 3, "ZeroDivisionError: division by zero"),
        ("raise ValueError('two\\nlines')\n", 1, "ValueError: two lines"),
        ("raise RuntimeError\n", 1, "RuntimeError: no message"),
        ("raise RuntimeError('x' * 9_999)\n", 1, "RuntimeError: xxx"),
        ("import sys\nsys.exit(3)\n", 2, "it exits when it is imported"),
        ("def f():\n    raise KeyError('k')\n\nf()\n", 2, "KeyError: 'k'"),
        (
            "from agent_server import tool\n\n@tool\ndef f(x) -> None: ...\n",
            3,
            "f: the parameter x has no annotation",
        ),
        (
            "from agent_server import tool\n\n@tool(efects='none')\ndef f() -> None: ...\n",
            3,
            "f: @tool has no option 'efects'; did you mean 'effects'?",
        ),
        ("import json\n\njson.loads('{')\n", 3, "JSONDecodeError: "),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line_with_file_and_line(
    tmp_path: Path, source: str, line: int, words: str
) -> None:
    file = write(tmp_path, "a.py", source)
    message = refusal(tmp_path)
    assert message.startswith(f"{file}:{line}: {words}")
    assert len(message) < 500


def test_a_broken_helper_is_named_with_the_line_that_imports_it(tmp_path: Path) -> None:
    helper = write(tmp_path, "_b.py", "def broken(:\n")
    file = write(tmp_path, "a.py", "x = 1\nfrom . import _b\n")
    assert refusal(tmp_path) == f"{file}:2: SyntaxError: invalid syntax ({helper}, line 1)"


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x = '\xff'\n")
    assert refusal(tmp_path).startswith(f"{tmp_path / 'a.py'}")


def test_a_file_that_starts_a_thread_is_refused_with_the_line(tmp_path: Path) -> None:
    source = """
        import threading

        stop = threading.Event()
        thread = threading.Thread(target=stop.wait, name="poller", daemon=True)
        thread.start()
    """
    file = write(tmp_path, "a.py", source)
    try:
        assert refusal(tmp_path).startswith(f"{file}:6: it starts a thread (poller)")
    finally:
        for module in [m for m in sys.modules.values() if getattr(m, "__file__", "") == str(file)]:
            vars(module)["stop"].set()
            vars(module)["thread"].join()
    assert threading.active_count() >= 1


def test_a_thread_that_has_ended_is_no_fault(tmp_path: Path) -> None:
    source = "import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()\n"
    write(tmp_path, "a.py", source)
    assert load(tmp_path) == []


def test_two_tools_of_one_name_are_refused_and_both_places_named(tmp_path: Path) -> None:
    first = write(tmp_path, "a.py", HELLO)
    second = write(tmp_path, "b.py", HELLO)
    assert f"two tools are named 'hello': {first}:4 and {second}:4" in refusal(tmp_path)


def test_a_missing_path_and_what_is_no_python_are_refused(tmp_path: Path) -> None:
    assert "does not exist: check tools.paths" in refusal(tmp_path / "none")
    assert "is no Python file" in refusal(write(tmp_path, "a.txt", ""))
    write(tmp_path, "a.b.py", "")
    assert "has no dot before .py" in refusal(tmp_path)


def test_an_interrupt_is_not_turned_into_a_load_error(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_tools([tmp_path], entry_points=False)


# --- one tool again --------------------------------------------------------------------------


def test_a_tool_is_loaded_again_by_its_spec_and_shares_its_module(tmp_path: Path) -> None:
    write(tmp_path, "a.py", HELLO + HELLO.replace("hello", "other"))
    first, second = (tool.spec for tool in load_tools([tmp_path], entry_points=False))
    forget_tool_files(tmp_path)
    hello, other = load_tool(first), load_tool(second)
    assert hello("Ada") == "Hello Ada"
    assert hello.spec == first
    assert hello.fn.__globals__ is other.fn.__globals__


def test_a_tool_whose_source_changed_or_went_is_not_loaded_again(tmp_path: Path) -> None:
    file = write(tmp_path, "a.py", HELLO)
    [tool] = load_tools([tmp_path], entry_points=False)
    assert load_tool(tool.spec).spec == tool.spec
    write(tmp_path, "a.py", HELLO + "\n    x = 1\n")
    forget_tool_files(tmp_path)
    with pytest.raises(ToolLoadError, match="it changed while it was being loaded"):
        load_tool(tool.spec)
    write(tmp_path, "a.py", HELLO.replace("hello", "hi"))
    with pytest.raises(ToolLoadError, match="'hello' is not in it any more"):
        load_tool(tool.spec)
    file.unlink()
    forget_tool_files(tmp_path)
    with pytest.raises(ToolLoadError, match="does not exist any more"):
        load_tool(tool.spec)


# --- entry points ----------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installed package ``weather_kit`` with two tools."""
    folder = tmp_path / "site"
    write(folder / "weather_kit", "__init__.py", "from .tools import forecast\nMANY = [forecast]\n")
    write(folder / "weather_kit", "tools.py", HELLO.replace("hello", "forecast") + HELLO)
    monkeypatch.syspath_prepend(folder)
    yield "weather_kit"
    for name in [name for name in sys.modules if name.startswith("weather_kit")]:
        del sys.modules[name]


def from_entry_point(monkeypatch: pytest.MonkeyPatch, value: str) -> list[Tool[..., object]]:
    points = EntryPoints([EntryPoint("kit", value, loader.ENTRY_POINT_GROUP)])
    monkeypatch.setattr(
        loader, "installed_entry_points", lambda *, group: points.select(group=group)
    )
    return load_tools([])


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ("weather_kit", ["weather_kit:forecast"]),
        ("weather_kit.tools", ["weather_kit.tools:forecast", "weather_kit.tools:hello"]),
        ("weather_kit.tools:hello", ["weather_kit.tools:hello"]),
        ("weather_kit:MANY", ["weather_kit.tools:forecast"]),
    ],
)
def test_an_entry_point_is_a_module_a_tool_or_tools(
    package: str, monkeypatch: pytest.MonkeyPatch, value: str, places: list[str]
) -> None:
    tools = from_entry_point(monkeypatch, value)
    assert [f"{tool.spec.module}:{tool.spec.qualname}" for tool in tools] == places
    assert all(len(tool.spec.source_sha256) == 64 for tool in tools)
    assert [load_tool(tool.spec).spec for tool in tools] == [tool.spec for tool in tools]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_kit", "the entry point kit = no_such_kit: ModuleNotFoundError"),
        ("weather_kit:nothing", "AttributeError"),
        ("weather_kit:__name__", "must be a module, a Tool or Tools, and gives str"),
        ("weather_kit:__dict__.__len__", "must be a module, a Tool or Tools"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    with pytest.raises(ToolLoadError) as refused:
        from_entry_point(monkeypatch, value)
    assert words in refused.value.message


def test_entry_points_are_left_alone_where_they_are_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: object) -> ModuleType:
        raise AssertionError("asked for entry points")

    monkeypatch.setattr(loader, "installed_entry_points", fail)
    assert load_tools([], entry_points=False) == []
