"""ToolRegistry: names, order, and errors that name the nearest."""

from typing import Any

import pytest

from agent_server import tool
from agent_server.errors import InvalidRequest, NotFound, ToolLoadError
from agent_server.tooling import ToolSpec
from agent_server.tooling.registry import ToolRegistry
from agent_server.tooling.validation import Problem


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def spec(name: str, **fields: Any) -> ToolSpec:
    return add.spec.model_copy(update={"name": name, **fields})


NAMES = ["zebra", "add", "add_many", "fetch-url"]
REGISTRY = ToolRegistry(spec(name) for name in NAMES)


def test_tools_are_in_the_order_of_their_names() -> None:
    assert [tool.name for tool in REGISTRY] == sorted(NAMES)
    assert len(REGISTRY) == 4
    assert "add" in REGISTRY
    assert "sub" not in REGISTRY


def test_a_tool_is_found_by_its_name() -> None:
    assert REGISTRY.get("zebra").name == "zebra"


def test_an_unknown_name_is_not_found_and_the_nearest_is_named() -> None:
    with pytest.raises(NotFound) as missing:
        REGISTRY.get("fetch_url")
    assert missing.value.code == "tool_not_found"
    assert missing.value.status == 404
    assert missing.value.message == "no tool is named 'fetch_url'; did you mean 'fetch-url'?"


def test_a_name_like_none_of_them_gets_no_suggestion_and_is_not_echoed_whole() -> None:
    with pytest.raises(NotFound) as missing:
        REGISTRY.get("q" * 100_000)
    assert len(missing.value.message) < 100


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["*"], sorted(NAMES)),
        ([], []),
        (["zebra", "add*"], ["add", "add_many", "zebra"]),
        (["add", "add", "*"], sorted(NAMES)),
        (["nothing*"], []),
        (["[af]*"], ["add", "add_many", "fetch-url"]),
        (["ADD*"], []),
    ],
)
def test_globs_select_tools_in_one_order_however_they_are_asked_for(
    patterns: list[str], names: list[str]
) -> None:
    assert [tool.name for tool in REGISTRY.select(patterns)] == names


def test_a_plain_name_must_be_a_tools() -> None:
    with pytest.raises(InvalidRequest) as refused:
        REGISTRY.select(["add", "zebr"])
    assert refused.value.code == "unknown_tool"
    assert refused.value.status == 422
    assert "did you mean 'zebra'?" in refused.value.message


def test_arguments_are_judged_by_the_tools_schema() -> None:
    assert REGISTRY.validate("add", {"a": 1}) == []
    assert REGISTRY.validate("add", {"a": "1"}) == [Problem("/a", "'1' is not of type 'integer'")]
    assert REGISTRY.validate("add", None) == [Problem("", "None is not of type 'object'")]
    with pytest.raises(NotFound):
        REGISTRY.validate("ad", {})


def test_two_tools_of_one_name_are_refused_and_both_places_named() -> None:
    twins = [spec("add", file="a.py", line=3), spec("add", file="b.py", line=9)]
    with pytest.raises(ToolLoadError) as refused:
        ToolRegistry(twins)
    assert "two tools are named 'add': a.py:3 and b.py:9" in refused.value.message


def test_a_schema_that_cannot_be_used_is_refused_with_its_place() -> None:
    broken = spec("look", file="a.py", line=3, input_schema={"type": "object", "pattern": "(?=a)"})
    with pytest.raises(ToolLoadError, match=r"^a\.py:3: look: the input schema is refused: the pa"):
        ToolRegistry([broken])


def test_an_example_that_does_not_fit_the_schema_is_refused() -> None:
    example = {"input_examples": [{"a": 1}, {"a": "one"}]}
    with pytest.raises(ToolLoadError, match=r"add: input_examples\[1\]/a: 'one' is not of type"):
        ToolRegistry([spec("add", param_fields=example)])


def test_an_empty_registry_is_fine() -> None:
    assert list(ToolRegistry([])) == []
