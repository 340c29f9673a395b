"""One call: JSON into typed arguments, and whatever comes back into blocks."""

import asyncio
import base64
import hashlib
import json
import math
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json

from agent_server import ToolContext, ToolError, tool
from agent_server.tooling.invoke import (
    ArgumentError,
    ResultError,
    invoke,
    render_result,
    sanitize_text,
)
from agent_server.tooling.problems import Problem

CONTEXT = ToolContext(run_id="r", call_id="c", deadline=0.0, idempotency_key="k")


class Colour(Enum):
    RED = "red"


class Item(BaseModel):
    sku: str
    count: Annotated[int, Field(ge=1)] = 1


@tool
def typed(
    item: Item,
    when: datetime,
    price: Decimal,
    colour: Colour,
    tags: set[str] | None = None,
    note: str = "none",
) -> dict[str, object]:
    """Take typed values."""
    return {"types": [type(v) for v in (item, when, price, colour, tags, note)], "note": note}


@tool
def with_context(text: str, context: ToolContext, json: int = 0, model_config: int = 0) -> str:
    """Take a context."""
    return f"{text} {context.run_id} {json} {model_config}"


@tool
async def later(x: int) -> int:
    """Answer later."""
    return x + 1


@tool(input_schema={"type": "object", "properties": {"a": {}}, "required": ["a"]})
def open_ended(a: int, **rest: int) -> int:
    """Take anything."""
    return a + sum(rest.values())


@tool
def choose(item: Item | int | list[Item]) -> str:
    """Take one of several."""
    return type(item).__name__


@tool
def fail(x: int) -> None:
    """Fail."""
    raise ToolError("no luck", retryable=True) from ValueError(x)


# --- arguments -------------------------------------------------------------------------------


def test_the_function_gets_its_annotated_types() -> None:
    arguments = {
        "item": {"sku": "a"},
        "when": "2026-01-02T03:04:05Z",
        "price": 1.1,
        "colour": "red",
        "tags": ["a", "a"],
    }
    result = cast("dict[str, object]", invoke(typed, arguments, CONTEXT))
    assert result["types"] == [Item, datetime, Decimal, Colour, set, str]
    assert result["note"] == "none"


def test_the_context_goes_to_the_parameter_that_asks_for_it_whatever_the_others_are_called() -> (
    None
):
    assert invoke(with_context, {"text": "t", "json": 2, "model_config": 3}, CONTEXT) == "t r 2 3"


def test_the_model_cannot_give_the_context() -> None:
    with pytest.raises(ArgumentError) as refused:
        invoke(with_context, {"text": "t", "context": {"run_id": "evil"}}, CONTEXT)
    assert refused.value.problems[0].path == "/context"


async def test_an_async_tool_gives_an_awaitable() -> None:
    async with asyncio.timeout(5):
        assert await cast("Awaitable[int]", invoke(later, {"x": 1}, CONTEXT)) == 2


def test_a_catch_all_gets_the_rest() -> None:
    assert invoke(open_ended, {"a": 1, "b": 2, "c": 3}, CONTEXT) == 6


def test_arguments_that_do_not_fit_are_all_named_and_nothing_runs() -> None:
    with pytest.raises(ArgumentError) as refused:
        invoke(typed, {"item": {"count": 0}, "when": "soon", "price": "x", "more": 1}, CONTEXT)
    error = refused.value
    assert error.code == "invalid_input"
    assert [problem.path for problem in error.problems] == [
        *("/item/sku", "/item/count", "/when", "/price", "/colour", "/more"),
    ]
    assert error.problems[0] == Problem("/item/sku", "Field required")
    assert "/item/count: Input should be greater than or equal to 1" in error.message


def test_a_problem_inside_a_union_has_the_path_of_the_value_not_of_the_type() -> None:
    with pytest.raises(ArgumentError) as refused:
        invoke(choose, {"item": [{"count": 1}]}, CONTEXT)
    assert "/item/0/sku" in {problem.path for problem in refused.value.problems}


def test_what_the_function_raises_passes_through() -> None:
    with pytest.raises(ToolError, match="no luck"):
        invoke(fail, {"x": 1}, CONTEXT)


# --- results ---------------------------------------------------------------------------------

CAP = 10_000


@dataclass
class Point:
    x: int
    y: float


@pytest.mark.parametrize(
    ("value", "output", "text"),
    [
        ("plain text\n", "plain text\n", "plain text\n"),
        ("", "", '""'),
        (" \n", " \n", '" \\n"'),
        (None, None, "null"),
        (True, True, "true"),
        (3.5, 3.5, "3.5"),
        ({"b": [1], "a": "é"}, {"b": [1], "a": "é"}, '{"b":[1],"a":"é"}'),
        ((1, 2), [1, 2], "[1,2]"),
        ({3}, [3], "[3]"),
        (Item(sku="a"), {"sku": "a", "count": 1}, '{"sku":"a","count":1}'),
        (Point(1, 2.5), {"x": 1, "y": 2.5}, '{"x":1,"y":2.5}'),
        (Colour.RED, "red", "red"),
        (date(2026, 1, 2), "2026-01-02", "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z"),
        (Decimal("1.10"), "1.10", "1.10"),
        (UUID(int=1), str(UUID(int=1)), str(UUID(int=1))),
        (b"bytes", "bytes", "bytes"),
        ({1: {"when": date(2026, 1, 2)}}, {"1": {"when": "2026-01-02"}}, None),
        ({"type": "text", "words": 3}, {"type": "text", "words": 3}, None),
        ({"type": "image", "source": "camera"}, {"type": "image", "source": "camera"}, None),
        ({"type": "document", "source": {}, "pages": 1}, None, None),
        (2**4000, 2**4000, str(2**4000)),
        ([], [], "[]"),
    ],
)
def test_data_is_one_text_block_and_the_value(value: object, output: object, text: str) -> None:
    rendered = render_result(value, cap_bytes=CAP)
    if output is not None or value is None:
        assert rendered.output == output
    [block] = rendered.content
    assert block["type"] == "text"
    assert text is None or block["text"] == text
    assert not rendered.truncated


PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()},
}


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (IMAGE, [IMAGE]),
        ([IMAGE, {"type": "text", "text": "a"}], [IMAGE, {"type": "text", "text": "a"}]),
        (("caption", IMAGE), [{"type": "text", "text": "caption"}, IMAGE]),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            [IMAGE],
        ),
        (
            [{"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}],
            [{"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}],
        ),
        ([{"type": "text", "text": " "}, IMAGE], [{"type": "text", "text": "(blank)"}, IMAGE]),
        (["", IMAGE], [IMAGE]),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": []},
            [{"type": "search_result", "source": "s", "title": "t", "content": []}],
        ),
    ],
)
def test_content_blocks_pass_as_blocks(value: object, content: list[object]) -> None:
    rendered = render_result(value, cap_bytes=CAP)
    assert rendered.content == content
    assert rendered.output is None
    assert not rendered.truncated


def test_a_list_with_anything_but_blocks_and_texts_is_data() -> None:
    assert render_result([IMAGE, 3], cap_bytes=CAP).output == [IMAGE, 3]
    assert render_result(["a", "b"], cap_bytes=CAP).output == ["a", "b"]


LOOP: list[object] = []
LOOP.append(LOOP)
DEEP: list[object] = []
for _ in range(5_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "nan, which is not a JSON number"),
        ({"a": [math.inf]}, "inf, which is not a JSON number"),
        ("a\x00", "a NUL character or a lone surrogate"),
        ({"\ud800": 1}, "a NUL character or a lone surrogate"),
        ([{"type": "text", "text": "\ud800"}], "a NUL character or a lone surrogate"),
        (LOOP, "it refers to itself"),
        (DEEP, "it is nested deeper than 100 levels"),
        (DEEP[0][0], "it is nested deeper than 100 levels"),  # type: ignore[index]
        ({"a": object()}, "Unable to serialize unknown type: <class 'object'>"),
        (b"\xff", "bytes that are not UTF-8"),
        ([10**5_000], "an integer of more than 4,200 digits"),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": ""}},
            "media_type is one of image/jpeg",
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "?"}},
            "not base64",
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}},
            "has no data",
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png"}},
            "has no data",
        ),
    ],
)
def test_what_no_model_could_read_is_an_error_that_says_why(value: object, words: str) -> None:
    with pytest.raises(ResultError) as refused:
        render_result(value, cap_bytes=10**7)
    assert words in refused.value.message
    assert refused.value.code == "result_invalid"
    refused.value.message.encode()


def test_a_value_nested_a_hundred_levels_is_the_limit() -> None:
    value: list[object] = []
    for _ in range(99):
        value = [value]
    assert render_result(value, cap_bytes=CAP).output == value
    with pytest.raises(ResultError, match="nested deeper than 100"):
        render_result([value], cap_bytes=CAP)


def test_text_over_the_cap_is_cut_and_says_how_much_and_of_what() -> None:
    text = "ä" * 5_000
    rendered = render_result(text, cap_bytes=2_000)
    [block] = rendered.content
    shown, _, marker = block["text"].partition("\n[truncated: ")
    assert rendered.truncated
    assert rendered.output is None
    assert text.startswith(shown)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert (
        marker == f"{len(shown.encode())} of 10000 bytes are shown; sha256 of the whole: {digest}]"
    )
    assert 1_900 <= len(to_json(rendered.content)) <= 2_000


def test_data_over_the_cap_is_cut_as_its_json() -> None:
    value = {"rows": list(range(9_999))}
    [block] = render_result(value, cap_bytes=1_024).content
    digest = hashlib.sha256(to_json(value)).hexdigest()
    assert block["text"].startswith('{"rows":[0,1,')
    assert digest in block["text"]


def test_a_result_at_the_cap_is_whole() -> None:
    size = len(to_json([{"type": "text", "text": "x" * 500}]))
    assert not render_result("x" * 500, cap_bytes=size).truncated
    assert render_result("x" * 501, cap_bytes=size).truncated


def test_images_stay_whole_while_text_around_them_is_cut() -> None:
    rendered = render_result(["a" * 5_000, IMAGE, "b"], cap_bytes=1_024)
    kinds = [block["type"] for block in rendered.content]
    assert rendered.truncated
    assert kinds == ["text", "image"]
    assert rendered.content[1] == IMAGE
    assert "of 5001 bytes are shown" in rendered.content[0]["text"]


def test_an_image_over_the_cap_is_refused() -> None:
    big = {"type": "base64", "media_type": "image/png", "data": bytes(3_000)}
    with pytest.raises(ResultError, match=r"holds 4\d\d\d bytes of images or documents"):
        render_result(["look:", {"type": "image", "source": big}], cap_bytes=2_048)


texts = st.text(max_size=300)
strange = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=9)
    | st.just(IMAGE) | st.builds(lambda text: {"type": "text", "text": text}, texts),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
)  # fmt: skip


@given(value=strange, cap_bytes=st.integers(512, 4_096))
def test_whatever_is_returned_is_strict_json_within_the_cap_or_an_error(
    value: object, cap_bytes: int
) -> None:
    try:
        rendered = render_result(value, cap_bytes=cap_bytes)
    except ResultError:
        return
    encoded = to_json(rendered.content)
    assert len(encoded) <= cap_bytes
    assert from_json(encoded, allow_inf_nan=False) == rendered.content
    assert b"\\u0000" not in encoded
    for block in rendered.content:
        assert block["type"] != "text" or block["text"].strip()
    json.dumps(rendered.output, allow_nan=False).encode()


def test_text_is_sanitized_for_databases_and_encoders() -> None:
    assert sanitize_text("a\x00b\ud800c\udfffd😀") == "a\ufffdb\ufffdc\ufffdd😀"
